//! What one says to a network from another terminal.

use super::{
    home::Home,
    logs::Follower,
    process::{identity::Identity, sweep},
    servers::cached_root,
    supervisor::{self, NAME},
};
use crate::status::{State, Status};
use anyhow::{Context as _, bail, ensure};
use rustix::process::Signal;
use std::{
    ffi::OsString,
    fs::{self, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt as _,
    path::PathBuf,
    process::Stdio,
    time::Duration,
};
use tokio::{
    process::{Child, Command},
    time::Instant,
};

/// How often to look how a network comes up.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// How long a network that has come up may take until all of its parts say that they are ready.
const SETTLE_LIMIT: Duration = Duration::from_secs(60);

/// What became of a wish to end a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Nothing was running.
    Nothing,
    /// It drained.
    Drained,
    /// Its supervisor was gone; these were ended one by one.
    Swept(Vec<String>),
}

/// The supervisor of the network in `home`, while it runs.
///
/// # Errors
///
/// When its record is damaged.
pub fn running(home: &Home) -> anyhow::Result<Option<Identity>> {
    let Some(record) = home.supervisor().read(NAME)? else { return Ok(None) };
    Ok(record.identity.is_alive()?.then_some(record.identity))
}

/// How the network in `home` does.
///
/// # Errors
///
/// When what it wrote cannot be read.
pub fn status(home: &Home) -> anyhow::Result<Status> {
    if running(home)?.is_none() {
        let left = sweep::marked(home.folder())?.len();
        let problem = format!(
            "{left} processes of a network whose supervisor was killed still run; \
             `hyperhash dev down` ends them"
        );
        let problems = if left == 0 { Vec::new() } else { vec![problem] };
        return Ok(Status { problems, ..Status::default() });
    }
    match fs::read(home.status()) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .context("the status was written by another version of this program"),
        // It has only just begun.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Ok(Status { state: State::Starting, ..Status::default() })
        }
        Err(error) => Err(error).context("cannot read the status"),
    }
}

/// Ends the network in `home`: drains it, or ends what its killed supervisor left behind.
///
/// # Errors
///
/// When a process cannot be ended.
pub async fn down(home: &Home) -> anyhow::Result<Ended> {
    let drained = match running(home)? {
        Some(supervisor) => {
            supervisor.end(Signal::TERM, supervisor::GRACE).await?;
            true
        }
        None => false,
    };
    // After a killed supervisor, or one that had to be killed just now.
    let left = sweep::end_all(home.folder(), &home.records()).await?;
    home.supervisor().remove(NAME)?;
    Ok(match (drained, left.is_empty()) {
        (_, false) => Ended::Swept(left),
        (true, true) => Ended::Drained,
        (false, true) => Ended::Nothing,
    })
}

/// Ends the network and deletes its data.
///
/// # Errors
///
/// When a process cannot be ended or data cannot be deleted.
pub async fn reset(home: &Home) -> anyhow::Result<Ended> {
    let ended = if home.exists() { down(home).await? } else { Ended::Nothing };
    home.delete()?;
    Ok(ended)
}

/// Starts a supervisor that outlives this terminal, shows what it does, and returns once the
/// network is ready. `arguments` are those of `dev up`.
///
/// # Errors
///
/// When the network does not come up.
pub async fn detach(home: &Home, arguments: Vec<OsString>) -> anyhow::Result<()> {
    let log = home.log(NAME);
    let mut follower = Follower::at_end(log.clone());
    let output = OpenOptions::new().append(true).create(true).mode(0o600).open(&log)?;
    let mut child = Command::new("/proc/self/exe")
        .args(["dev", "supervise"])
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(output)
        .spawn()
        .context("cannot start the supervisor")?;
    let ready = tokio::select! {
        ready = follow_until_ready(home, &mut child, &mut follower) => ready,
        interrupted = tokio::signal::ctrl_c() => {
            interrupted?;
            Err(anyhow::anyhow!("interrupted before the network was ready"))
        }
    };
    if ready.is_err() {
        down(home).await?;
    }
    ready
}

async fn follow_until_ready(
    home: &Home,
    child: &mut Child,
    follower: &mut Follower,
) -> anyhow::Result<()> {
    let mut unready_since = None;
    loop {
        let ended = child.try_wait()?;
        for line in follower.lines()? {
            crate::cli::say(&line)?;
        }
        if let Some(status) = ended {
            bail!("the network did not come up ({status}); the lines above say why");
        }
        let Status { state, problems, .. } = status(home)?;
        match state {
            State::Ready => return Ok(()),
            State::Degraded => {
                let since = unready_since.get_or_insert_with(Instant::now);
                ensure!(
                    since.elapsed() < SETTLE_LIMIT,
                    "the network came up but is not ready: {}",
                    problems.join("; ")
                );
            }
            State::Starting | State::Stopping | State::Down => {}
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Makes this process independent of the terminal that started it.
///
/// # Errors
///
/// When the system refuses.
pub fn leave_terminal() -> anyhow::Result<()> {
    rustix::process::setsid().map(drop).context("cannot leave the terminal")
}

/// The private root: the one that was named, else the one in the cache folder.
///
/// # Errors
///
/// When the named one is not there.
pub fn private_root(named: Option<PathBuf>) -> anyhow::Result<Option<PathBuf>> {
    let Some(root) = named else { return Ok(cached_root()) };
    ensure!(root.join("usr").is_dir(), "{} is not a root folder", root.display());
    Ok(Some(root))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dev::process::record::{Record, Stop};

    fn home() -> (tempfile::TempDir, Home) {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::prepare(&folder.path().join("net")).unwrap();
        (folder, home)
    }

    #[tokio::test]
    async fn a_network_that_never_ran_is_down_and_ending_it_is_no_error() {
        let (_folder, home) = home();
        assert_eq!(status(&home).unwrap(), Status::default());
        assert_eq!(down(&home).await.unwrap(), Ended::Nothing);
    }

    #[tokio::test]
    async fn a_killed_supervisor_is_told_of_and_swept_after() {
        let (_folder, home) = home();
        let own = Identity::own().unwrap();
        let record = |name: &str, identity| Record {
            name: name.into(),
            order: 1,
            stop: Stop::Term,
            grace_secs: 60,
            identity,
        };
        let gone = Identity { start_ticks: own.start_ticks - 1, ..own };
        home.supervisor().write(&record(NAME, gone)).unwrap();
        let mut orphan = std::process::Command::new("sleep")
            .arg("600")
            .env(sweep::MARK, home.folder())
            .spawn()
            .unwrap();
        let identity = Identity::of(orphan.id()).unwrap().unwrap();
        home.records().write(&record("hub", identity)).unwrap();

        let said = status(&home).unwrap();
        assert_eq!(said.state, State::Down);
        assert!(said.problems[0].starts_with("1 processes of a network"), "{:?}", said.problems);
        assert_eq!(down(&home).await.unwrap(), Ended::Swept(vec!["hub".into()]));
        orphan.wait().unwrap();
        assert_eq!(status(&home).unwrap(), Status::default());
    }

    #[tokio::test]
    async fn reset_deletes_what_is_ours_and_accepts_that_there_is_nothing() {
        let (_folder, home) = home();
        assert_eq!(reset(&home).await.unwrap(), Ended::Nothing);
        assert!(!home.folder().exists());
        assert_eq!(reset(&home).await.unwrap(), Ended::Nothing);
    }
}
