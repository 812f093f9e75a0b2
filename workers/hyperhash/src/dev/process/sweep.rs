//! Ends what an earlier supervisor left behind when it was killed.

use super::{
    identity::{End, Identity},
    record::Records,
};
use anyhow::Context as _;
use rustix::process::Signal;
use std::{fs, os::unix::ffi::OsStrExt as _, path::Path, time::Duration};

/// Every process of a network carries its data folder in this variable, so that one which was
/// started but not yet written down is found too.
pub const MARK: &str = "HYPERHASH_DEV_HOME";

/// How long a process without a record may take to end.
const UNRECORDED_GRACE: Duration = Duration::from_secs(5);

/// Ends every process that belongs to the network in `home`, last started first, and forgets the
/// records. Returns the names of those that were still running.
///
/// # Errors
///
/// When a process cannot be ended or a record cannot be read.
pub async fn end_all(home: &Path, records: &Records) -> anyhow::Result<Vec<String>> {
    let mut ended = Vec::new();
    for record in records.last_first()? {
        let grace = Duration::from_secs(record.grace_secs);
        let end = record.identity.end(record.stop.signal(), grace).await;
        if end.with_context(|| format!("cannot end {}", record.name))? != End::Absent {
            ended.push(record.name.clone());
        }
        records.remove(&record.name)?;
    }
    for identity in marked(home)? {
        if identity.end(Signal::TERM, UNRECORDED_GRACE).await? != End::Absent {
            ended.push(format!("process {}", identity.pid));
        }
    }
    Ok(ended)
}

/// The running processes, other than this one, that carry the mark of `home`.
///
/// # Errors
///
/// When `/proc` cannot be read.
pub fn marked(home: &Path) -> anyhow::Result<Vec<Identity>> {
    let mut mark = format!("{MARK}=").into_bytes();
    mark.extend_from_slice(home.as_os_str().as_bytes());
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").context("cannot read /proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        // Other users' processes are not readable, and not ours.
        let Ok(environment) = fs::read(format!("/proc/{pid}/environ")) else { continue };
        let ours = environment.split(|byte| *byte == 0).any(|variable| variable == mark);
        if ours && pid != std::process::id() {
            found.extend(Identity::of(pid)?);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dev::process::record::{Record, Stop};
    use std::process::{Child, Command};

    fn sleeper(mark: &Path) -> Child {
        Command::new("sleep").arg("600").env(MARK, mark).spawn().unwrap()
    }

    #[tokio::test]
    async fn ends_recorded_and_unrecorded_processes_and_no_others() {
        let home = tempfile::tempdir().unwrap();
        let other_home = tempfile::tempdir().unwrap();
        let records = Records::new(home.path().to_owned());
        let mut recorded = sleeper(home.path());
        let mut forgotten = sleeper(home.path());
        let mut bystander = sleeper(other_home.path());
        let write = |name: &str, order, identity| {
            let record =
                Record { name: name.into(), order, stop: Stop::Term, grace_secs: 60, identity };
            records.write(&record).unwrap();
        };
        let identity = Identity::of(recorded.id()).unwrap().unwrap();
        let reused = Identity::of(bystander.id()).unwrap().unwrap();
        write("hub", 1, identity);
        write("leaf", 2, Identity { start_ticks: reused.start_ticks - 1, ..reused });

        let ended = end_all(home.path(), &records).await.unwrap();
        assert_eq!(ended, ["hub".to_owned(), format!("process {}", forgotten.id())]);
        recorded.wait().unwrap();
        forgotten.wait().unwrap();
        assert_eq!(bystander.try_wait().unwrap(), None);
        assert_eq!(records.last_first().unwrap(), []);
        assert_eq!(marked(home.path()).unwrap(), []);
        bystander.kill().unwrap();
        bystander.wait().unwrap();
    }
}
