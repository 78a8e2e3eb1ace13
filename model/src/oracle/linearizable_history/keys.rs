//! What readers saw of one key, and what follows from it.

use bytes::Bytes;

use super::replies::Sight;

/// One version of a key, as all who saw it showed it.
pub(super) struct Record<'a> {
    pub(super) modified: i64,
    /// 0 where that was not told, and so for the version.
    pub(super) created: i64,
    pub(super) version: i64,
    pub(super) lease: Option<i64>,
    pub(super) value: Option<&'a Bytes>,
    until: i64,
}

#[derive(Default)]
pub(super) struct Key<'a> {
    /// By revision.
    pub(super) records: Vec<Record<'a>>,
    /// Values that transactions showed, of their own changes as well: a put may keep the value that it finds.
    pub(super) within: Vec<&'a Bytes>,
    /// From the first to the second revision the key existed, created at the first: so said who changed it after that.
    pub(super) lived: Vec<(i64, i64)>,
    /// Revisions of acknowledged puts, rising.
    pub(super) puts: Vec<i64>,
    /// Revisions, after the first and up to the second, in which no gap writes the key.
    quiet: Vec<(i64, i64)>,
    /// From the first to the second revision the key existed, created at the first.
    generations: Vec<(i64, i64)>,
    /// Classes that can put the key, and the value if it is known beforehand.
    pub(super) writers: Vec<(Option<&'a Bytes>, u32)>,
}

impl<'a> Key<'a> {
    /// With space for so many versions.
    pub(super) fn with_capacity(versions: usize) -> Self {
        Self { records: Vec::with_capacity(versions), puts: Vec::with_capacity(versions), ..Self::default() }
    }

    pub(super) fn see(&mut self, sight: Sight<'a>) {
        let Sight { kv, keys_only, until } = sight;
        let value = (!keys_only).then_some(&kv.value);
        // Sights come in order of the revisions, so that the same version as last time is the common case.
        if let Some(last) = self.records.last_mut()
            && last.modified == kv.mod_revision
        {
            last.until = last.until.max(until);
            last.value = last.value.or(value);
            return;
        }
        // Who does not tell when it was created tells nothing of its lease either.
        let is_whole = kv.create_revision != 0;
        let is_first = !is_whole && kv.version == 1;
        self.records.push(Record {
            modified: kv.mod_revision,
            created: if is_first { kv.mod_revision } else { kv.create_revision },
            version: kv.version,
            lease: is_whole.then_some(kv.lease),
            value,
            until,
        });
    }

    /// Whoever saw a later version of a key saw when it was created, too.
    fn add_births(&mut self) {
        let mut births = Vec::new();
        for (place, record) in self.records.iter().enumerate() {
            let first_of_generation =
                place.checked_sub(1).is_none_or(|before| self.records[before].created != record.created);
            if first_of_generation && record.version > 1 && (1..record.modified).contains(&record.created) {
                let created = record.created;
                births.push(Record {
                    modified: created,
                    version: 1,
                    lease: None,
                    value: None,
                    until: created,
                    ..*record
                });
            }
        }
        for &(created, _) in &self.lived {
            if self.records.binary_search_by_key(&created, |record| record.modified).is_err() {
                births.push(Record {
                    modified: created,
                    created,
                    version: 1,
                    lease: None,
                    value: None,
                    until: created,
                });
            }
        }
        if !births.is_empty() {
            self.records.append(&mut births);
            self.records.sort_by_key(|record| record.modified);
            self.records.dedup_by_key(|record| record.modified);
        }
    }

    /// Draws what can be drawn from the sights of the key.
    pub(super) fn conclude(&mut self) {
        // Only what a transaction read of the past comes late.
        if !self.records.is_sorted_by_key(|record| record.modified) {
            self.records.sort_by_key(|record| record.modified);
        }
        self.records.dedup_by(|later, first| {
            let same = later.modified == first.modified;
            if same {
                first.until = first.until.max(later.until);
                first.value = first.value.or(later.value);
            }
            same
        });
        self.add_births();
        let puts_within = |after: i64, until: i64| {
            let upto = |revision| self.puts.partition_point(|&put| put <= revision);
            upto(until) as i64 - upto(after) as i64
        };
        let mut quiet = Vec::with_capacity(2 * self.records.len());
        let mut generations: Vec<(i64, i64)> = Vec::new();
        let mut before: Option<&Record> = None;
        for record in &self.records {
            if record.created == 0 {
                quiet.push((record.modified, record.until));
                continue;
            }
            // Versions count the puts of a generation: where all of them are known, no gap is among them.
            let (after, counted) = match before.filter(|before| before.created == record.created) {
                Some(before) => (before.modified, before.version),
                None => (record.created - 1, 0),
            };
            let between = record.version - counted - 1;
            if between == 0 && after < record.modified || puts_within(after, record.modified - 1) >= between {
                quiet.push((after, record.modified - 1));
            }
            quiet.push((record.modified, record.until));
            match generations.last_mut().filter(|last| last.0 == record.created) {
                Some(last) => last.1 = last.1.max(record.until),
                None => generations.push((record.created, record.modified.max(record.until))),
            }
            before = Some(record);
        }
        for &(created, until) in &self.lived {
            if let Ok(place) = generations.binary_search_by_key(&created, |(begin, _)| *begin) {
                generations[place].1 = generations[place].1.max(until);
            }
        }
        // They are in order nearly always.
        if !quiet.is_sorted_by_key(|(after, _)| *after) {
            quiet.sort_by_key(|(after, _)| *after);
        }
        let mut merged: Vec<(i64, i64)> = Vec::with_capacity(quiet.len());
        for (after, until) in quiet {
            match merged.last_mut() {
                Some(last) if after <= last.1 => last.1 = last.1.max(until),
                _ => merged.push((after, until)),
            }
        }
        (self.quiet, self.generations) = (merged, generations);
    }

    pub(super) fn needed_until(&self, revision: i64, version: i64, created: i64) -> Option<i64> {
        let next = self.records.get(self.records.partition_point(|record| record.modified < revision))?;
        if version == 0 || next.created == created { Some(next.modified) } else { None }
    }

    /// Revisions, after the first and up to the second, in which no gap writes the key: rising, and apart from each other.
    pub(super) fn quiet(&self) -> &[(i64, i64)] {
        &self.quiet
    }

    pub(super) fn is_quiet(&self, revision: i64) -> bool {
        let place = self.quiet.partition_point(|&(after, _)| after < revision);
        place.checked_sub(1).is_some_and(|place| revision <= self.quiet[place].1)
    }

    /// Whether a gap at `revision` can have left the key at `version` (0: deleted), created at `created`.
    pub(super) fn allows(&self, revision: i64, version: i64, created: i64) -> bool {
        if self.is_quiet(revision) {
            return false;
        }
        let place = self.generations.partition_point(|&(begin, _)| begin <= revision);
        let generation = place.checked_sub(1).map(|place| self.generations[place]);
        let Some((begin, _)) = generation.filter(|&(_, end)| revision <= end) else { return true };
        if version == 0 || created != begin {
            return false;
        }
        // As many puts as are known to come until the next sight, and the one that was seen, must still fit.
        let next = self.records.partition_point(|record| record.modified < revision);
        self.records.get(next).filter(|next| next.created == begin).is_none_or(|next| {
            let upto = |revision| self.puts.partition_point(|&put| put <= revision);
            let between = upto(next.modified - 1).saturating_sub(upto(revision)) as i64;
            version + between + i64::from(next.modified > revision) <= next.version
        })
    }
}
