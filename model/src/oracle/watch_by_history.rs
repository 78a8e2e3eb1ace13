//! Watches, held against what the history of the clients alone shows.
//!
//! For histories that others have recorded, where no committed log is at hand. Verifies what [`watch`] does, with its
//! clauses, and needs an order of the history to hold the watches against; [`linearizable_history`] finds one.
//!
//! Does NOT verify: who may watch (see `auth`); that a watch tells of a change that can have been another one. A revision that no acknowledged write has
//! made may be explained by several unknown ones. What any watch told of it, or what any reply shows, is taken as evidence of
//! which it was, and what is left open by that may be missing from other watches.
//!
//! # How
//!
//! From the first revision on that no acknowledged write claims, what watches told is added to the history as reads of the
//! past, and another order is looked for. If there is one, it has these changes too, and the watches are held against it. If there is
//! none, some watch told what cannot be: they are held against the first order, to say which; where that fails, it is
//! `unexplained`.

use std::collections::BTreeSet;

use bytes::Bytes;
use vertebra_sim::verdict::Violation;

use super::auth::REFUSALS_OF_WATCHES;
use super::linearizable_history::{self, Conclusion, Limits, Write, each_key};
use super::replayed::{Compaction, Replayed};
use super::watch;
use crate::api::mvccpb::event::EventType;
use crate::api::{
    Event, KeyValue, LeaseGrantRequest, LeaseGrantResponse, RangeRequest, RangeResponse, ResponseHeader,
};
use crate::history::{History, Outcome, Request};
use crate::response::Response;
use crate::watch_history::{Heard, WatchHistory};

/// As [`watch`] is named, of which this is a part.
pub const NAME: &str = "watch";

/// Judges what watching clients were told by what the history shows, in which `writes` is an order that was found.
///
/// # Errors
///
/// The first broken clause.
pub fn check(
    watches: &WatchHistory,
    history: &History,
    writes: &[Write],
    limits: Limits,
) -> Result<Conclusion, Violation> {
    let watches = &allowed(watches);
    let last = 1 + writes.len() as i64;
    let told = evidence(watches, history, writes);
    if told.is_empty() {
        against(watches, history, writes, last)?;
        return Ok(Conclusion::Linearizable);
    }
    let (mut all, first_told) = (history.clone(), history.operations().len());
    for (request, reply) in told {
        let id = all.invoke(u32::MAX, request);
        all.returned(id, Outcome::Ok(reply));
    }
    match linearizable_history::find_order_of_told(&all, first_told, limits) {
        Ok((Conclusion::Linearizable, writes)) => {
            against(watches, history, &writes, last)?;
            Ok(Conclusion::Linearizable)
        }
        Ok((undecided, _)) => Ok(undecided),
        Err(why) => {
            against(watches, history, writes, last)?;
            let detail = format!("no order explains what watches told: {why}");
            Err(Violation::new(NAME, "unexplained", "", detail))
        }
    }
}

/// The watches, but for those that were refused for who asked.
fn allowed(watches: &WatchHistory) -> WatchHistory {
    let mut allowed = WatchHistory::default();
    for watched in watches.watches() {
        let refused = |heard: &Heard| {
            heard.response.canceled && REFUSALS_OF_WATCHES.contains(&&heard.response.cancel_reason[..])
        };
        if !watched.heard.iter().any(refused) {
            allowed.push(watched.clone());
        }
    }
    allowed
}

/// Holds the watches against an order.
fn against(watches: &WatchHistory, history: &History, writes: &[Write], last: i64) -> Result<(), Violation> {
    let replayed = Replayed::of_order(writes, compactions(history));
    let mut shown = BTreeSet::new();
    for operation in history.operations() {
        let Some(reply) = operation.reply() else { continue };
        each_key(&operation.request, reply, &mut |sight| {
            shown.insert((sight.kv.mod_revision, sight.kv.key.clone()));
        });
    }
    for event in events(watches) {
        if let Some(kv) = &event.kv {
            shown.insert((kv.mod_revision, kv.key.clone()));
        }
    }
    watch::check_order(watches, &replayed, |revision, key: &Bytes| {
        let write = usize::try_from(revision - 2).ok().and_then(|place| writes.get(place));
        let is_certain = revision <= last && write.is_some_and(|write| write.is_certain);
        is_certain || shown.contains(&(revision, key.clone()))
    })
}

/// Each compaction that was done, or may have been.
fn compactions(history: &History) -> Vec<Compaction> {
    let mut compactions: Vec<Compaction> = Vec::new();
    for operation in history.operations() {
        if let (Request::Compact(compaction), Outcome::Ok(_) | Outcome::Unknown) =
            (&operation.request, &operation.outcome)
        {
            let (revision, committed) = (compaction.revision, operation.invoked + 1);
            compactions.push(Compaction { index: 0, revision, committed });
        }
    }
    compactions.sort_by_key(|compaction| compaction.revision);
    compactions
}

fn events(watches: &WatchHistory) -> impl Iterator<Item = &Event> {
    watches.watches().iter().flat_map(|watched| &watched.heard).flat_map(|heard| &heard.response.events)
}

/// What watches told that an order must have, as operations that read it when all is over; nothing where acknowledged
/// writes leave nothing open.
fn evidence(watches: &WatchHistory, history: &History, writes: &[Write]) -> Vec<(Request, Response)> {
    let acknowledged: BTreeSet<i64> = history
        .operations()
        .iter()
        .filter_map(|operation| {
            let reply = operation.reply()?;
            let changes = linearizable_history::changes(&operation.request, reply)?;
            changes.then_some(reply.revision())
        })
        .collect();
    let shown = 1 + writes.len() as i64;
    let headers = watches.watches().iter().flat_map(|watched| &watched.heard).filter_map(|heard| {
        let header = heard.response.header.filter(|_| !heard.response.created)?;
        Some(header.revision)
    });
    let told = events(watches).filter_map(|event| Some(event.kv.as_ref()?.mod_revision));
    let last = headers.chain(told).max().unwrap_or_default().max(shown);
    let Some(first_gap) = (2..=last).find(|revision| !acknowledged.contains(revision)) else {
        return Vec::new();
    };
    let mut evidence =
        Evidence { header: ResponseHeader { revision: last, ..Default::default() }, found: Vec::new() };
    if last > shown {
        evidence.revision();
    }
    let mut known = BTreeSet::new();
    for event in events(watches) {
        let Some(kv) = &event.kv else { continue };
        let (key, revision) = (&kv.key, kv.mod_revision);
        if revision < first_gap || !known.insert((revision, key.clone())) {
            continue;
        }
        let deleted = event.r#type == EventType::Delete as i32;
        let creates = !deleted && kv.create_revision == revision;
        if !acknowledged.contains(&revision) {
            // Who does not tell how often a key was put tells nothing of its lease either: told with when it was created, it would be
            // taken for the whole of it.
            let (create_revision, version) = match kv.version {
                0 => (0, i64::from(creates)),
                version => (kv.create_revision, version),
            };
            let put = || KeyValue { create_revision, version, ..kv.clone() };
            evidence.key(key, revision, (!deleted).then(put));
        }
        if revision > first_gap {
            match &event.prev_kv {
                Some(previous) => evidence.key(key, revision - 1, Some(previous.clone())),
                None => evidence.existence(key, revision - 1, !creates),
            }
        }
    }
    evidence.found
}

/// Operations that see what watches told.
struct Evidence {
    header: ResponseHeader,
    found: Vec<(Request, Response)>,
}

impl Evidence {
    /// There is the revision of the header.
    fn revision(&mut self) {
        // A grant that nobody uses shows that, and nothing else.
        let (id, ttl) = (i64::MIN, 1);
        let reply = LeaseGrantResponse { header: Some(self.header), id, ttl, ..Default::default() };
        self.found.push((Request::LeaseGrant(LeaseGrantRequest { id, ttl }), Response::LeaseGrant(reply)));
    }

    /// At a revision, the key was this, or was not.
    fn key(&mut self, key: &Bytes, revision: i64, kv: Option<KeyValue>) {
        let read = RangeRequest { key: key.clone(), revision, ..RangeRequest::default() };
        self.read(read, kv.is_some(), kv.into_iter().collect());
    }

    fn existence(&mut self, key: &Bytes, revision: i64, exists: bool) {
        let read = RangeRequest { key: key.clone(), revision, count_only: true, ..RangeRequest::default() };
        self.read(read, exists, Vec::new());
    }

    fn read(&mut self, read: RangeRequest, exists: bool, kvs: Vec<KeyValue>) {
        let (header, count) = (Some(self.header), i64::from(exists));
        let reply = RangeResponse { header, kvs, count, ..RangeResponse::default() };
        self.found.push((Request::Range(read), Response::Range(reply)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{PutRequest, WatchCreateRequest, WatchResponse};
    use crate::oracle::testing::put;
    use crate::watch_history::Watched;

    /// A put of `a` that is acknowledged at revision 2, two of `a` and `b` of which nobody heard, and a put of `c` at 4: who
    /// made 3?
    fn history() -> History {
        let mut history = History::new();
        let acknowledge = |history: &mut History, id, revision| {
            let header = Some(ResponseHeader { revision, ..ResponseHeader::default() });
            history
                .returned(id, Outcome::Ok(Response::Put(crate::api::PutResponse { header, prev_kv: None })));
        };
        let first = history.invoke(1, put("a", "1"));
        acknowledge(&mut history, first, 2);
        history.invoke(2, put("a", "2"));
        history.invoke(3, put("b", "3"));
        let last = history.invoke(1, put("c", "4"));
        acknowledge(&mut history, last, 4);
        history
    }

    fn kv(key: &'static str, value: &'static str, created: i64, revision: i64) -> KeyValue {
        let version = if created == revision { 1 } else { 2 };
        let (key, value) = (key.into(), value.into());
        KeyValue { key, value, create_revision: created, mod_revision: revision, version, lease: 0 }
    }

    /// What a watch of a key from revision 2 on is told, each event in a response of its own.
    fn watched(key: &'static str, range_end: &'static str, told: &[KeyValue], progress: i64) -> Watched {
        let request = WatchCreateRequest {
            key: key.into(),
            range_end: range_end.into(),
            start_revision: 2,
            ..WatchCreateRequest::default()
        };
        let header = |revision| Some(ResponseHeader { revision, ..ResponseHeader::default() });
        let mut responses = vec![WatchResponse { header: header(2), created: true, ..Default::default() }];
        responses.extend(told.iter().map(|kv| WatchResponse {
            header: header(kv.mod_revision),
            events: vec![Event { kv: Some(kv.clone()), ..Event::default() }],
            ..WatchResponse::default()
        }));
        responses.push(WatchResponse { header: header(progress), ..WatchResponse::default() });
        let heard = responses.into_iter().map(|response| Heard { clock: 6, response }).collect();
        Watched { request, heard, ..Watched::default() }
    }

    fn judge(all: Vec<Watched>) -> Option<&'static str> {
        let (history, mut watches) = (history(), WatchHistory::default());
        all.into_iter().for_each(|watched| watches.push(watched));
        let (_, writes) = linearizable_history::find_order(&history, Limits::NONE).unwrap();
        check(&watches, &history, &writes, Limits::NONE).err().map(|violation| violation.clause)
    }

    #[test]
    fn what_an_unknown_write_did_is_what_watches_tell_of_it() {
        let (a1, a2, b3, c4) =
            (kv("a", "1", 2, 2), kv("a", "2", 2, 3), kv("b", "3", 3, 3), kv("c", "4", 4, 4));
        for third in [&a2, &b3] {
            assert_eq!(judge(vec![watched("a", "z", &[a1.clone(), third.clone(), c4.clone()], 4)]), None);
        }
        // It may have been the other one, of which this watch is not to tell.
        assert_eq!(judge(vec![watched("a", "", std::slice::from_ref(&a1), 4)]), None);
        assert_eq!(judge(vec![watched("b", "", &[], 4)]), None);
        // It is known now, and one of them misses it.
        let seen = watched("a", "z", &[a1.clone(), b3.clone(), c4.clone()], 4);
        assert_eq!(judge(vec![seen.clone(), watched("b", "", &[], 4)]), Some("reliable"));
        assert_eq!(judge(vec![seen.clone(), watched("b", "", &[b3], 4)]), None);
        // Both cannot be.
        assert_eq!(judge(vec![seen, watched("a", "", &[a1, a2], 4)]), Some("unknown"));
    }

    #[test]
    fn what_nobody_wrote_is_told_by_no_watch() {
        let (a1, c4) = (kv("a", "1", 2, 2), kv("c", "4", 4, 4));
        let third = |value| kv("a", value, 2, 3);
        assert_eq!(judge(vec![watched("a", "z", &[a1.clone(), third("9"), c4.clone()], 4)]), Some("unknown"));
        assert_eq!(judge(vec![watched("a", "z", std::slice::from_ref(&c4), 4)]), Some("resumable"));
        assert_eq!(judge(vec![watched("a", "z", &[a1.clone(), c4.clone()], 9)]), Some("unknown"));
        // The last write may be one that no reply shows.
        let fifth = kv("b", "3", 5, 5);
        let all = [a1.clone(), third("2"), c4.clone(), fifth.clone()];
        assert_eq!(judge(vec![watched("a", "z", &all, 5)]), None);
        assert_eq!(judge(vec![watched("a", "z", &[a1, c4, fifth], 5)]), Some("reliable"));
    }

    #[test]
    fn who_does_not_tell_of_leases_tells_of_none() {
        let mut history = History::partial();
        let (id, ttl) = (7, 5);
        let grant = history.invoke(1, Request::LeaseGrant(LeaseGrantRequest { id, ttl }));
        let header = Some(ResponseHeader { revision: 1, ..ResponseHeader::default() });
        let granted = LeaseGrantResponse { header, id, ttl, ..LeaseGrantResponse::default() };
        history.returned(grant, Outcome::Ok(Response::LeaseGrant(granted)));
        let Request::Put(put) = put("b", "3") else { panic!("it puts") };
        history.invoke(2, Request::Put(PutRequest { lease: id, ..put }));
        // As a report of etcd's has it: created by this event, and no more.
        let told = KeyValue { version: 0, ..kv("b", "3", 2, 2) };
        let mut watches = WatchHistory::default();
        watches.push(Watched { is_partial: true, ..watched("b", "", &[told], 2) });
        let (_, writes) = linearizable_history::find_order(&history, Limits::NONE).unwrap();
        check(&watches, &history, &writes, Limits::NONE).unwrap();
    }
}
