//! What a database must hold, as naive as it can be said: the whole content after each transaction.

use std::collections::BTreeMap;

use bytes::Bytes;
use vertebra_model::backend::{Bucket, ReadTx};
use vertebra_sim::Violation;

/// The key under which the hook writes how many transactions a commit has.
pub const COUNT: &[u8] = b"count";

pub type Content = BTreeMap<(Bucket, Bytes), Bytes>;

/// What a reader finds, without the count of transactions.
pub fn content(read: &ReadTx) -> Content {
    let mut content = Content::new();
    for bucket in Bucket::ALL {
        for (key, value) in read.iter_from(bucket, b"") {
            assert!(content.insert((bucket, key.clone()), value.clone()).is_none(), "{key:?} is there twice");
        }
    }
    content.remove(&(Bucket::Meta, Bytes::from_static(COUNT)));
    content
}

/// How many transactions what a reader finds is made of.
pub fn count(read: &ReadTx) -> u64 {
    read.get(Bucket::Meta, COUNT).map_or(0, |count| u64::from_be_bytes(count[..].try_into().unwrap()))
}

pub fn broken(clause: &'static str, detail: String) -> Violation {
    Violation::new("backend", clause, "", detail)
}

/// The transactions of one database.
#[derive(Default)]
pub struct Known {
    /// The content after so many transactions, from the last commit on that is durable.
    contents: BTreeMap<u64, Content>,
    /// Transactions that were made.
    pub made: u64,
    /// Of these, how many all readers must see.
    pub visible: u64,
    /// How many a commit that is durable has.
    durable: u64,
    /// How many the last commit has, which may be under way.
    committing: u64,
    /// The commits since the database was to get another file, whose name is not durable yet: a power failure may bring
    /// back the old file, as one of them left it.
    unnamed: Option<Vec<u64>>,
}

impl Known {
    pub fn newest(&self) -> Content {
        self.contents.get(&self.made).cloned().unwrap_or_default()
    }

    /// Before a transaction is unlocked.
    pub fn made(&mut self, content: Content) {
        self.made += 1;
        self.contents.insert(self.made, content);
    }

    /// When a commit begins: the one before it is done.
    pub fn commit_begins(&mut self) -> u64 {
        self.durable = self.committing;
        self.committing = self.made;
        if let Some(commits) = &mut self.unnamed {
            commits.push(self.committing);
        }
        let first = self.unnamed.as_ref().map_or(self.durable, |commits| commits[0]);
        self.contents = self.contents.split_off(&first);
        self.made
    }

    /// When a commit was waited for.
    pub fn commit_ended(&mut self) {
        self.durable = self.committing;
    }

    /// Before the database gets another file.
    pub fn file_changes(&mut self) {
        self.unnamed.get_or_insert_with(|| vec![self.durable, self.committing]);
    }

    /// When the directory was synced since.
    pub fn file_named(&mut self) {
        self.unnamed = None;
    }

    /// What a commit has that was waited for.
    pub fn committed(&self) -> Content {
        self.contents.get(&self.committing).cloned().unwrap_or_default()
    }

    /// What a reader may find.
    pub fn check_read(&self, read: &Content) -> Result<(), Violation> {
        let mut seen = (self.visible..=self.made).filter_map(|count| self.contents.get(&count));
        let is_seen = if self.visible == 0 { read.is_empty() } else { false };
        if is_seen || seen.any(|content| content == read) {
            return Ok(());
        }
        Err(broken("read", format!("{read:?} was read after {} transactions", self.visible)))
    }

    /// What may be found after a crash. From then on it is what there is.
    pub fn check_opened(&mut self, count: u64, found: &Content) -> Result<(), Violation> {
        let of_an_old_file = self.unnamed.take().is_some_and(|commits| commits.contains(&count));
        if count != self.durable && count != self.committing && !of_an_old_file {
            let (durable, committing) = (self.durable, self.committing);
            let detail = format!("opened at {count}; {durable} were durable, {committing} perhaps");
            return Err(broken("lost", detail));
        }
        let expected = self.contents.get(&count).cloned().unwrap_or_default();
        if *found != expected {
            return Err(broken("mixed", format!("{found:?} was found at {count}, not {expected:?}")));
        }
        self.contents.retain(|made, _| *made == count);
        (self.made, self.visible, self.durable, self.committing) = (count, count, count, count);
        Ok(())
    }
}
