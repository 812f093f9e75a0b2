//! The directory that the keys are in: readable by its owner only, written whole or not at all.

use nkeys::KeyPair;
use std::{
    fs, io,
    io::Write as _,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

/// Why keys could not be minted.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// A file or directory.
    #[error("cannot use {path}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A file that should hold a seed.
    #[error(
        "{path} holds no nkey seed; restore it from the backup, or remove it to have a new key \
         made, with which everything that it signed is made anew"
    )]
    Seed {
        /// Which file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: nkeys::error::Error,
    },
    /// A key that cannot sign.
    #[error("cannot sign")]
    Sign(#[from] nkeys::error::Error),
}

/// The directory.
#[derive(Debug)]
pub(super) struct Vault {
    dir: PathBuf,
    written: Vec<PathBuf>,
}

impl Vault {
    pub(super) fn open(dir: &Path) -> Result<Self, KeyError> {
        let vault = Self { dir: dir.to_owned(), written: Vec::new() };
        vault.make_dir(dir)?;
        Ok(vault)
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    pub(super) fn written(self) -> Vec<PathBuf> {
        self.written
    }

    /// The key whose seed is in `seeds/<name>`, made if it is missing.
    pub(super) fn seed(&mut self, name: &str, make: fn() -> KeyPair) -> Result<KeyPair, KeyError> {
        let name = match name.strip_prefix("../") {
            Some(elsewhere) => elsewhere.to_owned(),
            None => format!("seeds/{name}"),
        };
        if let Some(seed) = self.read(&name)? {
            let path = self.path(&name);
            return KeyPair::from_seed(seed.trim())
                .map_err(|source| KeyError::Seed { path, source });
        }
        let key = make();
        self.write(&name, &format!("{}\n", key.seed()?))?;
        Ok(key)
    }

    pub(super) fn read(&self, name: &str) -> Result<Option<String>, KeyError> {
        let path = self.path(name);
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Some(text)),
            Err(missing) if missing.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(KeyError::File { path, source }),
        }
    }

    /// Writes a file that is missing or says something else.
    pub(super) fn write(&mut self, name: &str, text: &str) -> Result<(), KeyError> {
        if self.read(name)?.as_deref() == Some(text) {
            return Ok(());
        }
        let path = self.path(name);
        if let Some(parent) = path.parent() {
            self.make_dir(parent)?;
        }
        replace(&path, text).map_err(|source| KeyError::File { path: path.clone(), source })?;
        self.written.push(path);
        Ok(())
    }

    fn make_dir(&self, dir: &Path) -> Result<(), KeyError> {
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
        made.map_err(|source| KeyError::File { path: dir.to_owned(), source })
    }
}

/// A crash leaves the old file or the new one, never half of either.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let beside = path.with_extension("new");
    if beside.exists() {
        fs::remove_file(&beside)?;
    }
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&beside, path)
}
