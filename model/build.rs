//! Compiles `proto/` with protox, a compiler in Rust, so that building needs no `protoc`.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=proto");
    let files = protox::compile(["proto/rpc.proto", "proto/lease.proto"], ["proto"])?;
    // `Bytes` makes handing a key or a value from request to store to response to history a counted reference.
    // Most requests have nothing to do with users and roles, and are no larger for them.
    prost_build::Config::new()
        .bytes(["."])
        .boxed(".etcdserverpb.InternalRaftRequest.auth")
        .compile_fds(files)?;
    Ok(())
}
