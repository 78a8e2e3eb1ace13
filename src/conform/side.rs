//! One of the two that are compared: anything that takes calls of gRPC as bytes.

use std::time::Duration;

use vertebra_model::grpc::{CallId, Down, Up};

use crate::exit::Refusal;

pub trait Side {
    /// A new sequence begins; no call is under way.
    ///
    /// # Errors
    ///
    /// Something was wrong with what was before.
    fn begin(&mut self) -> Result<(), Refusal> {
        Ok(())
    }

    /// Sends something, or begins to.
    ///
    /// # Errors
    ///
    /// It cannot be reached, or it can no more.
    fn up(&mut self, up: Up) -> Result<(), Refusal>;

    /// What comes next, of this call or of another; or nothing, if nothing of this one comes for so long.
    ///
    /// # Errors
    ///
    /// It can be reached no more.
    fn next(&mut self, call: CallId, patience: Duration) -> Result<Option<Down>, Refusal>;

    /// Whether what is waited for here takes time of ours.
    fn is_in_real_time(&self) -> bool {
        false
    }
}

impl<S: Side + ?Sized> Side for Box<S> {
    fn begin(&mut self) -> Result<(), Refusal> {
        (**self).begin()
    }

    fn up(&mut self, up: Up) -> Result<(), Refusal> {
        (**self).up(up)
    }

    fn next(&mut self, call: CallId, patience: Duration) -> Result<Option<Down>, Refusal> {
        (**self).next(call, patience)
    }

    fn is_in_real_time(&self) -> bool {
        (**self).is_in_real_time()
    }
}
