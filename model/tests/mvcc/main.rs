//! The members' store and the specification: each against etcd's semantics, and against each other.

mod delete_range;
mod differential;
mod generate;
mod pair;
mod put;
mod range;
mod snapshot;
mod txn;
mod validate;
