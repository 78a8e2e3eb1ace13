//! Where two runs part, by what they tell.
//!
//! Both are read line by line, side by side, up to the first line that differs. Only the last few lines are kept,
//! however long the runs are.

use std::collections::VecDeque;

use vertebra_sim::Instant;

pub use self::sides::{Parting, PartingLine, Run};
pub use self::tell::ComparisonLine;
pub use self::told::Told;
use crate::exit::Refusal;
use crate::replay::{Ending, EventLine};

mod sides;
mod tell;
mod told;

/// Equal lines before a difference that are told.
const BEFORE: usize = 10;
/// Lines from a difference on that are told of each run.
const AFTER: usize = 4;
/// How the lines of a schedule and of an event begin.
const SCHEDULE: &str = r#"{"type":"schedule""#;
const EVENT: &str = r#"{"type":"event""#;

/// What makes two lines equal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum By {
    /// Every byte. An event's line has the digest up to it: so the first that differs is the first event that does.
    Line,
    /// What they say: of an event its time, node, topic and text. Between two builds a digest may differ long
    /// before any text does, and the schedules at the heads may be written in other ways.
    Text,
}

/// What came of a comparison.
pub struct Comparison {
    /// How many events are equal.
    pub events: u64,
    /// Equal lines before the difference, the last of them directly.
    before: VecDeque<String>,
    /// Lines from the difference on, of each run, if they differ. None where a run is over.
    after: Option<[Vec<String>; 2]>,
    /// The first event that says the same and has another digest.
    hidden: Option<u64>,
    /// Whether the schedules at the heads differ, where that is no difference between the runs.
    pub other_schedules: bool,
}

impl Comparison {
    /// Compares what two runs tell, up to the first difference.
    ///
    /// # Errors
    ///
    /// If what they tell cannot be read.
    pub fn new(first: &mut Told, second: &mut Told, by: By) -> Result<Self, Refusal> {
        let before = VecDeque::with_capacity(BEFORE + 1);
        let mut compared = Self { events: 0, before, after: None, hidden: None, other_schedules: false };
        loop {
            match (first.next()?, second.next()?) {
                (Some(line), Some(other)) if line == other || compared.say_the_same(&line, &other, by) => {
                    compared.keep(line);
                }
                (None, None) => return Ok(compared),
                (one, other) => {
                    let after = [first.following(one, AFTER)?, second.following(other, AFTER)?];
                    return Ok(Self { after: Some(after), ..compared });
                }
            }
        }
    }

    /// Whether two lines that are not equal differ only in what does not matter.
    fn say_the_same(&mut self, line: &str, other: &str, by: By) -> bool {
        if by == By::Line {
            return false;
        }
        if let (Some(event), Some(other)) = (event(line), event(other)) {
            let same = says(&event) == says(&other);
            if same && event.digest != other.digest {
                self.hidden.get_or_insert(event.event);
            }
            return same;
        }
        let schedules = line.starts_with(SCHEDULE) && other.starts_with(SCHEDULE);
        self.other_schedules |= schedules;
        let signature = |ending: Ending| ending.failure.map(|failure| failure.signature);
        schedules
            || ending(line)
                .zip(ending(other))
                .is_some_and(|(ending, other)| signature(ending) == signature(other))
    }

    fn keep(&mut self, line: String) {
        self.events += u64::from(line.starts_with(EVENT));
        self.before.push_back(line);
        if self.before.len() > BEFORE {
            self.before.pop_front();
        }
    }

    /// Whether both are one run.
    pub fn is_equal(&self) -> bool {
        self.after.is_none() && self.hidden.is_none()
    }

    /// The last line of two equal runs, if it is a verdict.
    pub fn ending(&self) -> Option<Ending> {
        self.before.back().and_then(|line| ending(line))
    }

    /// The difference, in a line.
    fn summary(&self) -> String {
        let hidden = "in a value that its text does not show";
        let Some([first, second]) = &self.after else {
            return match self.hidden {
                Some(event) => {
                    format!("all events say the same, but from event {event} on digests differ, {hidden}")
                }
                None => "nothing".to_owned(),
            };
        };
        let parted = |lines: &[String]| lines.first().and_then(|line| event(line));
        let mut summary = match (parted(first), parted(second)) {
            (Some(first), Some(second)) => {
                let how = if says(&first) == says(&second) { format!(", {hidden}") } else { String::new() };
                format!("event {} differs at {} s{how}", first.event, Instant::from_nanos(first.at_ns))
            }
            (Some(event), None) | (None, Some(event)) => {
                format!("event {} at {} s is in one run only", event.event, Instant::from_nanos(event.at_ns))
            }
            (None, None) => "the runs differ outside of their events".to_owned(),
        };
        if let Some(event) = self.hidden {
            summary += &format!("; from event {event} on digests differ, {hidden}");
        }
        summary
    }
}

/// What an event says, without the digest.
fn says(event: &EventLine<String>) -> (u64, Option<&str>, &str, &str) {
    (event.at_ns, event.node.as_deref(), &event.topic, &event.text)
}

fn event(line: &str) -> Option<EventLine<String>> {
    line.starts_with(EVENT).then(|| serde_json::from_str(line).ok()).flatten()
}

fn ending(line: &str) -> Option<Ending> {
    serde_json::from_str(line).ok()
}
