//! Writes and checks the generated contracts.

use anyhow::{Context as _, bail};
use clap::{Args, Parser, Subcommand};
use schemas::{
    compatibility::{Break, breaks},
    files::{drift, read, write},
    generate::generate,
};
use std::path::PathBuf;

/// The contracts of the network for readers in other languages.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// The folder with the generated files.
    #[arg(long, env = "CARGO_MANIFEST_DIR", global = true, default_value = "schemas")]
    root: PathBuf,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Writes all files; refuses a change that would break a reader or an existing message.
    Write(Write),
    /// Fails when a file is not what the code says.
    Check,
}

#[derive(Debug, Args)]
struct Write {
    /// The change is a new version of the contract: breaking is intended.
    #[arg(long)]
    new_version: bool,
}

fn main() -> anyhow::Result<()> {
    let Arguments { command, root } = Arguments::parse();
    let (committed, generated) = (read(&root)?, generate()?);
    let broken = breaks(&committed, &generated)?;
    match command {
        Command::Write(Write { new_version }) => {
            if !broken.is_empty() && !new_version {
                bail!(
                    "refused, because it would break readers or messages that exist:\n{}\n\
                     Within a version only optional properties are added. Give the type a new \
                     version, or pass --new-version if nobody can have the old one.",
                    list(&broken)
                );
            }
            write(&root, &generated)
                .with_context(|| format!("cannot write the contracts in {}", root.display()))
        }
        Command::Check => {
            let drift = drift(&committed, &generated);
            if !broken.is_empty() {
                bail!("these changes would break readers or messages:\n{}", list(&broken));
            }
            if !drift.is_empty() {
                bail!(
                    "the contracts are not what the code says; run `make schemas`:\n{}",
                    drift.iter().map(|drift| format!("  {drift}\n")).collect::<String>()
                );
            }
            Ok(())
        }
    }
}

fn list(breaks: &[Break]) -> String {
    breaks.iter().map(|broken| format!("  {broken}\n")).collect()
}
