//! `hyperhash run`.

use clap::ValueEnum;
use std::{path::PathBuf, process::ExitCode};
use worker_runtime::Process;

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
}

/// Every worker, in the order in which a share meets them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Name {
    TemplatePublisher,
    IngressSv2,
    IngressSv1,
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
        let files = self.config.iter().cloned().map(Some).chain(std::iter::repeat(None));
        let both = self.workers.iter().zip(files);
        let process = Process::new().handover(self.handover.clone());
        Ok(both.fold(process, |process, (name, file)| name.add(process, file)))
    }
}

impl Name {
    fn add(self, process: Process, file: Option<PathBuf>) -> Process {
        match self {
            Self::TemplatePublisher => {
                process.worker::<template_publisher::TemplatePublisher>(file)
            }
            Self::IngressSv2 => process.worker::<ingress_sv2::IngressSv2>(file),
            Self::IngressSv1 => process.worker::<ingress_sv1::IngressSv1>(file),
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
        Args { workers: workers.to_vec(), config, handover: None, print_config: false }
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
    fn names_are_those_of_the_dev_network() {
        use crate::dev::workers::{CORE, INGRESS, of_process};
        let names: std::collections::BTreeSet<_> = Name::value_variants()
            .iter()
            .map(|name| name.to_possible_value().unwrap().get_name().to_owned())
            .collect();
        let started: std::collections::BTreeSet<_> =
            CORE.into_iter().chain(of_process(INGRESS)).map(str::to_owned).collect();
        assert_eq!(names, started);
    }
}
