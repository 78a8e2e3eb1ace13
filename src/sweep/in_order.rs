//! Results put back into the order of their seeds.

use std::collections::BTreeMap;

/// Takes results in the order in which they come, and gives them in the order of their seeds. So nothing that is
/// made of them depends on how many threads there were.
pub struct InOrder<I: Iterator<Item = u64>, T> {
    next: std::iter::Peekable<I>,
    waiting: BTreeMap<u64, T>,
}

impl<I: Iterator<Item = u64>, T> InOrder<I, T> {
    /// Nothing yet; `seeds` is the order.
    pub fn new(seeds: I) -> Self {
        Self { next: seeds.peekable(), waiting: BTreeMap::new() }
    }

    /// Takes the result of `seed`.
    pub fn put(&mut self, seed: u64, result: T) {
        self.waiting.insert(seed, result);
    }

    /// The result of the next seed, if it is there.
    pub fn take(&mut self) -> Option<(u64, T)> {
        let taken = self.waiting.remove_entry(self.next.peek()?)?;
        self.next.next();
        Some(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_given_in_the_order_of_their_seeds() {
        let mut results = InOrder::new([10, 11, 15].into_iter());
        results.put(11, 'b');
        assert_eq!(results.take(), None);
        results.put(10, 'a');
        assert_eq!(results.take(), Some((10, 'a')));
        assert_eq!(results.take(), Some((11, 'b')));
        assert_eq!(results.take(), None);
        results.put(15, 'c');
        assert_eq!(results.take(), Some((15, 'c')));
        assert_eq!(results.take(), None);
    }
}
