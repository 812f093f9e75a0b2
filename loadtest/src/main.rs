//! `loadtest`: see [`loadtest::cli`].

use clap::Parser as _;
use loadtest::cli::Cli;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    Cli::parse().run().await
}
