//! The folder that holds everything of one dev network.

use super::{files, process::record::Records, providers::Provider};
use anyhow::{Context as _, bail};
use rustix::{
    fs::{FlockOperation, flock, statvfs},
    io::Errno,
};
use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

/// Marks a folder as a dev network's, so that nothing else is ever reset by mistake.
const MARKER: &str = "hyperhash-dev-network";

/// Streams, database and chain grow by about this much in a week of two small miners; with less
/// the servers would stop with a full disk at some odd moment.
const NEEDED_MIB: u64 = 512;

/// The data folder.
#[derive(Clone, Debug)]
pub struct Home {
    folder: PathBuf,
}

/// Held for as long as a supervisor runs; the system gives it back even if it is killed.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "held, not read")] File);

impl Home {
    /// The data folder that `folder` names, whether or not it exists.
    ///
    /// # Errors
    ///
    /// When the current directory is gone.
    pub fn at(folder: &Path) -> anyhow::Result<Self> {
        let folder = match folder.canonicalize() {
            Ok(folder) => folder,
            Err(_) => std::path::absolute(folder).context("the current directory is gone")?,
        };
        Ok(Self { folder })
    }

    /// Makes the folder if it does not exist, and refuses one that holds something else.
    ///
    /// # Errors
    ///
    /// When it cannot be made, belongs to something else, or its disk is nearly full.
    pub fn prepare(folder: &Path) -> anyhow::Result<Self> {
        let before = Self::at(folder)?;
        before.refuse_foreign()?;
        files::private_folder(&before.folder)?;
        // Links on the way are resolved only now that all of it exists.
        let home = Self::at(folder)?;
        if let Some(problem) = home.space_problem() {
            bail!("{problem}");
        }
        files::write_private(
            &home.folder.join(MARKER),
            b"`hyperhash dev reset` deletes this folder.\n",
        )?;
        for part in ["run", "log", "config", "secrets", "tls", "nats", "acknowledged"] {
            files::private_folder(&home.folder.join(part))?;
        }
        Ok(home)
    }

    /// Whether a network was ever set up here.
    pub fn exists(&self) -> bool {
        self.folder.join(MARKER).exists()
    }

    /// Takes the folder for one supervisor; `None` when another holds it.
    ///
    /// # Errors
    ///
    /// When the lock file cannot be made.
    pub fn lock(&self) -> anyhow::Result<Option<Lock>> {
        let path = self.folder.join("lock");
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .with_context(|| format!("cannot open {}", path.display()))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Lock(file))),
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot lock {}", path.display())),
        }
    }

    /// Deletes the network's data.
    ///
    /// # Errors
    ///
    /// When the folder is not a dev network's, or cannot be deleted.
    pub fn delete(&self) -> anyhow::Result<()> {
        self.refuse_foreign()?;
        match fs::remove_dir_all(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            result => {
                result.with_context(|| format!("cannot delete all of {}", self.folder.display()))
            }
        }
    }

    fn free_mib(&self) -> anyhow::Result<u64> {
        let space = statvfs(&self.folder).context("cannot see how full the disk is")?;
        Ok(space.f_bavail.saturating_mul(space.f_frsize) / (1 << 20))
    }

    /// What is wrong when less space is free than a network needs.
    pub fn space_problem(&self) -> Option<String> {
        let folder = self.folder.display();
        match self.free_mib() {
            Ok(free) if free >= NEEDED_MIB => None,
            Ok(free) => Some(format!(
                "only {free} MiB are free on the disk of {folder}, but the dev network needs \
                 {NEEDED_MIB}: free some, or choose a folder on another disk with --data-dir"
            )),
            Err(error) => Some(format!("{error:#}")),
        }
    }

    fn refuse_foreign(&self) -> anyhow::Result<()> {
        let mut entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => {
                return Err(error)
                    .with_context(|| format!("cannot read {}", self.folder.display()));
            }
        };
        if entries.next().is_some() && !self.exists() {
            bail!(
                "{} is not empty and not a data folder of the dev network (it has no {MARKER}): \
                 choose another with --data-dir",
                self.folder.display()
            );
        }
        Ok(())
    }

    /// The folder itself, absolute.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What is remembered between starts.
    pub fn settings(&self) -> PathBuf {
        self.folder.join("settings.json")
    }

    /// The latest status.
    pub fn status(&self) -> PathBuf {
        self.folder.join("status.json")
    }

    /// Where running processes are written down.
    pub fn records(&self) -> Records {
        Records::new(self.folder.join("run"))
    }

    /// The record of the supervisor is kept apart from those of the processes that it ends.
    pub fn supervisor(&self) -> Records {
        Records::new(self.folder.clone())
    }

    /// The output of one process.
    pub fn log(&self, name: &str) -> PathBuf {
        self.folder.join("log").join(format!("{name}.log"))
    }

    /// The folder of all output.
    pub fn logs(&self) -> PathBuf {
        self.folder.join("log")
    }

    /// A generated configuration file.
    pub fn config(&self, file: &str) -> PathBuf {
        self.folder.join("config").join(file)
    }

    /// A secret file.
    pub fn secret(&self, file: &str) -> PathBuf {
        self.folder.join("secrets").join(file)
    }

    /// Minted operator, account and user keys of the bus.
    pub fn keys(&self) -> PathBuf {
        self.folder.join("keys")
    }

    /// A certificate or its key.
    pub fn tls(&self, file: &str) -> PathBuf {
        self.folder.join("tls").join(file)
    }

    /// Every share that was acknowledged to one of the network's own miners, for the audit.
    pub fn acknowledged(&self, miner: &str) -> PathBuf {
        self.folder.join("acknowledged").join(miner)
    }

    /// The working directory of one nats-server.
    pub fn nats(&self, server: &str) -> PathBuf {
        self.folder.join("nats").join(server)
    }

    /// The database server's folder.
    pub fn postgresql(&self) -> PathBuf {
        self.folder.join("postgresql")
    }

    /// A bitcoind's folder.
    pub fn bitcoind(&self, provider: Provider) -> PathBuf {
        self.folder.join(provider.process("bitcoind"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_with_other_things_is_neither_used_nor_deleted() {
        let folder = tempfile::tempdir().unwrap();
        let precious = folder.path().join("thesis.txt");
        fs::write(&precious, "years of work").unwrap();
        let error = Home::prepare(folder.path()).unwrap_err();
        assert!(error.to_string().contains("not a data folder"), "{error}");
        Home::at(folder.path()).unwrap().delete().unwrap_err();
        assert!(precious.exists());
    }

    #[test]
    fn only_one_supervisor_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::prepare(&folder.path().join("net")).unwrap();
        let lock = home.lock().unwrap();
        assert!(lock.is_some());
        assert!(home.lock().unwrap().is_none());
        drop(lock);
        assert!(home.lock().unwrap().is_some());
    }

    #[test]
    fn what_was_prepared_can_be_deleted() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::prepare(&folder.path().join("net")).unwrap();
        home.delete().unwrap();
        assert!(!home.folder().exists());
        home.delete().unwrap();
    }
}
