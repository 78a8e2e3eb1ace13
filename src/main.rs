//! The `vertebra` command, over the etcd cluster.

use std::process::ExitCode;

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    vertebra::main::<vertebra_model::Etcd>()
}
