//! What is kept of leases in the backend: one record for each, under its number in eight bytes, the highest first.
//!
//! A negative number sorts behind all others, and has to be recovered as well (etcd-io/etcd#13676). Which keys are
//! attached is not kept here: the records of the keys tell.

use bytes::Bytes;
use prost::Message;

use super::lease::Lease;
use crate::api::leasepb;
use crate::backend::Bucket;
use crate::mvcc::{Read, Write};

/// Behind the key of every record.
const END: [u8; 9] = [0xff; 9];

pub(super) fn put(tx: &mut impl Write, id: i64, lease: &Lease) {
    let record = leasepb::Lease { id, ttl: lease.ttl(), remaining_ttl: lease.remaining_ttl() };
    tx.put(Bucket::Lease, key(id), record.encode_to_vec().into());
}

pub(super) fn delete(tx: &mut impl Write, id: i64) {
    tx.delete(Bucket::Lease, key(id));
}

/// The leases in the backend, with no keys attached and a TTL of at least `ttl_min` seconds.
///
/// # Panics
///
/// If a record is none, as etcd does.
pub(super) fn all(tx: &impl Read, ttl_min: i64) -> Vec<(i64, Lease)> {
    let records = tx.range(Bucket::Lease, b"", &END, usize::MAX);
    let decode = |(_, value): (Bytes, Bytes)| match leasepb::Lease::decode(value) {
        Ok(record) => {
            let mut lease = Lease::new(record.ttl.max(ttl_min));
            lease.set_remaining_ttl(record.remaining_ttl);
            (record.id, lease)
        }
        Err(error) => panic!("the record of a lease cannot be decoded: {error}"),
    };
    records.into_iter().map(decode).collect()
}

fn key(id: i64) -> Bytes {
    Bytes::copy_from_slice(&id.to_be_bytes())
}
