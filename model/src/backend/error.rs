//! Why a database cannot be used.

use thiserror::Error;
use vertebra_sim::DiskError;

/// What is wrong with a database, or with its disk.
#[derive(Clone, Debug, Error)]
pub enum BackendError {
    /// The disk failed.
    #[error("backend: {0}")]
    Disk(#[from] DiskError),
    /// The file is not as it was written.
    #[error("backend {path}: page {page} is damaged: {reason}")]
    Damaged {
        /// The file.
        path: String,
        /// Number of the page, from 0.
        page: u32,
        /// What is wrong with it.
        reason: &'static str,
    },
}
