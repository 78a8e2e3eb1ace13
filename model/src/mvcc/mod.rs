//! A member's store: every version of every key, in etcd's shape.
//!
//! - `revision`: the moment of one change, by which everything is ordered;
//! - `key_index`: the life of one key, generation by generation, and `index`: all of them, ordered by key;
//! - `records`: what each change wrote, by revision; it stands where etcd has the backend's bucket of keys;
//! - `store`: these together, and reads from them; `txn`: what writes to them;
//! - `snapshot`: a whole store as bytes;
//! - `validate`: what etcd's gRPC layer refuses before anything is proposed.
//!
//! Where releases of etcd differ, this is 3.6: a transaction's operations are checked in one pass (in 3.5, all puts
//! before all reads, which can change the error), sort options are validated (3.5 panics at unknown ones), and a read
//! of keys alone keeps their leases (3.7 leaves them out).
//!
//! A store takes every lease as given: whether it exists is the lessor's business.

mod index;
mod key_index;
mod records;
mod revision;
mod snapshot;
mod store;
mod txn;
pub mod validate;

pub use records::Record;
pub use revision::Revision;
pub use snapshot::SnapshotError;
pub use store::Store;
pub use txn::{is_read_only, is_serializable};
