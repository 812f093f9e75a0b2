//! The database cluster and how its server is started.

use crate::dev::{
    files,
    process::managed::Launch,
    servers::{INSIDE, Server, User, am_root},
};
use anyhow::{Context as _, bail, ensure};
use std::{
    fs, io,
    os::unix::fs::chown,
    path::{Path, PathBuf},
    process::Command,
};

/// The operating system's user that PostgreSQL runs as; it refuses to run as root.
const SYSTEM_USER: &str = "postgres";

/// A folder with a database cluster in it.
#[derive(Clone, Debug)]
pub struct Cluster {
    server: Server,
    folder: PathBuf,
}

impl Cluster {
    /// The cluster in `folder`, which may not exist yet.
    pub const fn new(server: Server, folder: PathBuf) -> Self {
        Self { server, folder }
    }

    /// Makes the cluster if it is not there, with `password` for the superuser `postgres`.
    ///
    /// # Errors
    ///
    /// When `initdb` fails, or the cluster that is there was made by another PostgreSQL.
    pub fn prepare(&self, password: &str) -> anyhow::Result<()> {
        files::private_folder(&self.folder)?;
        self.give(&self.folder)?;
        let data = self.folder.join("data");
        if data.exists() {
            return self.check_version(&data);
        }
        // Made beside its place and renamed when complete, so that a half-made one is never used.
        let making = self.folder.join("data.making");
        match fs::remove_dir_all(&making) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
            Ok(()) | Err(_) => {}
        }
        let password_file = self.folder.join("password");
        files::write_private(&password_file, password.as_bytes())?;
        self.give(&password_file)?;
        let made = self.initdb();
        fs::remove_file(&password_file)?;
        made?;
        fs::rename(&making, &data).context("cannot rename the new database cluster")
    }

    /// How to start the server on `port`.
    ///
    /// # Errors
    ///
    /// When that takes rights that we do not have.
    pub fn launch(&self, port: u16) -> anyhow::Result<Launch> {
        let data = format!("{}/data", self.inside());
        let settings = [
            "listen_addresses=127.0.0.1".to_owned(),
            format!("port={port}"),
            // TCP alone: the folder of a socket would have to be shared with other users.
            "unix_socket_directories=".to_owned(),
            "shared_preload_libraries=timescaledb".to_owned(),
            "timescaledb.telemetry_level=off".to_owned(),
            "max_connections=100".to_owned(),
            "log_timezone=UTC".to_owned(),
        ];
        let mut arguments = vec!["-D", &data];
        for setting in &settings {
            arguments.extend(["-c", setting]);
        }
        self.run("postgres", &arguments)
    }

    fn initdb(&self) -> anyhow::Result<()> {
        let inside = self.inside();
        let (data, password) = (format!("{inside}/data.making"), format!("{inside}/password"));
        let arguments = [
            "--pgdata",
            &data,
            "--username=postgres",
            "--pwfile",
            &password,
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C.UTF-8",
            "--data-checksums",
            "--no-instructions",
        ];
        let launch = self.run("initdb", &arguments)?;
        let output = Command::new(&launch.program)
            .args(&launch.arguments)
            .current_dir(&launch.folder)
            .output()
            .with_context(|| format!("cannot run {}", launch.program.display()))?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "initdb failed ({}): {}", output.status, said.trim());
        Ok(())
    }

    fn check_version(&self, data: &Path) -> anyhow::Result<()> {
        let path = data.join("PG_VERSION");
        let made_by = fs::read_to_string(&path).with_context(|| {
            format!("{} is damaged; `hyperhash dev reset` starts over", data.display())
        })?;
        let launch = self.run("postgres", &["--version"])?;
        let output = Command::new(&launch.program)
            .args(&launch.arguments)
            .current_dir(&launch.folder)
            .output()
            .with_context(|| format!("cannot run {}", launch.program.display()))?;
        let version = String::from_utf8_lossy(&output.stdout).into_owned();
        let major = version.split_ascii_whitespace().nth(2).unwrap_or_default();
        let major = major.split(['.', 'd', 'b', 'r']).next().unwrap_or_default();
        if major != made_by.trim() {
            bail!(
                "the database in {} was made by PostgreSQL {}, but {} is what would run it; \
                 `hyperhash dev reset` starts over",
                data.display(),
                made_by.trim(),
                version.trim()
            );
        }
        Ok(())
    }

    fn run(&self, program: &str, arguments: &[&str]) -> anyhow::Result<Launch> {
        let path = self.server.path.join(program);
        if self.runs_as_us() {
            let arguments = arguments.iter().map(Into::into).collect();
            return Ok(Launch { program: path, arguments, folder: self.folder.clone() });
        }
        self.server.launch(&self.folder, User::Named(SYSTEM_USER), &path, arguments)
    }

    /// Without root's rights the host's PostgreSQL runs as the person who starts the network.
    fn runs_as_us(&self) -> bool {
        self.server.is_hosts() && !am_root()
    }

    /// The folder as the server sees it.
    fn inside(&self) -> String {
        if self.runs_as_us() { self.folder.display().to_string() } else { INSIDE.to_owned() }
    }

    fn give(&self, path: &Path) -> anyhow::Result<()> {
        if self.runs_as_us() {
            return Ok(());
        }
        let users = self.server.root.join("etc/passwd");
        let text = fs::read_to_string(&users)
            .with_context(|| format!("cannot read {}", users.display()))?;
        let (user, group) = ids(&text, SYSTEM_USER)
            .with_context(|| format!("{} has no user {SYSTEM_USER}", users.display()))?;
        chown(path, Some(user), Some(group))
            .with_context(|| format!("cannot give {} to {SYSTEM_USER}", path.display()))
    }
}

/// User and group of `name` in the form of `/etc/passwd`.
fn ids(passwd: &str, name: &str) -> Option<(u32, u32)> {
    let line = passwd.lines().find(|line| line.split(':').next() == Some(name))?;
    let mut fields = line.split(':').skip(2);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_user_by_its_whole_name() {
        let passwd = "root:x:0:0::/root:/bin/sh\npostgres2:x:1:1:::\npostgres:x:103:104:::\n";
        assert_eq!(ids(passwd, "postgres"), Some((103, 104)));
        assert_eq!(ids(passwd, "nobody"), None);
    }
}
