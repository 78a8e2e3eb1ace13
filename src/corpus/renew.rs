//! `corpus --renew`: schedules as this version writes them.

use std::fs;

use serde_json::Value;
use vertebra_sim::run;
use vertebra_sim::schedule::Schedule;

use super::{Entry, PASS, Standing, expected, head_line};
use crate::Subject;
use crate::exit::Refusal;
use crate::written::write_atomically;

/// Writes the schedule of `entry` anew where that changes anything and the verdict allows it, and says how it stands
/// then. Gives the lines that changed, with `-` and `+` before them.
///
/// # Errors
///
/// If the file cannot be written.
pub fn renew<S: Subject>(entry: &mut Entry) -> Result<Vec<String>, Refusal> {
    let name = entry.path.display().to_string();
    let refuse = |error: std::io::Error| Refusal::new(format!("{name}: {error}"));
    let Ok(old) = fs::read_to_string(&entry.path) else { return Ok(Vec::new()) };
    let Some(expected) = expected(old.as_bytes()) else { return Ok(Vec::new()) };
    let Some(schedule) = read::<S>(&name, &old) else { return Ok(Vec::new()) };
    let found = run::<S>(&schedule, None).verdict.signature();
    // Whether a failure is gone, or new, is for people to say.
    let standing = match (&found, expected.as_str()) {
        (Some(found), PASS) => Some((PASS.to_owned(), found.clone())),
        (None, signature) if signature != PASS => Some((signature.to_owned(), PASS.to_owned())),
        _ => None,
    };
    if let Some((expected, found)) = standing {
        entry.standing = Standing::Differs { expected, found };
        return Ok(Vec::new());
    }
    let text = schedule.write()?;
    let (head, body) = split(&old);
    let head = head_line(found.as_deref()) + head.split_once('\n').map_or("", |(_, rest)| rest);
    // A comment among the fields would get lost. So such a schedule keeps its text as long as it can be read.
    let keeps = body.lines().any(|line| line.contains('#')) && is_readable::<S>(&name, &old);
    let new = if keeps { head + body } else { head + &text };
    entry.standing = Standing::AsExpected { expected: found.unwrap_or_else(|| PASS.to_owned()) };
    if new == old {
        return Ok(Vec::new());
    }
    write_atomically(&entry.path, &new).map_err(refuse)?;
    Ok(difference(&old, &new))
}

fn is_readable<S: Subject>(name: &str, text: &str) -> bool {
    Schedule::<S::Options>::read(name, text.as_bytes(), S::NAME, S::shape).is_ok()
}

/// The schedule, with the usual values of options that it lacks.
fn read<S: Subject>(name: &str, text: &str) -> Option<Schedule<S::Options>> {
    let read = |text: &str| Schedule::<S::Options>::read(name, text.as_bytes(), S::NAME, S::shape).ok();
    read(text).or_else(|| {
        let mut file: Value = toml::from_str(text).ok()?;
        complete(file.get_mut("options")?, &serde_json::to_value(S::usual()?).ok()?);
        read(&toml::to_string(&file).ok()?)
    })
}

/// Gives `table` what `usual` has and it lacks.
fn complete(table: &mut Value, usual: &Value) {
    if let (Value::Object(table), Value::Object(usual)) = (table, usual) {
        for (name, usual) in usual {
            complete(table.entry(name.clone()).or_insert_with(|| usual.clone()), usual);
        }
    }
}

/// The comment at the head with the empty lines behind it, and the rest.
fn split(text: &str) -> (&str, &str) {
    let mut end = 0;
    for line in text.split_inclusive('\n') {
        if !(line.starts_with('#') || line.trim().is_empty()) {
            break;
        }
        end += line.len();
    }
    text.split_at(end)
}

/// The lines that are not in both, in order: what stands between the longest common subsequence.
fn difference(old: &str, new: &str) -> Vec<String> {
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    // Lengths of the longest common subsequences of what is left behind each pair of places.
    let mut lengths = vec![vec![0_u32; new.len() + 1]; old.len() + 1];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            lengths[i][j] = match old[i] == new[j] {
                true => lengths[i + 1][j + 1] + 1,
                false => lengths[i + 1][j].max(lengths[i][j + 1]),
            };
        }
    }
    let (mut i, mut j, mut lines) = (0, 0, Vec::new());
    while i < old.len() || j < new.len() {
        let is_old = j == new.len() || i < old.len() && lengths[i + 1][j] >= lengths[i][j + 1];
        if i < old.len() && j < new.len() && old[i] == new[j] {
            (i, j) = (i + 1, j + 1);
        } else if is_old {
            lines.push(format!("- {}", old[i]));
            i += 1;
        } else {
            lines.push(format!("+ {}", new[j]));
            j += 1;
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_has_the_lines_that_are_not_in_both() {
        assert_eq!(difference("a\nb\nc\n", "a\nx\nc\nd\n"), ["- b", "+ x", "+ d"]);
        assert_eq!(difference("a\n", "a\n"), Vec::<String>::new());
        assert_eq!(difference("", "a\n"), ["+ a"]);
    }

    #[test]
    fn the_head_is_all_up_to_the_first_field() {
        assert_eq!(split("# a\n\n# b\n\nformat = 1\n# c\n"), ("# a\n\n# b\n\n", "format = 1\n# c\n"));
        assert_eq!(split("format = 1"), ("", "format = 1"));
    }

    #[test]
    fn what_is_missing_is_completed_and_what_is_there_stays() {
        let mut table = serde_json::json!({"members": 3, "traffic": {"keys": 1}});
        complete(
            &mut table,
            &serde_json::json!({"members": 1, "new": "x", "traffic": {"keys": 9, "more": 2}}),
        );
        let whole = serde_json::json!({"members": 3, "new": "x", "traffic": {"keys": 1, "more": 2}});
        assert_eq!(table, whole);
    }
}
