//! What a fleet keeps on disk, and what it needs of the machine.

use crate::{ShareKey, miner::Record};
use anyhow::Context as _;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::path::Path;
use tokio::{sync::mpsc, task::JoinSet};

/// Miners whose shares may wait for the disk; others wait before they read on.
const WAITING: usize = 1_024;

/// Who puts acknowledged shares on record.
#[derive(Debug)]
pub(super) struct Scribe {
    sender: mpsc::Sender<Vec<ShareKey>>,
    writing: JoinSet<anyhow::Result<()>>,
}

impl Scribe {
    pub(super) async fn open(file: &Path) -> anyhow::Result<Self> {
        let mut record = Record::append_to(file)
            .await
            .with_context(|| format!("cannot open {}", file.display()))?;
        let (sender, mut waiting) = mpsc::channel::<Vec<ShareKey>>(WAITING);
        let mut writing = JoinSet::new();
        writing.spawn(async move {
            while let Some(keys) = waiting.recv().await {
                record.note(keys).await.context("cannot note acknowledged shares")?;
            }
            Ok(())
        });
        Ok(Self { sender, writing })
    }

    pub(super) fn sender(&self) -> mpsc::Sender<Vec<ShareKey>> {
        self.sender.clone()
    }

    /// Waits until everything is written that was sent.
    pub(super) async fn close(self) -> anyhow::Result<()> {
        let Self { sender, mut writing } = self;
        drop(sender);
        while let Some(written) = writing.join_next().await {
            written.context("the record died")??;
        }
        Ok(())
    }
}

/// Lets this process, and those that it starts from now on, open as many files as the system lets
/// them: a connection is one.
///
/// # Errors
///
/// When that is fewer than `wanted`, with what to do about it.
pub fn raise_file_limit(wanted: u64) -> anyhow::Result<()> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    if maximum.is_some_and(|most| most < wanted) {
        // Only root may.
        let more = Rlimit { current: Some(wanted), maximum: Some(wanted) };
        return setrlimit(Resource::Nofile, more).with_context(|| {
            format!(
                "{wanted} open files are needed: raise the hard limit with `ulimit -Hn {wanted}`"
            )
        });
    }
    setrlimit(Resource::Nofile, Rlimit { current: maximum.or(Some(wanted)), maximum })
        .context("cannot raise the limit of open files")
}
