//! Which files are the repository's own.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Folders that hold no sources.
const SKIPPED: [&str; 5] = [".git", ".dev", "node_modules", "target", "snapshots"];

/// Every file under `root` whose name ends in one of `endings`, in a stable order.
pub(crate) fn files(root: &Path, endings: &[&str]) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    walk(root, endings, &mut found)?;
    found.sort();
    Ok(found)
}

fn walk(folder: &Path, endings: &[&str], found: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if path.is_dir() {
            if !SKIPPED.contains(&name) {
                walk(&path, endings, found)?;
            }
        } else if endings.iter().any(|ending| name.ends_with(ending)) {
            found.push(path);
        }
    }
    Ok(())
}

/// `path` as it reads from `root`, with forward slashes.
pub(crate) fn shown(root: &Path, path: &Path) -> String {
    path.strip_prefix(root).unwrap_or(path).display().to_string()
}
