//! Histories whose verdicts are known, in each format, and damaged ones.

use std::io::BufReader;
use std::path::Path;

use super::history::{Expected, Format, History, Model, read};
use super::{format, is_ok};
use crate::histories::jepsen;

/// What is read of a text, in the format that it looks like.
fn read_any(bytes: &[u8], model: Option<Model>) -> Result<(Format, History), (usize, String)> {
    let mut reader = BufReader::new(bytes);
    let expected = Expected { model, initial: None };
    format::recognised(&mut reader)
        .and_then(|format| read(format, reader, expected).map(|history| (format, history)))
        .map_err(|damage| (damage.line, damage.reason))
}

#[track_caller]
fn judged(text: &str) -> (Format, bool) {
    let (format, history) =
        read_any(text.as_bytes(), None).unwrap_or_else(|damage| panic!("{damage:?}: {text}"));
    (format, is_ok(&history))
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
        let (_, history) = read_any(&bytes, None).unwrap_or_else(|damage| panic!("{file}: {damage:?}"));
        assert_eq!(is_ok(&history), verdict == "linearizable", "{file}");
        count += 1;
    }
    assert!(count >= 107, "only {count} histories are there");
}

/// Each in the smallest form that is legal; and the place in it with what makes it illegal there.
#[test]
fn in_each_format_the_smallest_illegal_history_is_told_from_its_legal_twin() {
    let log = "INFO  jepsen.util - 0\t:invoke\t:write\t1\nINFO  jepsen.util - 0\t:ok\t:write\t1\n\
               INFO  jepsen.util - 0\t:invoke\t:cas\t[1 2]\nINFO  jepsen.util - 0\t:ok\t:cas\t[1 2]\n";
    let register = "{:process 0, :type :invoke, :f :write, :value 1}\n{:process 0, :type :ok, :f :write, :value 1}\n\
                    {:process :nemesis, :type :info, :f :start, :value nil}\n\
                    {:process 1, :type :invoke, :f :read, :value nil}\n{:process 1, :type :ok, :f :read, :value 1}";
    let independent = "[#jepsen.history.Op{:process 0, :type :invoke, :f :write, :value [7 1]}\n\
                       #jepsen.history.Op{:process 0, :type :ok, :f :write, :value [7 1]}\n\
                       {:process 1, :type :invoke, :f :read, :value [7 nil]}\n\
                       {:process 1, :type :ok, :f :read, :value [7 1]}]";
    let swapped = "({:process 0 :type :invoke :f :cas :value [7 [1 2]]} {:process 0 :type :fail :f :cas :value [7 [1 2]]}\n\
                   {:process 0 :type :invoke :f :read :value [7 nil]} {:process 0 :type :ok :f :read :value [7 nil]})";
    let held = "{:process 0 :type :invoke :f :write :value [\"a\" \"x\"]} {:process 0 :type :ok :f :write :value [\"a\" \"x\"]}\n\
                {:process 0 :type :invoke :f :cas :value [\"a\" [\"x\" nil]]} {:process 0 :type :ok :f :cas :value [\"a\" [\"x\" nil]]}\n\
                {:process 0 :type :invoke :f :read :value [\"a\" nil]} {:process 0 :type :ok :f :read :value [\"a\" nil]}";
    let without_letters = &held
        .replace("\"a\"", "\"\"")
        .replace("[\"x\" nil]", "[\"x\" \"\"]")
        .replace(":ok :f :read :value [\"\" nil]", ":ok :f :read :value [\"\" \"\"]");
    let texts = "{:process 0, :type :invoke, :f :append, :key \"k\", :value \"x\"}\n\
                 {:process 0, :type :ok, :f :append, :key \"k\", :value \"x\"}\n\
                 {:process 0, :type :invoke, :f :get, :key \"k\", :value nil}\n\
                 {:process 0, :type :ok, :f :get, :key \"k\", :value \"x\"}\n";
    let set = "[{:process 0, :type :invoke, :f :read, :value nil}\n{:process 1, :type :invoke, :f :add, :value 1}\n\
               {:process 1, :type :ok, :f :add, :value 1}\n{:process 0, :type :ok, :f :read, :value #{1}}]";
    let set_after = "{:process 0, :type :invoke, :f :add, :value 1}\n{:process 0, :type :ok, :f :add, :value 1}\n\
                     {:process 0, :type :invoke, :f :read, :value nil}\n{:process 0, :type :ok, :f :read, :value [1]}\n";
    let lists = "{:index 0, :process 0, :type :invoke, :f :txn, :value [[:append 9 1] [:r 9 nil]]}\n\
                 {:index 1, :process 0, :type :ok, :f :txn, :value [[:append 9 1] [:r 9 [1]]]}\n\
                 {:index 2, :process 1, :type :invoke, :f :txn, :value [[:r 9 nil]]}\n\
                 {:index 3, :process 1, :type :ok, :f :txn, :value [[:r 9 [1]]]}\n";
    let json = "[{\"index\":0,\"type\":\"invoke\",\"process\":1,\"value\":[[\"append\",9,1],[\"r\",9,null]]},\n\
                {\"index\":1,\"type\":\"ok\",\"process\":1,\"value\":[[\"append\",9,1],[\"r\",9,[1]]]}]";
    let json_register = "{\"type\":\"invoke\",\"process\":1,\"f\":\"write\",\"value\":1}\n\
                         {\"type\":\"ok\",\"process\":1,\"f\":\"write\",\"value\":1}\n\
                         {\"type\":\"invoke\",\"process\":1,\"f\":\"read\",\"value\":null}\n\
                         {\"type\":\"ok\",\"process\":1,\"f\":\"read\",\"value\":1}\n";
    let lines = "{\"type\":\"history\",\"format\":1,\"model\":\"etcd\"}\n\
                 {\"type\":\"invoke\",\"operation\":0,\"session\":3,\"request\":{\"put\":{\"key\":\"YQ==\",\"value\":\"MQ==\"}}}\n\
                 {\"type\":\"ok\",\"operation\":0,\"response\":{\"put\":{\"header\":{\"revision\":\"2\"}}}}\n\
                 {\"type\":\"watch\",\"watch\":0,\"request\":{\"key\":\"YQ==\",\"start_revision\":\"2\"}}\n\
                 {\"type\":\"heard\",\"watch\":0,\"response\":{\"header\":{\"revision\":\"2\"},\"created\":true}}\n\
                 {\"type\":\"heard\",\"watch\":0,\"response\":{\"header\":{\"revision\":\"2\"},\"events\":[{\"kv\":\
                 {\"key\":\"YQ==\",\"value\":\"MQ==\",\"create_revision\":\"2\",\"mod_revision\":\"2\",\"version\":\"1\"}}]}}\n";
    let cases = [
        (Format::Log, log, ":cas\t[1 2]", ":cas\t[3 2]"),
        (Format::Edn, register, ":read, :value 1}", ":read, :value 2}"),
        (Format::Edn, independent, ":read, :value [7 1]", ":read, :value [7 2]"),
        (Format::Edn, swapped, ":read :value [7 nil]})", ":read :value [7 2]})"),
        (Format::Edn, held, ":ok :f :read :value [\"a\" nil]}", ":ok :f :read :value [\"a\" \"x\"]}"),
        (Format::Edn, held, "[\"x\" nil]", "[nil \"x\"]"),
        (Format::Edn, without_letters, ":ok :f :read :value [\"\" \"\"]", ":ok :f :read :value [\"\" nil]"),
        (Format::Edn, set, "#{1}", "#{2}"),
        (Format::Edn, set_after, ":value [1]", ":value []"),
        (Format::Edn, lists, "[[:r 9 [1]]]}\n", "[[:r 9 []]]}\n"),
        (Format::Json, json, "[\"r\",9,[1]]]}]", "[\"r\",9,[]]]}]"),
        (Format::Json, json_register, "\"read\",\"value\":1", "\"read\",\"value\":null"),
        (
            Format::Lines,
            lines,
            "\"put\":{\"header\":{\"revision\":\"2\"",
            "\"put\":{\"header\":{\"revision\":\"3\"",
        ),
        (Format::Lines, lines, "\"value\":\"MQ==\",\"create", "\"value\":\"Mg==\",\"create"),
        (Format::Lines, lines, "\"create_revision\":\"2\"", "\"create_revision\":\"1\""),
    ];
    for (format, legal, what, other) in cases {
        assert_eq!(judged(legal), (format, true), "{legal}");
        assert!(legal.contains(what), "{what}");
        if what != other {
            assert_eq!(
                judged(&legal.replace(what, other)),
                (format, false),
                "{}",
                legal.replace(what, other)
            );
        }
    }
    let stale = texts.replace(":get, :key \"k\", :value \"x\"", ":get, :key \"k\", :value \"\"");
    assert_eq!(judged(&stale), (Format::Edn, false));
}

#[test]
fn in_the_form_of_jepsen_a_stale_read_of_a_key_is_as_illegal_as_it_was() {
    let read_of = |value: &str, revision: u64| {
        let put = |operation: u64, value: &str| {
            let revision = operation + 2;
            format!(
                "{{\"type\":\"invoke\",\"operation\":{operation},\"session\":1,\"request\":{{\"put\":{{\"key\":\"YQ==\",\"value\":\"{value}\"}}}}}}\n\
                 {{\"type\":\"ok\",\"operation\":{operation},\"response\":{{\"put\":{{\"header\":{{\"revision\":\"{revision}\"}}}}}}}}\n"
            )
        };
        let version = revision - 1;
        let text = format!(
            "{{\"type\":\"history\",\"format\":1,\"model\":\"etcd\"}}\n{}{}\
             {{\"type\":\"invoke\",\"operation\":2,\"session\":2,\"request\":{{\"range\":{{\"key\":\"YQ==\"}}}}}}\n\
             {{\"type\":\"ok\",\"operation\":2,\"response\":{{\"range\":{{\"header\":{{\"revision\":\"{revision}\"}},\"count\":\"1\",\
             \"kvs\":[{{\"key\":\"YQ==\",\"value\":\"{value}\",\"create_revision\":\"2\",\"mod_revision\":\"{revision}\",\
             \"version\":\"{version}\"}}]}}}}}}\n",
            put(0, "MQ=="),
            put(1, "Mg==")
        );
        let (_, history) = read_any(text.as_bytes(), None).unwrap();
        let is_legal = is_ok(&history);
        let History::Etcd(clusters) = history else { panic!("{text}") };
        let mut written = Vec::new();
        jepsen::write(&mut written, &clusters[0].history, &clusters[0].watches).unwrap();
        (is_legal, judged(std::str::from_utf8(&written).unwrap()))
    };
    assert_eq!(read_of("Mg==", 3), (true, (Format::Edn, true)));
    assert_eq!(read_of("MQ==", 2), (false, (Format::Edn, false)));
}

#[test]
fn a_nil_tells_nothing_where_a_register_holds_something_at_first() {
    let text = "[{:process 0 :type :invoke :f :write :value 1} {:process 0 :type :ok :f :write :value 1}\n\
                {:process 0 :type :invoke :f :read :value nil} {:process 0 :type :ok :f :read :value nil}]";
    assert_eq!(judged(text), (Format::Edn, false));
    let expected = Expected { model: None, initial: Some(0) };
    assert!(is_ok(&read(Format::Edn, text.as_bytes(), expected).unwrap()));
}

#[test]
fn what_is_asked_of_a_set_or_a_register_is_known_when_it_is_answered() {
    let read = "{:process 0 :type :invoke :f :read :value nil} {:process 0 :type :ok :f :read :value ";
    let model = |text: &str| match read_any(text.as_bytes(), None).unwrap().1 {
        History::Set(_) => Model::Set,
        History::Register(_) => Model::Register,
        other => panic!("{other:?}"),
    };
    assert_eq!(model(&format!("{read}nil}}")), Model::Register);
    assert_eq!(model(&format!("{read}7}}")), Model::Register);
    assert_eq!(model(&format!("{read}#{{}}}}")), Model::Set);
    assert_eq!(model(&format!("{read}nil}} {{:process 1 :type :invoke :f :add :value 1}}")), Model::Set);
}

#[test]
fn a_damaged_history_is_refused_with_the_line() {
    let invoke = "INFO  jepsen.util - 0\t:invoke\t:write\t1\n";
    let map = "{:process 0, :type :invoke, :f :txn, :value [[:append 1 1]]}\n";
    let head = "{\"type\":\"history\",\"format\":1,\"model\":\"etcd\"}\n";
    let put =
        "{\"type\":\"invoke\",\"operation\":0,\"session\":3,\"request\":{\"put\":{\"key\":\"YQ==\"}}}\n";
    let done = "{\"type\":\"ok\",\"operation\":0,\"response\":{\"put\":{\"header\":{\"revision\":\"2\"}}}}\n";
    let again = |line: &str| line.replace("\"operation\":0", "\"operation\":1");
    let cases = [
        (String::new(), 1, "there is no event"),
        (" \n\n".to_owned(), 1, "there is no event"),
        ("hello".to_owned(), 1, "no format that is known"),
        ("<html>".to_owned(), 1, "give the history that it was drawn from"),
        ("{\"Partitions\":[{\"History\":[]}]}".to_owned(), 1, "not what was asked and answered"),
        ("{\n  \"Request\": {\"Key\": \"\"}\n}".to_owned(), 1, "give the folder"),
        (format!("{invoke}{invoke}"), 2, "has an operation under way, of line 1"),
        ("INFO  jepsen.util - 0\t:ok\t:write\t1\n".to_owned(), 1, "has no operation under way"),
        (
            format!("{invoke}INFO  jepsen.util - 0\t:ok\t:read\t1\n"),
            2,
            "`:read` ends, and `:write` was begun",
        ),
        (format!("{invoke}INFO  jepsen.util - 0\t:ok\t:write\t2\n"), 2, "`2` ends, and `write 1` was begun"),
        (format!("{invoke}INFO  jepsen.util - 0\t:ok\t:write\t[5 1]\n"), 2, "key 5 ends, and  was begun"),
        (
            format!("{invoke}INFO  jepsen.util - 0\t:info\t:write\t:timed-out\n{invoke}"),
            3,
            "process 0 has ended with the `:info` of line 2",
        ),
        (
            "{:process 0 :type :invoke :f :cas :value [1 2]} {:process 0 :type :ok :f :cas :value [1 3]}"
                .to_owned(),
            1,
            "`[1 3]` ends, and `cas 1 2` was begun",
        ),
        (
            "{:process 0 :type :invoke :f :write :value [7 1]} {:process 0 :type :ok :f :write :value [8 1]}"
                .to_owned(),
            1,
            "key 8 ends, and 7 was begun",
        ),
        (
            "{:process 0 :type :invoke :f :add :value 1}\n{:process 0 :type :ok :f :add :value 2}".to_owned(),
            2,
            "`2` ends, and `1` was begun",
        ),
        (
            "{:process 0 :type :invoke :f :put :key \"k\" :value \"x\"}\n\
             {:process 0 :type :ok :f :put :key \"k\" :value \"y\"}"
                .to_owned(),
            2,
            "`\"y\"` ends, and `x` was begun",
        ),
        (
            format!("{invoke}INFO  jepsen.util - 1\t:invoke\t:write\tone\n"),
            2,
            "is neither a number nor a text",
        ),
        (format!("{invoke}INFO  jepsen.util - 1\t:invoke\t:swim\t1\n"), 2, "is asked of no model"),
        (
            format!("{invoke}{{:process 1, :type :invoke, :f :get, :key \"k\"}}\n"),
            2,
            "is asked of a kv, and not",
        ),
        ("{:process 1, :type :invoke, :f :put, :key \"k\", :value 3}\n".to_owned(), 1, "`3` is no text"),
        (format!("{invoke}{{:process"), 2, "`{:process`"),
        (format!("{map}{map}"), 2, "1 is appended to 1 on line 1 already"),
        (format!("{map}{{:process 0, :type :ok, :f :txn, :value [[:append 1 2]]}}"), 2, "not the steps"),
        (
            format!("{map}{{:process 1, :type :invoke, :f :txn, :value [[:w 1 2]]}}"),
            2,
            "what a transaction can do",
        ),
        (format!("[{map}"), 1, "is never closed"),
        (format!("{map}\n\n{{:process 0,\n:type"), 4, "in the middle of what begins here"),
        (format!("{map}3"), 2, "is no map"),
        (format!("{map}{{:process 0, :type :ok, :type :ok}}"), 2, "HashMapDuplicateKey"),
        (
            "{\"process\":1,\"type\":\"invoke\",\"f\":\"write\",\"value\":{}}".to_owned(),
            1,
            "is neither a number nor a text",
        ),
        ("{\"process\":1,\"type\":\"invoke\",\"f\":\"add\",\"value\":\"x\"}".to_owned(), 1, "is no number"),
        ("{\"process\":1,\"type\":\"invoke\" \"f\"}".to_owned(), 1, "expected"),
        (head.to_owned(), 1, "there is no operation"),
        (head.repeat(2), 1, "there is no operation"),
        (head.replace("\"format\":1", "\"format\":9"), 1, "format 9 of model etcd is unknown"),
        (format!("{head}{put}{put}"), 3, "an operation 0 already"),
        (
            format!("{head}{put}{}{}{}", again(put), done, again(done)),
            5,
            "operations 0 and 1 of session 3 overlap",
        ),
        (format!("{head}{}", put.replace("put", "swim")), 2, "swim"),
        (format!("{head}{}", put.replace("YQ==", "??")), 2, "base64"),
        (format!("{head}{{\"type\":\"unknown\",\"operation\":4}}"), 2, "no operation 4 was begun"),
        (format!("{head}{{\"type\":\"heard\",\"watch\":4,\"response\":{{}}}}"), 2, "a watch 4"),
        (format!("{head}{put}{{\"type\":\"fail\",\"operation\":0,\"error\":\"tired\"}}"), 3, "tired"),
    ];
    for (text, line, reason) in cases {
        let damage = read_any(text.as_bytes(), None).map(|read| panic!("{text}: {read:?}")).unwrap_err();
        assert_eq!(damage.0, line, "{text}: {damage:?}");
        assert!(damage.1.contains(reason), "{text}: {damage:?}");
    }
    for text in [invoke, map] {
        let bytes = [text.as_bytes(), b"{:a \xff\xfe}\n"].concat();
        assert_eq!(read_any(&bytes, None).map(drop), Err((2, "this is not text in UTF-8".to_owned())));
        assert_eq!(read_any(text.as_bytes(), Some(Model::Kv)).map(drop).unwrap_err().0, 1);
        assert_eq!(read_any(text.as_bytes(), Some(Model::Etcd)).map(drop).unwrap_err().0, 1);
    }
    assert!(read_any(head.as_bytes(), Some(Model::Set)).unwrap_err().1.contains("--model set"));
}

/// As the register workload of jepsen-io/etcd has it: `[k [version value]]`, in EDN and in JSON.
#[test]
fn the_versions_of_keys_count_their_changes() {
    const EVENTS: [[&str; 4]; 16] = [
        ["4", "invoke", "read", "[0 [nil nil]]"],
        ["0", "invoke", "write", "[0 [nil 3]]"],
        ["4", "ok", "read", "[0 [nil nil]]"],
        ["0", "ok", "write", "[0 [1 3]]"],
        ["1", "invoke", "cas", "[0 [nil [3 4]]]"],
        ["1", "ok", "cas", "[0 [2 [3 4]]]"],
        ["1", "invoke", "cas", "[0 [nil [1 2]]]"],
        ["1", "fail", "cas", "[0 [nil [1 2]]]"],
        ["2", "invoke", "write", "[0 [nil 4]]"],
        ["2", "info", "write", "[0 [nil 4]]"],
        ["3", "invoke", "write", "[1 [nil 0]]"],
        ["3", "ok", "write", "[1 [nil 0]]"],
        ["4", "invoke", "read", "[0 [nil nil]]"],
        ["4", "ok", "read", "[0 [3 4]]"],
        ["4", "invoke", "read", "[1 [nil nil]]"],
        ["4", "ok", "read", "[1 [1 nil]]"],
    ];
    let in_edn = |[process, kind, function, value]: &[&str; 4]| {
        format!("{{:process {process}, :type :{kind}, :f :{function}, :value {value}}}\n")
    };
    let in_json = |[process, kind, function, value]: &[&str; 4]| {
        let value = value.replace(' ', ",").replace("nil", "null");
        format!("{{\"process\":{process},\"type\":\"{kind}\",\"f\":\"{function}\",\"value\":{value}}}\n")
    };
    for (what, other, is_legal) in [
        ("[0 [3 4]]", "[0 [3 4]]", true),
        // Whoever was not answered may not have written it.
        ("[0 [3 4]]", "[0 [2 4]]", true),
        ("[0 [3 4]]", "[0 [nil 4]]", true),
        ("[0 [3 4]]", "[0 [3 nil]]", true),
        ("[0 [3 4]]", "[0 [4 4]]", false),
        ("[0 [3 4]]", "[0 [1 4]]", false),
        ("[0 [3 4]]", "[0 [3 3]]", false),
        ("[0 [2 [3 4]]]", "[0 [1 [3 4]]]", false),
        ("[1 [1 nil]]", "[1 [2 nil]]", false),
    ] {
        let changed = EVENTS.map(|event| event.map(|field| if field == what { other } else { field }));
        let (edn, json) =
            (changed.iter().map(in_edn).collect::<String>(), changed.iter().map(in_json).collect::<String>());
        assert_eq!(judged(&edn), (Format::Edn, is_legal), "{edn}");
        assert_eq!(judged(&json), (Format::Json, is_legal), "{json}");
    }
    let history: String = EVENTS.iter().map(in_edn).collect();
    let (_, read) = read_any(history.as_bytes(), None).unwrap();
    let History::Register(recorded) = read else { panic!("{read:?}") };
    // The read that tells neither and the swap that failed tell nothing.
    assert_eq!(recorded.operations.len(), 6);
    let damaged = history.replace("[0 [3 4]]", "[0 [\"x\" 4]]");
    let (line, reason) = read_any(damaged.as_bytes(), None).unwrap_err();
    assert!(line == 14 && reason.contains("no version of a key"), "{line}: {reason}");
}

#[test]
fn what_is_nested_without_end_is_refused_with_the_line() {
    let (open, close) = ("[".repeat(200_000), "]".repeat(200_000));
    let map = "{:process 0, :type :invoke, :f :write, :value 1}\n";
    let object = "{\"process\":1,\"type\":\"invoke\",\"f\":\"write\",\"value\":1}\n";
    let head = "{\"type\":\"history\",\"format\":1,\"model\":\"etcd\"}\n";
    for (text, line) in [
        (format!("{map}{{:process 1, :type :invoke, :f :write, :value {open}{close}}}"), 2),
        (format!("{map}{{:process 1, :type :invoke, :f :write, :value\n{open}"), 3),
        (format!("{map}{{:process 1, :type :invoke, :f :write, :value {}1}}", "#a ".repeat(200_000)), 2),
        (format!("{map}{{:process 1, :type :invoke, :f :write, :value {}1}}", "#_ ".repeat(2_000)), 2),
        (format!("INFO  jepsen.util - 0\t:invoke\t:write\t{open}{close}\n"), 1),
        (format!("{object}{{\"process\":2,\"type\":\"invoke\",\"f\":\"write\",\"value\":{open}{close}}}"), 2),
        (format!("{head}{{\"type\":\"ok\",\"operation\":0,\"response\":{open}{close}}}"), 2),
        (format!("{{\"ClientId\":1,\n\"Input\":{open}{close}}}"), 2),
    ] {
        let (at, reason) = read_any(text.as_bytes(), None).map(drop).unwrap_err();
        assert_eq!(at, line, "{reason}");
        let is_told = reason.contains("nested more than 100 deep") || text.contains("#_");
        assert!(is_told && reason.len() < 300, "{reason}");
    }
    // Of a throwable that Jepsen has written down, the causes are nested.
    let cause = |depth: usize| format!("{}nil{}", "{:cause [".repeat(depth), "]}".repeat(depth));
    assert!(judged(&format!("{map}{{:process 0 :type :info :f :write :value 1 :error {}}}", cause(20))).1);
}

#[test]
fn no_message_repeats_a_huge_value() {
    let huge = "9x".repeat(100_000);
    let head = "{\"type\":\"history\",\"format\":1,\"model\":\"etcd\"}\n";
    let invoke = "{:process 0, :type :invoke, :f :write, :value 1}\n";
    for text in [
        format!("{{:process 0, :type :invoke, :f :write, :value :k{huge}}}"),
        format!("{{:process 0, :type :invoke, :f :k{huge}, :value 1}}"),
        format!("{{:process 0, :type :k{huge}, :f :write, :value 1}}"),
        format!("{{:process 0, :type :invoke, :f :cas, :value \"{huge}\"}}"),
        format!("{{:process 0, :type :invoke, :f :add, :value \"{huge}\"}}"),
        format!("{{:process 0, :type :invoke, :f :txn, :value [[:w \"{huge}\" 1]]}}"),
        format!(
            "{{:process 0, :type :invoke, :f :txn, :value [[:append \"{huge}\" 1] [:append \"{huge}\" 1]]}}"
        ),
        format!("{invoke}{{:process 0, :type :ok, :f :k{huge}, :value 1}}"),
        format!("{invoke}{{:process 1, :type :invoke, :f :put, :key 1, :value \"{huge}\"}}"),
        format!("{invoke}{{:process 0, :type :ok, :f :write, :value \"{huge}\"}}").replace("1}", "[1 1]}"),
        format!("INFO  jepsen.util - p{huge}\t:invoke\t:write\t1\n"),
        format!("{{\"process\":1,\"type\":\"invoke\",\"f\":\"write\",\"value\":[\"{huge}\"]}}"),
        format!("{head}{{\"type\":\"invoke\",\"operation\":\"{huge}\"}}"),
        format!(
            "{head}{{\"type\":\"invoke\",\"operation\":0,\"session\":1,\"request\":{{\"{huge}\":{{}}}}}}"
        ),
        format!("{{\"ClientId\":\"{huge}\"}}"),
    ] {
        let reason = read_any(text.as_bytes(), None).map(drop).unwrap_err().1;
        assert!(reason.len() < 500, "{} bytes: {}", reason.len(), &reason[..200]);
    }
}

#[test]
fn a_session_goes_on_behind_what_has_no_answer() {
    let line = |text: &str| format!("{{\"type\":{text}}}\n");
    let put = |operation: u64| {
        line(&format!(
            "\"invoke\",\"operation\":{operation},\"session\":3,\"request\":{{\"put\":{{\"key\":\"YQ==\"}}}}"
        ))
    };
    let done = line("\"ok\",\"operation\":1,\"response\":{\"put\":{\"header\":{\"revision\":\"2\"}}}");
    let unknown = line("\"unknown\",\"operation\":0");
    let head = line("\"history\",\"format\":1,\"model\":\"etcd\"");
    assert!(judged(&[&head[..], &put(0), &put(1), &done].concat()).1);
    assert!(judged(&[&head[..], &put(0), &put(1), &done, &unknown].concat()).1);
    assert!(judged(&[&head[..], &put(0), &unknown, &put(1), &done].concat()).1);
}

#[test]
fn a_mark_of_byte_order_says_nothing() {
    let read = "{:process 0 :type :invoke :f :read :value nil}\n{:process 0 :type :ok :f :read :value 1}\n";
    let json = "[{\"process\":1,\"type\":\"invoke\",\"f\":\"write\",\"value\":1}]";
    let log = "INFO  jepsen.util - 0\t:invoke\t:write\t1\n";
    for (text, expected) in
        [(read, (Format::Edn, false)), (json, (Format::Json, true)), (log, (Format::Log, true))]
    {
        assert_eq!(judged(text), expected);
        assert_eq!(judged(&format!("\u{feff}{text}")), expected);
    }
    let lines = "\u{feff}{\"type\":\"history\",\"format\":1,\"model\":\"etcd\"}\n";
    assert!(read_any(lines.as_bytes(), None).unwrap_err().1.contains("there is no operation"));
}

#[test]
fn what_did_not_happen_is_forgotten_without_a_walk_over_the_rest() {
    let mut text = String::new();
    for process in 0..20_000 {
        text += &format!("{{:process {process}, :type :invoke, :f :write, :value 1}}\n");
    }
    for process in 0..20_000 {
        text += &format!("{{:process {process}, :type :fail, :f :write, :value 1}}\n");
    }
    let (_, history) = read_any(text.as_bytes(), None).unwrap();
    let History::Register(recorded) = history else { panic!("{history:?}") };
    assert!(recorded.operations.is_empty() && recorded.places.is_empty());
}
