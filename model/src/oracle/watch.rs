//! Watches: each tells of every change that was asked for, once, in order, and of nothing else.
//!
//! The committed log says what was changed at which revision. Each watch is held against that, one after another, in
//! time linear in the log and in what the watch was told.
//!
//! | clause | what is wrong |
//! | --- | --- |
//! | `created first` | something comes before the word that the watch is created, or that word comes twice |
//! | `refused` | a watch is refused that should not be, or for another reason, or should be and is not |
//! | `filter` | an event of a key, or of a kind, that was not asked for |
//! | `resumable` | an event before the requested revision, or the first is not the first one from there on |
//! | `ordered` | an event comes after a later one |
//! | `unique` | an event comes twice |
//! | `atomic` | the events of a revision are not all in one response (its fragments count as one) |
//! | `reliable` | an event is left out, between others or before word of the progress |
//! | `bookmarkable` | progress goes back or is below what was told or asked for, or an event follows that is not beyond it |
//! | `is-create` | an event says wrongly whether it created its key |
//! | `content` | an event differs otherwise from what was written |
//! | `prev_kv` | what the key was before is wrong, or is not there, though it was asked for and is not compacted |
//! | `header` | the revision of a response is before that of its events |
//! | `unknown` | an event, or progress, that is not in the log |
//! | `batch` | a response tells of more revisions than it may |
//! | `fragments` | a part of a response comes that nobody asked for, is longer than allowed, though it could be less, or has room for what comes in the next; or a response is too long and is not split |
//! | `future` | the client knew of it before it was committed |
//! | `compacted` | a watch is cancelled with a compaction that was not, or that left what it waits for |
//! | `resumed` | a watch that carries on with another begins where that did not end: something would be left out, or come twice |
//! | `after the end` | something comes after the word that the watch is cancelled |
//!
//! Since each is held against the log, watches agree with each other and with reads; and since each begins where the one
//! before it ended, a client that loses its connections hears of each change exactly once.
//!
//! Stated in etcd's API guarantees (Watch APIs), and by the checks of its robustness tests
//! (tests/robustness/validate/watch.go).
//!
//! Does NOT verify: that what is written is told in time, and progress at all (that a watch catches up when all faults
//! are over is asked for by `liveness`); what watches that begin "now" (start revision 0) leave out before the
//! revision at which the member says that they are created. The log is taken as the truth;
//! `linearizable_log` and `raft_safety` check it.

use bytes::Bytes;
use prost::Message;
use vertebra_sim::verdict::Violation;

use super::auth;
use super::replayed::{Change, Compaction, Replayed};
use crate::api::mvccpb::event::EventType;
use crate::api::watch_create_request::FilterType;
use crate::api::{Event, KeyValue, WatchCreateRequest, WatchResponse, is_in_range};
use crate::error::Error;
use crate::watch_history::{Heard, WatchHistory, Watched};

#[cfg(test)]
mod tests;

const ORACLE: &str = "watch";

/// What a response may hold.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// From so many bytes on it is split, for who asked for that.
    pub bytes: usize,
    /// Of so many revisions it tells at most.
    pub revisions: usize,
}

/// Judges what watching clients were told, within `limits`, by the log, which came to what is `replayed`.
///
/// # Errors
///
/// The first broken clause.
pub fn check(watches: &WatchHistory, replayed: &Replayed, limits: Limits) -> Result<(), Violation> {
    if watches.watches().is_empty() {
        return Ok(());
    }
    follow(watches, &Log { limits: Some(limits), ..Log::new(replayed) })
}

/// Judges them by what is `replayed` of an order in which the history can be: of its changes, watches must tell those
/// that are `shown` (revision and key). The others may have been different ones.
pub(super) fn check_order(
    watches: &WatchHistory,
    replayed: &Replayed,
    shown: impl Fn(i64, &Bytes) -> bool,
) -> Result<(), Violation> {
    let mut log = Log::new(replayed);
    log.changes.retain(|change| shown(change.revision, change.key));
    follow(watches, &log)
}

fn follow(watches: &WatchHistory, log: &Log<'_>) -> Result<(), Violation> {
    // By watch: where another one may carry on with it.
    let mut ends = Vec::with_capacity(watches.watches().len());
    for (number, watched) in watches.watches().iter().enumerate() {
        let mut walk = Walk::new(log, watched, number);
        if let Some(earlier) = watched.resumes {
            let (next, compacted) = ends[earlier.index()];
            let start = watched.request.start_revision;
            // A client that loses its connection over the word of a compaction asks once more.
            if start != next && Some(start) != compacted {
                return walk
                    .refuse("resumed", format_args!("the one before it ended at {next}, {compacted:?}"));
            }
        }
        for heard in &watched.heard {
            walk.hear(heard)?;
        }
        ends.push(walk.end());
    }
    Ok(())
}

/// What was written, by the committed log.
struct Log<'a> {
    /// In their order.
    changes: Vec<Change<'a>>,
    replayed: &'a Replayed,
    /// Of responses, if they are known.
    limits: Option<Limits>,
}

impl<'a> Log<'a> {
    fn new(replayed: &'a Replayed) -> Self {
        Self { changes: replayed.changes(), replayed, limits: None }
    }

    /// What a key was before the revision that changed it; nothing where the change creates it, for then etcd does not
    /// look.
    fn previous(&self, change: &Change<'_>) -> Option<&'a KeyValue> {
        if change.kv.is_some_and(|kv| kv.version == 1) {
            return None;
        }
        self.replayed.specification.value(change.key, change.revision - 1)
    }

    /// When `revision` was committed; nothing if it never was.
    fn committed_at(&self, revision: i64) -> Option<u64> {
        match revision {
            // The empty store.
            1 => Some(0),
            _ => self.replayed.committed.get(usize::try_from(revision - 2).ok()?).copied(),
        }
    }

    /// The place of the first change from `revision` on.
    fn place(&self, revision: i64) -> usize {
        self.changes.partition_point(|change| change.revision < revision)
    }
}

/// A watch, as far as it was followed.
struct Walk<'a> {
    log: &'a Log<'a>,
    watched: &'a Watched,
    number: usize,
    /// The revision of the store when it was created.
    created: Option<i64>,
    /// When the client knew that it was created, until something comes that was written after that.
    known: Option<u64>,
    ended: bool,
    refused: bool,
    /// The compaction that ended it.
    compacted: Option<i64>,
    /// The first revision of which it was not told; unknown for one that begins now, until it is told of something.
    from: Option<i64>,
    /// Revision of the last event.
    last: i64,
    /// The last progress.
    bookmark: i64,
    /// The events of fragments, until the last one of them comes.
    fragments: Vec<&'a Event>,
    /// Bytes of the last of them.
    part_bytes: usize,
}

impl<'a> Walk<'a> {
    fn new(log: &'a Log<'a>, watched: &'a Watched, number: usize) -> Self {
        let start = watched.request.start_revision;
        Self {
            log,
            watched,
            number,
            created: None,
            known: None,
            ended: false,
            refused: false,
            compacted: None,
            from: (start > 0).then_some(start),
            last: 0,
            bookmark: 0,
            fragments: Vec::new(),
            part_bytes: 0,
        }
    }

    /// Where another one is to carry on: with the first revision of which this one did not tell, or with the oldest that a
    /// compaction has left. One that began now, and told of nothing, leaves open what came before the word that it was
    /// created; one that was refused did not begin.
    fn end(&self) -> (i64, Option<i64>) {
        let next = self.from.or(self.created.filter(|_| !self.refused)).unwrap_or(0);
        (next, self.compacted)
    }

    fn refuse(&self, clause: &'static str, why: impl std::fmt::Display) -> Result<(), Violation> {
        self.refuse_as(clause, "", why)
    }

    /// The same, where one clause is broken in several ways.
    fn refuse_as(
        &self,
        clause: &'static str,
        shape: &str,
        why: impl std::fmt::Display,
    ) -> Result<(), Violation> {
        let request = &self.watched.request;
        let detail = format!(
            "watch {} of \"{}\"..\"{}\" from {}, told of {} and progress to {}: {why}",
            self.number,
            request.key.escape_ascii(),
            request.range_end.escape_ascii(),
            request.start_revision,
            self.last,
            self.bookmark,
        );
        Err(Violation::new(ORACLE, clause, shape, detail))
    }

    fn hear(&mut self, heard: &'a Heard) -> Result<(), Violation> {
        let response = &heard.response;
        let revision = response.header.map_or(0, |header| header.revision);
        if self.ended {
            let confirmed = response.canceled && self.watched.cancel_asked;
            return if confirmed { Ok(()) } else { self.refuse("after the end", shown(response)) };
        }
        // What is recorded of others' watches may not have it, and as in etcd, the word of a compaction has none.
        if self.log.limits.is_some() && response.compact_revision == 0 {
            self.check_header(revision, heard.clock)?;
        }
        if response.created {
            self.known = Some(heard.clock);
            return self.hear_created(response, revision);
        }
        if self.created.is_none() {
            return self.refuse("created first", shown(response));
        }
        if response.canceled {
            self.ended = true;
            self.compacted = Some(response.compact_revision).filter(|revision| *revision != 0);
            return self.hear_canceled(response, heard.clock);
        }
        if self.log.committed_at(revision).is_none() {
            return self.refuse("unknown", format_args!("a response at revision {revision}"));
        }
        if response.events.is_empty() {
            // What a client asks for comes to all watches of its stream, and names none.
            return self.hear_progress(revision, response.watch_id == -1, heard.clock);
        }
        if response.fragment && !self.watched.request.fragment {
            return self.refuse("fragments", "a part of a response, and nobody asked for parts");
        }
        if response.fragment || !self.fragments.is_empty() {
            self.measure_part(response)?;
        } else if self.watched.request.fragment {
            self.measure_whole(response)?;
        }
        self.fragments.extend(&response.events);
        if response.fragment {
            return Ok(());
        }
        let events = std::mem::take(&mut self.fragments);
        self.hear_events(&events, heard.clock)?;
        if revision < self.last {
            return self.refuse("header", format_args!("revision {revision} for events of {}", self.last));
        }
        Ok(())
    }

    /// Checks that the store has come to what a response says of it.
    fn check_header(&self, revision: i64, clock: u64) -> Result<(), Violation> {
        match self.log.committed_at(revision) {
            None => self.refuse("unknown", format_args!("a response at revision {revision}")),
            Some(committed) if committed > clock => {
                self.refuse("future", format_args!("a response at revision {revision}"))
            }
            Some(_) => Ok(()),
        }
    }

    /// Checks that a response that is not split is short enough. (What waits until the client knows of the watch, etcd sends whole,
    /// and what is written later comes later.)
    fn measure_whole(&mut self, response: &WatchResponse) -> Result<(), Violation> {
        let Some(Limits { bytes: bytes_max, .. }) = self.log.limits else { return Ok(()) };
        let committed = response.events.last().and_then(|last| self.log.committed_at(revision_of(last)));
        // Of what is cancelled, nobody knows any more whether it asked for parts.
        if self.watched.cancel_asked
            || self.known.is_some_and(|known| committed.is_none_or(|committed| committed <= known))
        {
            return Ok(());
        }
        self.known = None;
        let (bytes, events) = (response.encoded_len(), response.events.len());
        if bytes >= bytes_max && events > 1 {
            return self
                .refuse("fragments", format_args!("{bytes} bytes come at once, with {events} events"));
        }
        Ok(())
    }

    /// Checks that a part has as much in it as it may have.
    fn measure_part(&mut self, part: &WatchResponse) -> Result<(), Violation> {
        let Some(Limits { bytes: bytes_max, .. }) = self.log.limits else { return Ok(()) };
        let of_event =
            |event: &Event| WatchResponse { events: vec![event.clone()], ..Default::default() }.encoded_len();
        if let Some(next) = part.events.first().filter(|_| !self.fragments.is_empty())
            && self.part_bytes + of_event(next) < bytes_max
        {
            let (bytes, more) = (self.part_bytes, of_event(next));
            return self.refuse("fragments", format_args!("a part of {bytes} bytes has room for {more}"));
        }
        // The last one does not say that there are others.
        let unsaid = WatchResponse { fragment: !part.fragment, ..Default::default() }.encoded_len();
        self.part_bytes = part.encoded_len() + unsaid;
        if self.part_bytes >= bytes_max && part.events.len() > 1 {
            let (bytes, events) = (self.part_bytes, part.events.len());
            return self.refuse("fragments", format_args!("a part has {bytes} bytes, with {events} events"));
        }
        Ok(())
    }

    fn hear_created(&mut self, response: &WatchResponse, revision: i64) -> Result<(), Violation> {
        if self.created.is_some() {
            return self.refuse("created first", "it is created twice");
        }
        self.created = Some(revision);
        (self.ended, self.refused) = (response.canceled, response.canceled);
        let expected = reason_to_refuse(self.watched);
        if response.canceled
            && self.watched.request.start_revision >= 0
            && self.is_refused_for_its_user(response)
        {
            return Ok(());
        }
        if response.canceled != expected.is_some()
            || expected.is_some_and(|reason| reason != response.cancel_reason)
        {
            let reason = &response.cancel_reason;
            return self.refuse("refused", format_args!("\"{reason}\", and it should be {expected:?}"));
        }
        Ok(())
    }

    /// Whether it is refused for who asks, which `auth` looks into.
    fn is_refused_for_its_user(&self, response: &WatchResponse) -> bool {
        let auth = self.log.replayed.specification.auth();
        auth.is_some() && auth::REFUSALS_OF_WATCHES.contains(&&response.cancel_reason[..])
    }

    fn hear_canceled(&self, response: &WatchResponse, clock: u64) -> Result<(), Violation> {
        let compacted = response.compact_revision;
        if !response.cancel_reason.is_empty() {
            let reason = &response.cancel_reason;
            return self.refuse(
                "refused",
                format_args!("it is cancelled with \"{reason}\", where etcd gives no reason"),
            );
        }
        if compacted == 0 {
            let asked = self.watched.cancel_asked;
            return if asked { Ok(()) } else { self.refuse("refused", "it is cancelled for no reason") };
        }
        let compactions = &self.log.replayed.compactions;
        match compactions.iter().find(|compaction| compaction.revision == compacted) {
            None => self.refuse("compacted", format_args!("there was no compaction at {compacted}")),
            Some(compaction) if compaction.committed > clock => {
                self.refuse("compacted", format_args!("the compaction at {compacted} was not committed yet"))
            }
            Some(_) if self.from.is_some_and(|from| from >= compacted) => self
                .refuse("compacted", format_args!("compacted at {compacted}, which left all that it wants")),
            Some(_) => Ok(()),
        }
    }

    fn hear_progress(&mut self, revision: i64, asked: bool, clock: u64) -> Result<(), Violation> {
        // Progress with a fragment outstanding would be between its parts.
        // (Before that for which a watch waits, etcd tells of progress in some versions.)
        let start = if self.watched.is_partial { 0 } else { self.watched.request.start_revision };
        let floor = self.bookmark.max(self.last).max(start);
        if revision < floor || !self.fragments.is_empty() {
            let shape = match (revision < start, asked) {
                (true, true) => "progress that was asked for before the start",
                (true, false) => "progress before the start",
                (false, _) => "progress goes back",
            };
            return self.refuse_as("bookmarkable", shape, format_args!("progress to {revision}"));
        }
        if self.log.committed_at(revision).is_some_and(|committed| committed > clock) {
            return self.refuse("future", format_args!("progress to {revision}"));
        }
        let from = self.from.or(self.created.map(|created| created + 1)).unwrap_or_default();
        if let Some(change) = self.expected(from).find(|change| change.revision <= revision) {
            return self.refuse_as(
                "reliable",
                "before progress",
                format_args!("progress to {revision}, and nothing of {}", change.revision),
            );
        }
        (self.bookmark, self.from) = (revision, Some(self.from.unwrap_or_default().max(revision + 1)));
        Ok(())
    }

    /// The changes from revision `from` on that the watch should tell of.
    fn expected(&self, from: i64) -> impl Iterator<Item = &'a Change<'a>> + use<'a> {
        let request = &self.watched.request;
        let changes = &self.log.changes[self.log.place(from)..];
        changes.iter().filter(move |change| wants(request, change.key, change.kv.is_none()))
    }

    fn hear_events(&mut self, events: &[&'a Event], clock: u64) -> Result<(), Violation> {
        let before = self.last;
        let revisions = events.chunk_by(|one, next| revision_of(one) == revision_of(next)).count();
        if self.log.limits.is_some_and(|limits| revisions > limits.revisions) {
            return self.refuse("batch", format_args!("{revisions} revisions at once"));
        }
        for event in events {
            self.place_event(event, before, clock)?;
        }
        let first = events.first().map_or(0, |event| revision_of(event));
        // One that begins now may tell of what came just before the word that it is created.
        let from = self.from.unwrap_or_else(|| first.min(self.created.unwrap_or_default() + 1));
        let mut expected = self.expected(from).peekable();
        for event in events {
            let (revision, key) = (revision_of(event), key_of(event));
            let Some(change) = expected.next_if(|change| change.revision <= revision) else {
                let told = format_args!("an event of {} at {revision}", key.escape_ascii());
                let same =
                    events.iter().filter(|other| (revision_of(other), key_of(other)) == (revision, key));
                return self.refuse(if same.count() > 1 { "unique" } else { "unknown" }, told);
            };
            if change.revision < revision {
                let nothing_yet = before == 0 && self.bookmark == 0;
                let clause = if nothing_yet { "resumable" } else { "reliable" };
                return self.refuse(clause, format_args!("{revision} comes, and {} should", change.revision));
            }
            if change.key != key {
                let later =
                    events.iter().any(|other| revision_of(other) == revision && key_of(other) == change.key);
                let clause = if later { "ordered" } else { "reliable" };
                let (came, should) = (key.escape_ascii(), change.key.escape_ascii());
                return self.refuse(clause, format_args!("{came} comes at {revision}, and {should} should"));
            }
            self.compare(event, change, clock)?;
        }
        if expected.peek().is_some_and(|change| change.revision == self.last) {
            return self.refuse("atomic", format_args!("only a part of revision {} comes", self.last));
        }
        self.from = Some(self.last + 1);
        Ok(())
    }

    /// Checks that an event may come here, whatever it says. The last event before its response was of `before`.
    fn place_event(&mut self, event: &Event, before: i64, clock: u64) -> Result<(), Violation> {
        let (revision, key) = (revision_of(event), key_of(event));
        let told = format_args!("\"{}\" at {revision}", key.escape_ascii());
        if !wants(&self.watched.request, key, is_deletion(event)) {
            return self.refuse("filter", told);
        }
        if revision < self.watched.request.start_revision {
            return self.refuse("resumable", told);
        }
        if revision <= self.bookmark {
            return self.refuse_as("bookmarkable", "an event after its progress", told);
        }
        if revision <= before || revision < self.last {
            let again = self.watched.heard.iter().flat_map(|heard| &heard.response.events);
            let times = again.filter(|other| (revision_of(other), key_of(other)) == (revision, key)).count();
            let clause = match (times, revision == before) {
                (2.., _) => "unique",
                (_, true) => "atomic",
                (_, false) => "ordered",
            };
            return self.refuse(clause, told);
        }
        match self.log.committed_at(revision) {
            None => return self.refuse("unknown", told),
            Some(committed) if committed > clock => return self.refuse("future", told),
            Some(_) => {}
        }
        self.last = revision;
        Ok(())
    }

    /// Whether a key is told of as it is.
    fn is_told(&self, told: &KeyValue, kv: &KeyValue) -> bool {
        if !self.watched.is_partial {
            return told == kv;
        }
        let version = told.version == 0 || told.version == kv.version;
        version && (&told.key, told.mod_revision, &told.value) == (&kv.key, kv.mod_revision, &kv.value)
    }

    fn compare(&self, event: &Event, change: &Change<'_>, clock: u64) -> Result<(), Violation> {
        let Change { revision, key, kv } = *change;
        if kv.is_none() != is_deletion(event) {
            return self.refuse("content", format_args!("{event:?}, and it was {kv:?}"));
        }
        let creates = kv.is_some_and(|kv| kv.version == 1);
        let says_so = |told: &KeyValue| told.create_revision == told.mod_revision;
        if creates != (!is_deletion(event) && event.kv.as_ref().is_none_or(says_so)) {
            return self.refuse("is-create", format_args!("{event:?}, and it was {kv:?}"));
        }
        let is_so = match (kv, &event.kv) {
            (Some(kv), told) => told.as_ref().is_some_and(|told| self.is_told(told, kv)),
            (None, told) => told.as_ref().is_some_and(|told| {
                told.key == *key
                    && told.mod_revision == revision
                    && (told.create_revision, told.version, told.lease) == (0, 0, 0)
                    && told.value.is_empty()
            }),
        };
        if !is_so {
            return self.refuse("content", format_args!("{event:?}, and it was {kv:?}"));
        }
        let previous = self.log.previous(change);
        // A member may have compacted it, wherever it is in the log by then.
        let compactions = &self.log.replayed.compactions;
        let is_compacted =
            |compaction: &Compaction| compaction.revision >= revision && compaction.committed <= clock;
        let compacted = || compactions.iter().rev().any(is_compacted);
        let fits = match (&event.prev_kv, self.watched.request.prev_kv) {
            // What was under way when it was cancelled may come without.
            (None, true) => previous.is_none() || self.watched.cancel_asked || compacted(),
            (None, false) => true,
            (Some(told), asked) => asked && previous.is_some_and(|previous| self.is_told(told, previous)),
        };
        if !fits {
            return self.refuse("prev_kv", format_args!("{event:?}, and it was {previous:?}"));
        }
        Ok(())
    }
}

/// Why a watch cannot be created, in etcd's words.
fn reason_to_refuse(watched: &Watched) -> Option<&'static str> {
    let request = &watched.request;
    let key = if request.key.is_empty() { b"\0" } else { &request.key[..] };
    if request.start_revision < 0 {
        debug_assert_eq!(
            Error::Compacted.to_string(),
            "etcdserver: mvcc: required revision has been compacted"
        );
        Some("etcdserver: mvcc: required revision has been compacted")
    } else if !matches!(&request.range_end[..], [] | [0]) && key >= &request.range_end[..] {
        Some("mvcc: watcher range is empty")
    } else if watched.is_duplicate {
        Some("mvcc: duplicate watch ID provided on the WatchStream")
    } else {
        None
    }
}

fn wants(request: &WatchCreateRequest, key: &[u8], deletion: bool) -> bool {
    let first = if request.key.is_empty() { b"\0" } else { &request.key[..] };
    let unwanted = if deletion { FilterType::Nodelete } else { FilterType::Noput };
    is_in_range(first, &request.range_end, key) && request.filters().all(|filter| filter != unwanted)
}

fn is_deletion(event: &Event) -> bool {
    event.r#type == EventType::Delete as i32
}

fn revision_of(event: &Event) -> i64 {
    event.kv.as_ref().map_or(0, |kv| kv.mod_revision)
}

fn key_of(event: &Event) -> &Bytes {
    static NO_KEY: Bytes = Bytes::new();
    event.kv.as_ref().map_or(&NO_KEY, |kv| &kv.key)
}

fn shown(response: &WatchResponse) -> String {
    format!("{} events, cancelled: {}", response.events.len(), response.canceled)
}
