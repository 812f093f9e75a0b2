//! `hyperhash run`.

use clap::ValueEnum;
use std::{net::SocketAddr, path::PathBuf, process::ExitCode};
use stratum_v2::Endpoint;
use worker_runtime::{Process, Setting};

/// Run one or several workers in this process.
///
/// Each worker has its own configuration, connection and health page. Production runs one worker
/// a process; a small set-up may run several in one.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  hyperhash run share-verifier --config /etc/hyperhash/share-verifier.toml
  hyperhash run ingress-sv2 ingress-sv1 --config sv2.toml --config sv1.toml
  hyperhash run ingress-sv1 --config sv1.toml --handover /run/hyperhash/ingress-sv1.sock
  HYPERHASH_BUS__URL=tls://core:4222 hyperhash run share-verifier --config verifier.toml
  hyperhash run translator --upstream stratum2+tcp://pool.example:3336/<authority key>

Signals: TERM or INT drains, a second one ends at once; HUP reads the configuration again.")]
pub(super) struct Args {
    /// The workers
    #[arg(required = true, value_name = "WORKER")]
    workers: Vec<Name>,
    /// Configuration file; with several workers once for each, in their order
    ///
    /// Environment variables come on top: HYPERHASH_<KEY>, nested keys with `__`.
    #[arg(long, value_name = "FILE")]
    config: Vec<PathBuf>,
    /// Take over the listening sockets of the ingress that waits at this Unix socket, if there is
    /// one, and wait there for the next: a restart without a refused connection
    ///
    /// Start the new process while the old one runs, with the same configuration. When the new one
    /// serves, the miners of the old one go to it one after the other, and the old one ends.
    #[arg(long, value_name = "SOCKET")]
    handover: Option<PathBuf>,
    /// Print the effective configuration, secrets hidden, and end
    #[arg(long)]
    print_config: bool,
    #[command(flatten)]
    translator: Translator,
}

/// What of the translator can be said without a file.
#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "Translator")]
struct Translator {
    /// The pool: stratum2+tcp://host:port/<authority key>; once for each, the preferred one first
    #[arg(long, value_name = "POOL")]
    upstream: Vec<Endpoint>,
    /// Where Stratum V1 miners connect [default: port 34255 of all addresses; on test chains of this
    /// host only]
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
    /// The chain, and what suits its miners [default: mainnet]
    #[arg(long, value_parser = ["regtest", "signet", "mainnet"])]
    preset: Option<String>,
    /// One channel for all miners, of this user name: <address>[.<worker>]
    ///
    /// The fees of a block that any of them finds go to that one address. Without it each miner has
    /// a channel of its own.
    #[arg(long, value_name = "USER")]
    aggregate: Option<String>,
}

impl Translator {
    fn settings(&self) -> Vec<Setting> {
        let Self { upstream, listen, preset, aggregate } = self;
        let upstreams: Vec<_> = upstream.iter().map(ToString::to_string).collect();
        let upstreams = (!upstreams.is_empty()).then(|| upstreams.join(","));
        let settings = [
            ("upstreams", upstreams, "--upstream"),
            ("listen", listen.map(|listen| listen.to_string()), "--listen"),
            ("preset", preset.clone(), "--preset"),
            ("aggregate", aggregate.clone(), "--aggregate"),
        ];
        let said = settings.into_iter();
        said.filter_map(|(key, text, option)| Some((key, text?, option))).collect()
    }
}

/// Every worker, in the order in which a share meets them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Name {
    TemplatePublisher,
    IngressSv2,
    IngressSv1,
    Translator,
    LeafReader,
    ShareVerifier,
    ShareRecorder,
    BlockSubmitter,
    RoundTracker,
    PayoutCalculator,
}

impl Args {
    /// Runs until the workers end.
    pub(super) async fn run(self) -> ExitCode {
        match self.process() {
            Ok(process) if self.print_config => print(&process),
            Ok(process) => process.run().await,
            Err(error) => refuse(&error),
        }
    }

    fn process(&self) -> anyhow::Result<Process> {
        let (workers, files) = (self.workers.len(), self.config.len());
        anyhow::ensure!(
            files == 0 || files == workers,
            "{workers} workers need {workers} times --config, in the order of the workers, or \
             none at all; there are {files}"
        );
        for (place, name) in self.workers.iter().enumerate() {
            let twice =
                self.workers.iter().skip(place.saturating_add(1)).any(|other| other == name);
            anyhow::ensure!(!twice, "a worker runs once in a process; start another process");
        }
        let hands_over = |name: &Name| matches!(name, Name::IngressSv2 | Name::IngressSv1);
        anyhow::ensure!(
            self.handover.is_none() || self.workers.iter().all(hands_over),
            "only ingresses hand their sockets over; leave out --handover, or run the other \
             workers in a process of their own"
        );
        let settings = self.translator.settings();
        let has_translator = self.workers.contains(&Name::Translator);
        if let Some((.., option)) = settings.first().filter(|_| !has_translator) {
            anyhow::bail!(
                "{option} is for the worker `translator`, which is not among those named"
            );
        }
        let files = self.config.iter().cloned().map(Some).chain(std::iter::repeat(None));
        let both = self.workers.iter().zip(files);
        let process = Process::new().handover(self.handover.clone());
        Ok(both.fold(process, |process, (name, file)| name.add(process, file, &settings)))
    }
}

impl Name {
    fn add(self, process: Process, file: Option<PathBuf>, settings: &[Setting]) -> Process {
        match self {
            Self::TemplatePublisher => {
                process.worker::<template_publisher::TemplatePublisher>(file)
            }
            Self::IngressSv2 => process.worker::<ingress_sv2::IngressSv2>(file),
            Self::IngressSv1 => process.worker::<ingress_sv1::IngressSv1>(file),
            Self::Translator => {
                process.worker_with::<translator::Translator>(file, settings.to_vec())
            }
            Self::LeafReader => process.worker::<leaf_reader::LeafReader>(file),
            Self::ShareVerifier => process.worker::<share_verifier::ShareVerifier>(file),
            Self::ShareRecorder => process.worker::<share_recorder::ShareRecorder>(file),
            Self::BlockSubmitter => process.worker::<block_submitter::BlockSubmitter>(file),
            Self::RoundTracker => process.worker::<round_tracker::RoundTracker>(file),
            Self::PayoutCalculator => process.worker::<payout_calculator::PayoutCalculator>(file),
        }
    }
}

fn print(process: &Process) -> ExitCode {
    let printed = process.print_config().and_then(|text| Ok(super::say(text.trim_end())?));
    printed.map_or_else(|error| refuse(&error), |()| ExitCode::SUCCESS)
}

fn refuse(error: &anyhow::Error) -> ExitCode {
    super::complain(error);
    ExitCode::from(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(workers: &[Name], files: usize) -> Args {
        let config = vec!["x.toml".into(); files];
        Args {
            workers: workers.to_vec(),
            config,
            handover: None,
            print_config: false,
            translator: Translator::default(),
        }
    }

    #[test]
    fn only_ingresses_hand_over() {
        let handover = |workers: &[Name]| {
            Args { handover: Some("x.sock".into()), ..args(workers, 0) }.process()
        };
        assert!(handover(&[Name::IngressSv2, Name::IngressSv1]).is_ok());
        let error = handover(&[Name::IngressSv2, Name::ShareVerifier]).unwrap_err().to_string();
        assert!(error.contains("only ingresses"), "{error}");
    }

    #[test]
    fn every_worker_gets_its_own_file_or_none_does() {
        let two = [Name::ShareVerifier, Name::ShareRecorder];
        assert!(args(&two, 0).process().is_ok() && args(&two, 2).process().is_ok());
        let error = args(&two, 1).process().unwrap_err().to_string();
        assert!(error.contains("2 times --config"), "{error}");
        assert!(args(&[two[0], two[0]], 0).process().is_err());
    }

    #[test]
    fn the_translator_runs_without_a_file() {
        let pools =
            ["stratum2+tcp://[::1]:3336/9auqWEzQDVyd2oe1JVGFLMLHZtCo2FFqZwtKA5gd9xbuEu7PH72"];
        let with = |name| Args {
            translator: Translator {
                upstream: pools.iter().map(|pool| pool.parse().unwrap()).collect(),
                listen: Some("127.0.0.1:0".parse().unwrap()),
                preset: Some("signet".into()),
                aggregate: None,
            },
            ..args(&[name], 0)
        };
        let printed = with(Name::Translator).process().unwrap().print_config().unwrap();
        assert!(printed.contains(pools[0]) && printed.contains("preset = \"signet\""), "{printed}");
        let error = with(Name::ShareVerifier).process().unwrap_err().to_string();
        assert!(error.contains("--upstream is for the worker `translator`"), "{error}");
    }

    #[test]
    fn names_are_those_of_the_dev_network() {
        use crate::dev::workers::{CORE, INGRESS, of_process};
        // A translator is for those who have no part of the network.
        let names: std::collections::BTreeSet<_> = Name::value_variants()
            .iter()
            .filter(|name| **name != Name::Translator)
            .map(|name| name.to_possible_value().unwrap().get_name().to_owned())
            .collect();
        let started: std::collections::BTreeSet<_> =
            CORE.into_iter().chain(of_process(INGRESS)).map(str::to_owned).collect();
        assert_eq!(names, started);
    }
}
