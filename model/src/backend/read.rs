//! Reading: what is committed, with what was written since on top.

use std::cmp::Ordering;
use std::iter::Peekable;
use std::rc::Rc;

use bytes::Bytes;

use super::Bucket;
use super::buffer::{ReadBuffer, Write, WriteBuffer};
use super::database::{Database, Trees};

/// The database as it was when this was made (etcd's `ConcurrentReadTx`). To have it and to copy it costs next to
/// nothing, and keeps nobody from writing.
#[derive(Clone)]
pub struct ReadTx(Rc<View>);

#[derive(Clone)]
struct View {
    committed: Trees,
    buffer: ReadBuffer,
    /// Whether the buffer has an entry from before the last commit, which is read beside the committed one.
    phantom: bool,
}

impl ReadTx {
    /// What is committed, with nothing on top.
    pub(super) fn new(committed: &Trees) -> Self {
        Self(Rc::new(View { committed: committed.clone(), buffer: ReadBuffer::default(), phantom: false }))
    }

    /// Becomes what is committed, with nothing on top.
    pub(super) fn reset(&mut self, committed: &Trees) {
        match Rc::get_mut(&mut self.0) {
            Some(view) => {
                view.committed.clone_from(committed);
                view.buffer.clear();
                view.phantom = false;
            }
            None => *self = Self::new(committed),
        }
    }

    /// Takes over what `writes` holds, and leaves it empty. Copies of this do not see it.
    pub(super) fn write_back(&mut self, writes: &mut WriteBuffer) {
        let view = Rc::make_mut(&mut self.0);
        view.phantom |= view.buffer.write_back(writes);
    }

    /// The trees below the buffer.
    pub(super) fn committed(&self) -> &Trees {
        &self.0.committed
    }

    /// The value of a key.
    #[must_use]
    pub fn get(&self, bucket: Bucket, key: &[u8]) -> Option<&Bytes> {
        match self.0.buffer.get(bucket, key) {
            Some(written) => written.as_ref(),
            None => self.0.committed[bucket.number()].get(key),
        }
    }

    /// Keys and values from `key` on, sorted.
    pub fn iter_from(&self, bucket: Bucket, key: &[u8]) -> impl Iterator<Item = (&Bytes, &Bytes)> + use<'_> {
        let writes = self.0.buffer.bucket(bucket);
        let first = writes.partition_point(|(written, _)| written[..] < *key);
        Merged {
            committed: self.0.committed[bucket.number()].iter_from(key).peekable(),
            writes: writes[first..].iter().peekable(),
            phantom: self.0.phantom,
        }
    }

    /// Keys and values with `from <= key < to`, sorted; at most `limit` of them, where 0 means all.
    #[must_use]
    pub fn range(&self, bucket: Bucket, from: &[u8], to: &[u8], limit: usize) -> Vec<(Bytes, Bytes)> {
        collect(self.iter_from(bucket, from), to, limit)
    }

    /// Whether what was read of the keys in the buffer is what is in `database` (etcd's `VerifyBackendConsistency`,
    /// for the keys that can differ).
    ///
    /// # Panics
    ///
    /// If it is not: readers saw something that was not written, or did not see what was.
    pub(super) fn assert_equal_to(&self, database: &Database) {
        for bucket in Bucket::ALL {
            for (key, read) in self.0.buffer.bucket(bucket) {
                let is_equal = read.as_ref() == database.tree(bucket).get(key);
                assert!(
                    is_equal,
                    "bucket data mismatch: {key:?} of {bucket:?} is not read as it was written"
                );
            }
        }
    }
}

/// Copies what lies before `to`.
pub(super) fn collect<'a>(
    entries: impl Iterator<Item = (&'a Bytes, &'a Bytes)>,
    to: &[u8],
    limit: usize,
) -> Vec<(Bytes, Bytes)> {
    let limit = if limit == 0 { usize::MAX } else { limit };
    let before = entries.take_while(|(key, _)| key[..] < *to);
    before.take(limit).map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// Two sorted sequences as one, in which a write stands for what was committed under its key.
struct Merged<'a, C: Iterator<Item = (&'a Bytes, &'a Bytes)>> {
    committed: Peekable<C>,
    writes: Peekable<std::slice::Iter<'a, Write>>,
    phantom: bool,
}

impl<'a, C: Iterator<Item = (&'a Bytes, &'a Bytes)>> Iterator for Merged<'a, C> {
    type Item = (&'a Bytes, &'a Bytes);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let order = match (self.committed.peek(), self.writes.peek()) {
                (Some((committed, _)), Some((written, _))) => (*committed).cmp(written),
                (Some(_), None) => Ordering::Less,
                (None, _) => Ordering::Greater,
            };
            // etcd puts the one behind the other: of a record that is in both, it makes two.
            let is_twice = self.phantom && self.writes.peek().is_some_and(|(_, value)| value.is_some());
            if order == Ordering::Less || order == Ordering::Equal && is_twice {
                return self.committed.next();
            }
            if order == Ordering::Equal {
                self.committed.next();
            }
            let (key, value) = self.writes.next()?;
            if let Some(value) = value {
                return Some((key, value));
            }
        }
    }
}
