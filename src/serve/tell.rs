//! What is told while a cluster serves: where it does, what is being broken, and how it ended.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use anstyle::AnsiColor;
use serde::Serialize;
use vertebra_model::Options;
use vertebra_sim::schedule::Schedule;
use vertebra_sim::{Instant, NodeId};

use super::flags::Flags;
use super::hub::Hub;
use crate::drawn::Drawn;
use crate::exit::{Outcome, Refusal};
use crate::output::{Line, Output, complain};
use crate::replay::Ending;
use crate::words::counted;

/// How often it is looked whether a fault has ended.
const LOOK: Duration = Duration::from_millis(100);

/// What the simulation says.
pub enum Told {
    /// An event of this topic.
    Fault { at_ns: u64, text: String },
    /// Somebody else leads from now on.
    Leader { at_ns: u64, leader: Option<NodeId> },
    /// It is over.
    Over,
}

/// Tells it.
pub struct Telling {
    out: Output,
    json: bool,
    drawn: Drawn,
    members: u16,
    seed: u64,
    /// Of each fault: its kind, and when it ends where that is known.
    faults: Vec<(&'static str, Option<Duration>)>,
    /// Those that have begun and not ended, by number.
    broken: BTreeMap<usize, Duration>,
    leader: Option<NodeId>,
}

/// The first line as JSON.
#[derive(Serialize)]
struct ServingLine<'a> {
    r#type: &'static str,
    members: u16,
    seed: u64,
    endpoints: Vec<EndpointPart<'a>>,
    session: String,
}

#[derive(Serialize)]
struct EndpointPart<'a> {
    member: u16,
    url: &'a str,
}

#[derive(Serialize)]
struct FaultLine<'a> {
    r#type: &'static str,
    at_ns: u64,
    number: usize,
    event: &'static str,
    text: &'a str,
}

#[derive(Serialize)]
struct LeaderLine {
    r#type: &'static str,
    at_ns: u64,
    member: String,
}

impl Telling {
    pub fn new(flags: &Flags, schedule: &Schedule<Options>) -> Self {
        let faults = schedule.faults.iter().map(|timed| (timed.fault.kind(), timed.end()));
        Self {
            out: Output::stdout(),
            json: flags.json,
            drawn: Drawn::new(),
            members: flags.members,
            seed: flags.seed,
            faults: faults.collect(),
            broken: BTreeMap::new(),
            leader: None,
        }
    }

    /// It serves, from now on.
    pub fn serves(&mut self, urls: &[String], session: &Path) -> Result<(), Refusal> {
        if self.json {
            let endpoints = (1..).zip(urls).map(|(member, url)| EndpointPart { member, url }).collect();
            let (members, seed) = (self.members, self.seed);
            let session = session.display().to_string();
            self.out.json(&ServingLine { r#type: "serving", members, seed, endpoints, session });
        } else {
            let members = counted(self.members.into(), "member");
            let faults = match self.faults.is_empty() {
                true => "no faults",
                false => "faults",
            };
            self.out.line(format_args!("serving    {members}, seed {}, {faults}", self.seed));
            for (member, url) in (1_u16..).zip(urls) {
                self.out.line(format_args!("member {member}   {url}"));
            }
            self.out.line(format_args!("session    {}", Line(&session.display().to_string())));
        }
        self.out.finish()
    }

    /// Tells what happens until the simulation is over.
    pub fn until_over(&mut self, hears: &Receiver<Told>, now: &AtomicU64, hub: &Hub) {
        loop {
            match hears.recv_timeout(LOOK) {
                Ok(Told::Over) | Err(RecvTimeoutError::Disconnected) => break,
                Ok(Told::Fault { at_ns, text }) => self.fault(at_ns, &text),
                Ok(Told::Leader { at_ns, leader }) => self.leads(at_ns, leader),
                Err(RecvTimeoutError::Timeout) => {
                    let now = Duration::from_nanos(now.load(Ordering::Relaxed));
                    self.look_what_ended(now);
                    self.draw(now, hub.under_way());
                }
            }
            // Nobody reads: it goes on serving.
            let _ = self.out.flush();
        }
        self.drawn.clear();
    }

    fn fault(&mut self, at_ns: u64, text: &str) {
        let numbered = text.split_once(": ").and_then(|(number, text)| Some((number.parse().ok()?, text)));
        let Some((number, text)) = numbered else {
            let is_end = text.starts_with("all faults");
            if is_end {
                self.broken.clear();
            }
            return self.tell_fault(at_ns, 0, if is_end { "ends" } else { "strikes" }, text);
        };
        if text.starts_with("spares ") {
            return self.tell_fault(at_ns, number, "spares", text.trim_start_matches("spares "));
        }
        self.tell_fault(at_ns, number, "begins", text);
        let end = number.checked_sub(1).and_then(|place| self.faults.get(place)).and_then(|(_, end)| *end);
        if let Some(end) = end.filter(|end| *end > Duration::from_nanos(at_ns)) {
            self.broken.insert(number, end);
        }
    }

    fn look_what_ended(&mut self, now: Duration) {
        let over: Vec<_> =
            self.broken.iter().filter(|(_, end)| **end <= now).map(|(number, end)| (*number, *end)).collect();
        for (number, end) in over {
            self.broken.remove(&number);
            let kind = self.faults[number - 1].0;
            self.tell_fault(u64::try_from(end.as_nanos()).unwrap_or(u64::MAX), number, "ends", kind);
        }
    }

    fn tell_fault(&mut self, at_ns: u64, number: usize, event: &'static str, text: &str) {
        if self.json {
            return self.out.json(&FaultLine { r#type: "fault", at_ns, number, event, text });
        }
        self.drawn.clear();
        let colour = if event == "begins" { AnsiColor::Yellow } else { AnsiColor::Green };
        let event = self.out.paint(colour.on_default(), format_args!("{event:<6}")).to_string();
        let at = Instant::from_nanos(at_ns).to_string();
        match number {
            0 => self.out.line(format_args!("{at:>11}  {}", Line(text))),
            number => self.out.line(format_args!("{at:>11}  fault {number} {event}  {}", Line(text))),
        }
    }

    fn leads(&mut self, at_ns: u64, leader: Option<NodeId>) {
        self.leader = leader;
        let Some(leader) = leader else { return };
        if self.json {
            return self.out.json(&LeaderLine { r#type: "leader", at_ns, member: leader.to_string() });
        }
        self.drawn.clear();
        self.out.line(format_args!("{:>11}  {leader} leads", Instant::from_nanos(at_ns).to_string()));
    }

    /// What is broken now, in the last line of a terminal.
    fn draw(&mut self, now: Duration, calls: usize) {
        if !self.drawn.is_terminal || self.json {
            return;
        }
        let broken: Vec<_> =
            self.broken.keys().map(|number| format!("{number} {}", self.faults[number - 1].0)).collect();
        let broken = if broken.is_empty() { "nothing".to_owned() } else { broken.join(", ") };
        let leader = self.leader.map_or_else(|| "nobody".to_owned(), |leader| leader.to_string());
        let calls = counted(calls as u64, "call");
        self.drawn
            .draw(&format!("{:.1} s  {leader} leads, {calls}, broken now: {broken}", now.as_secs_f64()));
    }

    /// Tells how it ended.
    pub fn end(&mut self, ending: &Ending) -> Result<Outcome, Refusal> {
        match self.json {
            true => self.out.json(ending),
            false => ending.tell(&mut self.out),
        }
        match (self.out.finish(), ending.outcome()) {
            (Err(refusal), Outcome::Pass) => Err(refusal),
            (Err(refusal), outcome) => {
                complain(format_args!("error: {refusal}"));
                Ok(outcome)
            }
            (Ok(()), outcome) => Ok(outcome),
        }
    }
}
