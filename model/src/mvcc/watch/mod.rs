//! Watches: who wants to know of which changes, and how far each has come.
//!
//! This is etcd's watchable store without the store, and without time: the member's loops call it, and hold its lock
//! over what must not change meanwhile.
//!
//! ```text
//!            watch, from the present on                 notify: at the end of each write
//!  ────────────────────────────────────> synced ──────────────────────────────────────────> channel
//!                                        ▲  │ ▲  channel full                                of the
//!                     sync: up to date   │  │ └──────────────── victims ── send again ─────> stream
//!    watch, from a past revision on      │  │ restore              │ there is more by now
//!  ────────────────────────────────> unsynced <────────────────────┘
//!                                         └── sync: what the backend has of the past ──────>
//! ```
//!
//! - `channel`: the bounded way to the sender of a stream; `watcher`: one watch, and what a channel carries;
//! - `batch`: events that are on their way to watchers; `store`: the groups, and how watchers move between them.

mod batch;
mod channel;
mod store;
#[cfg(test)]
mod tests;
mod watcher;

pub use batch::events_between;
pub use channel::{Channel, Waiting};
pub use store::{Number, SyncReport, Victims, Watchers};
pub use watcher::{Filter, Response, Watch};
