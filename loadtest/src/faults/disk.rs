//! Disks that lose their power or are full.
//!
//! A server's store is moved to a file system of its own, on a loop device that writes past the
//! host's cache: what its image holds at a moment is what a disk would hold after a power cut at
//! that moment. What was written and not synced is in the page cache, and goes with the power.

use anyhow::{Context as _, ensure};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::{process::Command, time::sleep};
use worker_runtime::clock::{Clock as _, SystemClock};

/// Size of each disk in MiB; the image is sparse.
const SIZE_MIB: u64 = 4_096;

/// How long a killed server's last writes may take.
const LAST_WRITES: Duration = Duration::from_secs(15);

/// Pause between two tries to take its disk away.
const BETWEEN_TRIES: Duration = Duration::from_millis(100);

/// The servers whose stores get a disk, and their folders in the network's data.
const SERVERS: [(&str, &str); 2] = [("hub", "hub"), ("leaf", "n1")];

/// The disks of a network that does not run now; they are taken away again with the value.
#[derive(Debug, Default)]
pub struct Disks(BTreeMap<&'static str, Disk>);

impl Disks {
    /// Moves the stores below `data` to disks whose images are in `images`. Needs root and loop
    /// devices.
    ///
    /// # Errors
    ///
    /// When there is no such store, or it cannot be moved.
    pub async fn under(data: &Path, images: &Path) -> anyhow::Result<Self> {
        let mut disks = BTreeMap::new();
        for (server, folder) in SERVERS {
            let place = data.join("nats").join(folder).join("store");
            let disk = Disk::make(images.join(format!("{server}.img")), place).await;
            disks.insert(server, disk.with_context(|| format!("no disk for {server}"))?);
        }
        Ok(Self(disks))
    }

    /// The disk of a server.
    ///
    /// # Errors
    ///
    /// When it has none.
    pub fn of(&self, server: &str) -> anyhow::Result<&Disk> {
        self.0.get(server).with_context(|| format!("the store of {server} has no disk of its own"))
    }
}

/// A file system on a loop device, mounted over a server's store.
#[derive(Debug)]
pub struct Disk {
    image: PathBuf,
    place: PathBuf,
}

impl Disk {
    async fn make(image: PathBuf, place: PathBuf) -> anyhow::Result<Self> {
        ensure!(place.is_dir(), "{} is no folder", place.display());
        let file = std::fs::File::create(&image)?;
        file.set_len(SIZE_MIB << 20)?;
        drop(file);
        run("mkfs.ext4", &["-q", "-F", "-E", "lazy_itable_init=1"], &[&image]).await?;
        let disk = Self { image, place };
        let aside = disk.place.with_extension("aside");
        std::fs::rename(&disk.place, &aside)?;
        std::fs::create_dir(&disk.place)?;
        disk.mount().await?;
        run("cp", &["-a"], &[&aside.join("."), &disk.place]).await?;
        std::fs::remove_dir_all(&aside)?;
        run("sync", &["-f"], &[&disk.place]).await?;
        Ok(disk)
    }

    async fn mount(&self) -> anyhow::Result<()> {
        let device =
            run("losetup", &["--find", "--show", "--direct-io=on"], &[&self.image]).await?;
        run("mount", &[], &[Path::new(device.trim()), &self.place]).await?;
        // The device goes with the mount.
        run("losetup", &["--detach"], &[Path::new(device.trim())]).await?;
        Ok(())
    }

    /// Remembers what the disk holds now. The server must not run on meanwhile.
    ///
    /// # Errors
    ///
    /// When there is no room for it.
    pub async fn freeze(&self) -> anyhow::Result<()> {
        run("cp", &["--sparse=always"], &[&self.image, &self.frozen()]).await?;
        Ok(())
    }

    /// Gives the disk the content that was remembered; all that came after is gone. The server
    /// must have ended.
    ///
    /// # Errors
    ///
    /// When nothing was remembered, or somebody still uses the disk.
    pub async fn lose_power(&self) -> anyhow::Result<()> {
        self.unmount().await?;
        std::fs::rename(self.frozen(), &self.image)?;
        self.mount().await
    }

    /// Takes the disk away from a server that was killed: what that had told the disk to do may
    /// still be on its way, and keeps it busy for a moment.
    async fn unmount(&self) -> anyhow::Result<()> {
        let clock = SystemClock::new();
        let deadline = clock.monotonic() + LAST_WRITES;
        loop {
            match run("umount", &[], &[&self.place]).await {
                Err(_) if clock.monotonic() < deadline => sleep(BETWEEN_TRIES).await, // polls
                result => return result.map(drop),
            }
        }
    }

    /// Leaves no room on the disk.
    ///
    /// # Errors
    ///
    /// When the disk cannot be filled.
    pub async fn fill(&self) -> anyhow::Result<()> {
        // It ends when the disk is full, and says so.
        let filler = format!("of={}", self.filler().display());
        let arguments = ["if=/dev/zero", &filler, "bs=1M", "oflag=direct"];
        let output = Command::new("dd").args(arguments).output().await?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(said.contains("No space left"), "the disk cannot be filled: {said}");
        Ok(())
    }

    /// Makes room again.
    ///
    /// # Errors
    ///
    /// When it was not full.
    pub fn empty(&self) -> anyhow::Result<()> {
        std::fs::remove_file(self.filler()).context("the disk was not full")
    }

    fn frozen(&self) -> PathBuf {
        self.image.with_extension("frozen")
    }

    fn filler(&self) -> PathBuf {
        self.place.join("filler")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Nobody is left to be told if it was not mounted.
        drop(std::process::Command::new("umount").arg(&self.place).output());
    }
}

/// Runs a program of the system and returns what it printed.
async fn run(program: &str, options: &[&str], paths: &[&Path]) -> anyhow::Result<String> {
    let mut command = Command::new(program);
    let output = command.args(options).args(paths).output().await;
    let output = output.with_context(|| format!("cannot run {program}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{program}: {}", said.trim());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
