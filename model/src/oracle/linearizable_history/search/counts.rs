//! How many keys somebody counts soon after a gap, which says much of what its write was.
//!
//! Without this, each write that leaves another number would be tried, and where several gaps come one after another, each with
//! each of the others.

use std::ops::Range;

use super::super::replies::KeyRange;
use super::Search;
use super::choices::Options;
use crate::history::Request;
use crate::oracle::replay::Mark;
use crate::response::Response;

/// So many gaps in a row are looked past.
const LOOKED_PAST: i64 = 8;

/// How many keys of a range somebody finds.
struct Count {
    keys: Range<u32>,
    /// How many more than there are before the gap.
    more: i64,
}

/// What is counted after a gap and those that follow on it.
#[derive(Default)]
pub(super) struct Counts {
    counts: Vec<Count>,
    /// So many gaps follow on it before that.
    gaps: i64,
}

impl Search<'_> {
    /// What is counted after the gap `revision`, before which the replay stands.
    pub(super) fn counts_after(&self, revision: i64) -> Counts {
        for last in revision..=revision + LOOKED_PAST {
            let mut counts = Vec::new();
            self.each_count(last, &mut |(key, range_end), count| {
                let keys = self.places.names.within(key, range_end);
                let before = keys.clone().filter(|&key| self.replay.exists(key)).count();
                counts.push(Count { keys, more: count - before as i64 });
            });
            let is_last = last >= self.places.last() || self.places.write(last + 1).is_some();
            if is_last || !counts.is_empty() {
                return Counts { counts, gaps: last - revision };
            }
        }
        Counts::default()
    }

    /// Each range of which somebody counts the keys that there are after `revision`, and before the next.
    fn each_count(&self, revision: i64, sink: &mut dyn FnMut(KeyRange<'_>, i64)) {
        for &number in self.places.reads(revision) {
            let read = self.places.operation(number);
            if let (Request::Range(read), Some(Response::Range(reply))) = (&read.request, read.reply())
                && read.revision <= revision
            {
                sink((&read.key, &read.range_end), reply.count);
            }
        }
        let next = self.places.write(revision + 1).map(|write| self.places.operation(write));
        if let Some(next) = next
            && let (Request::DeleteRange(delete), Some(Response::DeleteRange(reply))) =
                (&next.request, next.reply())
        {
            sink((&delete.key, &delete.range_end), reply.deleted);
        }
    }

    /// By how many keys a count will be wrong after what was written at the gap since `mark`, if each gap until then mends one;
    /// `None` if there is no other gap to mend it, and then it is because of the keys of the range.
    pub(super) fn counted(&self, mark: Mark, options: &mut Options) -> Option<i64> {
        let before = self.replay.revision() - 1;
        let mut worst = 0;
        for count in &options.counts.counts {
            let mut more = 0;
            for (place, (key, last)) in self.replay.written_since(mark).enumerate() {
                let is_again = self.replay.written_since(mark).take(place).any(|(other, _)| other == key);
                if count.keys.contains(&key) && !is_again {
                    more += i64::from(last.version > 0) - i64::from(self.replay.existed(key, before));
                }
            }
            let wrong = (count.more - more).abs() - options.counts.gaps;
            if wrong > 0 && options.counts.gaps == 0 {
                count.keys.clone().for_each(|key| options.touched[key as usize] = true);
                return None;
            }
            worst = wrong.max(worst);
        }
        Some(worst)
    }
}
