//! The contract table that opens every worker's `lib.rs`.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// The rows that every table has, in this order.
pub(crate) const ROWS: [&str; 6] =
    ["kind", "consumes", "publishes", "state", "instances", "invariant"];

/// A worker, as its own documentation tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Contract {
    /// The crate's name.
    pub(crate) worker: String,
    /// The first sentence of the documentation.
    pub(crate) decides: String,
    /// The values of [`ROWS`].
    pub(crate) values: Vec<String>,
}

/// Every folder of `workers/` that is a worker: it binds a decision to the bus in `worker.rs`.
pub(crate) fn workers(root: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(root.join("workers"))? {
        let path = entry?.path();
        let source = path.join("src");
        if source.join("worker.rs").exists() || source.join("worker").is_dir() {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// Reads the table of one worker; the error says what is missing.
pub(crate) fn read(worker: &Path) -> Result<Contract, String> {
    let path = worker.join("src/lib.rs");
    let text = fs::read_to_string(&path).map_err(|error| format!("cannot be read: {error}"))?;
    let name = worker.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    parse(name, &text)
}

fn parse(name: &str, text: &str) -> Result<Contract, String> {
    let docs: Vec<&str> = text.lines().map_while(|line| line.strip_prefix("//!")).collect();
    let decides = docs.first().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty());
    let decides = decides.ok_or("does not open with a sentence on what it decides")?;
    let cells: Vec<(String, String)> = docs.iter().filter_map(|line| row(line)).collect();
    let mut values = Vec::with_capacity(ROWS.len());
    for wanted in ROWS {
        let cell = cells.iter().find(|(key, _)| key == wanted);
        let (_, value) = cell.ok_or_else(|| format!("its contract has no `| {wanted} |` row"))?;
        values.push(value.clone());
    }
    Ok(Contract { worker: name.to_owned(), decides, values })
}

fn row(line: &str) -> Option<(String, String)> {
    let inner = line.trim().strip_prefix('|')?.strip_suffix('|')?;
    let (key, value) = inner.split_once('|')?;
    Some((key.trim().to_owned(), value.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "//! Decides.\n//!\n//! | | |\n//! |---|---|\n//! | kind | transform |\n\
        //! | consumes | `a` |\n//! | publishes | `b` |\n//! | state | none |\n\
        //! | instances | many |\n//! | invariant | once |\n\nmod worker;\n";

    #[test]
    fn a_whole_table_is_read_in_order() {
        let contract = parse("w", GOOD).unwrap();
        assert_eq!(contract.decides, "Decides.");
        assert_eq!(contract.values, ["transform", "`a`", "`b`", "none", "many", "once"]);
    }

    #[test]
    fn a_missing_row_is_named() {
        let text = GOOD.replace("//! | state | none |\n", "");
        assert_eq!(parse("w", &text).unwrap_err(), "its contract has no `| state |` row");
    }
}
