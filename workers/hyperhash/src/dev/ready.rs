//! Waiting until a process does what it is there for.

use super::process::managed::{Condition, Managed};
use anyhow::bail;
use std::{
    fs::File,
    future::Future,
    io::{self, Read as _, Seek as _, SeekFrom},
    path::Path,
    time::Duration,
};
use tokio::time::Instant;

/// How often to look.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How much of a log is shown with an error.
const TAIL_LINES: usize = 12;
const TAIL_BYTES: u64 = 8 << 10;

/// Waits until `look` succeeds.
///
/// # Errors
///
/// When the process ends before, with the end of its log; or when `limit` has passed, with what
/// `look` said last.
pub async fn until_ready<F, T>(
    managed: &Managed,
    limit: Duration,
    mut look: F,
) -> anyhow::Result<()>
where
    F: FnMut() -> T,
    T: Future<Output = anyhow::Result<()>>,
{
    let deadline = Instant::now() + limit;
    loop {
        refuse_ended(managed)?;
        let Err(why) = look().await else { return Ok(()) };
        // It may have ended while we looked, which says more than that it does not answer.
        refuse_ended(managed)?;
        if Instant::now() >= deadline {
            let Managed { spec, .. } = managed;
            bail!("{} is not ready after {limit:?}: {why:#}\n{}", spec.name, tail_of(&spec.log));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn refuse_ended(managed: &Managed) -> anyhow::Result<()> {
    let Condition::Ended { why } = managed.condition() else { return Ok(()) };
    let (name, tail) = (&managed.spec.name, tail_of(&managed.spec.log));
    bail!("{name} {why} before it was ready\n{tail}{}", advice(&tail));
}

fn tail_of(log: &Path) -> String {
    match tail(log) {
        Ok(text) => {
            let lines: Vec<_> = text.lines().collect();
            let last = lines.iter().rev().take(TAIL_LINES).rev();
            let shown: String = last.map(|line| format!("  | {line}\n")).collect();
            format!("The end of {}:\n{shown}", log.display())
        }
        Err(error) => format!("{} cannot be read: {error}\n", log.display()),
    }
}

fn tail(log: &Path) -> io::Result<String> {
    let mut file = File::open(log)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
    let mut bytes = Vec::new();
    file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// What a person can do about what servers commonly complain of.
fn advice(log: &str) -> &'static str {
    let log = log.to_ascii_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| log.contains(word));
    if says(&["address already in use", "unable to bind", "could not bind"]) {
        "Another program has just taken its port: start again, and another is chosen."
    } else if says(&["no space left", "disk space"]) {
        "The disk is full: free some space, then start again; nothing acknowledged is lost."
    } else if says(&["corrupt", "invalid checkpoint", "could not read block", "damaged"]) {
        "Its data is damaged: `hyperhash dev reset` starts over with empty data."
    } else if says(&["unshare failed", "mount: ", "chroot: "]) {
        "This system does not let us mount a private root: in a container, run it with the right \
         to mount, or install the servers so that no private root is needed."
    } else if says(&["cannot obtain a lock", "lock file", "another postmaster"]) {
        "Another process uses its data: `hyperhash dev down` ends what was left behind."
    } else {
        "If its data is damaged, `hyperhash dev reset` starts over."
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dev::{
        home::Home,
        narrator::Narrator,
        process::{
            managed::{Keeper, Launch, Role, Spec},
            record::Stop,
        },
    };
    use std::sync::Arc;

    const LONG: Duration = Duration::from_secs(60);

    fn keep(folder: &Path, script: &str) -> Managed {
        let home = Home::prepare(&folder.join("net")).unwrap();
        let keeper = Keeper::new(&home, Arc::new(Narrator::silent()));
        keeper.keep(Spec {
            name: "it".into(),
            role: Role::Server,
            order: 1,
            command: Launch {
                program: "sh".into(),
                arguments: vec!["-c".into(), script.into()],
                folder: folder.to_owned(),
            },
            stop: Stop::Term,
            grace: LONG,
            log: folder.join("it.log"),
        })
    }

    #[tokio::test]
    async fn waits_for_the_fact() {
        let folder = tempfile::tempdir().unwrap();
        let managed = keep(folder.path(), "touch here; exec sleep 600");
        let fact = folder.path().join("here");
        until_ready(&managed, LONG, || async { Ok(fact.metadata().map(drop)?) }).await.unwrap();
        managed.stop().await.unwrap();
    }

    #[tokio::test]
    async fn an_early_end_is_told_with_its_last_words_and_advice() {
        let folder = tempfile::tempdir().unwrap();
        let managed = keep(folder.path(), "echo 'bind: Address already in use'; exit 3");
        let never = || async { Err(anyhow::anyhow!("no")) };
        let error = until_ready(&managed, LONG, never).await.unwrap_err().to_string();
        assert!(error.starts_with("it ended by itself (exit status: 3) before"), "{error}");
        assert!(error.contains("  | bind: Address already in use"), "{error}");
        assert!(error.ends_with("start again, and another is chosen."), "{error}");
        managed.stop().await.unwrap();
    }

    #[tokio::test]
    async fn a_limit_is_told_with_what_is_missing() {
        let folder = tempfile::tempdir().unwrap();
        let managed = keep(folder.path(), "exec sleep 600");
        let never = || async { Err(anyhow::anyhow!("the door is shut")) };
        let limit = Duration::from_millis(1);
        let error = until_ready(&managed, limit, never).await.unwrap_err().to_string();
        assert!(error.starts_with("it is not ready after 1ms: the door is shut"), "{error}");
        managed.stop().await.unwrap();
    }
}
