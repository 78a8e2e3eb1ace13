//! The keys of a history by numbers.

use std::ops::Range;

use foldhash::fast::FixedState;

use super::replies::each_possible_put;
use crate::history::{History, Outcome};

/// Only looked into, never walked through.
pub(super) type Map<K, V> = hashbrown::HashMap<K, V, FixedState>;

/// Every key that some request may have put. Numbers rise with the keys, so that a range of keys is one of numbers.
#[derive(Debug)]
pub(in crate::oracle) struct Names<'a> {
    sorted: Vec<&'a [u8]>,
    numbers: Map<&'a [u8], u32>,
    /// Some put keeps the value that it finds.
    pub(super) keeps_values: bool,
}

impl<'a> Names<'a> {
    pub(super) fn of(history: &'a History) -> Self {
        let (mut sorted, mut numbers, mut keeps_values) = (Vec::new(), Map::default(), false);
        let done = |outcome: &Outcome| !matches!(outcome, Outcome::Failed(_));
        for operation in history.operations().iter().filter(|operation| done(&operation.outcome)) {
            each_possible_put(&operation.request, &mut |put| {
                keeps_values |= put.ignore_value;
                // Nearly all are of keys that others have put before.
                if !numbers.contains_key(&put.key[..]) {
                    numbers.insert(&put.key[..], 0);
                    sorted.push(&put.key[..]);
                }
            });
        }
        sorted.sort_unstable();
        for (name, number) in sorted.iter().zip(0..) {
            numbers.insert(name, number);
        }
        Self { sorted, numbers, keeps_values }
    }

    pub(in crate::oracle) fn count(&self) -> usize {
        self.sorted.len()
    }

    pub(in crate::oracle) fn number(&self, name: &[u8]) -> Option<u32> {
        self.numbers.get(name).copied()
    }

    /// The same; most often it is the next after `last`, which is quicker to see.
    pub(super) fn number_after(&self, last: u32, name: &[u8]) -> Option<u32> {
        let next = last.wrapping_add(1);
        match self.sorted.get(next as usize) {
            Some(found) if *found == name => Some(next),
            _ => self.number(name),
        }
    }

    pub(in crate::oracle) fn name(&self, number: u32) -> &'a [u8] {
        self.sorted[number as usize]
    }

    /// The keys of a range, as requests say it.
    pub(in crate::oracle) fn within(&self, key: &[u8], range_end: &[u8]) -> Range<u32> {
        if range_end.is_empty() {
            return self.number(key).map_or(0..0, |number| number..number + 1);
        }
        let before = |bound: &[u8]| self.sorted.partition_point(|name| *name < bound) as u32;
        let end = if range_end == b"\0" { self.sorted.len() as u32 } else { before(range_end) };
        let begin = before(key);
        begin..end.max(begin)
    }
}
