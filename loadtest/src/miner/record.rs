//! The file of acknowledged shares: what an audit holds the network to.

use crate::ShareKey;
use std::{fmt::Write as _, io, path::Path};
use tokio::{
    fs::{File, OpenOptions},
    io::AsyncWriteExt,
};

/// An append-only file of [`ShareKey`] lines.
#[derive(Debug)]
pub struct Record {
    file: File,
}

impl Record {
    /// Opens the file, or makes it.
    ///
    /// # Errors
    ///
    /// When the file system refuses.
    pub async fn append_to(path: &Path) -> io::Result<Self> {
        Ok(Self { file: OpenOptions::new().create(true).append(true).open(path).await? })
    }

    /// Appends shares that were acknowledged.
    ///
    /// # Errors
    ///
    /// When the file system refuses.
    pub async fn note(&mut self, keys: impl IntoIterator<Item = ShareKey>) -> io::Result<()> {
        let mut lines = String::new();
        for key in keys {
            // Writing to a string cannot fail.
            let _written: std::fmt::Result = writeln!(lines, "{key}");
        }
        self.file.write_all(lines.as_bytes()).await?;
        self.file.flush().await
    }
}
