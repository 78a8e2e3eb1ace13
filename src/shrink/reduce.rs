//! What is taken out of a schedule, in which order: the large and cheap things first, then all of it again until
//! nothing helps.

use std::time::Duration;

use vertebra_sim::schedule::{DamageMax, Schedule, Shape, rounder};
use vertebra_sim::{NodeId, Report, Verdict};

use super::ddmin::ddmin;
use super::options;
use super::trials::{Stop, Trials, is_before};
use crate::Subject;

/// Rounder times that are tried for an operation.
const ROUNDER_MAX: usize = 8;

/// A schedule on its way to be the smallest that fails in the same way.
pub struct Shrinker<'a, S: Subject> {
    /// The smallest so far.
    pub best: Schedule<S::Options>,
    /// What came of it.
    pub report: Report,
    pub trials: Trials<'a>,
}

/// Makes a candidate, if there is one, of a schedule and a number.
type Make<'m, O> = &'m (dyn Fn(&Schedule<O>, usize) -> Option<Schedule<O>> + Sync);

impl<S: Subject> Shrinker<'_, S> {
    /// Shrinks until nothing helps.
    ///
    /// # Errors
    ///
    /// Why it ended before that. The smallest so far is kept.
    pub fn run(&mut self) -> Result<(), Stop> {
        self.pin()?;
        // At first, of operations only large parts: each single one costs less when all else has become simple.
        let mut parts = 16;
        loop {
            let before = self.best.clone();
            self.cut()?;
            self.faults()?;
            // Before operations: where all packets take as long, one that is not sent changes nothing for the others.
            self.environment()?;
            self.clocks()?;
            self.clients()?;
            self.members()?;
            self.operations(parts)?;
            self.options()?;
            self.limits()?;
            self.weaken()?;
            if parts != usize::MAX {
                parts = usize::MAX;
            } else if self.best == before {
                // What only makes it easier to read comes last, when there is little left to make so.
                self.times()?;
                if self.best == before {
                    return self.round_duration();
                }
            }
        }
    }

    /// When the violation was noticed.
    fn violated_at(&self) -> Duration {
        match &self.report.verdict {
            Verdict::Violation { at, .. } => at.since_start(),
            Verdict::Pass => self.best.duration,
        }
    }

    /// Whether that is while faults happen.
    fn is_early(&self) -> bool {
        match &self.report.verdict {
            Verdict::Violation { at, .. } => is_before(*at, self.best.duration),
            Verdict::Pass => false,
        }
    }

    fn shape(&self) -> Option<Shape> {
        S::shape(&self.best.options).ok()
    }

    /// Takes the first of `count` candidates that fails in the same way; which that was.
    fn first(&mut self, count: usize, make: Make<'_, S::Options>) -> Result<Option<usize>, Stop> {
        let (is_early, best) = (self.is_early(), &self.best);
        let Some((index, schedule, report)) =
            self.trials.first::<S>(count, is_early, &|index| make(best, index))?
        else {
            return Ok(None);
        };
        (self.best, self.report) = (schedule, report);
        let progress = &mut self.trials.progress;
        progress.faults[0] = faults(&self.best);
        progress.operations[0] = operations::<S>(&self.best, &self.report);
        Ok(Some(index))
    }

    /// Takes the first of `candidates` that fails in the same way, then of those that there are then, and so on.
    fn descend(
        &mut self,
        pass: &'static str,
        candidates: impl Fn(&Schedule<S::Options>) -> Vec<Schedule<S::Options>>,
    ) -> Result<(), Stop> {
        self.trials.progress.pass = pass;
        loop {
            let list = candidates(&self.best);
            if self.first(list.len(), &|_, index| list.get(index).cloned())?.is_none() {
                return Ok(());
            }
        }
    }

    /// Goes once through a list of things in the schedule, and takes for each the first of its candidates that fails
    /// in the same way, as long as there is one.
    fn each<T: Clone + Sync>(
        &mut self,
        pass: &'static str,
        get: impl Fn(&Self) -> Vec<T>,
        set: impl Fn(&Schedule<S::Options>, Vec<T>) -> Schedule<S::Options> + Sync,
        candidates: impl Fn(&T) -> Vec<T>,
    ) -> Result<(), Stop> {
        self.trials.progress.pass = pass;
        let mut begin = 0;
        loop {
            let list = get(self);
            let entries = list.iter().enumerate().skip(begin);
            let others: Vec<(usize, T)> = entries
                .flat_map(|(place, entry)| candidates(entry).into_iter().map(move |other| (place, other)))
                .collect();
            let taken = self.first(others.len(), &|best, index| {
                let (place, other) = others.get(index)?;
                let mut list = list.clone();
                list[*place] = other.clone();
                Some(set(best, list))
            })?;
            let Some(taken) = taken else { return Ok(()) };
            begin = others[taken].0;
        }
    }

    /// Gives each operation the time at which it began. Where clients wait for less, they would otherwise come to their
    /// operations earlier, and do more of them.
    fn pin(&mut self) -> Result<(), Stop> {
        self.trials.progress.pass = "times of operations";
        let performed = self.performed(true);
        if !performed.is_empty() {
            self.first(1, &|best, _| Some(performing::<S>(best, performed.clone())))?;
        }
        Ok(())
    }

    /// Ends the run right behind the violation. What comes later is no part of the failure, and a candidate that
    /// passes then takes no longer than that.
    fn cut(&mut self) -> Result<(), Stop> {
        self.trials.progress.pass = "duration";
        let (at, duration) = (self.violated_at(), self.best.duration);
        if self.is_early() {
            let mut cut = self.best.clone();
            cut.faults.retain(|fault| fault.at <= at);
            let millis = u64::try_from(at.as_millis()).unwrap_or(u64::MAX).saturating_add(1);
            cut.duration = Duration::from_millis(millis).min(duration);
            if cut != self.best {
                self.first(1, &|_, _| Some(cut.clone()))?;
            }
            return Ok(());
        }
        // It is noticed when all faults are over. If it would be without that, candidates are cheap.
        let longer = Schedule { duration: at + Duration::from_secs(1), ..self.best.clone() };
        let found = self.trials.first::<S>(1, true, &|_| Some(longer.clone()))?;
        if let Some((_, schedule, report)) = found {
            (self.best, self.report) = (schedule, report);
            return self.cut();
        }
        // Otherwise, perhaps it takes less time.
        let shape = self.shape();
        self.descend("duration", |best| {
            let parts = [0, 1, 2, 4, 6, 7].map(|eighths| best.duration * eighths / 8);
            let durations = parts.into_iter().map(|part| {
                Duration::from_millis(u64::try_from(part.as_millis()).unwrap_or(u64::MAX).max(1))
            });
            let shorter = durations.filter(|duration| *duration < best.duration).map(|duration| {
                let mut shorter = best.clone();
                shorter.duration = duration;
                if let Some(shape) = &shape {
                    shorter.fit(shape);
                }
                shorter
            });
            shorter.collect()
        })
    }

    /// At the very end, a duration that is easy to read.
    fn round_duration(&mut self) -> Result<(), Stop> {
        if !self.is_early() {
            return self.descend("duration", |best| {
                let rounder = rounder(best.duration).map(|duration| Schedule { duration, ..best.clone() });
                rounder.collect()
            });
        }
        let (millis, at) = (self.best.duration.as_millis(), self.violated_at());
        let rounded = [1_000, 500, 100, 50, 10].map(|unit: u128| millis.div_ceil(unit) * unit);
        let durations =
            rounded.map(|millis| Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX)));
        // Not so much longer that a reader wonders what still happens.
        let near = durations.into_iter().find(|duration| *duration <= at.mul_f64(1.25));
        let rounder = Schedule { duration: near.unwrap_or(self.best.duration), ..self.best.clone() };
        if rounder != self.best {
            self.first(1, &|_, _| Some(rounder.clone()))?;
        }
        Ok(())
    }

    fn faults(&mut self) -> Result<(), Stop> {
        self.trials.progress.pass = "faults";
        ddmin(self.best.faults.clone(), 1, |count, rest| {
            self.first(count, &|best, attempt| Some(Schedule { faults: rest(attempt), ..best.clone() }))
        })?;
        ddmin(self.best.broken.clone(), 1, |count, rest| {
            self.first(count, &|best, attempt| Some(Schedule { broken: rest(attempt), ..best.clone() }))
        })?;
        self.cut()
    }

    /// Fewer clients, the fewest first.
    fn clients(&mut self) -> Result<(), Stop> {
        self.fewer(
            "clients",
            |shape| shape.clients,
            |options, clients| {
                S::set_clients(options, clients);
                if let Some(operations) = S::performed(options) {
                    operations.truncate(clients);
                }
            },
        )
    }

    /// Fewer members, the fewest first.
    fn members(&mut self) -> Result<(), Stop> {
        self.fewer("members", |shape| shape.members, S::set_members)
    }

    fn fewer(
        &mut self,
        pass: &'static str,
        count: impl Fn(&Shape) -> u16,
        set: impl Fn(&mut S::Options, u16) + Sync,
    ) -> Result<(), Stop> {
        self.trials.progress.pass = pass;
        let count = self.shape().map_or(1, |shape| count(&shape));
        self.first(usize::from(count.max(1) - 1), &|best, index| {
            let mut fewer = best.clone();
            set(&mut fewer.options, u16::try_from(index + 1).ok()?);
            fewer.fit(&S::shape(&fewer.options).ok()?);
            Some(fewer)
        })?;
        self.cut()
    }

    /// Fewer operations: those of whole clients first, then of all, in order of their times. Each keeps its time. No part is smaller than that of so many `parts`.
    fn operations(&mut self, parts: usize) -> Result<(), Stop> {
        self.trials.progress.pass = "operations";
        let performed = self.performed(true);
        let mut clients: Vec<NodeId> = performed.iter().map(|operation| operation.client).collect();
        clients.sort_unstable();
        clients.dedup();
        let clients = ddmin(clients, 1, |count, rest| {
            self.first(count, &|best, attempt| {
                let working = rest(attempt);
                let mut performed = performed.clone();
                performed.retain(|operation| working.contains(&operation.client));
                Some(performing::<S>(best, performed))
            })
        })?;
        let operations: Vec<Performed> =
            performed.into_iter().filter(|operation| clients.contains(&operation.client)).collect();
        let smallest = operations.len() / parts;
        ddmin(operations, smallest, |count, rest| {
            self.first(count, &|best, attempt| Some(performing::<S>(best, rest(attempt))))
        })?;
        self.cut()
    }

    /// Operations that come when their clients get to them, and rounder times for the others.
    fn times(&mut self) -> Result<(), Stop> {
        self.trials.progress.pass = "times of operations";
        let untimed = |list: Vec<Performed>| -> Vec<Performed> {
            list.into_iter().map(|operation| Performed { at: None, ..operation }).collect()
        };
        let timed = self.performed(false);
        if timed.iter().any(|operation| operation.at.is_some()) {
            self.first(1, &|best, _| Some(performing::<S>(best, untimed(timed.clone()))))?;
        }
        self.each(
            "times of operations",
            |this| this.performed(false),
            performing::<S>,
            |operation| {
                let Some(at) = operation.at else { return Vec::new() };
                let rounder = rounder(at).take(ROUNDER_MAX).map(Some);
                [None].into_iter().chain(rounder).map(|at| Performed { at, ..*operation }).collect()
            },
        )?;
        self.cut()
    }

    /// Those of the smallest schedule so far; see [`performed`].
    fn performed(&self, timed: bool) -> Vec<Performed> {
        performed::<S>(&self.best, &self.report, timed).unwrap_or_default()
    }

    /// Options as they usually are.
    fn options(&mut self) -> Result<(), Stop> {
        self.descend("options", |best| {
            let plainer = options::plainer::<S>(&best.options).into_iter();
            plainer.map(|options| Schedule { options, ..best.clone() }).collect()
        })?;
        self.cut()
    }

    /// Limits that are reached sooner, as far as they must differ from the usual ones.
    fn limits(&mut self) -> Result<(), Stop> {
        self.descend("limits", |best| {
            let smaller = options::smaller::<S>(&best.options).into_iter();
            smaller.map(|options| Schedule { options, ..best.clone() }).collect()
        })?;
        self.cut()
    }

    /// Links and disks without quirks, and tasks in the order of the seed.
    fn environment(&mut self) -> Result<(), Stop> {
        self.descend("network and disks", |best| {
            let usual = Schedule { interleaving: None, damage: DamageMax::default(), ..best.clone() };
            let usual = Some(usual).filter(|usual| usual != best);
            let networks = best.network.plainer().into_iter();
            let networks = networks.map(|network| Schedule { network, ..best.clone() });
            let disks = best.disk.plainer().into_iter().map(|disk| Schedule { disk, ..best.clone() });
            usual.into_iter().chain(networks).chain(disks).collect()
        })?;
        self.cut()
    }

    fn clocks(&mut self) -> Result<(), Stop> {
        self.trials.progress.pass = "clocks";
        ddmin(self.best.clocks.clone(), 1, |count, rest| {
            self.first(count, &|best, attempt| Some(Schedule { clocks: rest(attempt), ..best.clone() }))
        })?;
        let set = |best: &Schedule<_>, clocks| Schedule { clocks, ..best.clone() };
        self.each("clocks", |this| this.best.clocks.clone(), set, |clock| clock.truer())?;
        self.cut()
    }

    /// Weaker faults.
    fn weaken(&mut self) -> Result<(), Stop> {
        let Some(shape) = self.shape() else { return Ok(()) };
        let set = |best: &Schedule<_>, faults| Schedule { faults, ..best.clone() };
        self.each("weaker faults", |this| this.best.faults.clone(), set, |fault| fault.weaker(&shape))?;
        self.cut()
    }
}

/// The operations of `schedule` that were performed up to the violation, in order of their times, where that is known.
/// `timed` gives each the time at which it was drawn, unless it has one.
pub fn performed<S: Subject>(
    schedule: &Schedule<S::Options>,
    report: &Report,
    timed: bool,
) -> Option<Vec<Performed>> {
    let mut options = schedule.options.clone();
    let operations = S::performed(&mut options)?;
    let mut performed = Vec::new();
    for (drawn, number) in report.drawn.iter().zip(1..) {
        let client = NodeId::Client(number);
        let only = operations.only(client);
        for (number, at) in (0..).zip(drawn) {
            if only.is_some_and(|only| !only.contains(number)) {
                continue;
            }
            let (own, drawn) = (only.and_then(|only| only.at(number)), at.since_start());
            let at = own.or(timed.then_some(drawn));
            performed.push((own.unwrap_or(drawn), Performed { number, client, at }));
        }
    }
    performed.sort_by_key(|(at, operation)| (*at, operation.client, operation.number));
    Some(performed.into_iter().map(|(_, operation)| operation).collect())
}

/// How many faults there are, with the members that stay broken at the end.
pub fn faults<O>(schedule: &Schedule<O>) -> u64 {
    (schedule.faults.len() + schedule.broken.len()) as u64
}

/// How many operations there are: of those that are numbered; where none are, of all that clients began.
pub fn operations<S: Subject>(schedule: &Schedule<S::Options>, report: &Report) -> u64 {
    match performed::<S>(schedule, report, false) {
        Some(performed) => performed.len() as u64,
        None => report.operations,
    }
}

/// An operation that a client performs.
#[derive(Clone, Copy)]
pub struct Performed {
    number: u64,
    client: NodeId,
    /// When it begins at the earliest, where that is said.
    at: Option<Duration>,
}

/// The schedule in which clients perform these operations alone.
fn performing<S: Subject>(
    schedule: &Schedule<S::Options>,
    operations: Vec<Performed>,
) -> Schedule<S::Options> {
    let mut schedule = schedule.clone();
    let clients = S::shape(&schedule.options).map_or(0, |shape| shape.clients);
    if let Some(place) = S::performed(&mut schedule.options) {
        for client in (1..=clients).map(NodeId::Client) {
            let own = operations.iter().filter(|operation| operation.client == client);
            place.set(client, Some(own.map(|operation| (operation.number, operation.at)).collect()));
        }
    }
    schedule
}
