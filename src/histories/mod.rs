//! Histories of an etcd cluster as files.
//!
//! | | where |
//! | --- | --- |
//! | the lines of a file of our own | `lines` |
//! | requests and responses as JSON | `messages` |
//!
//! `replay --history` writes them, and `check` reads them. Forms that others read stand beside `lines`.

pub mod lines;
pub mod messages;
