//! Files that only their owner reads, replaced in one step.

use anyhow::Context as _;
use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
};

/// Writes `bytes` to `path`, readable by the owner alone. A reader sees the old content or the
/// new, never a part, also after a crash in between.
///
/// # Errors
///
/// When the disk does not take it.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    replace(path, bytes, File::sync_all)
}

/// Writes `bytes` to `path` like [`write_private`], but without waiting for the disk: for what is
/// written again in a moment anyway.
///
/// # Errors
///
/// When the disk does not take it.
pub(crate) fn show(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    replace(path, bytes, |_| Ok(()))
}

fn replace(
    path: &Path,
    bytes: &[u8],
    finish: impl FnOnce(&File) -> io::Result<()>,
) -> anyhow::Result<()> {
    let mut making = path.as_os_str().to_owned();
    making.push(".making");
    let making = Path::new(&making);
    let write = || {
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(making)?;
        file.write_all(bytes)?;
        finish(&file)?;
        fs::rename(making, path)
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

/// Makes a folder, with those above it, that only the owner may enter.
///
/// # Errors
///
/// When it cannot be made or its permissions cannot be set.
pub(crate) fn private_folder(path: &Path) -> anyhow::Result<()> {
    let make = || {
        DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o700))
    };
    make().with_context(|| format!("cannot make the folder {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn only_the_owner_reads() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("a/b");
        private_folder(&inner).unwrap();
        assert_eq!(mode(&inner), 0o700);
        let file = inner.join("secret");
        write_private(&file, b"old").unwrap();
        write_private(&file, b"new").unwrap();
        assert_eq!((mode(&file), fs::read(&file).unwrap()), (0o600, b"new".to_vec()));
        assert_eq!(fs::read_dir(&inner).unwrap().count(), 1);
    }
}
