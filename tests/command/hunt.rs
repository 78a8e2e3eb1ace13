//! How long a sweep takes to find what is planted.

use std::fs;

use serde_json::Value;

use super::support::folder;
use super::{command, support, tests, vertebra};

tests![
    a_hunt_tells_after_how_many_seeds_it_was_found,
    what_json_tells_adds_up,
    a_hunt_goes_on_where_it_ended_and_comes_to_the_same,
    two_bugs_at_once_are_one_quarry,
    what_is_not_found_is_told_and_fails,
    a_picture_and_a_table_are_written,
    a_hunt_for_nothing_known_is_refused,
];

const PAIR: [&str; 8] = ["hunt", "pair", "--trials", "8", "--seeds", "200", "--jobs", "2"];

fn json(arguments: &[&str], code: i32) -> Vec<Value> {
    vertebra(&folder("hunt-json"), &[arguments, &["--json"]].concat()).expect(code).json()
}

fn a_hunt_tells_after_how_many_seeds_it_was_found() {
    let told = vertebra(&folder("hunt-tells"), &PAIR).expect(0).stdout;
    assert!(told.contains("\npair        8/8  "), "{told}");
    assert!(told.contains("\n1 of 1 defect found in 8 trials of 200 seeds at most, "), "{told}");
    assert!(told.contains("\nreproduce  vertebra replay "), "{told}");
    let command =
        told.lines().find_map(|line| line.strip_prefix("reproduce  vertebra ")).expect("it is there");
    let arguments: Vec<&str> = command.split(' ').collect();
    let replayed = vertebra(&folder("hunt-tells"), &arguments).expect(1).stdout;
    assert!(replayed.contains("echo/one restart at most"), "{replayed}");
}

fn what_json_tells_adds_up() {
    let lines = json(&PAIR, 0);
    let (trials, rest): (Vec<_>, Vec<_>) = lines.iter().partition(|line| line["type"] == "trial");
    assert_eq!(trials.len(), 8);
    for trial in &trials {
        let number = trial["trial"].as_u64().expect("a number");
        let (seeds, seed) = (trial["seeds"].as_u64(), trial["found"]["seed"].as_u64());
        // It is the last of the seeds that ran, which are nobody else's.
        assert_eq!(seeds.map(|seeds| number * 200 + seeds - 1), seed, "{trial}");
        assert_eq!(trial["found"]["without"], Value::Null);
    }
    let mut seeds: Vec<u64> = trials.iter().filter_map(|trial| trial["seeds"].as_u64()).collect();
    seeds.sort_unstable();
    let defect = rest[0];
    assert_eq!((&defect["type"], &defect["found"]), (&Value::from("defect"), &Value::from(8)));
    assert_eq!(defect["seeds"]["median"], Value::from((seeds[3] + seeds[4]) as f64 / 2.0));
    assert_eq!(
        (&defect["seeds"]["low"], &defect["seeds"]["high"]),
        (&(seeds[0] as f64).into(), &(seeds[7] as f64).into())
    );
    assert_eq!(defect["first"]["echo"], Value::from(8));
    assert_eq!(rest[1]["end"], "all");
    assert_eq!(rest.len(), 2);
}

fn a_hunt_goes_on_where_it_ended_and_comes_to_the_same() {
    let folder = folder("hunt-record");
    let sums = |arguments: &[&str]| -> Value {
        let lines = vertebra(&folder, arguments).expect(0).json();
        let mut defect = lines.into_iter().find(|line| line["type"] == "defect").expect("it was hunted");
        // No two runs take the same time.
        defect["cpu_ns"] = Value::Null;
        defect
    };
    let record = ["--record", "hunt.jsonl", "--json"];
    sums(&[&["hunt", "pair", "--trials", "3", "--seeds", "200"], &record[..]].concat());
    // As if it had been killed in the middle of a line.
    let mut text = fs::read_to_string(folder.join("hunt.jsonl")).expect("a file");
    assert_eq!(text.lines().count(), 4);
    text.truncate(text.len() - 20);
    fs::write(folder.join("hunt.jsonl"), text).expect("a file");
    let gone_on = sums(&[&PAIR, &record[..]].concat());
    assert_eq!(gone_on, sums(&[&PAIR, &["--json"][..]].concat()));
    let before = fs::read(folder.join("hunt.jsonl")).expect("a file");
    assert_eq!(gone_on, sums(&[&PAIR, &record[..]].concat()));
    assert_eq!(fs::read(folder.join("hunt.jsonl")).expect("a file"), before, "all was there already");

    let mut other = command(&folder, &[&PAIR, &record[..]].concat());
    let ended = support::ended(other.env("ECHO_BUILD", "other"));
    assert!(ended.expect(2).stderr.contains("name another file"));
    assert_eq!(fs::read(folder.join("hunt.jsonl")).expect("a file"), before);
    fs::write(folder.join("hunt.jsonl"), "{\n").expect("a file");
    let said = vertebra(&folder, &[&PAIR, &record[..]].concat()).expect(2).stderr;
    assert!(said.contains("hunt.jsonl: 1: this is no record of a hunt"), "{said}");
}

fn two_bugs_at_once_are_one_quarry() {
    let lines = json(&["hunt", "pair+lie", "--trials", "2", "--seeds", "50"], 0);
    assert_eq!(lines[0]["defect"], "pair+lie");
    assert_eq!(lines[2]["found"], 2);
}

fn what_is_not_found_is_told_and_fails() {
    let hunt = ["hunt", "worn", "lie", "--trials", "2", "--seeds", "3"];
    let told = vertebra(&folder("hunt-misses"), &hunt).expect(1).stdout;
    assert!(told.contains("\nnot found  worn in 0 of 2 trials\n"), "{told}");
    assert!(told.contains("\n1 of 2 defects found in 4 trials of 3 seeds at most, "), "{told}");
}

fn a_picture_and_a_table_are_written() {
    let folder = folder("hunt-chart");
    let outputs = ["--chart", "hunt.svg", "--markdown", "hunt.md"];
    vertebra(&folder, &[&PAIR, &outputs[..]].concat()).expect(0);
    let svg = fs::read_to_string(folder.join("hunt.svg")).expect("a file");
    assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n") && svg.contains("<circle "), "{svg}");
    let table = fs::read_to_string(folder.join("hunt.md")).expect("a file");
    assert!(table.starts_with("1 of 1 bug were found"), "{table}");
    assert!(table.contains("\n| `pair` |  | 8 of 8 | "), "{table}");
    let refused = [&PAIR, &["--chart", "/dev/null/hunt.svg"][..]].concat();
    assert!(vertebra(&folder, &refused).expect(2).stderr.contains("/dev/null/hunt.svg"));
}

fn a_hunt_for_nothing_known_is_refused() {
    let folder = folder("hunt-refused");
    let said = vertebra(&folder, &["hunt", "pair+stroll"]).expect(2).stderr;
    assert!(said.contains("there is no defect `stroll`; `vertebra defects` lists"), "{said}");
    vertebra(&folder, &["hunt"]).expect(2);
    vertebra(&folder, &["hunt", "pair", "--all"]).expect(2);
    vertebra(&folder, &["hunt", "pair", "--trials", "0"]).expect(2);
}
