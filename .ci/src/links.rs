//! Relative links of the documentation.

use crate::sources::{files, shown};
use std::{fs, io, path::Path};

/// Every link to a file of the repository that does not exist.
pub(crate) fn faults(root: &Path) -> io::Result<Vec<String>> {
    let mut faults = Vec::new();
    for path in files(root, &[".md"])? {
        let text = fs::read_to_string(&path)?;
        let folder = path.parent().unwrap_or(root);
        for target in targets(&text) {
            let file = target.split('#').next().unwrap_or_default();
            if !file.is_empty() && !folder.join(file).exists() {
                faults.push(format!("{}: links to {target}", shown(root, &path)));
            }
        }
    }
    Ok(faults)
}

/// Targets of `[text](target)` that are no addresses.
fn targets(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for part in text.split("](").skip(1) {
        if let Some((target, _)) = part.split_once(')') {
            let external = ["http://", "https://", "mailto:"];
            if !external.iter().any(|scheme| target.starts_with(scheme)) {
                found.push(target);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_not_files() {
        let text = "[a](b.md#c) and [d](https://example.org/e) and [f](#g)";
        assert_eq!(targets(text), ["b.md#c", "#g"]);
    }
}
