//! The `vertebra` command over the etcd cluster.

use std::process::ExitCode;

#[path = "../tests/command/echo.rs"]
mod echo;

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    vertebra::main::<echo::Echo>()
}
