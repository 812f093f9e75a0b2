//! Where the servers are.

use anyhow::Context as _;
use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::Command,
};

/// The oldest nats-server that is safe as a hub: earlier ones let a leaf inject messages.
const MIN_NATS: (u32, u32) = (2, 15);

/// The private root with the servers, if there is one.
pub fn dev_root() -> Option<PathBuf> {
    let root = match std::env::var_os("HYPERHASH_DEV_ROOT") {
        Some(root) => PathBuf::from(root),
        None => cache_folder()?.join("hyperhash/rootfs/current"),
    };
    root.is_dir().then_some(root)
}

fn cache_folder() -> Option<PathBuf> {
    let own = std::env::var_os("XDG_CACHE_HOME").filter(|folder| !folder.is_empty());
    own.map(PathBuf::from).or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")))
}

/// The private root, or what to do about its absence.
pub(super) fn required_root() -> anyhow::Result<PathBuf> {
    dev_root().context("no servers for tests: run `make up` once, or set HYPERHASH_DEV_ROOT to a root that holds them")
}

/// A nats-server that is new enough.
pub(super) fn nats_server() -> anyhow::Result<PathBuf> {
    if let Some(path) = std::env::var_os("HYPERHASH_NATS_SERVER") {
        return Ok(path.into());
    }
    let in_root = dev_root().map(|root| root.join("usr/sbin/nats-server"));
    let candidates = in_path("nats-server").into_iter().chain(in_root);
    candidates.into_iter().find(|path| is_new_enough(path)).context(
        "no nats-server of at least 2.15: set HYPERHASH_NATS_SERVER, or run `make up` once",
    )
}

fn in_path(program: &str) -> Option<PathBuf> {
    let folders = std::env::var_os("PATH")?;
    std::env::split_paths(&folders).map(|folder| folder.join(program)).find(|path| path.is_file())
}

fn is_new_enough(path: &Path) -> bool {
    let Ok(output) = Command::new(path).arg("--version").output() else { return false };
    let text = String::from_utf8_lossy(&output.stdout);
    version_of(&text).is_some_and(|version| version >= MIN_NATS)
}

/// `nats-server: v2.15.1` as `(2, 15)`.
fn version_of(text: &str) -> Option<(u32, u32)> {
    let version = text.split(": v").nth(1)?;
    let mut numbers = version.split('.').map(|number| number.trim().parse().ok());
    Some((numbers.next()??, numbers.next()??))
}

/// A command that runs `program` inside the private root with `data` mounted at `/mnt`.
///
/// The mounts are in a namespace of the process's own, and every step replaces the one before it:
/// the process id is the server's, and nothing remains when it ends.
pub(super) fn chrooted(
    root: &Path,
    data: &Path,
    user: &str,
    program: &str,
    arguments: &[impl AsRef<OsStr>],
) -> Command {
    const SCRIPT: &str = r#"
        set -e
        root=$1 data=$2 user=$3
        shift 3
        mount --bind "$data" "$root/mnt"
        mount --rbind /dev "$root/dev"
        exec chroot --userspec="$user" "$root" "$@"
    "#;
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "--propagation", "private", "sh", "-c", SCRIPT, "sh"])
        .args([root.as_os_str(), data.as_os_str(), user.as_ref(), program.as_ref()])
        .args(arguments)
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("LC_ALL", "C.UTF-8");
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        assert_eq!(version_of("nats-server: v2.15.1\n"), Some((2, 15)));
        assert!(version_of("nats-server: v2.9.25").unwrap() < MIN_NATS);
        assert_eq!(version_of("command not found"), None);
    }
}
