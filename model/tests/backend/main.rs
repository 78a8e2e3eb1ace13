//! The members' database, on a disk that fails.

mod calm;
mod crashes;
mod damage;
mod failures;
mod known;
mod syncs;
mod writer;
