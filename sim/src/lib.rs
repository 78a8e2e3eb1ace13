//! A deterministic simulator for replicated systems.

#[cfg(not(madsim))]
compile_error!(
    "vertebra-sim runs on madsim, which is a simulator only under `--cfg madsim`.\n\
     `.cargo/config.toml` sets it; a RUSTFLAGS variable in the environment replaces that setting.\n\
     Unset RUSTFLAGS, or add the flag to it: RUSTFLAGS=\"$RUSTFLAGS --cfg madsim\"."
);

pub mod random;
pub mod time;
pub mod verdict;
