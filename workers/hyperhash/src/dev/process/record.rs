//! What is written down about a running process, so that a later start finds what an earlier one
//! left behind.

use super::identity::Identity;
use crate::dev::files;
use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// One process of a network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Its name, e.g. `share-verifier`.
    pub name: String,
    /// Its place in the order of starting; processes end in the reverse order.
    pub order: u32,
    /// Asks it to end: a signal's name without `SIG`.
    pub stop: Stop,
    /// How long it may take to end, in seconds.
    pub grace_secs: u64,
    /// Which process it is.
    #[serde(flatten)]
    pub identity: Identity,
}

/// How a process is asked to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Stop {
    /// The usual way.
    Term,
    /// What PostgreSQL calls a fast shutdown: sessions are ended, data is flushed.
    Int,
}

impl Stop {
    /// The signal.
    pub const fn signal(self) -> rustix::process::Signal {
        match self {
            Self::Term => rustix::process::Signal::TERM,
            Self::Int => rustix::process::Signal::INT,
        }
    }
}

/// The folder of records.
#[derive(Clone, Debug)]
pub struct Records {
    folder: PathBuf,
}

impl Records {
    /// Records in `folder`, which exists.
    pub const fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Writes a record down before anybody relies on the process.
    ///
    /// # Errors
    ///
    /// When the disk does not take it.
    pub fn write(&self, record: &Record) -> anyhow::Result<()> {
        files::write_private(&self.path(&record.name), &serde_json::to_vec_pretty(record)?)
    }

    /// Forgets a process that has ended.
    ///
    /// # Errors
    ///
    /// When the record cannot be deleted.
    pub fn remove(&self, name: &str) -> anyhow::Result<()> {
        let path = self.path(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("cannot delete {}", path.display()))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// The record of one process.
    ///
    /// # Errors
    ///
    /// When it exists but cannot be read.
    pub fn read(&self, name: &str) -> anyhow::Result<Option<Record>> {
        let path = self.path(name);
        match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).with_context(|| damaged(&path)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    /// All records, last started first.
    ///
    /// # Errors
    ///
    /// When one cannot be read.
    pub fn last_first(&self) -> anyhow::Result<Vec<Record>> {
        let mut records = Vec::new();
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(records),
            Err(error) => {
                return Err(error)
                    .with_context(|| format!("cannot read {}", self.folder.display()));
            }
        };
        for entry in entries {
            let path = entry?.path();
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
            if let Some(name) = name.strip_suffix(".json") {
                records.extend(self.read(name)?);
            }
        }
        records.sort_by(|a, b| b.order.cmp(&a.order).then_with(|| a.name.cmp(&b.name)));
        Ok(records)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.json"))
    }
}

fn damaged(path: &Path) -> String {
    format!(
        "{} is damaged; if no process of this network runs any more, delete it and try again",
        path.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(name: &str, order: u32) -> Record {
        Record {
            name: name.into(),
            order,
            stop: Stop::Term,
            grace_secs: 5,
            identity: Identity::own().unwrap(),
        }
    }

    #[test]
    fn what_started_last_comes_first() {
        let folder = tempfile::tempdir().unwrap();
        let records = Records::new(folder.path().to_owned());
        for (name, order) in [("hub", 1), ("miner", 3), ("bitcoind", 1), ("leaf", 2)] {
            records.write(&record(name, order)).unwrap();
        }
        let names: Vec<_> =
            records.last_first().unwrap().into_iter().map(|record| record.name).collect();
        assert_eq!(names, ["miner", "leaf", "bitcoind", "hub"]);
        records.remove("leaf").unwrap();
        records.remove("leaf").unwrap();
        assert_eq!(records.read("leaf").unwrap(), None);
        assert_eq!(records.read("hub").unwrap(), Some(record("hub", 1)));
    }

    #[test]
    fn a_damaged_record_is_an_error_that_names_it() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("hub.json"), "{").unwrap();
        let error = Records::new(folder.path().to_owned()).last_first().unwrap_err();
        assert!(error.to_string().contains("hub.json is damaged"), "{error}");
    }
}
