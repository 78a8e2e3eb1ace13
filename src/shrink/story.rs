//! What happens in a short run, in its essentials: for the terminal, and for the head of its file.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use vertebra_sim::schedule::Schedule;
use vertebra_sim::{Instant, Report, run};

use crate::Subject;
use crate::output::Line;
use crate::replay::listen;
use crate::words::{Count, counted};

/// More lines than this are no story any more.
const LINES_MAX: usize = 60;
/// What the simulator tells of every packet and every write, and what is told for sweeps.
const MINUTE: [&str; 3] = ["network", "disk", "mark"];
/// What is told however much there is of it.
const KEPT: [&str; 2] = ["fault", "verdict"];

/// The essentials of a run.
pub struct Story {
    /// Each event as a line, as a replay tells it.
    pub lines: Vec<String>,
    /// What was left out.
    pub left_out: Option<String>,
}

struct Event {
    topic: String,
    line: String,
}

impl Story {
    /// That of `schedule`, and what came of its run.
    pub fn of<S: Subject>(schedule: &Schedule<S::Options>) -> (Self, Report) {
        let events = Arc::new(Mutex::new(Vec::new()));
        let dispatch = {
            let events = Arc::clone(&events);
            listen(move |event| {
                // That processes start when the run does goes without saying.
                if event.at_ns == 0 && event.topic == "process" {
                    return;
                }
                let (at, node) = (Instant::from_nanos(event.at_ns), event.node.unwrap_or_default());
                let line =
                    format!("{:>11}  {node:<9}  {:<8}  {}", at.to_string(), event.topic, Line(event.text));
                let event = Event { topic: event.topic.to_owned(), line };
                events.lock().unwrap_or_else(PoisonError::into_inner).push(event);
            })
        };
        let report = run::<S>(schedule, Some(&dispatch));
        let events = std::mem::take(&mut *events.lock().unwrap_or_else(PoisonError::into_inner));
        (Self::new(events), report)
    }

    /// Leaves out the topics with the most events, until the rest is short enough to read.
    fn new(events: Vec<Event>) -> Self {
        let mut topics: BTreeMap<&str, usize> = BTreeMap::new();
        for event in &events {
            *topics.entry(&event.topic).or_default() += 1;
        }
        let mut left_out: Vec<(&str, usize)> =
            MINUTE.iter().filter_map(|topic| topics.remove_entry(topic)).collect();
        while topics.values().sum::<usize>() > LINES_MAX {
            let others = topics.iter().filter(|(topic, _)| !KEPT.contains(topic));
            let Some(most) = others.max_by_key(|(_, count)| **count).map(|(topic, _)| *topic) else { break };
            left_out.extend(topics.remove_entry(most));
        }
        let told = events.iter().filter(|event| topics.contains_key(event.topic.as_str()));
        let mut lines: Vec<String> = told.map(|event| event.line.clone()).collect();
        if lines.len() > LINES_MAX {
            let gone = lines.len() - LINES_MAX;
            let line = format!("{:>11}  and {} more", "...", counted(gone as u64, "event"));
            lines.splice(LINES_MAX / 2..LINES_MAX / 2 + gone, [line]);
        }
        let left_out: Vec<String> =
            left_out.into_iter().map(|(topic, count)| format!("{topic} ({})", Count(count as u64))).collect();
        let left_out = (!left_out.is_empty()).then(|| left_out.join(", "));
        Self { lines, left_out }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn story(topics: &[(&str, usize)]) -> Story {
        let events = topics.iter().flat_map(|(topic, count)| {
            (0..*count)
                .map(move |number| Event { topic: (*topic).to_owned(), line: format!("{topic} {number}") })
        });
        Story::new(events.collect())
    }

    #[test]
    fn a_short_run_is_told_whole_but_for_packets_and_writes() {
        let story = story(&[("client", 3), ("network", 5), ("fault", 1)]);
        assert_eq!(story.lines, ["client 0", "client 1", "client 2", "fault 0"]);
        assert_eq!(story.left_out.as_deref(), Some("network (5)"));
    }

    #[test]
    fn of_a_long_run_the_topics_with_the_most_events_are_left_out() {
        let story = story(&[("client", 50), ("apply", 1_200), ("fault", 2), ("raft", 40)]);
        assert_eq!(story.lines.len(), 42);
        assert_eq!(story.left_out.as_deref(), Some("apply (1,200), client (50)"));
    }

    #[test]
    fn of_too_many_faults_the_first_and_the_last_are_told() {
        let story = story(&[("fault", 100)]);
        assert_eq!(story.lines.len(), LINES_MAX + 1);
        assert_eq!(story.lines[LINES_MAX / 2].trim(), "...  and 40 events more");
        assert_eq!(story.lines.last().map(String::as_str), Some("fault 99"));
    }
}
