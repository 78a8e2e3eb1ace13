//! A run as a timeline: one line for each event, in virtual time.
//!
//! Events come over `tracing`, from [`vertebra_sim::record!`], with a target that begins with `vertebra::`. Those of
//! other crates are turned away where they are made, so they cost nothing.

use std::collections::BTreeSet;
use std::fmt::{self, Write as _};
use std::sync::{Mutex, PoisonError};

use anstyle::{AnsiColor, Color, Style};
use serde::{Deserialize, Serialize};
use tracing::field::{Field, Visit};
use tracing::subscriber::Interest;
use tracing::{Dispatch, Event, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::{Layer, Registry};
use vertebra_sim::Instant;

use super::filter::Filter;
use crate::output::{Line, Output};

const TARGET: &str = "vertebra::";
/// The topic of marks, which are told to the reader and are no events of the run.
const MARK: &str = "mark";

/// One event, as `replay --json` tells it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct EventLine<T> {
    /// Always `event`.
    pub r#type: T,
    /// Its number in the run, from 1. Filters do not change it. A mark is no event of the run, and has the number of
    /// the event before it.
    pub event: u64,
    /// Nanoseconds of virtual time since the start.
    pub at_ns: u64,
    /// `member 1`, `client 2`, or nothing for what is of no node.
    pub node: Option<T>,
    pub topic: T,
    pub text: T,
    /// The digest over this event and all before it.
    pub digest: T,
}

impl<T: AsRef<str>> EventLine<T> {
    /// Tells it as text.
    pub fn tell(&self, out: &mut Output) {
        let (at, topic, text) = (Instant::from_nanos(self.at_ns), self.topic.as_ref(), self.text.as_ref());
        let node = self.node.as_ref().map_or("", AsRef::as_ref);
        let node = out.paint(style(node), format_args!("{node:<9}")).to_string();
        let topic = out.paint(Style::new().dimmed(), format_args!("{topic:<8}")).to_string();
        out.line(format_args!("{:>11}  {node}  {topic}  {}", at.to_string(), Line(text)));
    }
}

/// Each member has a colour of its own, as far as there are colours that differ; clients share one that is calm.
fn style(node: &str) -> Style {
    const MEMBERS: [AnsiColor; 6] = [
        AnsiColor::Cyan,
        AnsiColor::Yellow,
        AnsiColor::Magenta,
        AnsiColor::Green,
        AnsiColor::Blue,
        AnsiColor::BrightRed,
    ];
    let number = |digits: &str| digits.parse::<usize>().unwrap_or(1).max(1);
    match node.split_once(' ') {
        Some(("member", digits)) => {
            let colour = MEMBERS.get((number(digits) - 1) % MEMBERS.len()).copied();
            Style::new().fg_color(colour.map(Color::Ansi))
        }
        Some(_) => Style::new().dimmed(),
        None => Style::new(),
    }
}

/// Lets `hear` hear each event of a run.
pub fn listen(hear: impl FnMut(&EventLine<&str>) + Send + 'static) -> Dispatch {
    listen_to(&[], hear)
}

/// Lets `hear` hear the events of these topics; without any, all of them. No text is made of the others, and their numbers are
/// not counted.
pub fn listen_to(
    topics: &'static [&'static str],
    hear: impl FnMut(&EventLine<&str>) + Send + 'static,
) -> Dispatch {
    let hearing = Mutex::new(Hearing { hear, events: 0, fields: Fields::default() });
    Dispatch::new(Registry::default().with(Listener { topics, hearing }))
}

/// A layer of `tracing-subscriber` over the events of a run.
struct Listener<H> {
    topics: &'static [&'static str],
    hearing: Mutex<Hearing<H>>,
}

impl<H> Listener<H> {
    fn hears(&self, metadata: &Metadata<'_>) -> bool {
        let topic = metadata.target().strip_prefix(TARGET);
        topic.is_some_and(|topic| self.topics.is_empty() || self.topics.contains(&topic))
    }
}

struct Hearing<H> {
    hear: H,
    /// Events so far.
    events: u64,
    fields: Fields,
}

impl<S: Subscriber, H: FnMut(&EventLine<&str>) + Send + 'static> Layer<S> for Listener<H> {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.hears(metadata) { Interest::always() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        self.hears(metadata)
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let Hearing { hear, events, fields } =
            &mut *self.hearing.lock().unwrap_or_else(PoisonError::into_inner);
        let topic = event.metadata().target().strip_prefix(TARGET).unwrap_or_default();
        *events += u64::from(topic != MARK);
        fields.clear();
        event.record(fields);
        hear(&EventLine {
            r#type: "event",
            event: *events,
            at_ns: fields.at,
            node: (!fields.node.is_empty()).then_some(fields.node.as_str()),
            topic,
            text: fields.text.as_str(),
            digest: fields.digest.as_str(),
        });
    }
}

/// What of a run is told, and where to.
pub struct Telling {
    pub out: Output,
    filter: Filter,
    json: bool,
    /// Events that were told.
    pub told: u64,
    /// The topics that occurred, for whoever filters by one that did not.
    pub topics: BTreeSet<String>,
}

impl Telling {
    /// Nothing told yet.
    pub fn new(out: Output, filter: Filter, json: bool) -> Self {
        Self { out, filter, json, told: 0, topics: BTreeSet::new() }
    }

    /// Tells `line`, if the filter takes it.
    pub fn hear(&mut self, line: &EventLine<&str>) {
        if !self.topics.contains(line.topic) {
            self.topics.insert(line.topic.to_owned());
        }
        let (filter, node) = (&self.filter, line.node.unwrap_or_default());
        if !(filter.takes_kind(line.topic, line.at_ns) && filter.takes_content(node, line.text)) {
            return;
        }
        self.told += 1;
        match self.json {
            true => self.out.json(line),
            false => line.tell(&mut self.out),
        }
    }
}

/// The fields of the last event. Their memory is used again for the next.
#[derive(Default)]
struct Fields {
    at: u64,
    node: String,
    text: String,
    digest: String,
}

impl Fields {
    fn clear(&mut self) {
        self.at = 0;
        self.node.clear();
        self.text.clear();
        self.digest.clear();
    }
}

impl Visit for Fields {
    fn record_u64(&mut self, field: &Field, value: u64) {
        if field.name() == "at" {
            self.at = value;
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let text = match field.name() {
            "node" => &mut self.node,
            "message" => &mut self.text,
            "digest" => &mut self.digest,
            _ => return,
        };
        // Writing to a `String` does not fail, and a value that cannot be shown is shown as far as it goes.
        let _ = write!(text, "{value:?}");
    }
}
