//! What `replay --export` writes: held against the forms of others field by field, and read back where `check` reads them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use clojure_reader::edn::{Edn, read_string};
use serde_json::{Value, json};
use support::{Ended, folder};

mod support;

#[path = "exports/porcupine.rs"]
mod porcupine;
#[path = "exports/reports.rs"]
mod reports;

#[track_caller]
fn vertebra(folder: &Path, arguments: &[&str]) -> Ended {
    support::ended(&mut support::command(Path::new(env!("CARGO_BIN_EXE_vertebra")), folder, arguments))
}

/// Runs a seed or a schedule, and writes what its clients saw in some form.
#[track_caller]
fn export(folder: &Path, source: &str, form: &str, to: &str, code: i32) -> Ended {
    let replay = ["replay", source, "--json", "--verdict", "--no-keep", "--history", to, "--export", form];
    vertebra(folder, &replay).expect(code)
}

const SEEDS: std::ops::Range<u64> = 0..16;
const STALE_READ: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/seeds/stale-read.toml");

/// The files that a run was written to: one for each of its clusters.
fn files(folder: &Path, name: &str, extension: &str) -> Vec<String> {
    let mut files = vec![format!("{name}{extension}")];
    while folder.join(format!("{name}-{}{extension}", files.len() + 1)).exists() {
        files.push(format!("{name}-{}{extension}", files.len() + 1));
    }
    files
}

#[test]
fn histories_of_jepsen_are_read_back_and_are_linearizable() {
    let folder = folder("export-jepsen");
    let (mut functions, mut operations) = (BTreeSet::new(), 0);
    for seed in SEEDS {
        let seed = seed.to_string();
        export(&folder, &seed, "jepsen", &format!("{seed}.edn"), 0);
        for file in files(&folder, &seed, ".edn") {
            let text = fs::read_to_string(folder.join(&file)).expect("it is written");
            functions.extend(holds_to_the_form_of_jepsen(&text));
            if text.is_empty() {
                continue;
            }
            let told = vertebra(&folder, &["check", "--json", &file]).expect(0).last();
            assert_eq!(
                (&told["model"], &told["verdict"]),
                (&json!("register"), &json!("ok")),
                "{file}: {told}"
            );
            operations += told["operations"].as_u64().unwrap_or_default();
        }
    }
    let expected = ["cas", "read", "write"].map(|name| ("ok", name));
    assert!(
        expected.iter().all(|(kind, name)| functions.contains(&((*kind).to_owned(), (*name).to_owned())))
    );
    assert!(functions.contains(&("info".to_owned(), "write".to_owned())), "{functions:?}");
    assert!(operations > 2_000, "{operations}");
}

/// Each event has the fields of Jepsen's operations and no others; each process does one thing at a time, and nothing more when
/// it does not know what came of that. Returns the types and functions that there are.
#[track_caller]
fn holds_to_the_form_of_jepsen(text: &str) -> BTreeSet<(String, String)> {
    let mut open: BTreeMap<i64, (String, String)> = BTreeMap::new();
    let (mut retired, mut there, mut before) = (BTreeSet::new(), BTreeSet::new(), 0);
    for (number, line) in text.lines().enumerate() {
        let form = read_string(line).unwrap_or_else(|error| panic!("{error:?}: {line}"));
        let Edn::Map(fields) = &form else { panic!("{line}") };
        let names: Vec<String> = fields.keys().map(Edn::to_string).collect();
        assert_eq!(names, [":f", ":index", ":process", ":time", ":type", ":value"], "{line}");
        let field = |name: &'static str| &fields[&Edn::Key(name.into())];
        let integer = |name: &'static str| match field(name) {
            Edn::Int(number) => *number,
            other => panic!("{other}: {line}"),
        };
        let name = |name: &'static str| match field(name) {
            Edn::Key(name) => name.to_string(),
            other => panic!("{other}: {line}"),
        };
        assert_eq!(integer("index"), number as i64, "{line}");
        assert!(integer("time") >= before, "{line}");
        before = integer("time");
        let Edn::Vector(tuple) = field("value") else { panic!("{line}") };
        let [Edn::Str(key), value] = &tuple[..] else { panic!("{line}") };
        let is_value = |value: &Edn<'_>| matches!(value, Edn::Nil | Edn::Str(_));
        match (&name("f")[..], value) {
            ("read" | "write", value) => assert!(is_value(value), "{line}"),
            ("cas", Edn::Vector(both)) => assert!(both.len() == 2 && both.iter().all(is_value), "{line}"),
            other => panic!("{other:?}: {line}"),
        }
        let (process, doing) = (integer("process"), (name("f"), key.to_string()));
        assert!(!retired.contains(&process), "{line}");
        match &name("type")[..] {
            "invoke" => assert_eq!(open.insert(process, doing), None, "{line}"),
            kind => {
                assert_eq!(open.remove(&process), Some(doing), "{line}");
                assert!(["ok", "info"].contains(&kind), "{line}");
                if kind == "info" {
                    retired.insert(process);
                }
            }
        }
        there.insert((name("type"), name("f")));
    }
    assert!(open.is_empty(), "{open:?}");
    there
}

#[test]
fn reports_of_etcds_robustness_tests_are_read_back_and_are_linearizable() {
    let folder = folder("export-robustness");
    let (mut kinds, mut operations) = (BTreeSet::new(), 0);
    for seed in SEEDS {
        let seed = seed.to_string();
        export(&folder, &seed, "etcd-robustness", &seed, 0);
        for report in files(&folder, &seed, "") {
            kinds.extend(reports::holds_to_the_form(&folder.join(&report)));
            let told = vertebra(&folder, &["check", "--json", &report]).expect(0).last();
            assert_eq!(
                (&told["model"], &told["verdict"]),
                (&json!("etcd"), &json!("ok")),
                "{report}: {told}"
            );
            operations += told["operations"].as_u64().unwrap_or_default();
        }
    }
    let expected = [
        "compact",
        "delete-operation",
        "leaseGrant",
        "leaseRevoke",
        "put-operation",
        "range",
        "txn",
        "watch",
    ];
    assert!(expected.iter().all(|kind| kinds.contains(*kind)), "{kinds:?}");
    assert!(operations > 2_000, "{operations}");
}

#[test]
fn what_porcupines_viewer_is_given_has_an_order_that_keeps_time() {
    let folder = folder("export-porcupine");
    for seed in SEEDS {
        let seed = seed.to_string();
        export(&folder, &seed, "porcupine", &format!("{seed}.json"), 0);
        for file in files(&folder, &seed, ".json") {
            let data = porcupine::holds_to_the_form(&folder.join(&file));
            let [partition] = &data.partitions[..] else { panic!("{file}") };
            let Some(order) = partition.partial_linearizations.first() else {
                assert!(partition.history.is_empty(), "{file}");
                continue;
            };
            // Each is in it, once; what has no answer as well.
            let places: BTreeSet<usize> = order.iter().map(|step| step.index).collect();
            assert_eq!(
                (places.len(), order.len()),
                (partition.history.len(), partition.history.len()),
                "{file}"
            );
            let mut latest = 0;
            for element in order.iter().map(|step| &partition.history[step.index]) {
                assert!(
                    element.end >= latest,
                    "{file}: it was over before one in front of it began: {element:?}"
                );
                latest = latest.max(element.start);
            }
            assert_eq!(partition.largest.len(), order.len(), "{file}");
        }
    }
}

#[test]
fn a_stale_read_is_found_in_each_form_that_has_words_for_it() {
    let folder = folder("export-defect");
    for (form, name) in [("jepsen", "run.edn"), ("etcd-robustness", "report"), ("porcupine", "run.json")] {
        let told = export(&folder, STALE_READ, form, name, 1).last();
        assert!(told["signature"].as_str().is_some_and(|shape| shape.contains("real-time order")), "{told}");
    }
    let told = vertebra(&folder, &["check", "--json", "report"]).expect(1).last();
    assert_eq!((&told["verdict"], &told["clause"]), (&json!("illegal"), &json!("real-time order")), "{told}");
    // It is of a key that nobody has put, after a put of another one: of no register is it said that it is old.
    let told = vertebra(&folder, &["check", "--json", "run.edn"]).expect(0).last();
    assert_eq!((&told["model"], &told["verdict"]), (&json!("register"), &json!("ok")), "{told}");
    let data = porcupine::holds_to_the_form(&folder.join("run.json"));
    let [partition] = &data.partitions[..] else { panic!("{data:?}") };
    let order = &partition.partial_linearizations[0];
    assert!(!order.is_empty() && order.len() < partition.history.len());
    let verdict = data.annotations.iter().find(|annotation| annotation.tag == "verdict").expect("it is told");
    assert!(verdict.description.contains("real-time order"), "{verdict:?}");
}

#[test]
fn a_form_needs_a_place_that_is_free_and_is_written_without_a_change_of_the_run() {
    let folder = folder("export-refused");
    let alone = vertebra(&folder, &["replay", "3", "--export", "jepsen"]).expect(2);
    assert!(alone.stderr.contains("--history <FILE>"), "{}", alone.stderr);
    fs::create_dir_all(folder.join("report/client-1")).expect("a folder");
    let used = export(&folder, "3", "etcd-robustness", "report", 2);
    assert!(used.stderr.contains("there is something in this folder already"), "{}", used.stderr);
    let nowhere = export(&folder, "3", "porcupine", "no/such/folder/run.json", 2);
    assert!(nowhere.stderr.contains("no/such/folder/run.json"), "{}", nowhere.stderr);
    let plain = vertebra(&folder, &["replay", "3", "--json", "--verdict"]).expect(0).last();
    for form in ["jepsen", "porcupine", "etcd-robustness"] {
        assert_eq!(export(&folder, "3", form, form, 0).last(), plain, "{form}");
    }
    let drawn: Value = vertebra(&folder, &["check", "porcupine"]).expect(2).stderr.into();
    assert!(
        drawn.as_str().is_some_and(|reason| reason.contains("the history that it was drawn from")),
        "{drawn}"
    );
}
