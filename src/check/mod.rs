//! `vertebra check`: judges histories that others have recorded.
//!
//! | | where |
//! | --- | --- |
//! | in which form a file is | `format` |
//! | a file, form by form | `forms` |
//! | a form or a line, as an event of Jepsen's | `text` |
//! | events, as operations of a model | `history`, `asked`, `recorded` |
//! | histories of etcd's API | `cluster` |
//! | how far it has come | `progress` |
//! | what is told of the verdict | `tell`, `shown` |
//! | the page that shows it | `page` |
//!
//! What judges them is in `vertebra_sim::linearizability`, and for etcd in `vertebra_model::oracle`.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use clap::{Args, ValueHint};
use vertebra_model::oracle::linearizable_history::Limits;
use vertebra_sim::linearizability::specs::key_value::KeyValue;
use vertebra_sim::linearizability::specs::keyed::Keyed;
use vertebra_sim::linearizability::specs::register::Register;
use vertebra_sim::linearizability::specs::versioned::{self, Versioned};
use vertebra_sim::linearizability::{Budget, Spec, adds, append, check as judge};

use self::asked::Held;
use self::cluster::Cluster;
use self::history::{Expected, Format, History, Model};
use self::page::Page;
use self::progress::Progress;
use self::recorded::{Damage, Recorded};
use self::shown::Shown;
use self::tell::{Marked, Verdict};
use crate::exit::{Outcome, Refusal};
use crate::output::{Output, complain};

mod asked;
mod cluster;
mod format;
mod forms;
mod history;
mod page;
mod progress;
mod recorded;
mod shown;
mod tell;
mod text;

const EXAMPLES: &str = "\
Examples:
  vertebra check etcd_000.log
  vertebra check report/ store/register/latest/history.edn
  vertebra check --json history/*.log | jq -r 'select(.verdict == \"illegal\") | .path'
  vertebra check --model kv --budget 100000000 c50-bad.txt
  vertebra replay 4711 --history 4711.jsonl && vertebra check 4711.jsonl
  vertebra check --html stale-read.html stale-read.log";

/// Flags of `vertebra check`.
#[derive(Args, Debug)]
#[command(
    after_help = EXAMPLES,
    after_long_help = format!("{EXAMPLES}

A history is linearizable if some order of its operations explains all that they were answered, and
nothing comes in it after what began only when it was over. An operation of which nobody knows what
became of it may have happened at any time, or never.

Formats, which are told apart by what is in the file:
  log    logs of Jepsen              INFO  jepsen.util - 3 :invoke :cas [1 4]
  edn    histories of Jepsen         {{:process 0, :type :invoke, :f :write, :value 3}}
  json   the same in JSON            {{\"process\":0,\"type\":\"invoke\",\"f\":\"write\",\"value\":3}}
  etcd   reports of etcd's robustness tests: a folder with client-*/operations.json and watch.json
  lines  what `vertebra replay --history` writes
Maps and objects come one after the other, or in one vector or array. In a log, a `:cas` that fails has
found something else there; whatever else fails did not happen. What ends with `:info`, or not at all,
may have.

Verdicts:
  ok       there is such an order
  illegal  there is none: what is told is as few operations as contradict each other, or the promise
           of etcd's that is broken
  unknown  the budget was used up before that was clear

With --json, each line is an object: type (history), path, model, verdict, operations, parts, and of
an illegal one part, refused (its lines), contradiction (the lines of each of them), least (it is
certain that no fewer do), ordered (how many operations before it have an order); of etcd's,
signature, oracle, clause, shape, detail, and where operations have no order an explanation, with
refused, contradiction (in words), least and ordered.

--html draws all of it, each history in as many operations as can be looked through. The page loads
nothing and runs nothing.

Exit code 0: all are ok; 1: one is illegal, or unknown; 2: wrong usage, or a damaged file (the others
are told all the same).")
)]
pub struct Flags {
    /// Histories
    #[arg(value_name = "FILE", value_hint = ValueHint::AnyPath, required = true)]
    paths: Vec<PathBuf>,
    /// What they are histories of [default: what the first event that says so is asked of]
    #[arg(long, value_enum)]
    model: Option<Model>,
    /// How they are written down [default: what the file looks like]
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// What a register holds at first, in place of nothing; then a read of nil tells nothing
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    initial: Option<i64>,
    /// Give up a key, or a history of etcd, after so many steps of a search [default: never]
    #[arg(long, value_name = "STEPS", value_parser = clap::value_parser!(u64).range(1..))]
    budget: Option<u64>,
    /// Draw them on this page, with what is illegal in colour
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Output")]
    html: Option<PathBuf>,
    /// Tell it as JSON, one object on each line
    #[arg(long, help_heading = "Output")]
    json: bool,
}

/// Judges each file. One that is damaged does not keep the others from being told.
pub fn check(flags: &Flags) -> Result<Outcome, Refusal> {
    let mut out = Output::stdout();
    let mut page = flags.html.as_deref().map(Page::new).transpose()?;
    let (mut outcome, mut refused) = (Outcome::Pass, false);
    for path in &flags.paths {
        let progress = Progress::new(path);
        let read = read(path, flags, &progress);
        progress.judging();
        let judged = read.map(|history| (verdict(path, &history, flags), history));
        progress.clear();
        match judged {
            Ok((verdict, history)) => {
                if !verdict.is_ok() {
                    outcome = Outcome::Violation;
                }
                verdict.tell(&mut out, flags.json);
                if let Some(page) = &mut page {
                    page.add(&history, &verdict);
                }
            }
            Err(refusal) => {
                refused = true;
                if let Some(page) = &mut page {
                    page.refused(path, &refusal);
                }
                out.finish()?;
                complain(format_args!("error: {refusal}"));
            }
        }
    }
    out.finish()?;
    page.map_or(Ok(()), Page::finish)?;
    Ok(if refused { Outcome::Refused } else { outcome })
}

fn read(path: &Path, flags: &Flags, progress: &Progress) -> Result<History, Refusal> {
    let expected = Expected { model: flags.model, initial: flags.initial };
    let damaged = |path: &Path, damage: Damage| match damage.line {
        0 => Refusal::new(format!("{}: {}", path.display(), damage.reason)),
        line => Refusal::new(format!("{}:{line}: {}", path.display(), damage.reason)),
    };
    if path.is_dir() {
        if let Some(other) = flags.format.filter(|format| *format != Format::Etcd) {
            let name = format!("{other:?}").to_lowercase();
            return Err(Refusal::new(format!("{}: a folder, and no file in format {name}", path.display())));
        }
        if let Some(other) = flags.model.filter(|model| *model != Model::Etcd) {
            let name = format!("{other:?}").to_lowercase();
            return Err(Refusal::new(format!("{}: a report of etcd's, and not of {name}", path.display())));
        }
        let cluster = cluster::robustness::read_folder(path, |file| progress.counting(file));
        return cluster
            .map(|cluster| History::Etcd(vec![cluster]))
            .map_err(|(path, damage)| damaged(&path, damage));
    }
    let cannot = |error: std::io::Error| Refusal::new(format!("{}: {error}", path.display()));
    let mut reader = BufReader::new(progress.counting(File::open(path).map_err(cannot)?));
    let format = match flags.format {
        Some(format) => format,
        None => format::recognised(&mut reader).map_err(|damage| damaged(path, damage))?,
    };
    history::read(format, reader, expected).map_err(|damage| damaged(path, damage))
}

/// Judges a history.
fn verdict(path: &Path, history: &History, flags: &Flags) -> Verdict {
    let budget = flags.budget.map_or(Budget::UNLIMITED, |steps| Budget { steps });
    match history {
        History::Register(recorded) => {
            let initial = flags.initial.map_or(Held::Nothing, Held::Number);
            let register = Register { initial: Some(initial) };
            let tells_version = |reply: &versioned::Reply<Held>| reply.version.is_some();
            let mut replies = recorded.operations.iter().filter_map(|operation| operation.returned.as_ref());
            let is_counted = replies.any(|(_, reply)| tells_version(reply));
            let spec = Keyed(Versioned { register, is_counted });
            searched(path, Model::Register, &spec, recorded, budget)
        }
        History::Kv(recorded) => {
            searched(path, Model::Kv, &KeyValue::of(&recorded.operations), recorded, budget)
        }
        History::Set(recorded) => of_sets(path, recorded),
        History::Append(recorded) => {
            let conclusion = append::check(&recorded.operations).expect("twice is refused when it is read");
            let mut verdict = Verdict::ok(path, Model::Append, recorded.operations.len(), 1);
            let members = || (0..recorded.operations.len()).collect();
            verdict.take(&(), &conclusion, recorded, &|place| place, members);
            verdict
        }
        History::Etcd(clusters) => {
            let limits = flags.budget.map_or(Limits::NONE, Limits::all);
            of_etcd(path, clusters, limits)
        }
    }
}

/// Of its parts, the first illegal one is told, or the first that is undecided.
fn searched<S: Spec>(
    path: &Path,
    model: Model,
    spec: &S,
    recorded: &Recorded<S::Request, S::Reply>,
    budget: Budget,
) -> Verdict
where
    S::Part: Shown,
    S::Request: Shown,
    S::Reply: Shown,
{
    let conclusions = judge(spec, &recorded.operations, budget);
    let mut verdict = Verdict::ok(path, model, recorded.operations.len(), conclusions.len());
    for (part, conclusion) in conclusions {
        let is_of_part = |place: &usize| spec.part(&recorded.operations[*place].request) == part;
        let members = || (0..recorded.operations.len()).filter(is_of_part).collect();
        verdict.take(&part, &conclusion, recorded, &|place| place, members);
    }
    verdict
}

/// Each set for itself.
fn of_sets(path: &Path, recorded: &history::Sets) -> Verdict {
    let mut places: Vec<usize> = (0..recorded.operations.len()).collect();
    places.sort_by_key(|place| &recorded.operations[*place].request.0);
    let sets: Vec<&[usize]> = places
        .chunk_by(|one, other| recorded.operations[*one].request.0 == recorded.operations[*other].request.0)
        .collect();
    let mut verdict = Verdict::ok(path, Model::Set, recorded.operations.len(), sets.len());
    for set in sets {
        let operations: Vec<_> = set
            .iter()
            .map(|place| {
                let operation = &recorded.operations[*place];
                let (request, returned) = (operation.request.1.clone(), operation.returned.clone());
                vertebra_sim::linearizability::Operation { request, invoked: operation.invoked, returned }
            })
            .collect();
        let key = &recorded.operations[set[0]].request.0;
        let (part, conclusion) = ((key.clone(), ()), adds::check(&operations));
        verdict.take(&part, &conclusion, recorded, &|place| set[place], || set.to_vec());
    }
    verdict
}

/// One cluster after the other.
fn of_etcd(path: &Path, clusters: &[Cluster], limits: Limits) -> Verdict {
    let operations = clusters.iter().map(|cluster| cluster.history.operations().len()).sum();
    let mut verdict = Verdict::ok(path, Model::Etcd, operations, clusters.len());
    for (number, cluster) in clusters.iter().enumerate() {
        match cluster.judge(limits) {
            Ok(Some(())) => {}
            Ok(None) => verdict.is_undecided(),
            Err(violation) if verdict.marked().is_none() => {
                let (explained, marked) = cluster.explained(&violation);
                verdict.breaks(&violation, explained, Marked { cluster: number, ..marked });
            }
            Err(_) => {}
        }
    }
    verdict
}

/// What a history that is read comes to, for tests.
#[cfg(test)]
fn is_ok(history: &History) -> bool {
    let flags = Flags {
        paths: Vec::new(),
        model: None,
        format: None,
        initial: None,
        budget: None,
        html: None,
        json: false,
    };
    verdict(Path::new(""), history, &flags).is_ok()
}

#[cfg(test)]
mod tests;
