//! Schedule files with something wrong in them: one line that names the place, and exit code 2.

use std::fs;

use super::support::folder;
use super::{tests, vertebra};

tests![
    a_schedule_that_is_right_is_run,
    what_is_wrong_in_a_schedule_is_said_in_one_line_with_its_place,
    bytes_that_are_no_text_are_refused,
    a_file_without_end_is_refused,
];

/// A schedule in which nothing is wrong.
pub const SCHEDULE: &str = r#"format = 1
system = "echo"
seed = 7
duration = "9.5s"
settle_max = "30s"

[options]
members = 3
clients = 1

[network.peers]
latency_min = "200us"
latency_max = "2ms"

[network.clients]
latency_min = "500us"
latency_max = "5ms"

[disk]
sync_latency_min = "500us"
sync_latency_max = "8ms"

[[clock]]
node = "member 2"
offset = "-150ms"
drift_ppm = 300

[[fault]]
at = "1.5s"
kind = "kill"
target = "member 3"
down = "500ms"
"#;

fn a_schedule_that_is_right_is_run() {
    let folder = folder("input-right");
    fs::write(folder.join("right.toml"), SCHEDULE).expect("a file");
    vertebra(&folder, &["replay", "right.toml"]).expect(0);
}

fn what_is_wrong_in_a_schedule_is_said_in_one_line_with_its_place() {
    let folder = folder("input-wrong");
    // What is replaced, by what, and what is said of it.
    let cases = [
        ("format = 1", "format = 2", "1: format 2 is unknown; this version reads format 1"),
        ("kind = \"kill\"", "kind = \"explode\"", "30: fault 1: unknown kind `explode`; known kinds: "),
        (
            "at = \"1.5s\"",
            "at = \"-1.5s\"",
            "29: fault 1: `-1.5s` is negative; a time is counted from the start of the run",
        ),
        (
            "\"member 3\"",
            "\"member 4\"",
            "31: fault 1: target `member 4` does not exist; this cluster has 3 members",
        ),
        ("\"member 3\"", "\"boss\"", "31: fault 1: "),
        (
            "\"member 2\"",
            "\"client 2\"",
            "24: clock 1: node `client 2` does not exist; this cluster has 1 client",
        ),
        ("system = \"echo\"", "system = \"etcd\"", "2: this is a schedule of `etcd`, not of `echo`"),
        ("members = 3", "members = 0", "7: options: members: an echo has at least one"),
        ("members = 3", "member = 3", "8: options: unknown field `member`; known fields: "),
        ("seed = 7", "", "1: missing field `seed`"),
        ("seed = 7", "seed = -7", "3: "),
        ("down = \"500ms\"", "down = \"500\"", "32: fault 1: `500` is not a duration; "),
        ("at = \"1.5s\"", "at = \"9.5s\"", "29: fault 1: it begins at 9.5s, but faults end at 9.5s, "),
        ("[options]", "[options", "7: not TOML: "),
        (SCHEDULE, "", "1: the file is empty; a schedule begins with `format = 1`"),
    ];
    for (from, to, said) in cases {
        assert!(SCHEDULE.contains(from), "{from} is in the schedule");
        fs::write(folder.join("wrong.toml"), SCHEDULE.replace(from, to)).expect("a file");
        let refused = vertebra(&folder, &["replay", "wrong.toml"]).expect(2);
        assert_eq!(refused.stdout, "");
        let line = refused.stderr.strip_suffix('\n').expect("a line");
        assert!(!line.contains('\n'), "more than one line: {line}");
        let expected = format!("error: wrong.toml:{said}");
        // A list of what is known may grow.
        let open_ended = said.ends_with(": ") || said.ends_with("; ") || said.ends_with(", ");
        match open_ended {
            true => assert!(line.starts_with(&expected) && line.len() > expected.len(), "{line}"),
            false => assert_eq!(line, expected),
        }
    }
}

fn bytes_that_are_no_text_are_refused() {
    let folder = folder("input-bytes");
    fs::write(folder.join("bytes.toml"), b"format = 1\n\xff\xfe").expect("a file");
    let refused = vertebra(&folder, &["replay", "bytes.toml"]).expect(2);
    assert_eq!(refused.stderr, "error: bytes.toml:2: not text in UTF-8\n");
}

fn a_file_without_end_is_refused() {
    let refused = vertebra(&folder("input-endless"), &["replay", "/dev/zero"]).expect(2);
    assert_eq!(refused.stderr, "error: /dev/zero: larger than 16 MiB, which no schedule is\n");
}
