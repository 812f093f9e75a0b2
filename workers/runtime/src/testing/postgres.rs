//! A PostgreSQL with TimescaleDB, from the private root.

use super::{START_DEADLINE, end, free_port, root, until};
use anyhow::Context as _;
use rustix::process::Signal;
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Stdio},
    time::Duration,
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Who PostgreSQL runs as: it refuses to run as root.
const USER: &str = "postgres:postgres";

/// How long an immediate end may take.
const GRACE: Duration = Duration::from_secs(5);

/// A running database server. It ends when this is dropped, and its data is removed.
#[derive(Debug)]
pub struct Server {
    folder: TempDir,
    root: PathBuf,
    programs: String,
    port: u16,
    child: Option<Child>,
}

impl Server {
    /// Makes a cluster and starts it on a free port. Needs root, for the private root.
    pub async fn start() -> anyhow::Result<Self> {
        let root = root::required_root()?;
        let programs = programs(&root)?;
        let folder = tempfile::Builder::new().prefix("hyperhash-postgres-").tempdir()?;
        let mut server = Self { folder, root, programs, port: free_port()?, child: None };
        server.initialise()?;
        server.restart().await?;
        Ok(server)
    }

    /// The superuser's connection to the database `postgres`; local users are trusted.
    pub fn url(&self) -> String {
        self.url_of("postgres")
    }

    /// The superuser's connection to a database.
    pub fn url_of(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    /// Starts the server again on the same port and data, after [`Self::kill9`] or [`Self::stop`].
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        self.stop();
        self.spawn()?;
        let port = self.port;
        let started = until("PostgreSQL answers", START_DEADLINE, async || accepts(port).await);
        started.await.with_context(|| self.log())
    }

    /// Kills the server as a crash does. Its children end when they notice.
    pub fn kill9(&mut self) {
        if let Some(mut child) = self.child.take() {
            // Both fail only if the server ended by itself.
            drop(child.kill());
            drop(child.wait());
        }
    }

    /// Ends the server at once, with all its children.
    pub fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            end(&mut child, Signal::QUIT, GRACE);
        }
    }

    /// What the server logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("postgres.log")).unwrap_or_default()
    }

    fn initialise(&self) -> anyhow::Result<()> {
        let data = self.folder.path();
        let own = ["-R", "postgres:postgres", "/mnt"];
        let owned = root::chrooted(&self.root, data, "root:root", "/bin/chown", &own).status()?;
        anyhow::ensure!(owned.success(), "cannot give the data folder to postgres (are you root?)");
        let initdb = format!("{}/initdb", self.programs);
        let arguments = [
            "--pgdata=/mnt/data",
            "--username=postgres",
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C.UTF-8",
            "--no-sync",
        ];
        let made = root::chrooted(&self.root, data, USER, &initdb, &arguments).output()?;
        let words = String::from_utf8_lossy(&made.stderr);
        anyhow::ensure!(made.status.success(), "initdb: {words}");
        Ok(())
    }

    fn spawn(&mut self) -> anyhow::Result<()> {
        let port = format!("port={}", self.port);
        // A killed process loses nothing without fsync; only a power cut would.
        let arguments = [
            "-D",
            "/mnt/data",
            "-c",
            &port,
            "-c",
            "listen_addresses=127.0.0.1",
            "-c",
            "unix_socket_directories=",
            "-c",
            "shared_preload_libraries=timescaledb",
            "-c",
            "timescaledb.telemetry_level=off",
            "-c",
            "fsync=off",
            "-c",
            "shared_buffers=64MB",
        ];
        let log = self.folder.path().join("postgres.log");
        let log = fs::File::options().create(true).append(true).open(log)?;
        let program = format!("{}/postgres", self.programs);
        let child = root::chrooted(&self.root, self.folder.path(), USER, &program, &arguments)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("cannot start PostgreSQL")?;
        self.child = Some(child);
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The folder of the newest PostgreSQL's programs, as seen inside the root.
fn programs(root: &Path) -> anyhow::Result<String> {
    let versions =
        fs::read_dir(root.join("usr/lib/postgresql")).context("no PostgreSQL in the root")?;
    let newest = versions
        .filter_map(|version| version.ok()?.file_name().into_string().ok()?.parse::<u32>().ok())
        .max()
        .context("no PostgreSQL in the root")?;
    Ok(format!("/usr/lib/postgresql/{newest}/bin"))
}

/// Whether the server takes connections: it answers a start-up message (protocol 3.0) with a
/// request for authentication, `R`, where a server that is still starting answers an error.
async fn accepts(port: u16) -> bool {
    let question = async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        let mut message = 196_608_u32.to_be_bytes().to_vec();
        message.extend_from_slice(b"user\0postgres\0database\0postgres\0\0");
        let length = u32::try_from(message.len() + 4).unwrap_or(0);
        stream.write_all(&length.to_be_bytes()).await?;
        stream.write_all(&message).await?;
        stream.read_u8().await
    };
    matches!(question.await, Ok(b'R'))
}
