//! What a store needs of leases.

use bytes::Bytes;

/// Leases, and the keys that are attached to them.
pub trait Leases {
    /// Whether there is a lease with this number.
    fn exists(&self, lease: i64) -> bool;

    /// `key` has `lease` from now on, and no other; 0 for none.
    fn attach(&mut self, key: &Bytes, lease: i64);
}

/// Takes every lease as given.
#[derive(Clone, Copy, Debug, Default)]
pub struct AnyLease;

/// For tests and benchmarks.
impl Leases for AnyLease {
    fn exists(&self, _: i64) -> bool {
        true
    }

    fn attach(&mut self, _: &Bytes, _: i64) {}
}
