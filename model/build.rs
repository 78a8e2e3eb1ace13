//! Compiles `proto/` with protox, a compiler in Rust, so that building needs no `protoc`.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=proto");
    let files = protox::compile(["proto/rpc.proto", "proto/lease.proto"], ["proto"])?;
    // `Bytes` makes handing a key or a value from request to store to response to history a counted reference.
    prost_build::Config::new().bytes(["."]).compile_fds(files)?;
    Ok(())
}
