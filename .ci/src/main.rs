//! Checks of the tree that no compiler makes, and the documentation that is generated from it.
//!
//! `ci tidy` reports what breaks a rule of the house; `ci docs` rewrites generated parts of the
//! documentation, and with `--check` only tells whether they are stale.

mod contracts;
mod docs;
mod links;
mod manifests;
mod sources;
mod tidy;

use anyhow::{Context as _, bail};
use clap::{Parser, Subcommand};
use std::path::PathBuf;

/// Checks and generators of this repository.
#[derive(Debug, Parser)]
#[command(name = "ci", version)]
struct Arguments {
    /// Root of the repository.
    #[arg(long, default_value = ".", global = true)]
    root: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Debug, Subcommand)]
enum Command {
    /// Report everything in the tree that breaks a rule of the house.
    Tidy,
    /// Write the generated parts of the documentation.
    Docs {
        /// Change nothing; fail when something is stale.
        #[arg(long)]
        check: bool,
    },
}

fn main() -> anyhow::Result<()> {
    let Arguments { root, command } = Arguments::parse();
    match command {
        Command::Tidy => {
            let faults = tidy::faults(&root).context("cannot read the tree")?;
            for fault in &faults {
                report(fault);
            }
            if !faults.is_empty() {
                bail!("{} rules are broken", faults.len());
            }
            Ok(())
        }
        Command::Docs { check } => {
            let stale = docs::generate(&root, check)?;
            for path in &stale {
                let verb = if check { "stale" } else { "written" };
                report(&format!("{verb}: {}", path.display()));
            }
            if check && !stale.is_empty() {
                bail!("run `cargo run -p ci -- docs` and commit what changed");
            }
            Ok(())
        }
    }
}

#[expect(clippy::print_stdout, reason = "this is a command-line tool")]
fn report(line: &str) {
    println!("{line}");
}
