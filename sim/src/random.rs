//! Randomness in named streams.
//!
//! A run draws from many independent streams of ChaCha8, one for each purpose and node, link or client. A draw that
//! is added in one place therefore moves nothing anywhere else: the schedule of a seed does not change because
//! the network learnt to draw once more, and a shrunk schedule meets the same latencies as the whole one.
//!
//! Integers are sampled here, in a few lines, because the ranges of the `rand` crate are not stable across its
//! versions, and a seed must mean the same run for as long as the code of that run is the same.

use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::time::Instant;

/// Where the streams of one run come from: a seed, and the rule that turns a purpose into a key.
#[derive(Clone, Copy, Debug)]
pub struct Streams {
    seed: u64,
    disturbed: Option<&'static str>,
}

impl Streams {
    /// The streams of `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { seed, disturbed: None }
    }

    /// The seed.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The same streams, but for one draw more at the start of each stream of `purpose`.
    ///
    /// It stands for a change of code that draws once more in one place, so that a test can show what such a
    /// change moves, and that it moves nothing else.
    #[must_use]
    pub fn disturbing(self, purpose: &'static str) -> Self {
        Self { disturbed: Some(purpose), ..self }
    }

    /// The stream for `purpose`, and for `index` within it (a node, a link, a client; 0 where there is one).
    ///
    /// The same three values give the same draws in every process and on every machine.
    #[must_use]
    pub fn stream(&self, purpose: &str, index: u64) -> Stream {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&self.seed.to_le_bytes());
        key[8..16].copy_from_slice(&index.to_le_bytes());
        key[16..].copy_from_slice(&xxhash_rust::xxh3::xxh3_128(purpose.as_bytes()).to_le_bytes());
        let mut stream = Stream(Source::Long(Box::new(ChaCha8Rng::from_seed(key))));
        if self.disturbed == Some(purpose) {
            stream.next_u64();
        }
        stream
    }
}

/// One stream of random draws.
#[derive(Clone, Debug)]
pub struct Stream(Source);

#[derive(Clone, Debug)]
enum Source {
    Long(Box<ChaCha8Rng>),
    Moment(Mixer),
}

impl Stream {
    /// 64 uniform bits.
    pub fn next_u64(&mut self) -> u64 {
        match &mut self.0 {
            Source::Long(generator) => generator.next_u64(),
            Source::Moment(mixer) => mixer.next_u64(),
        }
    }

    /// A uniform integer in `0..bound`.
    ///
    /// # Panics
    ///
    /// If `bound` is 0: there is nothing to choose from.
    pub fn below(&mut self, bound: u64) -> u64 {
        assert!(bound > 0, "a draw needs at least one value to choose from");
        // Lemire's multiplication, with rejection, so that every value is equally likely.
        let threshold = bound.wrapping_neg() % bound;
        loop {
            let product = u128::from(self.next_u64()) * u128::from(bound);
            if product as u64 >= threshold {
                return (product >> 64) as u64;
            }
        }
    }

    /// A uniform integer in `low..=high`.
    ///
    /// # Panics
    ///
    /// If `low > high`.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        assert!(low <= high, "a range from {low} to {high} holds no value");
        match (high - low).checked_add(1) {
            Some(values) => low + self.below(values),
            None => self.next_u64(),
        }
    }

    /// An integer in `low..=high` whose order of magnitude is uniform: as often in 1 to 10 as in 100 to 1,000.
    ///
    /// # Panics
    ///
    /// If `low` is 0 or `low > high`.
    pub fn magnitude(&mut self, low: u64, high: u64) -> u64 {
        assert!(low > 0, "0 has no order of magnitude");
        // Halving steps without floating point: choose a power of two, then a value within it.
        let bits = self.between(u64::from(low.ilog2()), u64::from(high.ilog2()));
        let floor = low.max(1 << bits);
        let ceiling = high.min(if bits == 63 { u64::MAX } else { (1 << (bits + 1)) - 1 });
        self.between(floor, ceiling)
    }

    /// True in `parts_per_million` of a million draws.
    pub fn chance(&mut self, parts_per_million: u32) -> bool {
        self.below(1_000_000) < u64::from(parts_per_million)
    }

    /// One of `values`, each equally likely.
    ///
    /// # Panics
    ///
    /// If `values` is empty.
    pub fn pick<'a, T>(&mut self, values: &'a [T]) -> &'a T {
        &values[self.below(values.len() as u64) as usize]
    }

    /// One of `values`, each as likely as its weight says.
    ///
    /// # Panics
    ///
    /// If the weights add up to 0.
    pub fn weighted<'a, T>(&mut self, values: &'a [(u32, T)]) -> &'a T {
        let total = values.iter().map(|(weight, _)| u64::from(*weight)).sum();
        let mut ticket = self.below(total);
        for (weight, value) in values {
            match ticket.checked_sub(u64::from(*weight)) {
                Some(rest) => ticket = rest,
                None => return value,
            }
        }
        unreachable!("a ticket is less than the sum of the weights")
    }

    /// A uniform duration in `low..=high`, to the nanosecond.
    ///
    /// # Panics
    ///
    /// If `low > high`.
    pub fn duration(&mut self, low: Duration, high: Duration) -> Duration {
        Duration::from_nanos(self.between(low.as_nanos() as u64, high.as_nanos() as u64))
    }

    /// Puts `values` into a random order, each order equally likely.
    pub fn shuffle<T>(&mut self, values: &mut [T]) {
        for last in (1..values.len()).rev() {
            values.swap(last, self.below(last as u64 + 1) as usize);
        }
    }
}

/// A stream whose draws depend on when they are made, and not on how many came before.
///
/// What happens to a packet does then not depend on the packets before it: a shrunk schedule, in which most operations
/// of the clients are missing, still meets the latencies and losses of the whole one, and so does the same schedule
/// after a change of code that sends one message more.
#[derive(Clone, Debug)]
pub struct Moments {
    key: [u64; 2],
    /// Until the first draw there is none.
    moment: Option<Instant>,
    stream: Stream,
}

impl Moments {
    /// Moments whose key is drawn from `stream`.
    #[must_use]
    pub fn new(mut stream: Stream) -> Self {
        let key = [stream.next_u64(), stream.next_u64()];
        Self { key, moment: None, stream }
    }

    /// The stream of the moment `now`, or the rest of it where something was drawn at the same moment before.
    pub fn at(&mut self, now: Instant) -> &mut Stream {
        if self.moment != Some(now) {
            self.moment = Some(now);
            let [first, second] = self.key;
            self.stream.0 = Source::Moment(Mixer(mix(now.as_nanos().wrapping_add(first)) ^ second));
        }
        &mut self.stream
    }
}

/// A generator for the few draws of one moment: SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number
/// generators", 2014). ChaCha8 makes 256 bytes at a time, which costs 40 times as much as the 8 that are wanted.
#[derive(Clone, Debug)]
struct Mixer(u64);

impl Mixer {
    fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }
}

/// What SplitMix64 draws first from the seed `value`: each bit of it moves each bit of the result.
#[must_use]
pub fn split_mix(value: u64) -> u64 {
    Mixer(value).next_u64()
}

/// Spreads each bit over all others; no two values become one.
fn mix(mut value: u64) -> u64 {
    value = (value ^ value >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ value >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ value >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_drawn_at_a_moment_does_not_depend_on_what_was_drawn_before() {
        let moments = || Moments::new(Streams::new(3).stream("a", 0));
        let now = |nanos| Instant::START + Duration::from_nanos(nanos);
        let (mut once, mut often) = (moments(), moments());
        for earlier in 0..100 {
            often.at(now(earlier)).next_u64();
        }
        let first = once.at(now(100)).next_u64();
        assert_eq!(often.at(now(100)).next_u64(), first);
        assert_ne!(often.at(now(100)).next_u64(), first, "the second of one moment is another");
        assert_ne!(often.at(now(101)).next_u64(), first, "another moment, another draw");
        let mut disturbed = Moments::new(Streams::new(3).disturbing("a").stream("a", 0));
        assert_ne!(disturbed.at(now(100)).next_u64(), first);
    }

    #[test]
    fn moments_that_follow_each_other_draw_independently() {
        let mut moments = Moments::new(Streams::new(5).stream("a", 0));
        let mut draws = |step: u64| {
            let draws = (0..4_000).map(|moment| Instant::from_nanos(moment * step));
            draws.map(|now| moments.at(now).next_u64()).collect::<Vec<_>>()
        };
        for step in [1, 1_000, 1 << 20] {
            let draws = draws(step);
            for bit in 0..64 {
                let set = |value: &u64| value >> bit & 1 == 1;
                let ones = draws.iter().filter(|draw| set(draw)).count();
                let changes = draws.windows(2).filter(|pair| set(&pair[0]) != set(&pair[1])).count();
                assert!((1_800..2_200).contains(&ones), "bit {bit} is set {ones} times of 4,000");
                assert!((1_800..2_200).contains(&changes), "bit {bit} changes {changes} times of 4,000");
            }
        }
    }

    #[test]
    fn a_stream_is_a_function_of_seed_purpose_and_index() {
        let draw = |seed, purpose: &str, index| Streams::new(seed).stream(purpose, index).next_u64();
        assert_eq!(draw(1, "a", 0), draw(1, "a", 0));
        assert_ne!(draw(1, "a", 0), draw(2, "a", 0));
        assert_ne!(draw(1, "a", 0), draw(1, "b", 0));
        assert_ne!(draw(1, "a", 0), draw(1, "a", 1));
    }

    #[test]
    fn the_draws_of_a_stream_never_change() {
        let mut stream = Streams::new(42).stream("link/latency", 3);
        assert_eq!([stream.next_u64(), stream.below(1000), stream.between(5, 7)], EXPECTED);
    }

    /// Written down once: whoever changes it changes the meaning of every seed.
    const EXPECTED: [u64; 3] = [11629552298437787802, 91, 6];

    #[test]
    fn a_disturbed_purpose_moves_itself_alone() {
        let (calm, disturbed) = (Streams::new(7), Streams::new(7).disturbing("a"));
        assert_ne!(calm.stream("a", 0).next_u64(), disturbed.stream("a", 0).next_u64());
        assert_eq!(calm.stream("b", 0).next_u64(), disturbed.stream("b", 0).next_u64());
    }

    #[test]
    fn draws_stay_in_their_range() {
        let mut stream = Streams::new(1).stream("test", 0);
        for _ in 0..10_000 {
            assert!((3..=9).contains(&stream.between(3, 9)));
            assert!((10..=1000).contains(&stream.magnitude(10, 1000)));
            assert!(stream.below(3) < 3);
        }
        assert_eq!(stream.between(u64::MAX, u64::MAX), u64::MAX);
        stream.between(0, u64::MAX);
        assert!(!stream.chance(0) && stream.chance(1_000_000));
    }

    #[test]
    fn each_value_is_drawn_as_often_as_its_weight_says() {
        let mut stream = Streams::new(1).stream("test", 0);
        let rare = (0..10_000).filter(|_| *stream.weighted(&[(1, true), (9, false), (0, true)])).count();
        assert!((900..1100).contains(&rare), "{rare} of 10,000 at a weight of 1 in 10");
    }
}
