//! Which values make a difference: unknown writes that differ in others are one.

use bytes::Bytes;
use prost::Message;

use super::Places;
use super::keys::{Key, Record};
use super::names::Map;
use super::replies::{each_compared, each_possible_put, hides_order};
use crate::api::compare::{CompareResult, TargetUnion};
use crate::api::request_op::Request as Op;
use crate::api::{DeleteRangeRequest, PutRequest, TxnRequest};
use crate::history::Request;

/// What of a history tells values apart.
#[derive(Default)]
pub(super) struct Values<'a> {
    /// Key and value of each unknown put: whether somebody has seen them.
    seen: Map<(u32, &'a [u8]), bool>,
    /// What values are compared with: for equality, and for order, rising.
    equal: Map<&'a [u8], ()>,
    ordered: Vec<&'a [u8]>,
    /// Whether somebody saw keys in the order of values that he did not see. That tells all values apart.
    pub(super) has_hidden_order: bool,
}

impl<'a> Values<'a> {
    pub(super) fn of(places: &Places<'a>, keys: &[Key<'a>]) -> Self {
        let mut values = Self::default();
        for operation in places.history.operations() {
            each_compared(&operation.request, &mut |compare| {
                let operand = match &compare.target_union {
                    Some(TargetUnion::Value(value)) => &value[..],
                    _ => &[],
                };
                match compare.result() {
                    CompareResult::Equal | CompareResult::NotEqual => _ = values.equal.insert(operand, ()),
                    CompareResult::Greater | CompareResult::Less => values.ordered.push(operand),
                }
            });
            values.has_hidden_order |= operation.reply().is_some() && hides_order(&operation.request);
        }
        values.ordered.sort_unstable();
        values.ordered.dedup();
        let mut is_put = vec![false; keys.len()];
        for &write in &places.unknown {
            each_possible_put(&places.operation(write).request, &mut |put| {
                if let Some(key) = places.names.number(&put.key) {
                    is_put[key as usize] = true;
                    values.seen.insert((key, &put.value), false);
                }
            });
        }
        for (key, number) in keys.iter().zip(0..).filter(|(_, number)| is_put[*number as usize]) {
            // What an acknowledged write put is its own, unless it kept what it found.
            let may_be_unknown =
                |record: &&Record<'a>| places.names.keeps_values || places.write(record.modified).is_none();
            let shown = key.records.iter().filter(may_be_unknown).filter_map(|record| record.value);
            for value in shown.chain(key.within.iter().copied()) {
                if let Some(seen) = values.seen.get_mut(&(number, &value[..])) {
                    *seen = true;
                }
            }
        }
        values
    }

    /// Whether somebody saw the key with the value that is put.
    pub(super) fn is_seen(&self, places: &Places<'a>, put: &PutRequest) -> bool {
        let key = places.names.number(&put.key).filter(|_| !put.ignore_value);
        key.is_some_and(|key| self.seen.get(&(key, &put.value[..])) == Some(&true))
    }

    /// A value, or what all values have in common that nobody can tell from it. With `all`, each is told from all others.
    fn mark(&self, places: &Places<'a>, put: &PutRequest, all: bool) -> Bytes {
        let value = &put.value[..];
        if put.ignore_value {
            return Bytes::new();
        }
        if all || self.equal.contains_key(value) || self.is_seen(places, put) {
            return [b"1", value].concat().into();
        }
        let (below, upto) = self.order(value);
        format!("0{below} {upto}").into()
    }

    /// Of values that nobody sees, the place among those that they are compared with is all there is to know.
    fn order(&self, value: &[u8]) -> (usize, usize) {
        (
            self.ordered.partition_point(|operand| *operand < value),
            self.ordered.partition_point(|operand| *operand <= value),
        )
    }

    /// Whether unknown puts gave a key two values that nobody can tell from each other.
    pub(super) fn is_same(&self, key: u32, one: &'a [u8], other: &'a [u8]) -> bool {
        let is_unseen =
            |value: &'a [u8]| self.seen.get(&(key, value)) == Some(&false) && !self.equal.contains_key(value);
        is_unseen(one) && is_unseen(other) && self.order(one) == self.order(other)
    }

    fn put(&self, places: &Places<'a>, put: &PutRequest, all: bool) -> PutRequest {
        PutRequest { prev_kv: false, value: self.mark(places, put, all), ..put.clone() }
    }

    fn txn(&self, places: &Places<'a>, txn: &TxnRequest, all: bool) -> TxnRequest {
        let mut txn = txn.clone();
        for op in txn.success.iter_mut().chain(&mut txn.failure) {
            match &mut op.request {
                Some(Op::RequestPut(put)) => *put = self.put(places, put, all),
                Some(Op::RequestDeleteRange(delete)) => delete.prev_kv = false,
                Some(Op::RequestTxn(nested)) => *nested = self.txn(places, nested, all),
                Some(Op::RequestRange(_)) | None => {}
            }
        }
        txn
    }

    /// Equal for requests that have the same effect as far as anybody can see; with `all`, anybody who can see every value.
    pub(super) fn effect(&self, places: &Places<'a>, request: &Request, all: bool) -> (u8, Vec<u8>) {
        match request {
            Request::Range(read) => (0, read.encode_to_vec()),
            Request::Put(put) => (1, self.put(places, put, all).encode_to_vec()),
            Request::DeleteRange(delete) => {
                (2, DeleteRangeRequest { prev_kv: false, ..delete.clone() }.encode_to_vec())
            }
            Request::Txn(txn) => (3, self.txn(places, txn, all).encode_to_vec()),
            Request::Compact(compaction) => (4, compaction.encode_to_vec()),
            Request::LeaseGrant(grant) => (5, grant.encode_to_vec()),
            Request::LeaseRevoke(revoke) => (6, revoke.encode_to_vec()),
            Request::LeaseKeepAlive(keep_alive) => (7, keep_alive.encode_to_vec()),
            Request::LeaseTimeToLive(question) => (8, question.encode_to_vec()),
            Request::LeaseLeases(question) => (9, question.encode_to_vec()),
            // It has none.
            Request::Auth(_) => (10, Vec::new()),
        }
    }
}
