//! What was written and not committed, as readers are to see it (etcd's `tx_buffer.go`).

use bytes::Bytes;

use super::Bucket;

/// A write that is not committed: the value, or nothing when the key was deleted.
///
/// etcd buffers no deletions; it commits at once instead, and so does [`BatchTx::unlock`](super::BatchTx::unlock).
/// Here they are buffered as well, because a commit takes time in which others read.
pub(super) type Write = (Bytes, Option<Bytes>);

/// The writes of a transaction that is not unlocked, by bucket, in their order.
#[derive(Default)]
pub(super) struct WriteBuffer {
    buckets: [Vec<Write>; Bucket::COUNT],
    /// For a planted bug: whether a buffer of keys that is used again may count a record from before.
    miscounts: bool,
    /// The first record of the keys' buffer, where that is used again: it was merged into what is read, and is still in there.
    recycled: Option<Write>,
}

impl WriteBuffer {
    pub(super) fn new(miscounts: bool) -> Self {
        Self { miscounts, ..Self::default() }
    }

    /// For planted bugs: the record that the keys' buffer has too many, now that it is written back to `read`. A buffer is given away to who has
    /// none, and otherwise merged and used again; an empty one that is given away counts its first record (etcd's `dedupe`).
    fn miscounted(&mut self, read: &[Write]) -> Option<Write> {
        let first = self.buckets[Bucket::Key.number()].first();
        match (first, read.is_empty()) {
            (None, true) => self.recycled.take(),
            (Some(first), false) => {
                self.recycled = Some(first.clone());
                None
            }
            (None, false) | (Some(_), true) => {
                self.recycled = None;
                None
            }
        }
    }

    /// Adds a write.
    ///
    /// # Panics
    ///
    /// If keys of a sequential bucket are put out of order, as etcd verifies: readers would find them out of order.
    pub(super) fn add(&mut self, bucket: Bucket, key: Bytes, value: Option<Bytes>) {
        let writes = &mut self.buckets[bucket.number()];
        if bucket.is_sequential() && value.is_some() {
            let last = writes.iter().rev().find(|(_, value)| value.is_some());
            assert!(
                last.is_none_or(|(last, _)| *last < key),
                "broke the rule of monotonically increasing: {key:?} is put behind {last:?}"
            );
        }
        writes.push((key, value));
    }

    pub(super) fn clear(&mut self) {
        self.buckets.iter_mut().for_each(Vec::clear);
    }
}

/// The writes that were unlocked since the last commit: by bucket, sorted by key, each key once with its newest value.
#[derive(Clone, Default)]
pub(super) struct ReadBuffer {
    buckets: [Vec<Write>; Bucket::COUNT],
}

impl ReadBuffer {
    /// Takes over what `writes` holds, and leaves it empty (etcd's `writeback`). Whether a planted bug added a record of a key.
    pub(super) fn write_back(&mut self, writes: &mut WriteBuffer) -> bool {
        let surplus = if writes.miscounts { writes.miscounted(self.bucket(Bucket::Key)) } else { None };
        let is_miscounted = surplus.is_some();
        self.buckets[Bucket::Key.number()].extend(surplus);
        for (read, written) in self.buckets.iter_mut().zip(&mut writes.buckets) {
            if !written.is_empty() {
                merge(read, written);
            }
        }
        is_miscounted
    }

    pub(super) fn clear(&mut self) {
        self.buckets.iter_mut().for_each(Vec::clear);
    }

    /// The writes to a bucket.
    pub(super) fn bucket(&self, bucket: Bucket) -> &[Write] {
        &self.buckets[bucket.number()]
    }

    /// What the buffer says about a key, if it was written: its value, or that it was deleted.
    pub(super) fn get(&self, bucket: Bucket, key: &[u8]) -> Option<&Option<Bytes>> {
        let writes = self.bucket(bucket);
        let place = writes.binary_search_by(|(written, _)| written[..].cmp(key)).ok()?;
        Some(&writes[place].1)
    }
}

fn merge(read: &mut Vec<Write>, written: &mut Vec<Write>) {
    let is_ascending = written.windows(2).all(|pair| pair[0].0 < pair[1].0);
    let goes_on = read.last().is_none_or(|(last, _)| *last < written[0].0);
    read.append(written);
    if is_ascending && goes_on {
        return;
    }
    // Equal keys stay in the order of their writes; the last one holds.
    read.sort_by(|(one, _), (other, _)| one.cmp(other));
    read.dedup_by(|later, kept| {
        let is_same = later.0 == kept.0;
        if is_same {
            std::mem::swap(later, kept);
        }
        is_same
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(text: &str) -> Bytes {
        Bytes::copy_from_slice(text.as_bytes())
    }

    #[test]
    fn of_several_writes_to_a_key_the_last_one_is_read() {
        let (mut read, mut written) = (ReadBuffer::default(), WriteBuffer::default());
        for (key, value) in [("b", Some("1")), ("a", Some("2")), ("b", None), ("b", Some("3")), ("a", None)] {
            written.add(Bucket::Meta, bytes(key), value.map(bytes));
        }
        read.write_back(&mut written);
        assert_eq!(read.bucket(Bucket::Meta), [(bytes("a"), None), (bytes("b"), Some(bytes("3")))]);
        written.add(Bucket::Meta, bytes("a"), Some(bytes("4")));
        read.write_back(&mut written);
        assert_eq!(read.get(Bucket::Meta, b"a"), Some(&Some(bytes("4"))));
        assert_eq!(read.get(Bucket::Meta, b"c"), None);
    }

    #[test]
    #[should_panic(expected = "monotonically increasing")]
    fn revisions_out_of_order_are_noticed() {
        let mut written = WriteBuffer::default();
        written.add(Bucket::Key, bytes("2"), Some(bytes("")));
        written.add(Bucket::Key, bytes("2"), Some(bytes("")));
    }
}
