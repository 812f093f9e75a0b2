//! Secrets enter here, from files, behind one trait; they print as nothing and are wiped.

use secrecy::SecretString;
use std::{
    io,
    path::{Path, PathBuf},
};

/// Longest secret file, in bytes: a creds file has about 1 000, an RSA key about 3 300.
const MAX_SECRET_LENGTH: u64 = 65_536;

/// Where secrets come from.
pub trait SecretProvider: Send + Sync + 'static {
    /// Reads the secret that a configuration key names by its path.
    fn read(&self, path: &Path) -> Result<SecretString, SecretError>;
}

/// A secret cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file cannot be read.
    #[error("cannot read the secret file `{}`", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The file is longer than any secret.
    #[error("the secret file `{}` is longer than 64 KiB", .0.display())]
    TooLong(PathBuf),
    /// The file holds nothing.
    #[error("the secret file `{}` is empty", .0.display())]
    Empty(PathBuf),
    /// Others on this host can read it.
    #[error("the secret file `{}` is open to others: chmod 600 it", .0.display())]
    Exposed(PathBuf),
}

/// Plain files, as SOPS, systemd credentials and Kubernetes leave them. One trailing line end is
/// not part of the secret.
#[derive(Clone, Copy, Debug, Default)]
pub struct SecretFiles;

impl SecretProvider for SecretFiles {
    fn read(&self, path: &Path) -> Result<SecretString, SecretError> {
        let unreadable = |source| SecretError::Unreadable { path: path.to_owned(), source };
        let facts = std::fs::metadata(path).map_err(unreadable)?;
        if facts.len() > MAX_SECRET_LENGTH {
            return Err(SecretError::TooLong(path.to_owned()));
        }
        if open_to_others(&facts) {
            return Err(SecretError::Exposed(path.to_owned()));
        }
        let mut text = std::fs::read_to_string(path).map_err(unreadable)?;
        let kept = text.trim_end_matches(['\r', '\n']).len();
        text.truncate(kept);
        if text.is_empty() {
            return Err(SecretError::Empty(path.to_owned()));
        }
        Ok(SecretString::from(text))
    }
}

/// Whether anybody may read or write the file. Group access is the operator's choice: services
/// often read a secret through their group.
#[cfg(unix)]
fn open_to_others(facts: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt;
    facts.permissions().mode() & 0o007 != 0
}

#[cfg(not(unix))]
fn open_to_others(_: &std::fs::Metadata) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret;
    use std::os::unix::fs::PermissionsExt;

    fn file(content: &str, mode: u32) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), content).unwrap();
        std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(mode)).unwrap();
        file
    }

    #[test]
    fn a_secret_is_read_without_its_line_end_and_never_printed() {
        let secret = SecretFiles.read(file("hunter2\n", 0o600).path()).unwrap();
        assert_eq!(secret.expose_secret(), "hunter2");
        assert!(!format!("{secret:?}").contains("hunter2"));
    }

    #[test]
    fn an_exposed_an_empty_and_a_missing_file_are_told_apart() {
        let read = |path: &Path| SecretFiles.read(path).unwrap_err();
        assert!(matches!(read(file("x", 0o644).path()), SecretError::Exposed(_)));
        assert!(matches!(read(file("\n", 0o600).path()), SecretError::Empty(_)));
        assert!(matches!(read(Path::new("/no/such")), SecretError::Unreadable { .. }));
    }
}
