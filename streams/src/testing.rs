//! Finding a nats-server to test against.

use std::path::{Path, PathBuf};

/// No nats-server was found.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "no nats-server found: name it in HYPERHASH_NATS_SERVER, install it (2.15.1 or newer), or \
     let `make up` make the development root once"
)]
pub struct NotFound;

/// The nats-server to test against: the one named by `HYPERHASH_NATS_SERVER`, the first on the
/// `PATH`, or that of the development root (`HYPERHASH_DEV_ROOT`, or `hyperhash/rootfs/current` in
/// the user's cache folder), in this order.
///
/// # Errors
/// When there is none.
pub fn nats_server() -> Result<PathBuf, NotFound> {
    let named = variable("HYPERHASH_NATS_SERVER").into_iter();
    let on_path = variable("PATH").map(|path| path.to_string_lossy().into_owned());
    let on_path: Vec<_> = on_path.iter().flat_map(|path| path.split(':')).map(beside).collect();
    let in_root = dev_root().map(|root| root.join("usr/sbin/nats-server"));
    let mut candidates = named.chain(on_path).chain(in_root);
    candidates.find(|candidate| candidate.is_file()).ok_or(NotFound)
}

fn beside(dir: &str) -> PathBuf {
    Path::new(dir).join("nats-server")
}

fn dev_root() -> Option<PathBuf> {
    let cache = || {
        let of_home = || Some(variable("HOME")?.join(".cache"));
        Some(variable("XDG_CACHE_HOME").or_else(of_home)?.join("hyperhash/rootfs/current"))
    };
    variable("HYPERHASH_DEV_ROOT").or_else(cache)
}

fn variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}
