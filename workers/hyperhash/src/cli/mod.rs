//! The command line.

mod dev;

mod miner;

mod migrate;

mod ping;

mod place;

mod run;

mod streams;

mod tap;

use clap::{Parser, Subcommand};
use std::{
    io::{self, Write as _},
    process::ExitCode,
};

/// The Hyper Hash Network in one program: run any worker, keep the bus in order, look at its
/// messages, or start the whole network on this machine.
#[derive(Debug, Parser)]
#[command(
    name = "hyperhash",
    version,
    after_help = "First steps:
  hyperhash dev up                              the whole network on this machine
  hyperhash tap 'shares.accepted.>' --json      its shares, as they are accepted
  hyperhash run share-verifier --print-config   what can be set of a worker
  hyperhash ping stratum+tcp://pool:3333        what is wrong between a miner and a pool"
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Args),
    #[command(subcommand)]
    Dev(dev::Command),
    #[command(subcommand)]
    Streams(streams::Command),
    Migrate(migrate::Args),
    Tap(tap::Args),
    Ping(ping::Args),
}

/// Does what the command line says. The exit code is 0 when it was done, 1 when it failed, 2 when
/// the command line or a configuration is wrong; `dev status` has 3 for a network that is down, and
/// `ping` has 1 for a pool at which no miner can work.
pub async fn main() -> ExitCode {
    match Cli::parse().run().await {
        Ok(code) => code,
        // The reader, e.g. `head`, has seen enough.
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

fn is_closed_pipe(error: &anyhow::Error) -> bool {
    let cause = error.downcast_ref::<io::Error>();
    cause.is_some_and(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
}

impl Cli {
    async fn run(self) -> anyhow::Result<ExitCode> {
        match self.command {
            Command::Run(args) => Ok(args.run().await),
            Command::Dev(command) => command.run().await,
            Command::Streams(command) => command.run().await,
            Command::Migrate(args) => args.run().await.map(|()| ExitCode::SUCCESS),
            Command::Tap(args) => args.run().await.map(|()| ExitCode::SUCCESS),
            Command::Ping(args) => args.run().await,
        }
    }
}

/// Writes a line to standard output.
///
/// # Errors
///
/// When nobody reads it any more.
pub(crate) fn say(line: &str) -> io::Result<()> {
    writeln!(io::stdout(), "{line}")
}

#[expect(clippy::print_stderr, reason = "the last words of the program")]
fn complain(error: &anyhow::Error) {
    eprintln!("hyperhash: {error:#}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    fn help(path: &[&str]) -> String {
        let mut command = Cli::command().term_width(100);
        command.build();
        let mut found = &mut command;
        for name in path {
            found = found.find_subcommand_mut(name).unwrap();
        }
        found.render_long_help().to_string()
    }

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn help_teaches() {
        insta::assert_snapshot!("help", help(&[]));
        insta::assert_snapshot!("help_run", help(&["run"]));
        insta::assert_snapshot!("help_dev", help(&["dev"]));
        insta::assert_snapshot!("help_dev_up", help(&["dev", "up"]));
        insta::assert_snapshot!("help_dev_status", help(&["dev", "status"]));
        insta::assert_snapshot!("help_streams", help(&["streams"]));
        insta::assert_snapshot!("help_streams_plan", help(&["streams", "plan"]));
        insta::assert_snapshot!("help_migrate", help(&["migrate"]));
        insta::assert_snapshot!("help_tap", help(&["tap"]));
        insta::assert_snapshot!("help_ping", help(&["ping"]));
    }
}
