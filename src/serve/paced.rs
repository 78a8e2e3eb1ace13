//! The simulation at the pace of the wall clock, on a thread of its own.
//!
//! This thread knows no clock. It is told how much time has passed, and lets as much virtual time pass; what comes in comes in
//! at the virtual time that there is then, and is written down before anything becomes of it.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender};
use std::time::Duration;

use vertebra_model::grpc::Up;
use vertebra_model::served::{Doors, Served};
use vertebra_sim::{Instant, NodeId, Outside, System, Turn, World};

use super::hub::Event;
use super::record::Recorder;
use super::tell::Told;

/// How far it goes on before it looks who has come in meanwhile, where it lags behind.
const SLICE: Duration = Duration::from_millis(5);

/// How much real time it makes up for when it was held up. Beyond that, time stood still here: callers who keep something
/// alive could not have done so in the meantime.
const LAG_MAX: Duration = Duration::from_millis(250);

/// Things that come in at one moment, at most.
const AT_ONCE: usize = 1_000;

/// How many seconds of virtual time there are in a thousand seconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Speed(pub u32);

impl Speed {
    fn virtual_time(self, passed: Duration) -> Duration {
        let nanos = passed.as_nanos() * u128::from(self.0) / 1_000;
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

/// Who paces the run, and hands in what comes.
pub struct Paced {
    events: Receiver<Event>,
    served: Rc<Served>,
    doors: Rc<Doors>,
    recorder: Recorder,
    speed: Speed,
    /// How far the run may go by now.
    until: Instant,
    /// How much virtual time was left out.
    skipped: Duration,
    coming: Vec<(u16, Up)>,
    ends: bool,
    /// When it was ended.
    ended: Rc<Cell<Option<Instant>>>,
    /// For those who want to know how late it is here.
    now: Arc<AtomicU64>,
    told: Sender<Told>,
    leader: Option<NodeId>,
}

impl Paced {
    pub fn new(
        events: Receiver<Event>,
        served: Rc<Served>,
        recorder: Recorder,
        speed: Speed,
        now: Arc<AtomicU64>,
        ended: Rc<Cell<Option<Instant>>>,
        told: Sender<Told>,
    ) -> Self {
        Self {
            events,
            doors: served.doors(),
            served,
            recorder,
            speed,
            until: Instant::START,
            skipped: Duration::ZERO,
            coming: Vec::new(),
            ends: false,
            ended,
            now,
            told,
            leader: None,
        }
    }

    /// Tells who leads, when that has changed.
    fn look_who_leads(&mut self, now: Instant) {
        let leader = self.served.leader();
        if leader.is_some() && leader != self.leader {
            self.leader = leader;
            let _ = self.told.send(Told::Leader { at_ns: now.as_nanos(), leader });
        }
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Passed(passed) => {
                let passed = self.speed.virtual_time(passed).saturating_sub(self.skipped);
                self.until = self.until.max(Instant::START + passed);
            }
            // The room that it took is free when it is dropped.
            Event::Up(member, up, _room) => self.coming.push((member, up)),
            Event::Stop => self.ends = true,
        }
    }

    fn take_what_waits(&mut self, now: Instant) {
        while self.coming.len() < AT_ONCE
            && let Ok(event) = self.events.try_recv()
        {
            self.take(event);
        }
        let latest = now + self.speed.virtual_time(LAG_MAX);
        self.skipped += self.until.since(latest);
        self.until = self.until.min(latest);
    }
}

impl Outside for Paced {
    fn turn(&mut self, world: &World) -> Turn {
        let now = world.now();
        self.now.store(now.as_nanos(), Ordering::Relaxed);
        self.recorder.reached(now);
        self.look_who_leads(now);
        self.take_what_waits(now);
        loop {
            if !self.coming.is_empty() {
                let opens = self.doors.opens();
                if opens > now {
                    return Turn::Until(opens);
                }
                let coming = std::mem::take(&mut self.coming);
                self.recorder.comes_in(now, &coming);
                self.doors.up(coming);
                return Turn::Until(self.doors.opens());
            }
            if self.ends {
                self.ended.set(Some(now));
                return Turn::End;
            }
            if self.until > now {
                return Turn::Until(self.until.min(now + SLICE));
            }
            match self.events.recv() {
                Ok(event) => self.take(event),
                Err(_) => self.ends = true,
            }
            self.take_what_waits(now);
        }
    }
}
