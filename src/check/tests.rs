//! Histories whose verdicts others have found, and damaged ones.

use std::path::Path;

use vertebra_sim::linearizability::specs::key_value::KeyValue;
use vertebra_sim::linearizability::specs::register::Register;
use vertebra_sim::linearizability::{Budget, Conclusion, check};

use super::history::{History, Model, read};

fn is_linearizable(history: &History) -> bool {
    let conclusions: Vec<Conclusion> = match history {
        History::Register(recorded) => {
            let all = check(&Register::default(), &recorded.operations, Budget::UNLIMITED);
            all.into_iter().map(|(_, conclusion)| conclusion).collect()
        }
        History::Kv(recorded) => {
            let spec = KeyValue::of(&recorded.operations);
            let all = check(&spec, &recorded.operations, Budget::UNLIMITED);
            all.into_iter().map(|(_, conclusion)| conclusion).collect()
        }
    };
    conclusions.iter().all(|conclusion| matches!(conclusion, Conclusion::Linearizable(_)))
}

/// porcupine's data, with the verdicts of porcupine itself. It lies beside this repository where it is worked on.
#[test]
fn all_verdicts_of_porcupine_are_found() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/porcupine");
    let Ok(verdicts) = std::fs::read_to_string(folder.join("verdicts.tsv")) else {
        eprintln!("SKIPPED: {} is not there", folder.display());
        return;
    };
    let mut count = 0;
    for line in verdicts.lines().skip(1) {
        let fields: Vec<&str> = line.split('\t').collect();
        let [file, _, verdict] = fields[..] else { panic!("{line}") };
        let bytes = std::fs::read(folder.join(file)).unwrap();
        if bytes.is_empty() {
            continue;
        }
        let history = read(&bytes[..], None).unwrap_or_else(|damage| panic!("{file}: {damage:?}"));
        assert_eq!(is_linearizable(&history), verdict == "linearizable", "{file}");
        count += 1;
    }
    assert!(count >= 107, "only {count} histories are there");
}

#[test]
fn a_damaged_history_is_refused_with_the_line() {
    let invoke = "INFO  jepsen.util - 0\t:invoke\t:write\t1\n";
    let refused = |text: String| read(text.as_bytes(), None).map(drop).unwrap_err();
    let cases = [
        (String::new(), 1, "there is no event"),
        (format!("{invoke}{invoke}"), 2, "has an operation under way, of line 1"),
        ("INFO  jepsen.util - 0\t:ok\t:write\t1\n".to_owned(), 1, "has no operation under way"),
        (
            format!("{invoke}INFO  jepsen.util - 0\t:ok\t:read\t1\n"),
            2,
            "`:read` ends, and `:write` was begun",
        ),
        (format!("{invoke}INFO  jepsen.util - 1\t:invoke\t:write\tone\n"), 2, "is no number"),
        (format!("{invoke}INFO  jepsen.util - 1\t:invoke\t:swim\t1\n"), 2, "is asked of no model"),
        (
            format!("{invoke}{{:process 1, :type :invoke, :f :get, :key \"k\"}}\n"),
            2,
            "is asked of a kv, and not",
        ),
        ("{:process 1, :type :invoke, :f :put, :key \"k\", :value 3}\n".to_owned(), 1, "`3` is no text"),
        (format!("{invoke}{{:process"), 2, "`{:process`"),
    ];
    for (text, line, reason) in cases {
        let damage = refused(text.clone());
        assert_eq!(damage.line, line, "{text}: {damage:?}");
        assert!(damage.reason.contains(reason), "{text}: {damage:?}");
    }
    let bytes = [invoke.as_bytes(), b"\xff\xfe\n"].concat();
    assert_eq!(read(&bytes[..], None).map(drop).unwrap_err().line, 2);
    assert_eq!(read(invoke.as_bytes(), Some(Model::Kv)).map(drop).unwrap_err().line, 1);
}
