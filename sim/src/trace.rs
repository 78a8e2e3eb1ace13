//! What happened, as a digest and, when someone reads along, as text.
//!
//! Every event of a run goes into one 128-bit digest: its virtual time, its node, its kind, and the values in it.
//! Two runs are the same run exactly when their digests are equal. A sweep keeps the digest alone; a replay also
//! sends each event, with the digest up to it, to the `tracing` subscriber of the thread.

use std::cell::RefCell;
use std::fmt;
use std::hash::Hasher;

use xxhash_rust::xxh3::Xxh3;

use crate::node_id::NodeId;
use crate::time::Instant;

/// The 128-bit digest of a run, or of a run so far. Shown as 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Digest(pub u128);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl std::str::FromStr for Digest {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        u128::from_str_radix(text, 16).map(Self)
    }
}

/// Bytes that are gathered before they are hashed: hashing a few at a time costs more than hashing many at once.
const BUFFER_BYTES: usize = 4096;

/// The record of a run.
pub struct Trace {
    state: RefCell<State>,
    told: bool,
}

struct State {
    buffer: Buffer,
    events: u64,
}

impl Trace {
    /// An empty record. `told`: whether each event is also told as text.
    pub(crate) fn new(told: bool) -> Self {
        let buffer = Buffer { digest: Xxh3::new(), bytes: Box::new([0; BUFFER_BYTES]), filled: 0 };
        Self { state: RefCell::new(State { buffer, events: 0 }), told }
    }

    /// Whether events are told as text. The macro [`record!`](crate::record) asks before it formats anything.
    #[must_use]
    pub fn is_told(&self) -> bool {
        self.told
    }

    /// Takes an event into the digest: `kind` tells it from other kinds, `values` hashes what it is about.
    ///
    /// This is what [`record!`](crate::record) calls; there is no reason to call it by hand.
    pub fn event(&self, at: Instant, node: Option<NodeId>, kind: u64, values: impl FnOnce(&mut Buffer)) {
        let state = &mut *self.state.borrow_mut();
        state.events += 1;
        let place = [at.as_nanos(), kind ^ node.map_or(0, node_bits)];
        state.buffer.write_few(place[0].to_le_bytes());
        state.buffer.write_few(place[1].to_le_bytes());
        values(&mut state.buffer);
    }

    /// The digest of everything up to now.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let buffer = &mut self.state.borrow_mut().buffer;
        buffer.flush();
        Digest(buffer.digest.digest128())
    }

    /// Events so far.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.state.borrow().events
    }
}

/// Distinct for each node, in bits that make no two pairs of kind and node alike by accident.
fn node_bits(node: NodeId) -> u64 {
    match node {
        NodeId::Member(number) => u64::from(number) << 1,
        NodeId::Client(number) => u64::from(number) << 1 | 1,
        // No client has the number 0.
        NodeId::Operator => 1,
    }
    .wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// Takes the bytes of what is hashed; their hash is computed later, many at a time.
pub struct Buffer {
    digest: Xxh3,
    bytes: Box<[u8; BUFFER_BYTES]>,
    filled: usize,
}

impl Buffer {
    #[cold]
    fn flush(&mut self) {
        self.digest.update(&self.bytes[..self.filled]);
        self.filled = 0;
    }

    /// A number. Nearly all that is hashed is numbers, and a store whose length the compiler knows calls no function.
    #[inline]
    fn write_few<const N: usize>(&mut self, bytes: [u8; N]) {
        if let Some(place) = self.bytes[self.filled..].first_chunk_mut() {
            *place = bytes;
            self.filled += N;
        } else {
            self.flush();
            self.write(&bytes);
        }
    }
}

impl Hasher for Buffer {
    fn write(&mut self, bytes: &[u8]) {
        if self.filled + bytes.len() > BUFFER_BYTES {
            self.flush();
        }
        if bytes.len() > BUFFER_BYTES {
            // A snapshot, say: to gather it would only copy it.
            return self.digest.update(bytes);
        }
        self.bytes[self.filled..self.filled + bytes.len()].copy_from_slice(bytes);
        self.filled += bytes.len();
    }

    /// Not a hash: what was written counts, and [`Trace::digest`] computes it.
    fn finish(&self) -> u64 {
        0
    }

    #[inline]
    fn write_u8(&mut self, value: u8) {
        self.write_few([value]);
    }

    // Little-endian whatever the machine, so that a seed has one digest everywhere.
    #[inline]
    fn write_u16(&mut self, value: u16) {
        self.write_few(value.to_le_bytes());
    }

    #[inline]
    fn write_u32(&mut self, value: u32) {
        self.write_few(value.to_le_bytes());
    }

    #[inline]
    fn write_u64(&mut self, value: u64) {
        self.write_few(value.to_le_bytes());
    }

    #[inline]
    fn write_u128(&mut self, value: u128) {
        self.write_few(value.to_le_bytes());
    }

    #[inline]
    fn write_usize(&mut self, value: usize) {
        self.write_u64(value as u64);
    }
}

/// A number for a kind of event, from its topic and its text; computed by the compiler.
#[must_use]
pub const fn kind(topic: &str, text: &str) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325;
    hash = fnv(hash, topic.as_bytes());
    fnv(fnv(hash, b": "), text.as_bytes())
}

const fn fnv(mut hash: u64, bytes: &[u8]) -> u64 {
    let mut index = 0;
    while index < bytes.len() {
        hash = (hash ^ bytes[index] as u64).wrapping_mul(0x0000_0100_0000_01b3);
        index += 1;
    }
    hash
}

/// Records an event: into the digest of the run always, and as text for whoever reads along.
///
/// The first argument has `world()` and `trace_node()`: a [`Node`](crate::Node) or a [`World`](crate::World).
/// Then come the topic, by which a reader filters; the text; and the values that stand in it, each of which is
/// hashed and so must implement `Hash` besides `Display`. Values are evaluated more than once: they must not have
/// side effects.
///
/// ```
/// # use vertebra_sim::{record, Node};
/// fn elected(node: &Node, term: u64) {
///     record!(node, "raft", "becomes leader in term {}", term);
/// }
/// ```
#[macro_export]
macro_rules! record {
    ($source:expr, $topic:literal, $text:literal $(, $value:expr)* $(,)?) => {{
        let source = &$source;
        let (world, node) = (source.world(), source.trace_node());
        world.trace().event(world.now(), node, const { $crate::trace::kind($topic, $text) }, |buffer| {
            let _ = &buffer;
            $( ::std::hash::Hash::hash(&$value, buffer); )*
        });
        if world.trace().is_told() {
            $crate::trace::tracing::info!(
                target: concat!("vertebra::", $topic),
                at = world.now().as_nanos(),
                node = node.map($crate::trace::tracing::field::display),
                digest = %world.trace().digest(),
                $text $(, $value)*
            );
        }
    }};
}

#[doc(hidden)]
pub use tracing;

#[cfg(test)]
mod tests {
    use std::hash::Hash;

    use super::*;

    fn digest(events: &[(u64, Option<NodeId>, u64, &str)]) -> Digest {
        let trace = Trace::new(false);
        for (at, node, kind, text) in events {
            trace.event(Instant::from_nanos(*at), *node, *kind, |buffer| text.hash(buffer));
        }
        trace.digest()
    }

    #[test]
    fn time_node_kind_and_values_each_change_the_digest() {
        let member = Some(NodeId::Member(1));
        let same = digest(&[(1, member, 7, "a")]);
        assert_eq!(same, digest(&[(1, member, 7, "a")]));
        for other in [
            (2, member, 7, "a"),
            (1, Some(NodeId::Client(1)), 7, "a"),
            (1, None, 7, "a"),
            (1, member, 8, "a"),
            (1, member, 7, "b"),
        ] {
            assert_ne!(same, digest(&[other]));
        }
    }

    #[test]
    fn asking_for_the_digest_on_the_way_does_not_change_it() {
        let (asked, unasked) = (Trace::new(false), Trace::new(false));
        for event in 0..1_000 {
            for trace in [&asked, &unasked] {
                trace.event(Instant::START, None, event, |buffer| event.hash(buffer));
            }
            let _ = asked.digest();
        }
        assert_eq!(asked.digest(), unasked.digest());
    }

    #[test]
    fn many_bytes_at_once_are_hashed_as_they_are_one_by_one() {
        let bytes: Vec<u8> = (0..3 * BUFFER_BYTES).map(|byte| byte as u8).collect();
        let (whole, single) = (Trace::new(false), Trace::new(false));
        for trace in [&whole, &single] {
            trace.event(Instant::START, None, 1, |buffer| buffer.write(b"before"));
        }
        whole.event(Instant::START, None, 2, |buffer| buffer.write(&bytes));
        single.event(Instant::START, None, 2, |buffer| bytes.iter().for_each(|byte| buffer.write_u8(*byte)));
        assert_eq!(whole.digest(), single.digest());
    }

    #[test]
    fn a_digest_is_read_back_from_its_text() {
        let digest = digest(&[(1, None, 7, "a")]);
        assert_eq!(digest.to_string().parse(), Ok(digest));
    }
}
