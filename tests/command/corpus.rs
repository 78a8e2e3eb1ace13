//! Schedules with the verdicts that they must give.

use std::fs;
use std::path::Path;

use super::bad_input::SCHEDULE;
use super::support::folder;
use super::{tests, vertebra};

tests![
    a_corpus_that_gives_its_verdicts_is_told_as_such,
    a_schedule_that_differs_or_cannot_be_read_fails_and_says_why,
    what_is_told_can_be_had_as_json,
    what_is_no_corpus_is_refused,
    what_this_version_writes_otherwise_is_renewed,
    a_field_that_a_schedule_lacks_gets_its_usual_value,
    a_signature_that_is_worded_otherwise_is_renewed,
    a_failure_that_is_gone_is_never_renewed,
];

/// What [`SCHEDULE`] fails with when members lie.
const LIE: &str = "echo/an answer is what was asked: too large";

fn lying() -> String {
    SCHEDULE.replace("clients = 1", "clients = 1\ndefects = [\"lie\"]")
}

fn write(folder: &Path, name: &str, verdict: &str, schedule: &str) {
    fs::create_dir_all(folder.join("seeds")).expect("a folder");
    fs::write(folder.join("seeds").join(name), format!("# verdict: {verdict}\n# Mine.\n\n{schedule}"))
        .expect("a file");
}

fn read(folder: &Path, name: &str) -> String {
    fs::read_to_string(folder.join("seeds").join(name)).expect("a file")
}

fn a_corpus_that_gives_its_verdicts_is_told_as_such() {
    let folder = folder("corpus-right");
    write(&folder, "lies.toml", LIE, &lying());
    write(&folder, "passes.toml", "pass", SCHEDULE);
    fs::write(folder.join("seeds/README.md"), "no schedule").expect("a file");
    let told = format!(
        "ok         seeds/lies.toml  {LIE}\nok         seeds/passes.toml  pass\n2 schedules: 2 as expected\n"
    );
    assert_eq!(vertebra(&folder, &["corpus"]).expect(0).stdout, told);
    assert_eq!(vertebra(&folder, &["corpus", "seeds", "--jobs", "1"]).expect(0).stdout, told);
    let one = vertebra(&folder, &["corpus", "seeds/passes.toml"]).expect(0).stdout;
    assert_eq!(one, "ok         seeds/passes.toml  pass\n1 schedule: 1 as expected\n");
}

/// A corpus in which one schedule of each sort stands.
fn mixed(folder: &Path) {
    write(folder, "a-fixed.toml", LIE, SCHEDULE);
    write(folder, "b-broken.toml", "pass", &lying());
    write(folder, "c-field.toml", "pass", &SCHEDULE.replace("members = 3", "members = 3\nmood = 1"));
    write(folder, "d-defect.toml", LIE, &lying().replace("\"lie\"", "\"cheat\""));
    write(
        folder,
        "e-failpoint.toml",
        "pass",
        &SCHEDULE.replace(
            "kind = \"kill\"\ntarget = \"member 3\"\ndown = \"500ms\"",
            "kind = \"failpoint\"\nname = \"gone\"\ntarget = \"member 3\"\nhit = 1\naction = \"kill\"\nlasts = \"1s\"",
        ),
    );
    fs::write(folder.join("seeds/f-headless.toml"), SCHEDULE).expect("a file");
    write(folder, "g-passes.toml", "pass", SCHEDULE);
}

fn a_schedule_that_differs_or_cannot_be_read_fails_and_says_why() {
    let folder = folder("corpus-wrong");
    mixed(&folder);
    let ended = vertebra(&folder, &["corpus"]).expect(1);
    let told = format!(
        "\
differs    seeds/a-fixed.toml
           expected  {LIE}
           found     pass
differs    seeds/b-broken.toml
           expected  pass
           found     {LIE}
unreadable seeds/c-field.toml:12: options: unknown field `mood`; known fields: members, clients, defects, operations
unreadable seeds/d-defect.toml:13: options: unknown value `cheat`; known values: "
    );
    assert!(ended.stdout.starts_with(&told), "{}", ended.stdout);
    let rest = "\
unreadable seeds/e-failpoint.toml:34: fault 1: this system has no failpoint `gone`; it has beforeAnswer
unreadable seeds/f-headless.toml:1: the first line must be `# verdict: pass`, or `# verdict: ` and a signature
ok         seeds/g-passes.toml  pass
7 schedules: 1 as expected, 2 differ, 4 unreadable
";
    assert!(ended.stdout.ends_with(rest), "{}", ended.stdout);
}

fn what_is_told_can_be_had_as_json() {
    let folder = folder("corpus-json");
    mixed(&folder);
    let lines = vertebra(&folder, &["corpus", "--json"]).expect(1).json();
    assert_eq!((&lines[0]["type"], &lines[0]["standing"]), (&"schedule".into(), &"differs".into()));
    assert_eq!((&lines[0]["expected"], &lines[0]["found"]), (&LIE.into(), &"pass".into()));
    assert_eq!(
        (&lines[2]["standing"], &lines[2]["path"]),
        (&"unreadable".into(), &"seeds/c-field.toml".into())
    );
    assert!(lines[2]["reason"].as_str().is_some_and(|reason| reason.contains("`mood`")));
    assert_eq!((&lines[6]["standing"], &lines[6]["expected"]), (&"as-expected".into(), &"pass".into()));
    let sums = serde_json::json!({
        "type": "summary", "schedules": 7, "as_expected": 1, "differing": 2, "unreadable": 4, "renewed": 0
    });
    assert_eq!(lines[7], sums);
}

fn what_is_no_corpus_is_refused() {
    let folder = folder("corpus-none");
    let refused = vertebra(&folder, &["corpus"]).expect(2);
    assert!(refused.stderr.starts_with("error: seeds: "), "{}", refused.stderr);
    fs::create_dir(folder.join("seeds")).expect("a folder");
    let refused = vertebra(&folder, &["corpus"]).expect(2);
    assert_eq!(refused.stderr, "error: seeds: there is no schedule in this folder\n");
}

fn what_this_version_writes_otherwise_is_renewed() {
    let folder = folder("corpus-renew");
    write(&folder, "passes.toml", "pass", SCHEDULE);
    let told = vertebra(&folder, &["corpus", "--renew"]).expect(0).stdout;
    assert!(told.starts_with("renewed    seeds/passes.toml  pass\n"), "{told}");
    assert!(told.contains("\n           + loss_ppm = 0\n"), "{told}");
    assert!(told.ends_with("\n1 schedule: 1 as expected, 1 renewed\n"), "{told}");
    let renewed = read(&folder, "passes.toml");
    assert!(renewed.starts_with("# verdict: pass\n# Mine.\n\nformat = 1\n"), "{renewed}");
    let again = vertebra(&folder, &["corpus", "--renew"]).expect(0).stdout;
    assert_eq!(again, "ok         seeds/passes.toml  pass\n1 schedule: 1 as expected\n");
    // What people write among the fields is theirs.
    let commented = SCHEDULE.replace("[disk]", "[disk] # slow");
    write(&folder, "passes.toml", "pass", &commented);
    vertebra(&folder, &["corpus", "--renew"]).expect(0);
    assert!(read(&folder, "passes.toml").ends_with(&commented));
}

fn a_field_that_a_schedule_lacks_gets_its_usual_value() {
    let folder = folder("corpus-lacks");
    write(&folder, "passes.toml", "pass", &SCHEDULE.replace("clients = 1\n", ""));
    let refused = vertebra(&folder, &["corpus"]).expect(1).stdout;
    assert!(refused.contains("passes.toml:10: options: missing field `clients`\n"), "{refused}");
    let told = vertebra(&folder, &["corpus", "--renew"]).expect(0).stdout;
    assert!(told.contains("\n           + clients = 1\n"), "{told}");
    vertebra(&folder, &["corpus"]).expect(0);
}

fn a_signature_that_is_worded_otherwise_is_renewed() {
    let folder = folder("corpus-worded");
    write(&folder, "lies.toml", "echo/an answer is the question: large", &lying());
    vertebra(&folder, &["corpus"]).expect(1);
    let told = vertebra(&folder, &["corpus", "--renew"]).expect(0).stdout;
    let change = format!(
        "\n           - # verdict: echo/an answer is the question: large\n           + # verdict: {LIE}\n"
    );
    assert!(told.contains(&change), "{told}");
    vertebra(&folder, &["corpus"]).expect(0);
}

fn a_failure_that_is_gone_is_never_renewed() {
    let folder = folder("corpus-gone");
    mixed(&folder);
    let before = ["a-fixed.toml", "b-broken.toml", "c-field.toml"].map(|name| read(&folder, name));
    let told = vertebra(&folder, &["corpus", "--renew"]).expect(1).stdout;
    assert!(told.ends_with("\n7 schedules: 1 as expected, 2 differ, 4 unreadable, 1 renewed\n"), "{told}");
    assert_eq!(["a-fixed.toml", "b-broken.toml", "c-field.toml"].map(|name| read(&folder, name)), before);
}
