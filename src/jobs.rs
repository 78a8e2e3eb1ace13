//! How many threads run.

use clap::Args;

/// More threads than this are a slip of the finger, and starting them might fail.
const JOBS_MAX: i64 = 512;

/// The flag that says so.
#[derive(Args, Clone, Copy, Debug, Default)]
pub struct Jobs {
    /// How many threads [default: one for each core]
    #[arg(long, short, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=JOBS_MAX))]
    jobs: Option<u16>,
}

impl Jobs {
    /// The threads.
    pub fn count(self) -> usize {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        self.jobs.map_or_else(cores, usize::from)
    }
}
