//! What it costs to judge histories with known verdicts: `cargo bench -p vertebra-sim --bench linearizability`.
//!
//! The histories, and how long porcupine takes for them (Go, one processor), are porcupine's own data, which lies beside this
//! repository where it is worked on. A history is read beforehand. The time is the least of many, on one thread: that of the
//! verdict, which is all that porcupine gives, and that with the explanation of each that is illegal. Instructions, which do not
//! depend on what else the machine does, come from `valgrind --tool=callgrind` over the same program with the beginning of a
//! row's name as its argument.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;
#[expect(clippy::disallowed_types, reason = "a benchmark is what the machine's clock is for")]
use std::time::Instant as Clock;

use vertebra_sim::linearizability::specs::key_value::{self, KeyValue};
use vertebra_sim::linearizability::specs::register::{self, Register};
use vertebra_sim::linearizability::{Budget, Operation, Spec, check, verdicts};

// As in the command.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Registers = Vec<Operation<register::Request, register::Reply>>;
type Texts = Vec<Operation<key_value::Request, key_value::Reply>>;

const TIMES: usize = 50;
/// All logs of Jepsen together, and the largest history of texts that has an order.
const TARGET: Duration = Duration::from_millis(2);

#[expect(clippy::disallowed_methods, reason = "no run depends on the command line")]
fn main() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/porcupine");
    let (Ok(verdicts), Ok(times)) =
        (fs::read_to_string(folder.join("verdicts.tsv")), fs::read_to_string(folder.join("times.tsv")))
    else {
        println!("SKIPPED: {} is not there", folder.display());
        return;
    };
    let wanted = std::env::args().skip(1).find(|argument| !argument.starts_with("--")).unwrap_or_default();
    let porcupine: BTreeMap<&str, f64> = times.lines().filter_map(time_of_porcupine).collect();
    let mut logs: Vec<(&str, bool, Registers)> = Vec::new();
    let mut texts: Vec<(&str, bool, Texts)> = Vec::new();
    for line in verdicts.lines().skip(1) {
        let fields: Vec<&str> = line.split('\t').collect();
        let (name, is_legal) = (fields[0], fields[2] == "linearizable");
        let text = fs::read_to_string(folder.join(name)).expect("a history");
        match name.starts_with("jepsen") {
            true if text.is_empty() => {}
            true => logs.push((name, is_legal, registers(&text))),
            false => texts.push((name, is_legal, texts_of(&text))),
        }
    }
    println!(
        "{:<34}{:>12}{:>12}{:>12}{:>14}{:>10}",
        "", "operations", "vertebra", "explained", "porcupine", "target"
    );
    let name = format!("{} logs of Jepsen", logs.len());
    if name.starts_with(&wanted) || wanted.is_empty() {
        let took = least(|| {
            for (name, is_legal, history) in &logs {
                judge(name, *is_legal, &Register::default(), history);
            }
        });
        let explained = least(|| {
            for (_, _, history) in &logs {
                drop(check(&Register::default(), history, Budget::UNLIMITED));
            }
        });
        let count = logs.iter().map(|(_, _, history)| history.len()).sum();
        let theirs = logs.iter().map(|(name, ..)| porcupine[name]).sum();
        row(&name, count, (took, explained), Some(theirs), Some(TARGET));
    }
    for (name, is_legal, history) in &texts {
        if name.starts_with(&wanted) {
            let took = least(|| judge(name, *is_legal, &KeyValue::of(history), history));
            let explained = least(|| drop(check(&KeyValue::of(history), history, Budget::UNLIMITED)));
            let target = name.ends_with("c50-ok.txt").then_some(TARGET);
            row(name, history.len(), (took, explained), porcupine.get(name).copied(), target);
        }
    }
    let (name, _, history) = texts.iter().find(|(name, ..)| name.ends_with("c50-bad.txt")).expect("c50-bad");
    if name.starts_with(&wanted) {
        keys(history);
    }
}

/// By file: the microseconds that porcupine takes, with partitions where it has both.
fn time_of_porcupine(line: &str) -> Option<(&str, f64)> {
    let fields: Vec<&str> = line.split('\t').collect();
    Some((fields[0], fields[5].parse().ok()?)).filter(|_| fields[1] != "nopartition")
}

/// Porcupine stops at the first key that is illegal; of four others it knows nothing after 20 s each.
fn keys(history: &Texts) {
    let mut keys: BTreeMap<&str, Texts> = BTreeMap::new();
    for operation in history {
        let (key_value::Request::Get(key)
        | key_value::Request::Put(key, _)
        | key_value::Request::Append(key, _)) = &operation.request;
        keys.entry(key).or_default().push(operation.clone());
    }
    for (key, history) in keys {
        let spec = KeyValue::of(&history);
        let (_, is_legal) = verdicts(&spec, &history, Budget::UNLIMITED).swap_remove(0);
        let verdict = if is_legal.expect("there is no budget") { "ok" } else { "illegal" };
        let took = least(|| drop(verdicts(&spec, &history, Budget::UNLIMITED)));
        let explained = least(|| drop(check(&spec, &history, Budget::UNLIMITED)));
        row(&format!("  key {key}: {verdict}"), history.len(), (took, explained), None, None);
    }
}

fn judge<S: Spec>(name: &str, expected: bool, spec: &S, history: &[Operation<S::Request, S::Reply>]) {
    let verdicts = verdicts(spec, history, Budget::UNLIMITED);
    let is_legal = verdicts.iter().all(|(_, one)| one.expect("there is no budget"));
    assert_eq!(is_legal, expected, "{name}");
}

#[expect(clippy::disallowed_types, reason = "a benchmark is what the machine's clock is for")]
fn least(mut work: impl FnMut()) -> Duration {
    let took = (0..TIMES).map(|_| {
        let begun = Clock::now();
        work();
        begun.elapsed()
    });
    took.min().unwrap_or_default()
}

fn row(
    name: &str,
    operations: usize,
    (took, explained): (Duration, Duration),
    porcupine: Option<f64>,
    target: Option<Duration>,
) {
    let micros = |took: Duration| took.as_secs_f64() * 1e6;
    let theirs = porcupine.map_or(String::new(), |micros| format!("{micros:.0} us"));
    let target = target.map_or("", |target| if took <= target { "met" } else { "MISSED" });
    let (took, explained) = (micros(took), micros(explained));
    println!("{name:<34}{operations:>12}{took:>9.0} us{explained:>9.0} us{theirs:>14}{target:>10}");
}

/// `INFO  jepsen.util - 3   :invoke :cas    [1 4]`
fn registers(text: &str) -> Registers {
    use register::{Reply, Request};
    let number = |text: &str| text.trim_matches(['[', ']']).parse::<i64>().expect("a number");
    let (mut history, mut open) = (Registers::new(), BTreeMap::new());
    for (line, event) in text.lines().enumerate() {
        let words: Vec<&str> = event.split_whitespace().collect();
        let ["INFO", "jepsen.util", "-", process, kind, function, value, ref more @ ..] = words[..] else {
            continue;
        };
        if kind == ":invoke" {
            let request = match function {
                ":read" => Request::Read,
                ":write" => Request::Write(number(value)),
                _ => Request::CompareAndSet(number(value), number(more[0])),
            };
            open.insert(process, history.len());
            history.push(Operation { request, invoked: line as u64, returned: None });
            continue;
        }
        let Some(place) = open.remove(process) else { continue };
        let reply = match (kind, &history[place].request) {
            (":ok", Request::Read) if value == "nil" => Reply::Value(None),
            (":ok", Request::Read) => Reply::Value(Some(number(value))),
            (":ok", Request::Write(_)) => Reply::Done,
            (":ok", Request::CompareAndSet(..)) => Reply::Swapped(true),
            (":fail", Request::CompareAndSet(..)) => Reply::Swapped(false),
            // It did not happen.
            (":fail", _) => {
                history.remove(place);
                open.values_mut().filter(|open| **open > place).for_each(|open| *open -= 1);
                continue;
            }
            _ => continue,
        };
        history[place].returned = Some((line as u64, reply));
    }
    history
}

/// `{:process 0, :type :invoke, :f :append, :key "0", :value "x"}`
fn texts_of(text: &str) -> Texts {
    use key_value::{Reply, Request};
    let field = |event: &str, name: &str| {
        let (_, rest) = event.split_once(name).expect("a field");
        rest.trim_start().split(['"', ',', '}']).find(|part| !part.is_empty()).unwrap_or_default().to_owned()
    };
    let quoted = |event: &str, name: &str| {
        let (_, rest) = event.split_once(name).expect("a field");
        rest.split('"').nth(1).unwrap_or_default().to_owned()
    };
    let (mut history, mut open) = (Texts::new(), BTreeMap::new());
    for (line, event) in text.lines().enumerate() {
        if !event.starts_with('{') {
            continue;
        }
        let process = field(event, ":process");
        if field(event, ":type") == ":invoke" {
            let key = quoted(event, ":key");
            let request = match &field(event, ":f ")[..] {
                ":get" => Request::Get(key),
                ":put" => Request::Put(key, quoted(event, ":value")),
                _ => Request::Append(key, quoted(event, ":value")),
            };
            open.insert(process, history.len());
            history.push(Operation { request, invoked: line as u64, returned: None });
            continue;
        }
        let Some(place) = open.remove(&process) else { continue };
        let reply = match history[place].request {
            Request::Get(_) => Reply::Text(quoted(event, ":value")),
            _ => Reply::Done,
        };
        history[place].returned = Some((line as u64, reply));
    }
    history
}
