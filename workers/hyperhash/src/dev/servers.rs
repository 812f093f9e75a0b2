//! Which servers are used, and how they are started.

use super::process::managed::Launch;
use anyhow::{Context as _, bail, ensure};
use std::{
    collections::BTreeMap,
    ffi::OsString,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// Looks at the host and at the private root; also used by `prepare.sh`.
const SEARCH: &str = include_str!("../../../../deploy/regtest/servers.sh");
/// Enters a root and becomes the server.
const ENTER: &str = include_str!("../../../../deploy/regtest/enter.sh");

/// The servers of a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Servers {
    /// The nats-server program.
    pub nats_server: Server,
    /// The folder of PostgreSQL's programs.
    pub postgresql: Server,
    /// The bitcoind program.
    pub bitcoind: Server,
}

/// Where a server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// The root folder that it lives in; `/` for the host's own.
    pub root: PathBuf,
    /// Its path inside that root.
    pub path: PathBuf,
    /// What it says of itself, or that it is the private root's.
    pub version: String,
}

/// Who a server runs as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum User {
    /// Whoever started the network.
    Same,
    /// A user of the server's root.
    Named(&'static str),
}

/// Where servers see their data folder.
pub const INSIDE: &str = "/mnt";

/// Finds the servers: the host's where they are new enough, otherwise the private root's.
///
/// # Errors
///
/// When one is missing; the message says what to do.
pub fn find(private_root: Option<&Path>) -> anyhow::Result<Servers> {
    let mut search = Command::new("sh");
    search.arg("-c").arg(SEARCH).arg("servers.sh").args(private_root).stdin(Stdio::null());
    let output = search.output().context("cannot run sh")?;
    ensure!(
        output.status.success(),
        "the search for servers failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    read(&String::from_utf8_lossy(&output.stdout))
}

fn read(lines: &str) -> anyhow::Result<Servers> {
    let mut found = BTreeMap::new();
    let mut missing = Vec::new();
    for line in lines.lines() {
        let fields: Vec<_> = line.split('\t').collect();
        let [name, root, path, version] = fields.as_slice() else {
            bail!("the search for servers printed `{line}`");
        };
        if *root == "-" {
            missing.push(*version);
        } else {
            let version = (*version).to_owned();
            found.insert(*name, Server { root: root.into(), path: path.into(), version });
        }
    }
    ensure!(
        missing.is_empty(),
        "{}. On Debian, `deploy/regtest/prepare.sh` as root makes a private root folder with all \
         servers (`make up` does so); on other systems install them",
        missing.join("; ")
    );
    let mut take = |name| found.remove(name).with_context(|| format!("no {name} was searched"));
    Ok(Servers {
        nats_server: take("nats-server")?,
        postgresql: take("postgresql")?,
        bitcoind: take("bitcoind")?,
    })
}

impl Server {
    /// How to run this server with `folder` as its only data folder, under [`INSIDE`].
    ///
    /// # Errors
    ///
    /// When that takes root's rights and we do not have them.
    pub fn launch(
        &self,
        folder: &Path,
        user: User,
        program: &Path,
        arguments: &[&str],
    ) -> anyhow::Result<Launch> {
        ensure!(
            am_root(),
            "only root may enter the root folder {}, which holds {}: run this as root, or install \
             the server on this system",
            self.root.display(),
            program.display()
        );
        let user = match user {
            User::Same => "-",
            User::Named(name) => name,
        };
        let mut all: Vec<OsString> =
            ["--mount", "--propagation", "private", "sh", "-c", ENTER, "enter.sh"]
                .map(Into::into)
                .into();
        all.extend([self.root.clone().into(), folder.into(), user.into(), program.into()]);
        all.extend(arguments.iter().map(Into::into));
        Ok(Launch { program: "unshare".into(), arguments: all, folder: folder.to_owned() })
    }

    /// How to run this server when it needs nothing of its root: it is linked statically, or the
    /// root is the host's own.
    pub fn launch_directly(&self, folder: &Path, arguments: Vec<OsString>) -> Launch {
        Launch { program: self.on_host(), arguments, folder: folder.to_owned() }
    }

    /// Whether the server is the host's own.
    pub fn is_hosts(&self) -> bool {
        self.root == Path::new("/")
    }

    fn on_host(&self) -> PathBuf {
        self.root.join(self.path.strip_prefix("/").unwrap_or(&self.path))
    }
}

/// The private root that `prepare.sh` made, in the user's cache folder.
pub fn cached_root() -> Option<PathBuf> {
    let folder = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = folder("XDG_CACHE_HOME").or_else(|| Some(folder("HOME")?.join(".cache")))?;
    // The link's target, so that a root which is made later does not change running servers.
    cache.join("hyperhash/rootfs/current").canonicalize().ok()
}

/// Whether this process may mount and change users.
pub fn am_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_server_comes_from_where_it_was_found() {
        let servers = read(
            "nats-server\t/\t/usr/sbin/nats-server\t2.15.1\n\
             postgresql\t/r\t/usr/lib/postgresql/18/bin\tprivate\n\
             bitcoind\t/r\t/usr/bin/bitcoind\tprivate\n",
        )
        .unwrap();
        assert!(servers.nats_server.is_hosts() && !servers.bitcoind.is_hosts());
        assert_eq!(servers.bitcoind.on_host(), Path::new("/r/usr/bin/bitcoind"));
        assert_eq!(servers.nats_server.on_host(), Path::new("/usr/sbin/nats-server"));
    }

    #[test]
    fn all_that_is_missing_is_said_at_once() {
        let error = read("nats-server\t-\t-\tthis is missing\nbitcoind\t-\t-\tthat is old\n");
        let message = error.unwrap_err().to_string();
        assert!(
            message.starts_with("this is missing; that is old. On Debian, `deploy/"),
            "{message}"
        );
    }

    #[test]
    fn the_search_runs_on_this_system() {
        // Whatever is installed here: three answers, or an error that names what is missing.
        if let Err(error) = find(None) {
            assert!(error.to_string().contains("prepare.sh"), "{error}");
        }
    }
}
