//! Specifications to use, and to copy from.

pub mod key_value;
pub mod keyed;
pub mod queue;
pub mod register;
pub mod set;
pub mod versioned;
