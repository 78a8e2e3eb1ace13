//! Sets of small numbers.

use std::hash::Hash;

/// A set of numbers below a bound that is known when it is made.
pub(super) trait Mask: Clone + Eq + Hash {
    fn empty(bound: usize) -> Self;
    fn has(&self, number: usize) -> bool;
    fn insert(&mut self, number: usize);
    fn remove(&mut self, number: usize);
    fn is_subset(&self, other: &Self) -> bool;
}

/// Up to 64 of them, which is enough for most histories.
impl Mask for u64 {
    fn empty(bound: usize) -> Self {
        debug_assert!(bound <= 64, "{bound} do not fit");
        0
    }

    fn has(&self, number: usize) -> bool {
        self >> number & 1 == 1
    }

    fn insert(&mut self, number: usize) {
        *self |= 1 << number;
    }

    fn remove(&mut self, number: usize) {
        *self &= !(1 << number);
    }

    fn is_subset(&self, other: &Self) -> bool {
        self & !other == 0
    }
}

/// Any number of them.
impl Mask for Box<[u64]> {
    fn empty(bound: usize) -> Self {
        vec![0; bound.div_ceil(64)].into()
    }

    fn has(&self, number: usize) -> bool {
        self[number / 64].has(number % 64)
    }

    fn insert(&mut self, number: usize) {
        self[number / 64].insert(number % 64);
    }

    fn remove(&mut self, number: usize) {
        self[number / 64].remove(number % 64);
    }

    fn is_subset(&self, other: &Self) -> bool {
        self.iter().zip(other).all(|(one, other)| one.is_subset(other))
    }
}
