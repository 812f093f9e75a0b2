//! Which process is meant: a number alone is not enough, because the system hands numbers out again.

use anyhow::{Context as _, ensure};
use rustix::{
    io::Errno,
    process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal},
};
use serde::{Deserialize, Serialize};
use std::{fs, io, os::fd::OwnedFd, time::Duration};
use tokio::time::Instant;

/// A process of this start of the system, told apart from later ones with the same number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// The process number.
    pub pid: u32,
    /// When it began, in clock ticks since the system started (`/proc/<pid>/stat`, field 22).
    pub start_ticks: u64,
    /// The start of the system that `start_ticks` counts from (`/proc/sys/kernel/random/boot_id`).
    pub boot_id: String,
}

/// How a process came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It was gone already, or its number belongs to another process by now.
    Absent,
    /// It ended by itself within the grace.
    Graceful,
    /// It had to be killed.
    Killed,
}

impl Identity {
    /// The identity of a running process, or `None` if no process has this number.
    ///
    /// # Errors
    ///
    /// When `/proc` cannot be read.
    pub fn of(pid: u32) -> io::Result<Option<Self>> {
        let Some(stat) = Stat::read(pid)? else { return Ok(None) };
        let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned();
        Ok(Some(Self { pid, start_ticks: stat.start_ticks, boot_id }))
    }

    /// The identity of this very process.
    ///
    /// # Errors
    ///
    /// When `/proc` cannot be read.
    pub fn own() -> io::Result<Self> {
        Self::of(std::process::id())?
            .ok_or_else(|| io::Error::other("this process is missing from /proc"))
    }

    /// Whether this process still runs. One that ended but was not collected by its parent does
    /// not.
    ///
    /// # Errors
    ///
    /// When `/proc` cannot be read.
    pub fn is_alive(&self) -> io::Result<bool> {
        let Some(now) = Self::of(self.pid)? else { return Ok(false) };
        let ended = Stat::read(self.pid)?.is_none_or(|stat| stat.ended);
        Ok(now == *self && !ended)
    }

    /// Ends this process, and never another one: asks with `signal`, and kills it if it still runs
    /// after `grace`.
    ///
    /// # Errors
    ///
    /// When it may not be signalled, or does not vanish even when killed.
    pub async fn end(&self, signal: Signal, grace: Duration) -> anyhow::Result<End> {
        let Some(handle) = self.open()? else { return Ok(End::Absent) };
        send(&handle, signal).with_context(|| format!("cannot signal process {}", self.pid))?;
        if self.wait(grace).await? {
            return Ok(End::Graceful);
        }
        send(&handle, Signal::KILL).with_context(|| format!("cannot kill process {}", self.pid))?;
        let gone = self.wait(KILL_LIMIT).await?;
        ensure!(gone, "process {} does not end, not even killed", self.pid);
        Ok(End::Killed)
    }

    /// Waits until this process has ended; true if it has within `limit`.
    ///
    /// # Errors
    ///
    /// When `/proc` cannot be read.
    pub async fn wait(&self, limit: Duration) -> io::Result<bool> {
        let deadline = Instant::now() + limit;
        while self.is_alive()? {
            if Instant::now() >= deadline {
                return Ok(false);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(true)
    }

    /// A handle that stays with the process whatever becomes of its number. The identity is
    /// compared after the handle was taken, so the handle cannot be another process's.
    fn open(&self) -> anyhow::Result<Option<OwnedFd>> {
        let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw) else {
            return Ok(None);
        };
        match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(handle) => Ok(self.is_alive()?.then_some(handle)),
            Err(Errno::SRCH) => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot watch process {}", self.pid)),
        }
    }
}

/// How often to look whether a process has ended. Handles of processes can be awaited, but not
/// without unsafe code.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A killed process vanishes at once unless the kernel is stuck in its disk or network.
const KILL_LIMIT: Duration = Duration::from_secs(10);

fn send(handle: &OwnedFd, signal: Signal) -> io::Result<()> {
    match pidfd_send_signal(handle, signal) {
        // Ended in between: what was asked for.
        Ok(()) | Err(Errno::SRCH) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// What `/proc/<pid>/stat` says.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    ended: bool,
    start_ticks: u64,
}

impl Stat {
    fn read(pid: u32) -> io::Result<Option<Self>> {
        let text = match fs::read_to_string(format!("/proc/{pid}/stat")) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            // The process vanished between opening and reading.
            Err(error) if Errno::from_io_error(&error) == Some(Errno::SRCH) => return Ok(None),
            Err(error) => return Err(error),
        };
        Self::parse(&text)
            .map(Some)
            .ok_or_else(|| io::Error::other(format!("/proc/{pid}/stat has another form: {text}")))
    }

    /// The name, field 2, is in brackets and may hold anything, even brackets and spaces.
    fn parse(text: &str) -> Option<Self> {
        let (_, after_name) = text.rsplit_once(')')?;
        let mut fields = after_name.split_ascii_whitespace();
        let ended = matches!(fields.next()?, "Z" | "X" | "x");
        let start_ticks = fields.nth(18)?.parse().ok()?;
        Some(Self { ended, start_ticks })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Child, Command};

    fn child(program: &str, arguments: &[&str]) -> Child {
        Command::new(program).args(arguments).spawn().unwrap()
    }

    #[test]
    fn a_name_with_brackets_and_spaces_does_not_shift_the_fields() {
        let fields = "S 1 9 9 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 1 0 4711 2 3";
        let stat = Stat::parse(&format!("9 (a) Z 1 (b)) {fields}")).unwrap();
        assert_eq!(stat, Stat { ended: false, start_ticks: 4711 });
        assert_eq!(Stat::parse("9 (a"), None);
    }

    #[test]
    fn another_start_time_is_another_process() {
        let own = Identity::own().unwrap();
        assert!(own.is_alive().unwrap());
        let earlier = Identity { start_ticks: own.start_ticks - 1, ..own.clone() };
        assert!(!earlier.is_alive().unwrap());
        let other_boot = Identity { boot_id: "another".into(), ..own };
        assert!(!other_boot.is_alive().unwrap());
    }

    #[tokio::test]
    async fn a_reused_number_is_never_signalled() {
        let mut bystander = child("sleep", &["600"]);
        let now = Identity::of(bystander.id()).unwrap().unwrap();
        let before = Identity { start_ticks: now.start_ticks - 1, ..now };
        let end = before.end(Signal::KILL, Duration::ZERO).await.unwrap();
        assert_eq!(end, End::Absent);
        assert_eq!(bystander.try_wait().unwrap(), None);
        bystander.kill().unwrap();
        bystander.wait().unwrap();
    }

    #[tokio::test]
    async fn asks_first_and_kills_what_does_not_listen() {
        let mut polite = child("sleep", &["600"]);
        let identity = Identity::of(polite.id()).unwrap().unwrap();
        let end = identity.end(Signal::TERM, Duration::from_secs(60)).await.unwrap();
        assert_eq!(end, End::Graceful);
        polite.wait().unwrap();
        assert!(!identity.is_alive().unwrap());

        // `exec sleep` inherits that TERM is ignored.
        let mut deaf = child("sh", &["-c", "trap '' TERM; exec sleep 600"]);
        let identity = Identity::of(deaf.id()).unwrap().unwrap();
        while fs::read_to_string(format!("/proc/{}/comm", deaf.id())).unwrap() != "sleep\n" {
            tokio::task::yield_now().await;
        }
        let end = identity.end(Signal::TERM, Duration::from_millis(50)).await.unwrap();
        assert_eq!(end, End::Killed);
        deaf.wait().unwrap();
    }

    #[tokio::test]
    async fn an_ended_but_uncollected_process_is_not_alive() {
        let mut child = child("true", &[]);
        let identity = Identity::of(child.id()).unwrap().unwrap();
        assert!(identity.wait(Duration::from_secs(60)).await.unwrap());
        assert!(!identity.is_alive().unwrap());
        child.wait().unwrap();
    }
}
