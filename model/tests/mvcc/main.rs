//! The members' store and the specification: each against etcd's semantics, and against each other.

mod compaction;
mod delete_range;
mod differential;
mod generate;
mod pair;
mod put;
mod range;
mod restore;
mod store;
mod txn;
mod validate;
