//! `hyperhash`: see [`hyperhash::cli`].

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    hyperhash::cli::main().await
}
