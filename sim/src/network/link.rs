//! One direction between two nodes.

use std::rc::Rc;
use std::time::Duration;

use crate::network::datagram::Packet;
use crate::random::{Moments, Stream, Streams};
use crate::schedule;
use crate::time::{Instant, nanos};

/// How a link behaves: all times in nanoseconds, all chances in parts per million.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LinkProfile {
    /// Least latency of a packet.
    pub latency_min: u64,
    /// Greatest latency of an ordinary packet; each value between the two is equally likely.
    pub latency_max: u64,
    /// How often a packet is a straggler.
    pub tail_ppm: u32,
    /// Greatest latency of a straggler.
    pub tail_max: u64,
    /// How often a packet is lost.
    pub loss_ppm: u32,
    /// How often a datagram is duplicated. Of those that are, half arrive twice, a quarter three times, and so on.
    pub duplicate_ppm: u32,
    /// How much later than an ordinary packet a copy may come.
    pub duplicate_delay_max: u64,
    /// How often a packet takes longer than it would, so that others overtake it.
    pub reorder_ppm: u32,
    /// How much longer at most.
    pub reorder_delay_max: u64,
}

impl LinkProfile {
    /// The worse of the two in each respect.
    fn worse(self, other: Self) -> Self {
        Self {
            latency_min: self.latency_min.max(other.latency_min),
            latency_max: self.latency_max.max(other.latency_max),
            tail_ppm: self.tail_ppm.max(other.tail_ppm),
            tail_max: self.tail_max.max(other.tail_max),
            loss_ppm: self.loss_ppm.max(other.loss_ppm),
            duplicate_ppm: self.duplicate_ppm.max(other.duplicate_ppm),
            duplicate_delay_max: self.duplicate_delay_max.max(other.duplicate_delay_max),
            reorder_ppm: self.reorder_ppm.max(other.reorder_ppm),
            reorder_delay_max: self.reorder_delay_max.max(other.reorder_delay_max),
        }
    }
}

impl From<&schedule::Link> for LinkProfile {
    fn from(link: &schedule::Link) -> Self {
        Self {
            latency_min: nanos(link.latency_min),
            latency_max: nanos(link.latency_max),
            tail_ppm: link.tail_ppm,
            tail_max: nanos(link.tail_max),
            loss_ppm: link.loss_ppm,
            duplicate_ppm: link.duplicate_ppm,
            duplicate_delay_max: nanos(link.duplicate_delay_max),
            reorder_ppm: 0,
            reorder_delay_max: 0,
        }
    }
}

/// What picks out messages of some kinds.
pub(crate) struct Filter {
    /// The kinds.
    pub(crate) messages: Vec<String>,
    /// How often one is lost, in parts per million.
    pub(crate) loss_ppm: u32,
    /// How many nanoseconds later the others arrive.
    pub(crate) delay: u64,
}

/// Copies of one datagram at most.
const COPIES_MAX: usize = 8;

/// What a connection waits before it sends a lost segment again, the first time; then twice as long each time.
const RETRANSMISSION: Duration = Duration::from_millis(200);

/// The state of one direction between two nodes.
pub(crate) struct Link {
    profile: LinkProfile,
    base: LinkProfile,
    /// By the number of the fault that did it; they add up.
    degradations: Vec<(usize, LinkProfile)>,
    /// That of its streams.
    number: u64,
    /// By the number of the fault that put them there.
    filters: Vec<(usize, Rc<Filter>)>,
    filter_draws: Option<Box<Moments>>,
    draws: Option<Box<Moments>>,
    cuts: u32,
    holds: u32,
    /// Raised at each cut: a packet sent under an earlier epoch was in flight then, and is lost.
    pub(crate) epoch: u32,
    /// Packets that wait for a hold to end.
    pub(crate) held: Vec<Box<dyn Packet>>,
}

/// What becomes of a packet that is put on a link.
pub(crate) enum Passage {
    /// It arrives after so many nanoseconds, and copies of it after so many.
    Arrives {
        latency: u64,
        copies: Vec<u64>,
    },
    Lost,
}

impl Link {
    /// `number` is that of its streams.
    pub(crate) fn new(base: LinkProfile, number: u64) -> Self {
        Self {
            number,
            profile: base,
            base,
            degradations: Vec::new(),
            filters: Vec::new(),
            filter_draws: None,
            draws: None,
            cuts: 0,
            holds: 0,
            epoch: 0,
            held: Vec::new(),
        }
    }

    pub(crate) fn is_cut(&self) -> bool {
        self.cuts > 0
    }

    pub(crate) fn is_held(&self) -> bool {
        self.holds > 0
    }

    pub(crate) fn is_up(&self) -> bool {
        self.cuts == 0 && self.holds == 0
    }

    /// Packets in flight and packets sent from now on are lost, until as many `join`s.
    pub(crate) fn cut(&mut self) {
        self.cuts += 1;
        self.epoch += 1;
        // What a hold keeps back is in flight too.
        self.held.clear();
    }

    pub(crate) fn join(&mut self) {
        self.cuts = self.cuts.saturating_sub(1);
    }

    /// Packets in flight and packets sent from now on are kept back, until as many `release`s.
    pub(crate) fn hold(&mut self) {
        self.holds += 1;
    }

    pub(crate) fn release(&mut self) {
        self.holds = self.holds.saturating_sub(1);
    }

    pub(crate) fn degrade(&mut self, fault: usize, profile: LinkProfile) {
        self.degradations.push((fault, profile));
        self.recompute();
    }

    pub(crate) fn restore(&mut self, fault: usize) {
        self.degradations.retain(|(other, _)| *other != fault);
        self.recompute();
    }

    pub(crate) fn heal(&mut self) {
        (self.cuts, self.holds) = (0, 0);
        self.degradations.clear();
        self.filters.clear();
        self.recompute();
    }

    pub(crate) fn filter(&mut self, fault: usize, filter: Rc<Filter>) {
        self.filters.push((fault, filter));
    }

    pub(crate) fn end_filter(&mut self, fault: usize) {
        self.filters.retain(|(other, _)| *other != fault);
    }

    pub(crate) fn has_filters(&self) -> bool {
        !self.filters.is_empty()
    }

    /// Draws what the filters do to a message: how many nanoseconds it is late, or nothing when it is lost.
    pub(crate) fn pass_filters(&mut self, streams: &Streams, now: Instant, kind: &str) -> Option<u64> {
        let mut delay = 0;
        for (_, filter) in &self.filters {
            if !filter.messages.iter().any(|message| message == kind) {
                continue;
            }
            let draws =
                self.filter_draws.get_or_insert_with(|| moments(streams, "network/filter", self.number));
            if filter.loss_ppm > 0 && draws.at(now).chance(filter.loss_ppm) {
                return None;
            }
            delay = delay.max(filter.delay);
        }
        Some(delay)
    }

    fn recompute(&mut self) {
        self.profile = self.degradations.iter().fold(self.base, |worst, (_, profile)| worst.worse(*profile));
    }

    /// Draws what happens to a datagram.
    pub(crate) fn pass(&mut self, streams: &Streams, now: Instant) -> Passage {
        let Self { profile, draws, number, .. } = self;
        let stream = draws.get_or_insert_with(|| moments(streams, "network/link", *number)).at(now);
        if profile.loss_ppm > 0 && stream.chance(profile.loss_ppm) {
            return Passage::Lost;
        }
        let latency = latency(profile, stream);
        // Allocates only when there is a copy, which is rare.
        let mut copies = Vec::new();
        if profile.duplicate_ppm > 0 && stream.chance(profile.duplicate_ppm) {
            let latency_max = profile.latency_max + profile.duplicate_delay_max;
            copies.push(stream.between(profile.latency_min, latency_max));
            while copies.len() < COPIES_MAX && stream.chance(500_000) {
                copies.push(stream.between(profile.latency_min, latency_max));
            }
        }
        Passage::Arrives { latency, copies }
    }

    /// Draws the latency of what must arrive: a lost segment is sent again until it gets through.
    pub(crate) fn pass_reliably(&mut self, streams: &Streams, now: Instant) -> u64 {
        let Self { profile, draws, number, .. } = self;
        let stream = draws.get_or_insert_with(|| moments(streams, "network/link", *number)).at(now);
        let mut total = latency(profile, stream);
        for attempt in 0..6 {
            if profile.loss_ppm == 0 || !stream.chance(profile.loss_ppm) {
                break;
            }
            total += nanos(RETRANSMISSION) << attempt;
        }
        total
    }
}

fn moments(streams: &Streams, purpose: &str, number: u64) -> Box<Moments> {
    Box::new(Moments::new(streams.stream(purpose, number)))
}

fn latency(profile: &LinkProfile, stream: &mut Stream) -> u64 {
    let high = if profile.tail_ppm > 0 && stream.chance(profile.tail_ppm) {
        profile.tail_max.max(profile.latency_max)
    } else {
        profile.latency_max
    };
    let latency = stream.between(profile.latency_min.min(high), high);
    if profile.reorder_ppm > 0 && stream.chance(profile.reorder_ppm) {
        return latency + stream.between(0, profile.reorder_delay_max);
    }
    latency
}
