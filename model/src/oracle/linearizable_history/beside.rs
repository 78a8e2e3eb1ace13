//! What a store has beside its keys, and no reply shows: which leases there are, and up to where it is compacted.
//!
//! The replay knows the keys at each revision. What is left to find is an order, within the revisions, of the operations
//! that depend on leases or compactions or were refused: a search of its own, from revision to revision, over
//! *configurations* (which leases exist, what is compacted, which of the operations under way are still to come). There is
//! one of them nearly always, since of everything that could happen only that is tried which somebody needs:
//!
//! | | |
//! | --- | --- |
//! | refusals and reads of the past | change nothing, so they come as soon as they are right |
//! | a lease expires | at any time when no key has it, and only where somebody must find it gone |
//! | grants and compactions of unknown outcome | happened only where somebody must find them done |
//! | what is over at this revision, or may be right at no later one | has to come now, and with it only what has to do with the same leases, or was over before |
//!
//! (A lease that exists and has no key can do all that one can that does not exist, for it can expire. A store that is
//! compacted less can do all that one can that is compacted more.) With keys, a lease ends as a revision of its own, which
//! the replay fills with a ghost.

use std::collections::{BTreeMap, BTreeSet};

use super::NONE;
use super::items::{Act, Item};
use super::leases::Leases;
use super::replies::{each_op, each_possible_put};
use crate::api::request_op::Request as Op;
use crate::error::Error;
use crate::history::{History, Operation, Outcome, Request};
use crate::oracle::replay::Replay;

/// What is compacted before the first compaction.
const NEVER_COMPACTED: i64 = -1;
/// So many configurations are held against each other, to leave out those that are needless.
const COMPARED_MAX: usize = 2_000;

/// What a store may have beside its keys.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Configuration {
    /// Items that may come now, and have not: their numbers, rising.
    open: Vec<u32>,
    /// The leases that exist, as bits of their numbers.
    alive: Vec<u64>,
    compacted: i64,
    /// By lease: how many grants of unknown outcome it took to come here.
    granted: BTreeMap<i64, u32>,
}

impl Configuration {
    /// Whether all that can follow `other` can follow this, too.
    fn can_do_all_of(&self, other: &Self) -> bool {
        self.compacted <= other.compacted
            && self.open.iter().all(|item| other.open.binary_search(item).is_ok())
            && self.alive.iter().zip(&other.alive).all(|(one, more)| more & !one == 0)
            && self.granted.iter().all(|(id, count)| other.granted.get(id).is_some_and(|used| count <= used))
    }
}

/// What is possible at a revision.
#[derive(Clone, Default, Debug)]
pub(super) struct Frontier {
    configurations: Vec<Configuration>,
    /// The first item that cannot have come yet.
    next: usize,
    /// There was more than is looked at.
    is_cut: bool,
}

impl Frontier {
    /// The first item that cannot have come yet.
    pub(super) fn next(&self) -> u32 {
        self.next as u32
    }
}

/// What some operations have to do with, so that it has to be tried.
#[derive(Default)]
struct Part {
    items: Vec<u32>,
    leases: Vec<i64>,
    compaction: bool,
}

impl Part {
    /// Whether an item has to do with the same.
    fn concerns(&self, item: &Item) -> bool {
        self.compaction && item.compaction || self.leases.iter().any(|id| item.leases.contains(id))
    }
}

/// On what it depends what is possible at a revision.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Dependence {
    /// On nothing that came before: everything has its place, and nothing better is possible.
    Nothing,
    /// On the order of what is under way and the writes of late.
    Order,
    /// On keys as well, and so on any write.
    Keys,
}

/// All that is to be ordered beside the keys.
pub(super) struct Beside<'a> {
    history: &'a History,
    /// By the first revision at which each may stand.
    items: Vec<Item>,
    /// By lease, and of compactions: those of unknown outcome, by invocation.
    grants: BTreeMap<i64, Vec<Item>>,
    compactions: Vec<Item>,
    /// The leases that were ever granted, and the revision after which nobody asks for each of them.
    numbers: BTreeMap<i64, u32>,
    last_asked: Vec<(i64, i64)>,
    /// By item: up to where it and those before it have compacted.
    compacted_upto: Vec<i64>,
    /// So many configurations at a time, and the search gives up.
    configurations_max: usize,
}

impl<'a> Beside<'a> {
    /// `items` in the order of their invocation.
    pub(super) fn new(
        history: &'a History,
        leases: &Leases,
        items: Vec<Item>,
        configurations_max: u64,
    ) -> Self {
        let (mut known, mut grants, mut compactions) = (Vec::new(), BTreeMap::new(), Vec::new());
        for item in items {
            match item.act {
                Act::Granted(id) if item.is_unknown() => grants.entry(id).or_insert_with(Vec::new).push(item),
                Act::Compacted(_) if item.is_unknown() => compactions.push(item),
                _ => known.push(item),
            }
        }
        known.sort_by_key(|item| item.low);
        let numbers: BTreeMap<i64, u32> = leases.granted().zip(0..).collect();
        let mut last_asked: Vec<(i64, i64)> = numbers.keys().map(|&id| (id, 0)).collect();
        let mut asks = |id: i64, revision: i64| {
            if let Some(&number) = numbers.get(&id) {
                let (_, last) = &mut last_asked[number as usize];
                *last = revision.max(*last);
            }
        };
        known.iter().for_each(|item| item.leases.iter().for_each(|id| asks(*id, item.high)));
        let operations = if numbers.is_empty() { &[] } else { history.operations() };
        for operation in operations {
            let revision = match &operation.outcome {
                Outcome::Ok(reply) => reply.revision(),
                Outcome::Unknown => i64::MAX,
                Outcome::Failed(_) => continue,
            };
            each_possible_put(&operation.request, &mut |put| asks(put.lease, revision));
        }
        let configurations_max = usize::try_from(configurations_max).unwrap_or(usize::MAX);
        let mut compacted_upto = Vec::with_capacity(known.len());
        for item in &known {
            let before = compacted_upto.last().copied().unwrap_or(NEVER_COMPACTED);
            compacted_upto.push(if let Act::Compacted(at) = item.act { at.max(before) } else { before });
        }
        Self {
            history,
            items: known,
            grants,
            compactions,
            numbers,
            last_asked,
            compacted_upto,
            configurations_max,
        }
    }

    pub(super) fn item(&self, number: u32) -> &Item {
        &self.items[number as usize]
    }

    /// Before the first revision.
    pub(super) fn begin(&self) -> Frontier {
        let first = Configuration {
            open: Vec::new(),
            alive: vec![0; self.numbers.len().div_ceil(64)],
            compacted: NEVER_COMPACTED,
            granted: BTreeMap::new(),
        };
        Frontier { configurations: vec![first], next: 0, is_cut: false }
    }

    /// Whether every item can have found its place.
    pub(super) fn is_done(&self, frontier: &Frontier) -> bool {
        frontier.next == self.items.len() && frontier.configurations.iter().any(|one| one.open.is_empty())
    }

    /// Whether there is nothing to be found out, now and later.
    pub(super) fn is_trivial(&self, frontier: &Frontier) -> bool {
        frontier.next == self.items.len()
            && matches!(&frontier.configurations[..], [one] if one.open.is_empty())
    }

    /// On which writes it depends what is possible.
    pub(super) fn dependence(&self, frontier: &Frontier) -> Dependence {
        match &frontier.configurations[..] {
            _ if !self.numbers.is_empty() => Dependence::Keys,
            // Only what was acknowledged has been compacted, and all of that. Less is not possible.
            [one] if one.open.is_empty() && one.compacted == self.acknowledged(frontier.next) => {
                Dependence::Nothing
            }
            all if all.iter().flat_map(|one| &one.open).any(|item| self.depends_on_keys(*item)) => {
                Dependence::Keys
            }
            _ => Dependence::Order,
        }
    }

    /// Whether it may depend on the next write, what is possible after it: it ends a lease or uses one, or comes before what is
    /// under way or after it.
    pub(super) fn may_depend(&self, frontier: &Frontier) -> bool {
        !self.numbers.is_empty() || frontier.configurations.iter().any(|one| !one.open.is_empty())
    }

    /// Whether it depends on keys, when an item can come.
    pub(super) fn depends_on_keys(&self, number: u32) -> bool {
        let item = self.item(number);
        let request = &self.history.operations()[item.operation as usize].request;
        !item.leases.is_empty()
            || item.keys
            || item.act == Act::Refused(Error::KeyNotFound)
            || matches!(request, Request::Txn(_))
    }

    /// The last compaction among the first items.
    fn acknowledged(&self, items: usize) -> i64 {
        items.checked_sub(1).map_or(NEVER_COMPACTED, |last| self.compacted_upto[last])
    }

    /// Whether there are too many possibilities.
    pub(super) fn is_too_much(&self, frontier: &Frontier) -> bool {
        frontier.is_cut
    }

    /// An item that has found no place in one configuration.
    pub(super) fn unfounded(&self, frontier: &Frontier) -> Option<&Item> {
        let open = frontier.configurations.iter().find_map(|one| one.open.first());
        open.map(|&item| &self.items[item as usize]).or_else(|| self.items.get(frontier.next))
    }

    /// The next revision is made by `write`, which the replay has not executed yet; whether that is possible.
    pub(super) fn write(&self, frontier: &mut Frontier, replay: &Replay<'_>, write: &Operation) -> bool {
        let mut part = Part::default();
        match &write.request {
            Request::LeaseRevoke(revoke) => part.leases.push(revoke.id),
            Request::Put(put) if put.lease != 0 => part.leases.push(put.lease),
            Request::Txn(txn) => each_op(txn, &mut |op| match &op.request {
                Some(Op::RequestPut(put)) if put.lease != 0 => part.leases.push(put.lease),
                Some(Op::RequestRange(read)) => part.compaction |= read.revision != 0,
                _ => {}
            }),
            _ => {}
        }
        // Of a write that was answered, the bounds of the items tell what comes before it.
        let is_unknown = write.ended() == u64::MAX;
        let waits = |one: &Configuration| {
            is_unknown && self.first_end(one) <= write.invoked
                || one.open.iter().any(|item| self.ends_with(&self.items[*item as usize], replay, write))
        };
        if part.leases.is_empty() && !part.compaction && !frontier.configurations.iter().any(waits) {
            return true;
        }
        let concerns = |one: &Configuration| {
            waits(one)
                || is_unknown && matches!(write.request, Request::LeaseRevoke(_)) && !one.open.is_empty()
                || part.leases.iter().any(|id| !self.is_alive(one, *id))
                || one.open.iter().any(|item| part.concerns(&self.items[*item as usize]))
        };
        if frontier.configurations.iter().any(concerns) {
            let next =
                self.items[frontier.next..].iter().take_while(|item| item.low <= replay.revision() + 1);
            let revoked =
                next.filter(|item| matches!(item.act, Act::Revoked(id) if part.leases.contains(&id)));
            // It may be one of these that made the revision.
            let invoked = revoked.map(|item| item.invoked).fold(write.invoked, u64::max);
            let is_before =
                |item: &Item| is_unknown && item.ended <= invoked || self.ends_with(item, replay, write);
            self.close(frontier, replay, &part, &is_before);
        }
        frontier.configurations.retain_mut(|one| {
            if is_unknown && self.first_end(one) <= write.invoked {
                return false;
            }
            match &write.request {
                Request::LeaseRevoke(revoke) => {
                    let was_alive = self.is_alive(one, revoke.id);
                    self.set_alive(one, revoke.id, false);
                    was_alive
                }
                // Whether there are keys as it needs them is for the replay to say.
                request => !matches!(
                    replay.refusal(request, &|id| self.is_alive(one, id), one.compacted),
                    Some(Error::LeaseNotFound | Error::Compacted)
                ),
            }
        });
        !frontier.configurations.is_empty()
    }

    /// Whether a refusal is right now, so that it waits only for another one, and may be wrong when `write` was executed.
    fn ends_with(&self, item: &Item, replay: &Replay<'_>, write: &Operation) -> bool {
        let Act::Refused(error) = item.act else { return false };
        let request = &self.history.operations()[item.operation as usize].request;
        let may_end = match (error, request) {
            (Error::FutureRevision, Request::Range(read)) => read.revision <= replay.revision() + 1,
            (Error::FutureRevision, Request::Compact(compaction)) => {
                compaction.revision <= replay.revision() + 1
            }
            (Error::KeyNotFound, Request::Put(missing)) => {
                let mut comes = false;
                each_possible_put(&write.request, &mut |put| comes |= put.key == missing.key);
                comes
            }
            (Error::KeyNotFound | Error::FutureRevision, Request::Txn(_)) => true,
            _ => false,
        };
        may_end && replay.refusal(request, &|_| true, NEVER_COMPACTED) == Some(error)
    }

    /// Lets everything find its place that stands at the revision of the replay or has to; the items that cannot, if nothing else
    /// is possible.
    ///
    /// `ended` is the lease whose end made this revision, if that was what did.
    pub(super) fn settle(
        &self,
        frontier: &mut Frontier,
        replay: &Replay<'_>,
        ended: Option<i64>,
        is_last: bool,
    ) -> Vec<u32> {
        let revision = replay.revision();
        self.activate(frontier, revision, ended);
        if frontier.configurations.iter().all(|one| one.open.is_empty()) {
            return Vec::new();
        }
        for one in &mut frontier.configurations {
            self.do_what_is_right(one, replay);
        }
        let item = |number: &u32| &self.items[*number as usize];
        let has_to = |item: &Item| is_last || item.high <= revision || item.keys;
        if frontier.configurations.iter().any(|one| one.open.iter().map(item).any(has_to)) {
            self.close(frontier, replay, &Part::default(), &has_to);
        }
        let is_late = |number: &u32| item(number).high <= revision;
        let first_late = frontier
            .configurations
            .first()
            .map_or(Vec::new(), |one| one.open.iter().copied().filter(is_late).collect());
        frontier.configurations.retain(|one| !one.open.iter().any(is_late));
        if frontier.configurations.is_empty() { first_late } else { Vec::new() }
    }

    /// The items that are still to come, in one configuration.
    pub(super) fn open(&self, frontier: &Frontier) -> impl Iterator<Item = u32> {
        frontier.configurations.first().into_iter().flat_map(|one| one.open.iter().copied())
    }

    /// The request of an item that can come as soon as keys are as it needs them, if they are not now; and whether it could have
    /// come at an earlier revision.
    pub(super) fn waits_for_keys(&self, number: u32, replay: &Replay<'_>) -> Option<(&'a Request, bool)> {
        let item = self.item(number);
        let Act::Refused(error @ Error::KeyNotFound) = item.act else { return None };
        let request = &self.history.operations()[item.operation as usize].request;
        let is_right = replay.refusal(request, &|_| true, NEVER_COMPACTED) == Some(error);
        let is_alone = item.leases.is_empty() && !item.compaction && !is_right;
        is_alone.then_some((request, item.low < replay.revision()))
    }

    fn activate(&self, frontier: &mut Frontier, revision: i64, ended: Option<i64>) {
        let first = frontier.next;
        let new = self.items[first..].iter().take_while(|item| item.low <= revision).count();
        if new == 0 {
            return;
        }
        frontier.next += new;
        let numbers = first as u32..frontier.next as u32;
        // Who revoked the lease may be the one who made this revision, unless something of it was seen before.
        let revoked = numbers.clone().filter(|&number| {
            let item = &self.items[number as usize];
            ended.is_some_and(|id| item.act == Act::Revoked(id)) && item.floor < 2 * revision
        });
        let mut others = Vec::new();
        for number in revoked {
            for one in &frontier.configurations {
                if self.items[number as usize].invoked < self.first_end(one) {
                    let mut other = one.clone();
                    other.open.extend(numbers.clone().filter(|&open| open != number));
                    others.push(other);
                }
            }
        }
        for one in &mut frontier.configurations {
            one.open.extend(numbers.clone());
        }
        frontier.configurations.append(&mut others);
    }

    fn number(&self, id: i64) -> u32 {
        self.numbers.get(&id).copied().unwrap_or(NONE)
    }

    fn is_alive(&self, one: &Configuration, id: i64) -> bool {
        let number = self.number(id) as usize;
        one.alive.get(number / 64).is_some_and(|word| word >> (number % 64) & 1 == 1)
    }

    fn set_alive(&self, one: &mut Configuration, id: i64, alive: bool) {
        let number = self.number(id) as usize;
        if let Some(word) = one.alive.get_mut(number / 64) {
            *word = *word & !(1 << (number % 64)) | u64::from(alive) << (number % 64);
        }
    }

    /// The next grant of unknown outcome for a lease that does not exist.
    fn next_grant(&self, one: &Configuration, id: i64) -> Option<&Item> {
        let used = one.granted.get(&id).copied().unwrap_or(0);
        self.grants.get(&id)?.get(used as usize).filter(|_| !self.is_alive(one, id))
    }

    /// When the first item is over that has not come yet: what was invoked later cannot come now.
    fn first_end(&self, one: &Configuration) -> u64 {
        one.open.iter().map(|item| self.items[*item as usize].ended).min().unwrap_or(u64::MAX)
    }

    /// Lets come what is right here and changes nothing, and what has to come and changes what nobody else asks for.
    fn do_what_is_right(&self, one: &mut Configuration, replay: &Replay<'_>) {
        loop {
            let (first_end, before) = (self.first_end(one), one.open.len());
            let mut open = std::mem::take(&mut one.open);
            open.retain(|number| {
                let item = &self.items[*number as usize];
                !(item.invoked < first_end && self.is_right(one, item, replay))
            });
            one.open = open;
            let alone = one.open.iter().position(|number| {
                let item = &self.items[*number as usize];
                item.high <= replay.revision()
                    && item.invoked < first_end
                    && !one
                        .open
                        .iter()
                        .any(|other| other != number && self.items[*other as usize].shares(item))
            });
            if let Some(place) = alone
                && let Some(next) = self.after(one, one.open[place], replay)
            {
                *one = next;
            } else if one.open.len() == before {
                return;
            }
        }
    }

    /// Whether what an item was told, and which changes nothing, is right now.
    fn is_right(&self, one: &Configuration, item: &Item, replay: &Replay<'_>) -> bool {
        match item.act {
            Act::Refused(error) => {
                let request = &self.history.operations()[item.operation as usize].request;
                replay.refusal(request, &|id| self.is_alive(one, id), one.compacted) == Some(error)
            }
            Act::Shown(revision) => one.compacted <= revision,
            Act::Granted(_) | Act::Revoked(_) | Act::Compacted(_) => false,
        }
    }

    /// What is when an item has come that changes something, if it can now.
    fn after(&self, one: &Configuration, number: u32, replay: &Replay<'_>) -> Option<Configuration> {
        let mut next = one.clone();
        let happens = match self.items[number as usize].act {
            Act::Granted(id) => {
                self.set_alive(&mut next, id, true);
                !self.is_alive(one, id)
            }
            Act::Revoked(id) => {
                self.set_alive(&mut next, id, false);
                self.is_alive(one, id) && replay.attached(id) == 0
            }
            Act::Compacted(at) => {
                next.compacted = at;
                one.compacted < at && at <= replay.revision()
            }
            Act::Refused(_) | Act::Shown(_) => false,
        };
        next.open.retain(|open| *open != number);
        happens.then_some(next)
    }

    /// All that the items which `has_to` names, and whatever has to do with them or with `seed`, can come to at this
    /// revision.
    fn close(
        &self,
        frontier: &mut Frontier,
        replay: &Replay<'_>,
        seed: &Part,
        has_to: &dyn Fn(&Item) -> bool,
    ) {
        let mut all = Vec::with_capacity(frontier.configurations.len());
        for one in frontier.configurations.drain(..) {
            let part = self.part(&one, replay.revision(), seed, has_to);
            let mut reached = BTreeSet::from([one.clone()]);
            let mut queue = vec![one];
            while let Some(from) = queue.pop()
                && reached.len() <= self.configurations_max
            {
                self.each_step(&from, &part, replay, &mut |mut next| {
                    self.do_what_is_right(&mut next, replay);
                    if reached.insert(next.clone()) {
                        queue.push(next);
                    }
                });
            }
            frontier.is_cut |= reached.len() + all.len() > self.configurations_max;
            all.extend(reached);
        }
        if all.len() > 1 {
            all.iter_mut().for_each(|one| self.forget(one, replay));
        }
        all.sort();
        all.dedup();
        for one in 0..all.len() {
            let is_needless =
                |(place, other): (usize, &Configuration)| place != one && other.can_do_all_of(&all[one]);
            if all.len() > COMPARED_MAX || !all.iter().enumerate().any(is_needless) {
                frontier.configurations.push(all[one].clone());
            }
        }
    }

    /// Lets leases end for which nobody will ask, so that they make no difference.
    fn forget(&self, one: &mut Configuration, replay: &Replay<'_>) {
        for (place, word) in one.alive.iter_mut().enumerate() {
            let mut rest = *word;
            while rest != 0 {
                let bit = rest.trailing_zeros() as usize;
                rest &= rest - 1;
                let (id, last) = self.last_asked[64 * place + bit];
                if last < replay.revision() && replay.attached(id) == 0 {
                    *word &= !(1 << bit);
                }
            }
        }
    }

    fn part(&self, one: &Configuration, revision: i64, seed: &Part, has_to: &dyn Fn(&Item) -> bool) -> Part {
        let mut part = Part { items: Vec::new(), leases: seed.leases.clone(), compaction: seed.compaction };
        let mut last_invoked = 0;
        loop {
            let before = part.items.len();
            let unknown = part.leases.iter().filter_map(|id| self.next_grant(one, *id));
            let compactions = self.compactions.iter().filter(|_| part.compaction);
            let possible = unknown.chain(compactions).filter(|item| item.low <= revision);
            last_invoked = possible.map(|item| item.invoked).max().unwrap_or(0).max(last_invoked);
            for &number in &one.open {
                let item = &self.items[number as usize];
                // Somebody of the part comes after it.
                let is_needed = item.ended < last_invoked;
                if !part.items.contains(&number) && (has_to(item) || part.concerns(item) || is_needed) {
                    part.items.push(number);
                    part.leases.extend(&item.leases);
                    part.compaction |= item.compaction;
                    last_invoked = last_invoked.max(item.invoked);
                }
            }
            if part.items.len() == before {
                part.leases.sort_unstable();
                part.leases.dedup();
                return part;
            }
        }
    }

    /// Whether something waits for the end of a lease that exists.
    fn is_in_the_way(&self, one: &Configuration, id: i64) -> bool {
        one.open.iter().map(|item| &self.items[*item as usize]).any(|item| {
            item.leases.contains(&id)
                && matches!(
                    item.act,
                    Act::Granted(_) | Act::Refused(Error::LeaseNotFound | Error::KeyNotFound)
                )
        })
    }

    /// What can happen next to what is in `part`.
    fn each_step(
        &self,
        from: &Configuration,
        part: &Part,
        replay: &Replay<'_>,
        sink: &mut dyn FnMut(Configuration),
    ) {
        let (first_end, revision) = (self.first_end(from), replay.revision());
        for number in part.items.iter().filter(|number| from.open.binary_search(number).is_ok()) {
            if self.items[*number as usize].invoked < first_end {
                self.after(from, *number, replay).into_iter().for_each(&mut *sink);
            }
        }
        for &id in &part.leases {
            let mut next = from.clone();
            if !self.is_alive(from, id) {
                let grant = self.next_grant(from, id);
                if grant.is_some_and(|grant| grant.invoked < first_end && grant.low <= revision) {
                    self.set_alive(&mut next, id, true);
                    *next.granted.entry(id).or_default() += 1;
                    sink(next);
                }
            } else if replay.attached(id) == 0 && self.is_in_the_way(from, id) {
                self.set_alive(&mut next, id, false);
                sink(next);
            }
        }
        if part.compaction {
            for compaction in &self.compactions {
                let Act::Compacted(at) = compaction.act else { continue };
                let is_possible = compaction.invoked < first_end && compaction.low <= revision;
                if is_possible && from.compacted < at && at <= revision {
                    sink(Configuration { compacted: at, ..from.clone() });
                }
            }
        }
    }
}
