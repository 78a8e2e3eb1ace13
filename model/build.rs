//! Compiles `proto/` with protox, a compiler in Rust, so that building needs no `protoc`.

use std::path::PathBuf;

const FILES: [&str; 5] =
    ["raft_internal.proto", "lease.proto", "v3lock.proto", "v3election.proto", "health.proto"];

/// Messages with lists of others in them, which prost does not derive `Hash` for. They enter the digest of a run.
const HASHED: [&str; 11] = [
    "RangeResponse",
    "DeleteRangeResponse",
    "RequestOp",
    "ResponseOp",
    "TxnRequest",
    "TxnResponse",
    "LeaseCheckpointRequest",
    "LeaseLeasesResponse",
    "AlarmResponse",
    "AuthRoleGetResponse",
    "WatchResponse",
];

#[expect(clippy::disallowed_methods, reason = "that is how cargo says where to write")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=proto");
    let mut compiler = protox::Compiler::new(["proto"])?;
    compiler.include_imports(true).open_files(FILES)?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("descriptors.bin"), compiler.encode_file_descriptor_set())?;
    // `Bytes` makes handing a key or a value from request to store to response to history a counted reference.
    // Most requests have nothing to do with users and roles, and are no larger for them.
    let mut config = prost_build::Config::new();
    config.bytes(["."]).boxed(".etcdserverpb.InternalRaftRequest.auth");
    for message in HASHED {
        config.type_attribute(format!(".etcdserverpb.{message}"), "#[derive(Eq, Hash)]");
    }
    config.compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}
