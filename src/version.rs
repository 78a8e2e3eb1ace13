//! Which code this is.

use std::fs::File;
use std::io;
use std::sync::LazyLock;

use vertebra_sim::ledger::Version;
use xxhash_rust::xxh3::Xxh3;

/// The version of a system that is told apart by its program: a digest over the executable file.
pub fn of_program() -> Version {
    // The file may be replaced while it runs; what was there at the first question holds.
    static BUILD: LazyLock<String> = LazyLock::new(|| {
        let mut digest = Xxh3::new();
        let file = std::env::current_exe().and_then(File::open);
        match file.and_then(|mut file| io::copy(&mut file, &mut digest)) {
            Ok(_) => format!("{:032x}", digest.digest128()),
            // No two builds that cannot be told apart count as one.
            Err(_) => format!("process {}", std::process::id()),
        }
    });
    Version { build: BUILD.clone(), commit: None }
}

/// The version of the etcd cluster: what `build.rs` found.
pub fn of_code() -> Version {
    let commit = env!("VERTEBRA_COMMIT");
    Version {
        build: env!("VERTEBRA_BUILD").to_owned(),
        commit: (!commit.is_empty()).then(|| commit.to_owned()),
    }
}

/// What `--version` shows.
pub fn shown() -> &'static str {
    match env!("VERTEBRA_COMMIT") {
        "" => concat!(env!("CARGO_PKG_VERSION"), " (build ", env!("VERTEBRA_BUILD"), ")"),
        _ => concat!(
            env!("CARGO_PKG_VERSION"),
            " (commit ",
            env!("VERTEBRA_COMMIT"),
            ", build ",
            env!("VERTEBRA_BUILD"),
            ")"
        ),
    }
}
