//! Which values make a difference: unknown writes that differ in others are one.

use prost::Message;

use super::Places;
use super::keys::{Key, Record};
use super::names::Map;
use super::replies::{each_compared, each_possible_put, hides_order};
use crate::api::compare::{CompareResult, TargetUnion};
use crate::api::request_op::Request as Op;
use crate::api::{PutRequest, TxnRequest};
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

    /// Tells a value, or what all values have in common that nobody can tell from it. With `all`, each is told from all others.
    fn tell_value(&self, places: &Places<'a>, put: &PutRequest, all: bool, told: &mut Vec<u8>) {
        let value = &put.value[..];
        if put.ignore_value {
            told.push(0);
        } else if all || self.equal.contains_key(value) || self.is_seen(places, put) {
            told.push(1);
            tell(value, told);
        } else {
            told.push(2);
            let (below, upto) = self.order(value);
            told.extend([below, upto].iter().flat_map(|place| place.to_le_bytes()));
        }
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

    fn tell_put(&self, places: &Places<'a>, put: &PutRequest, all: bool, told: &mut Vec<u8>) {
        tell(&put.key, told);
        self.tell_value(places, put, all, told);
        told.extend(put.lease.to_le_bytes());
        told.push(u8::from(put.ignore_lease));
    }

    fn tell_txn(&self, places: &Places<'a>, txn: &TxnRequest, all: bool, told: &mut Vec<u8>) {
        tell_count(txn.compare.len(), told);
        for compare in &txn.compare {
            tell_message(compare, told);
        }
        for branch in [&txn.success, &txn.failure] {
            tell_count(branch.len(), told);
            for op in branch {
                match &op.request {
                    None => told.push(0),
                    Some(Op::RequestRange(read)) => {
                        told.push(1);
                        tell_message(read, told);
                    }
                    Some(Op::RequestPut(put)) => {
                        told.push(2);
                        self.tell_put(places, put, all, told);
                    }
                    Some(Op::RequestDeleteRange(delete)) => {
                        told.push(3);
                        tell(&delete.key, told);
                        tell(&delete.range_end, told);
                    }
                    Some(Op::RequestTxn(nested)) => {
                        told.push(4);
                        self.tell_txn(places, nested, all, told);
                    }
                }
            }
        }
    }

    /// Tells what effect a request has as far as anybody can see; with `all`, anybody who can see every value.
    pub(super) fn tell_effect(&self, places: &Places<'a>, request: &Request, all: bool, told: &mut Vec<u8>) {
        // Replies of unknown writes are seen by nobody: whether they have what was before makes no difference.
        match request {
            Request::Put(put) => {
                told.push(1);
                self.tell_put(places, put, all, told);
            }
            Request::DeleteRange(delete) => {
                told.push(2);
                tell(&delete.key, told);
                tell(&delete.range_end, told);
            }
            Request::Txn(txn) => {
                told.push(3);
                self.tell_txn(places, txn, all, told);
            }
            Request::LeaseRevoke(revoke) => {
                told.push(4);
                told.extend(revoke.id.to_le_bytes());
            }
            // They change no key.
            Request::Range(_)
            | Request::Compact(_)
            | Request::LeaseGrant(_)
            | Request::LeaseKeepAlive(_)
            | Request::LeaseTimeToLive(_)
            | Request::LeaseLeases(_)
            | Request::Auth(_) => told.push(0),
        }
    }
}

fn tell_count(count: usize, told: &mut Vec<u8>) {
    told.extend((count as u32).to_le_bytes());
}

/// With its length: what follows is told from what it ends with.
fn tell(bytes: &[u8], told: &mut Vec<u8>) {
    tell_count(bytes.len(), told);
    told.extend_from_slice(bytes);
}

fn tell_message(message: &impl Message, told: &mut Vec<u8>) {
    message.encode_length_delimited(told).expect("a vector has room");
}
