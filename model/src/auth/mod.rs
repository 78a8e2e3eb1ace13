//! Users, roles, and what they may do.
//!
//! This is etcd's auth store as a state machine without time, tasks and disk of its own: what the log says changes it on
//! every member alike.
//!
//! - `store`: users and roles, in memory and in the backend; what changes them, and questions about them;
//! - `check`: whether a request is let pass;
//! - `permission`: which keys a user may read and write, all its roles taken together;
//! - `password`: how passwords are kept;
//! - `token`: by what a member knows again who has authenticated. Tokens are in the memory of each member alone;
//! - `messages`: what the service is asked and answers.
//!
//! **The revision.** Each change of users, roles and permissions, and switching authentication off, moves the auth
//! revision by one; to switch it on does not. A proposal bears the revision at which its member looked at the token, and
//! is refused when it is applied at a later one: who may do what has changed since.

mod check;
mod messages;
pub mod password;
mod permission;
mod store;
#[cfg(test)]
mod tests;
mod token;

pub use check::Caller;
pub use messages::{AuthResponse, is_proposal_for, kind};
pub(crate) use messages::{Shown, asked_by};
pub use store::AuthStore;
pub use token::{Tokens, index as token_index};

/// The user without whom authentication cannot be on, and the role that may do everything.
pub const ROOT: &str = "root";
