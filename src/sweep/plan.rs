//! Which seeds a sweep runs.

use std::str::FromStr;
use std::time::Duration;

use clap::Args;
use vertebra_sim::ledger::{Ledger, Session, Version};
use vertebra_sim::seeds::{SeedSet, Seeds};

use crate::changes::Changes;
use crate::exit::Refusal;
use crate::words::parse_span;

/// Seeds without a flag: about a minute on two cores.
const SEEDS: u64 = 4_000;

/// Flags that say which seeds.
#[derive(Args, Clone, Debug)]
pub struct Which {
    #[arg(long, value_name = "RANGE", help = seeds_help(), value_parser = Asked::from_str)]
    seeds: Option<Asked>,
    /// No more than so many seeds
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// Begin no other seed when this much time is over, such as `90s`, `10m` or `1h30m`
    #[arg(long, value_name = "TIME", value_parser = parse_span)]
    pub time: Option<Duration>,
    /// Only the I-th of N parts, as in `2/8`; each part has a ledger of its own, and `vertebra merge` joins them. For
    /// the parts of a night, each ledger begins as a copy of the one of all nights
    #[arg(long, value_name = "I/N", value_parser = Shard::from_str)]
    shard: Option<Shard>,
    /// Leave out what this build has done already; without --seeds, go on with the last sweep and its flags, all but
    /// --time
    #[arg(long, help_heading = "Ledger")]
    pub resume: bool,
    /// The next seeds that no build has done yet
    #[arg(long, conflicts_with_all = ["seeds", "resume"], help_heading = "Ledger")]
    nightly: bool,
}

fn seeds_help() -> String {
    format!(
        "Which seeds: `0..5000`, `0..=4999`, `100..` or `7`; or a commit's full hash, for {SEEDS} that belong to it \
         [default: 0..{SEEDS}; with --time, 0..]"
    )
}

/// What `--seeds` says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Asked {
    Range(Seeds),
    /// From here on.
    Commit(u64),
}

impl FromStr for Asked {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_hash = [40, 64].contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_hash {
            return text.parse().map(Self::Range);
        }
        // Ten digits keep seeds short enough to be read out, and leave two commits the same seeds once in many years.
        u64::from_str_radix(&text[..10], 16).map(Self::Commit).map_err(|error| error.to_string())
    }
}

/// One of several parts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Shard {
    part: u32,
    parts: u32,
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers =
            text.split_once('/').and_then(|(part, parts)| Some((part.parse().ok()?, parts.parse().ok()?)));
        match numbers {
            Some((part, parts)) if (1..=parts).contains(&part) => Ok(Self { part, parts }),
            _ => Err("write which of how many parts, as in `1/8` to `8/8`".to_owned()),
        }
    }
}

/// The seeds of a sweep.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Plan {
    /// The range it is about.
    pub seeds: Seeds,
    /// Those of it that are left out.
    pub skipped: SeedSet,
    /// Whether what is left out was left out by every build, and not by this one alone.
    pub is_nightly: bool,
    /// Whether what this build did of the range before counts as done by this sweep.
    pub is_resumed: bool,
}

impl Plan {
    /// The seeds to run, in order.
    pub fn to_run(&self) -> impl Iterator<Item = u64> + Send + use<> {
        self.skipped.gaps(self.seeds).flat_map(|gap| gap.first..=gap.last)
    }

    /// The range of one of several parts. Those of a night have the same number of seeds to run, whatever is left out
    /// between; else they are cut from the whole range, so that a part stays the same when it is gone on with.
    fn part(&self, part: u32, parts: u32) -> Option<Seeds> {
        if !self.is_nightly {
            return self.seeds.part(part, parts);
        }
        let places = Seeds::starting_at(0, self.count()?).part(part, parts)?;
        let (mut before, mut range) = (0, None);
        for gap in self.skipped.gaps(self.seeds) {
            let seed = |place: u64| gap.first + (place - before);
            if range.is_none() && places.first < before + gap.count() {
                range = Some(Seeds { first: seed(places.first), last: gap.last });
            }
            if let (Some(range), true) = (&mut range, places.last < before + gap.count()) {
                range.last = seed(places.last);
                break;
            }
            before += gap.count();
        }
        range
    }

    /// How many those are, unless they have no end.
    pub fn count(&self) -> Option<u64> {
        let gaps = self.skipped.gaps(self.seeds);
        (!self.seeds.is_endless()).then(|| gaps.fold(0_u64, |sum, gap| sum.saturating_add(gap.count())))
    }
}

/// What the flags ask for, and under which changes: a sweep that goes on with another one has those of that one.
///
/// `ledger` is where earlier sweeps are recorded, if anywhere.
pub fn plan(
    which: &Which,
    changes: &Changes,
    version: &Version,
    ledger: Option<&Ledger>,
) -> Result<(Plan, Changes), Refusal> {
    if let Some(ledger) = ledger.filter(|_| which.goes_on()) {
        return go_on(which, changes, version, ledger);
    }
    let mut plan = Plan {
        seeds: which.range(),
        skipped: SeedSet::default(),
        is_nightly: which.nightly,
        is_resumed: which.resume,
    };
    if let Some(ledger) = ledger.filter(|_| which.nightly || which.resume) {
        let build = (!which.nightly).then_some(version.build.as_str());
        plan.skipped = ledger.done(&changes.profile(), build)?;
    }
    if which.nightly {
        let count = which.count.or(which.time.is_none().then_some(SEEDS));
        plan.seeds = next(&plan.skipped, count)
            .ok_or_else(|| Refusal::new("every seed there is has been done".to_owned()))?;
    }
    if let Some(Shard { part, parts }) = which.shard {
        if plan.seeds.is_endless() {
            return Err(Refusal::new("what has no end has no parts; say with --count how many seeds"));
        }
        plan.seeds = plan.part(part, parts).ok_or_else(|| {
            Refusal::new(format!("{} has fewer seeds than {parts}, so part {part} has none", plan.seeds))
        })?;
    }
    Ok((plan, changes.clone()))
}

/// The rest of the last sweep.
fn go_on(
    which: &Which,
    changes: &Changes,
    version: &Version,
    ledger: &Ledger,
) -> Result<(Plan, Changes), Refusal> {
    let path = ledger.path().display();
    let profile = changes.profile();
    let last = ledger.last_session((!changes.is_empty()).then_some(profile.as_str()))?;
    let Some(Session { version: known, profile, seeds, is_nightly, .. }) = last else {
        return Err(Refusal::new(format!(
            "{path}: there is no sweep to go on with; begin one without --resume"
        )));
    };
    if known.build != version.build {
        return Err(Refusal::new(format!(
            "{path}: the last sweep was made by build {known}, and this is {version}, in which the same seeds are other \
             runs; begin a sweep without --resume, or go on with that build"
        )));
    }
    if which.shard.is_some() || which.count.is_some() {
        return Err(Refusal::new(
            "a sweep goes on with the seeds it had; with --shard or --count, say which --seeds",
        ));
    }
    let changes = Changes::of_profile(&profile)?;
    let build = (!is_nightly).then_some(version.build.as_str());
    Ok((Plan { seeds, skipped: ledger.done(&profile, build)?, is_nightly, is_resumed: true }, changes))
}

impl Which {
    /// Whether it is about the last sweep, which must be there.
    pub fn goes_on(&self) -> bool {
        self.resume && self.seeds.is_none()
    }

    /// A seed to try the other flags with.
    pub fn first(&self) -> u64 {
        self.range().first
    }

    /// So many seeds from `first` on, where no range says how many; with a time, as many as there is time for.
    fn from(&self, first: u64) -> Seeds {
        match (self.count, self.time) {
            (Some(count), _) => Seeds::starting_at(first, count),
            (None, Some(_)) => Seeds { first, last: u64::MAX },
            (None, None) => Seeds::starting_at(first, SEEDS),
        }
    }

    fn range(&self) -> Seeds {
        match self.seeds {
            None => self.from(0),
            Some(Asked::Commit(first)) => self.from(first),
            Some(Asked::Range(range)) => match self.count {
                None => range,
                Some(count) => {
                    Seeds { last: range.last.min(Seeds::starting_at(range.first, count).last), ..range }
                }
            },
        }
    }
}

/// The range in which the first `count` seeds lie that are not in `done`, or all such seeds.
fn next(done: &SeedSet, count: Option<u64>) -> Option<Seeds> {
    let first = done.gaps(Seeds::ALL).next()?.first;
    let Some(mut missing) = count else { return Some(Seeds { first, last: u64::MAX }) };
    let mut last = first;
    for gap in done.gaps(Seeds::ALL) {
        last = gap.last.min(Seeds::starting_at(gap.first, missing).last);
        missing = missing.saturating_sub(gap.count());
        if missing == 0 {
            break;
        }
    }
    Some(Seeds { first, last })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seeds(text: &str) -> Seeds {
        text.parse().expect("a range")
    }

    #[test]
    fn a_night_takes_the_lowest_seeds_that_were_never_done() {
        let cases: [(&[&str], Option<u64>, &str); 7] = [
            (&[], Some(10), "0..10"),
            (&["0..10"], Some(10), "10..20"),
            (&["5..8", "20..30"], Some(10), "0..13"),
            (&["0..10", "20..30"], Some(15), "10..35"),
            (&["0..10", "20..30"], Some(10), "10..20"),
            (&["0..10"], None, "10.."),
            (&[], None, "0.."),
        ];
        for (done, count, expected) in cases {
            let done: SeedSet = done.iter().map(|text| seeds(text)).collect();
            let next = next(&done, count).expect("there are seeds");
            assert_eq!(next.to_string(), expected);
            let plan = Plan { seeds: next, skipped: done, is_nightly: true, is_resumed: false };
            assert_eq!(plan.count(), count, "{plan:?}");
        }
        assert_eq!(next(&[Seeds::ALL].into_iter().collect(), Some(1)), None);
    }

    #[test]
    fn the_parts_of_a_night_are_the_night_in_equal_pieces() {
        let done: SeedSet = [seeds("0..10"), seeds("12..13"), seeds("20..90")].into_iter().collect();
        let night = Plan { seeds: seeds("10..110"), skipped: done, is_nightly: true, is_resumed: false };
        let all: Vec<u64> = night.to_run().collect();
        for parts in [1, 2, 3, 7, 29] {
            let pieces = (1..=parts).map(|part| {
                let seeds = night.part(part, parts).expect("seeds enough");
                Plan { seeds, ..night.clone() }.to_run().collect::<Vec<u64>>()
            });
            let pieces: Vec<Vec<u64>> = pieces.collect();
            assert!(
                pieces.iter().all(|piece| piece.len().abs_diff(all.len() / parts as usize) <= 1),
                "{pieces:?}"
            );
            assert_eq!(pieces.concat(), all);
        }
        assert_eq!(night.part(1, 1_000), None);
    }

    #[test]
    fn a_time_without_a_count_has_no_end() {
        let which =
            |count, time| Which { seeds: None, count, time, shard: None, resume: false, nightly: false };
        let minute = Some(Duration::from_secs(60));
        assert_eq!(which(None, minute).range().to_string(), "0..");
        assert_eq!(which(Some(9), minute).range().to_string(), "0..9");
        assert_eq!(which(None, None).range().to_string(), "0..4000");
    }

    #[test]
    fn a_commit_has_seeds_of_its_own() {
        let hash = "b6f2098f00000000000000000000000000000000";
        assert_eq!(hash.parse(), Ok(Asked::Commit(0xb6_f209_8f00)));
        assert_eq!("7".parse(), Ok(Asked::Range(seeds("7"))));
        assert!("b6f2098".parse::<Asked>().is_err(), "a short hash might be meant as a number");
    }

    #[test]
    fn a_part_is_one_of_several() {
        assert_eq!("2/8".parse(), Ok(Shard { part: 2, parts: 8 }));
        for bad in ["", "2", "0/8", "9/8", "1/0", "a/b", "1/8/2", "-1/8"] {
            assert!(bad.parse::<Shard>().is_err(), "`{bad}` was read as a part");
        }
    }
}
