//! A member's store: every version of every key, in etcd's shape.
//!
//! The store is the index in memory, and the records of all changes in the backend's bucket of keys.
//!
//! - `revision`: the moment of one change, by which everything is ordered;
//! - `key_index`: the life of one key, generation by generation, and `index`: all of them, ordered by key;
//! - `buckets`: what the store needs of the backend; `record`: what a change writes to it;
//! - `store`: these together, and reads from them; `txn`: what writes to them;
//! - `restore`: the store of a backend; `compaction`: what is forgotten, batch by batch;
//! - `hash`: what members compare to find one whose data is corrupt;
//! - `watch`: who is told of which changes;
//! - `validate`: what etcd's gRPC layer refuses before anything is proposed.
//!
//! Where releases of etcd differ, this is 3.6: a transaction's operations are checked in one pass (in 3.5, all puts
//! before all reads, which can change the error), sort options are validated (3.5 panics at unknown ones), and a read
//! of keys alone keeps their leases (3.7 leaves them out).
//!
//! Which leases there are is the lessor's business: the store asks whether one exists, and says which keys have which
//! (`leases`).

mod buckets;
mod compaction;
mod hash;
mod index;
mod key_index;
mod leases;
mod record;
mod restore;
mod revision;
mod store;
mod txn;
pub mod validate;
pub mod watch;

pub use buckets::{Memory, Read, Write};
pub use compaction::{Compaction, bump};
pub use hash::KvHash;
pub use leases::{AnyLease, Leases};
pub use record::Record;
pub use restore::{RestoreError, Restored};
pub use revision::Revision;
pub use store::Store;
pub use txn::{is_read_only, is_serializable};
