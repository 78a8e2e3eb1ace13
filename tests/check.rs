//! `vertebra check` over histories that the command writes itself, and over reports of etcd's robustness tests.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use support::{Ended, folder};

mod support;

#[track_caller]
fn vertebra(folder: &Path, arguments: &[&str]) -> Ended {
    support::ended(&mut support::command(Path::new(env!("CARGO_BIN_EXE_vertebra")), folder, arguments))
}

#[test]
fn what_replay_writes_is_read_back_with_the_same_verdict() {
    let folder = folder("check-round-trip");
    let mut operations = 0;
    for seed in 0..24 {
        let (seed, file) = (seed.to_string(), format!("{seed}.jsonl"));
        let plain = vertebra(&folder, &["replay", &seed, "--json", "--verdict"]).expect(0).last();
        let kept =
            vertebra(&folder, &["replay", &seed, "--json", "--verdict", "--history", &file]).expect(0).last();
        // To write it down changes nothing of the run.
        assert_eq!(plain, kept, "seed {seed}");
        let told = vertebra(&folder, &["check", "--json", &file]).expect(0).last();
        assert_eq!((&told["model"], &told["verdict"]), (&json!("etcd"), &json!("ok")), "seed {seed}: {told}");
        assert!(told["operations"].as_u64() >= kept["operations"].as_u64(), "seed {seed}: {told}");
        operations += told["operations"].as_u64().unwrap_or_default();
    }
    assert!(operations > 2_000, "{operations}");
}

#[test]
fn a_stale_read_of_a_planted_bug_is_found_in_the_history_alone() {
    let folder = folder("check-defect");
    let schedule = concat!(env!("CARGO_MANIFEST_DIR"), "/seeds/stale-read.toml");
    let replay = ["replay", schedule, "--json", "--verdict", "--no-keep", "--history", "history.jsonl"];
    let told = vertebra(&folder, &replay).expect(1).last();
    assert!(
        told["signature"].as_str().is_some_and(|signature| signature.contains("real-time order")),
        "{told}"
    );
    let told = vertebra(&folder, &["check", "--json", "history.jsonl"]).expect(1).last();
    assert_eq!((&told["verdict"], &told["clause"]), (&json!("illegal"), &json!("real-time order")), "{told}");
    let text = vertebra(&folder, &["check", "history.jsonl"]).expect(1).stdout;
    assert!(text.contains("was over before this began"), "{text}");
}

#[test]
fn a_page_tells_of_each_file_and_takes_the_place_of_nothing_but_a_page() {
    let folder = folder("check-page");
    let history =
        fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/book/histories/stale-read.log")).expect("it is there");
    fs::write(folder.join("stale-read.log"), &history).expect("a file");
    fs::write(folder.join("damaged.log"), "nothing <b>like</b> it").expect("a file");
    vertebra(&folder, &["check", "--html", "page.html", "stale-read.log", "damaged.log"]).expect(2);
    let page = fs::read_to_string(folder.join("page.html")).expect("it is written");
    assert!(
        page.contains("<h1>stale-read.log</h1>\n<p><strong class=\"illegal\">illegal</strong>"),
        "{page}"
    );
    assert!(page.contains("<h1>damaged.log</h1>\n<p><strong class=\"unknown\">not read</strong>"), "{page}");
    assert!(page.contains("class=\"bar unexplained\"") && !page.contains("<b>"), "{page}");
    vertebra(&folder, &["check", "--html", "page.html", "stale-read.log"]).expect(1);
    let page = fs::read_to_string(folder.join("page.html")).expect("it is written");
    assert!(page.ends_with("</html>\n") && !page.contains("damaged.log"), "{page}");
    // As a shell makes it of `--html *.log`.
    let refused = vertebra(&folder, &["check", "--html", "stale-read.log", "damaged.log"]).expect(2);
    assert!(
        refused.stderr.contains("stale-read.log: this file is there, and is no page"),
        "{}",
        refused.stderr
    );
    assert!(fs::read(folder.join("stale-read.log")).is_ok_and(|kept| kept == history));
    let nowhere = vertebra(&folder, &["check", "--html", "no/such/page.html", "stale-read.log"]).expect(2);
    assert!(nowhere.stderr.contains("no/such/page.html: "), "{}", nowhere.stderr);
    assert_eq!(nowhere.stdout, "");
}

/// An operation of a report.
fn operation(client: i64, call: i64, input: Value, output: Value) -> Value {
    json!({"ClientId": client, "Input": input, "Call": call, "Output": output, "Return": call + 5, "Metadata": output})
}

fn put(key: &str, value: &Value) -> Value {
    let put = json!({"Type": "put-operation", "Range": {"Start": "", "End": "", "Limit": 0, "KeysOnly": false},
                     "Put": {"Key": key, "Value": value, "LeaseID": 0}, "Delete": {"Key": ""}});
    let txn = json!({"Conditions": null, "OperationsOnSuccess": [put], "OperationsOnFailure": null});
    json!({"Type": "txn", "LeaseGrant": null, "LeaseRevoke": null, "Range": null, "Txn": txn, "Defragment": null, "Compact": null})
}

fn get(key: &str) -> Value {
    json!({"Type": "range", "Range": {"Start": key, "End": "", "Limit": 0, "KeysOnly": false, "Revision": 0}})
}

fn written(revision: i64) -> Value {
    json!({"Txn": {"Failure": false, "Results": [{"KVs": null, "Count": 0, "Deleted": 0}]}, "ClientError": "",
           "Revision": revision, "Persisted": false, "PersistedRevision": 0, "Error": ""})
}

fn found(kvs: &Value, revision: i64) -> Value {
    let count = kvs.as_array().map_or(0, Vec::len);
    json!({"Range": {"KVs": kvs, "Count": count}, "ClientError": "", "Revision": revision, "Error": ""})
}

const LONG: &str = "a value of more than twenty bytes";

/// `LONG`, as FNV-1a of 32 bits has it.
fn hash() -> u32 {
    LONG.bytes().fold(2_166_136_261, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(16_777_619))
}

/// The operations of two clients: `a` is put, read, and put again by somebody who does not hear of it.
fn operations() -> [Vec<Value>; 2] {
    let one = json!({"Value": "1"});
    let seen = json!([{"Key": "a", "Value": {"Value": "1"}, "ModRevision": 2, "Version": 1}]);
    let long = json!([{"Key": "a", "Value": {"Hash": hash()}, "ModRevision": 3, "Version": 2}]);
    let compact = json!({"Type": "compact", "Compact": {"Revision": 2}});
    let compacted = json!({"Compact": {}, "Revision": -1, "ClientError": "", "Error": ""});
    let again =
        json!({"Revision": 0, "ClientError": "mvcc: required revision has been compacted", "Error": ""});
    let first = vec![
        operation(1, 10, put("a", &one), written(2)),
        operation(1, 20, get("a"), found(&seen, 2)),
        operation(1, 60, get("a"), found(&long, 3)),
        operation(1, 70, compact.clone(), compacted),
        operation(1, 80, compact, again),
    ];
    let unknown = json!({"Revision": 0, "ClientError": "", "Error": "context deadline exceeded"});
    let defragmented = json!({"Defragment": {}, "Revision": -1, "Error": ""});
    let second = vec![
        operation(2, 30, put("a", &json!({"Value": LONG})), unknown.clone()),
        operation(3, 40, json!({"Type": "defragment", "Defragment": {}}), defragmented),
        operation(3, 50, json!({"Type": "leaseGrant", "LeaseGrant": {"LeaseID": 0}}), unknown),
    ];
    [first, second]
}

/// A watch of all keys that is told of both puts, and of the progress.
fn watch() -> Value {
    json!({"Request": {"Key": "", "Revision": 2, "WithPrefix": true, "WithProgressNotify": true, "WithPrevKV": true},
           "Responses": [
        {"Events": [{"Type": "put-operation", "Key": "a", "Value": {"Value": "1"}, "Revision": 2, "IsCreate": true}],
         "Revision": 2, "Time": 16},
        {"Events": [{"Type": "put-operation", "Key": "a", "Value": {"Hash": hash()}, "Revision": 3,
                     "PrevValue": {"Value": {"Value": "1"}, "ModRevision": 2, "Version": 1}}],
         "Revision": 3, "Time": 55},
        {"IsProgressNotify": true, "Revision": 3, "Time": 90},
        {"Error": "context canceled", "Time": 99}]})
}

fn write(file: &Path, objects: &[Value]) {
    let text = objects.iter().map(|object| format!("{object:#}\n")).collect::<String>();
    fs::create_dir_all(file.parent().expect("it is in a folder")).expect("a folder");
    fs::write(file, text).expect("a file");
}

fn report(folder: &Path, [first, second]: &[Vec<Value>; 2], watches: &[Value]) {
    write(&folder.join("report/client-1/operations.json"), first);
    write(&folder.join("report/client-2/operations.json"), second);
    write(&folder.join("report/client-2/watch.json"), watches);
    fs::create_dir_all(folder.join("report/server-member/member/wal"))
        .expect("a folder that is of no client");
}

#[test]
fn a_report_of_etcds_robustness_tests_is_read_and_its_twins_are_refused() {
    let folder = folder("check-report");
    report(&folder, &operations(), &[watch()]);
    let told = vertebra(&folder, &["check", "--json", "report"]).expect(0).last();
    assert_eq!((&told["model"], &told["operations"]), (&json!("etcd"), &json!(6)));
    let clause = |change: &dyn Fn(&mut [Vec<Value>; 2])| {
        let mut all = operations();
        change(&mut all);
        report(&folder, &all, &[]);
        vertebra(&folder, &["check", "--json", "report"]).expect(1).last()["clause"].clone()
    };
    assert_eq!(clause(&|all| all[0][0]["Output"]["Revision"] = json!(3)), "real-time order");
    assert_eq!(
        clause(&|all| all[0][1]["Output"]["Range"]["KVs"][0]["Value"]["Value"] = json!("2")),
        "read reply"
    );
    assert_eq!(
        clause(&|all| all[0][2]["Output"]["Range"]["KVs"][0]["Version"] = json!(1)),
        "unexplained revision"
    );
    // Nobody can have written it before.
    assert_eq!(clause(&|all| drop(all[1].remove(0))), "unexplained revision");
    assert_eq!(clause(&|all| drop(all[0].remove(3))), "unfounded error");
    assert_eq!(clause(&|all| all[0][2]["Output"]["Revision"] = json!(2)), "read reply");
}

#[test]
fn what_is_marked_as_persisted_keeps_its_answer_and_is_done_where_it_has_none() {
    let folder = folder("check-persisted");
    // `a` is put to 1, to 2 by a client whose answer is `output`, and is 1 again at revision `revision`.
    let verdict = |output: &Value, version: i64, revision: i64| {
        let stale = json!([{"Key": "a", "Value": {"Value": "1"}, "ModRevision": 2, "Version": version}]);
        let first = vec![
            operation(1, 10, put("a", &json!({"Value": "1"})), written(2)),
            operation(1, 40, get("a"), found(&stale, revision)),
        ];
        let second = vec![operation(2, 20, put("a", &json!({"Value": "2"})), output.clone())];
        report(&folder, &[first, second], &[]);
        vertebra(&folder, &["check", "--json", "report"]).last()["verdict"].clone()
    };
    let marked = |output: Value, revision: i64, error: &str| {
        let mut output = output;
        output["Persisted"] = json!(true);
        output["PersistedRevision"] = json!(revision);
        output["Error"] = json!(error);
        output
    };
    let (unheard, answered) = (json!({"Revision": 0, "ClientError": ""}), written(3));
    assert_eq!(verdict(&answered, 1, 2), "illegal");
    assert_eq!(verdict(&marked(answered.clone(), 0, ""), 1, 2), "illegal");
    assert_eq!(verdict(&marked(answered, 3, ""), 1, 2), "illegal");
    // It was done by then, or else it may be done later.
    assert_eq!(verdict(&marked(unheard.clone(), 3, ""), 1, 2), "illegal");
    assert_eq!(verdict(&marked(unheard.clone(), 3, "timeout"), 1, 2), "ok");
    assert_eq!(verdict(&marked(unheard.clone(), 3, "timeout"), 1, 3), "illegal");
    assert_eq!(verdict(&marked(unheard.clone(), 2, "timeout"), 1, 2), "illegal");
    assert_eq!(verdict(&marked(unheard, 0, "timeout"), 1, 2), "ok");
}

#[test]
fn clients_with_ids_of_any_size_are_kept_apart() {
    let folder = folder("check-clients");
    let (one, other) = (i64::from(u32::MAX) + 5, i64::from(u32::MAX) + 6);
    let first = vec![operation(one, 10, put("a", &json!({"Value": "1"})), written(2))];
    let read = |call: i64| operation(other, call, get("a"), found(&json!([]), 1));
    report(&folder, &[first.clone(), vec![read(12)]], &[]);
    vertebra(&folder, &["check", "report"]).expect(0);
    report(&folder, &[first, vec![read(20)]], &[]);
    let told = vertebra(&folder, &["check", "--json", "report"]).expect(1).last();
    let contradiction = told["explanation"]["contradiction"].as_array().expect("it is explained");
    let session = |told: &Value| told.as_str().and_then(|told| told.split(':').next()).map(str::to_owned);
    assert_eq!(contradiction.len(), 2, "{told}");
    assert_ne!(session(&contradiction[0]), session(&contradiction[1]), "{told}");
}

#[test]
fn each_guarantee_of_watches_is_held_against_what_the_history_shows() {
    let folder = folder("check-watches");
    let clause = |change: &dyn Fn(&mut Value)| {
        let mut watches = watch();
        change(&mut watches["Responses"]);
        report(&folder, &operations(), &[watches]);
        let ended = vertebra(&folder, &["check", "--json", "report"]);
        let told = ended.last();
        assert!(told["verdict"] == "ok" || told["oracle"] == "watch", "{told}");
        told["clause"].clone()
    };
    let remove = |told: &mut Value, place: usize| drop(told.as_array_mut().expect("responses").remove(place));
    assert_eq!(clause(&|_| ()), Value::Null);
    // Of what only one watch ever heard, nobody misses anything.
    assert_eq!(clause(&|told| remove(told, 2)), Value::Null);
    assert_eq!(clause(&|told| remove(told, 0)), "resumable");
    assert_eq!(clause(&|told| remove(told, 1)), "reliable");
    assert_eq!(clause(&|told| told.as_array_mut().expect("responses").swap(0, 1)), "resumable");
    assert_eq!(clause(&|told| told.as_array_mut().expect("responses").swap(1, 2)), "reliable");
    let again = |told: &mut Value| {
        let first = told[0].clone();
        told.as_array_mut().expect("responses").insert(1, first);
    };
    assert_eq!(clause(&again), "unique");
    assert_eq!(clause(&|told| told[0]["Events"][0]["IsCreate"] = json!(false)), "is-create");
    assert_eq!(clause(&|told| told[1]["Events"][0]["IsCreate"] = json!(true)), "is-create");
    assert_eq!(clause(&|told| told[0]["Events"][0]["Value"]["Value"] = json!("2")), "content");
    assert_eq!(clause(&|told| told[1]["Events"][0]["PrevValue"]["Version"] = json!(2)), "prev_kv");
    assert_eq!(clause(&|told| told[1]["Events"][0]["PrevValue"] = Value::Null), Value::Null);
    assert_eq!(clause(&|told| told[2]["Revision"] = json!(2)), "bookmarkable");
    assert_eq!(clause(&|told| told[0]["Time"] = json!(5)), "future");
    // Of another key than it asks for.
    let mut watches = watch();
    watches["Request"] = json!({"Key": "b", "Revision": 2, "WithPrefix": true, "WithPrevKV": true});
    report(&folder, &operations(), &[watches]);
    let told = vertebra(&folder, &["check", "--json", "report"]).expect(1).last();
    assert_eq!(told["clause"], "filter");
}

#[test]
fn a_damaged_report_is_refused_with_file_and_line_and_the_rest_is_told() {
    let folder = folder("check-damaged");
    let refused = |change: &dyn Fn(&Path)| {
        report(&folder, &operations(), &[watch()]);
        change(&folder.join("report/client-1/operations.json"));
        let ended = vertebra(&folder, &["check", "report", "whole.edn"]).expect(2);
        assert!(ended.stdout.starts_with("ok       whole.edn"), "{}", ended.stdout);
        ended.stderr
    };
    fs::write(folder.join("whole.edn"), "{:process 0 :type :invoke :f :write :value 1}").expect("a file");
    let rewrite = |path: &Path, change: &dyn Fn(String) -> Vec<u8>| {
        let text = fs::read_to_string(path).expect("it is there");
        fs::write(path, change(text)).expect("a file");
    };
    let torn = refused(&|path| rewrite(path, &|text| text.as_bytes()[..text.len() - 20].to_vec()));
    assert!(torn.contains("report/client-1/operations.json:") && torn.contains("in the middle"), "{torn}");
    let typed =
        refused(&|path| rewrite(path, &|text| text.replacen("\"Call\": 20", "\"Call\": \"20\"", 1).into()));
    assert!(typed.contains("invalid type: string \"20\", expected i64"), "{typed}");
    let backwards =
        refused(&|path| rewrite(path, &|text| text.replacen("\"Call\": 20", "\"Call\": 99", 1).into()));
    assert!(backwards.contains("it returns before it is called"), "{backwards}");
    let overlapping =
        refused(&|path| rewrite(path, &|text| text.replacen("\"Return\": 15", "\"Return\": 22", 1).into()));
    assert!(overlapping.contains("client 1 is answered to two operations at a time"), "{overlapping}");
    let second = fs::read_to_string(folder.join("report/client-1/operations.json")).expect("it is there");
    let line = 1 + second.lines().take_while(|line| *line != "}").count() + 1;
    assert!(overlapping.contains(&format!("report/client-1/operations.json:{line}: ")), "{overlapping}");
    let noise = refused(&|path| fs::write(path, b"\x00\xff{").expect("a file"));
    assert!(noise.contains("operations.json:1: "), "{noise}");
    let empty = refused(&|path| {
        fs::write(path, "").expect("a file");
        fs::write(path.with_file_name("../client-2/operations.json"), "").expect("a file");
    });
    assert!(empty.contains("no client-*/operations.json with an operation"), "{empty}");
    let file = vertebra(&folder, &["check", "--json", "--format", "etcd", "whole.edn"]).expect(2).stderr;
    assert!(file.contains("whole.edn:1: "), "{file}");
}
