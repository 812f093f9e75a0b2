//! What a reload may change, and what needs a restart.

use super::{
    ConfigError, Loaded, ShellConfig, WorkerConfig,
    node::{Node, Origin},
    print::tree,
};
use std::collections::BTreeMap;

/// The result of comparing the configuration that runs with the one just read.
#[derive(Debug)]
pub struct Reload<C> {
    /// What to run from now on: the old one with every change that may be made.
    pub next: Loaded<C>,
    /// Keys that changed.
    pub applied: Vec<String>,
    /// Keys that changed in the file, and wait for a restart.
    pub needs_restart: Vec<String>,
}

type Path = Vec<String>;

/// Takes over what may change at run time, and names the rest.
pub fn reload<C: WorkerConfig>(old: &Loaded<C>, new: &Loaded<C>) -> Result<Reload<C>, ConfigError> {
    let mut merged = tree(new)?;
    let (before, after) = (leaves(tree(old)?), leaves(merged.clone()));
    let changed = before
        .keys()
        .chain(after.keys().filter(|path| !before.contains_key(*path)))
        .filter(|path| before.get(*path) != after.get(*path));
    let (applied, needs_restart): (Vec<&Path>, Vec<&Path>) =
        changed.partition(|path| may_change::<C>(&path.join(".")));
    for path in &needs_restart {
        set(&mut merged, path, before.get(*path));
    }
    let dotted = |paths: Vec<&Path>| paths.iter().map(|path| path.join(".")).collect();
    let (applied, needs_restart) = (dotted(applied), dotted(needs_restart));
    Ok(Reload { next: read_back(merged)?, applied, needs_restart })
}

fn may_change<C: WorkerConfig>(key: &str) -> bool {
    C::RELOADABLE.iter().chain(ShellConfig::RELOADABLE).any(|allowed| {
        key.strip_prefix(allowed).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    })
}

fn leaves(tree: toml::Table) -> BTreeMap<Path, toml::Value> {
    let mut found = BTreeMap::new();
    let mut open = vec![(Path::new(), toml::Value::Table(tree))];
    while let Some((path, value)) = open.pop() {
        if let toml::Value::Table(table) = value {
            let below = |key| path.iter().cloned().chain([key]).collect();
            open.extend(table.into_iter().map(|(key, value)| (below(key), value)));
        } else {
            found.insert(path, value);
        }
    }
    found
}

/// Puts the old value back, or takes the new one away where there was none.
fn set(tree: &mut toml::Table, path: &[String], old: Option<&toml::Value>) {
    let [above @ .., last] = path else { return };
    let mut table = tree;
    for key in above {
        let below = table
            .entry(key.clone())
            .or_insert_with(|| toml::Value::Table(toml::Table::new()))
            .as_table_mut();
        let Some(below) = below else { return };
        table = below;
    }
    match old {
        Some(value) => table.insert(last.clone(), value.clone()),
        None => table.remove(last),
    };
}

fn read_back<C: WorkerConfig>(tree: toml::Table) -> Result<Loaded<C>, ConfigError> {
    let mut tree = Node::from_toml(toml::Value::Table(tree), &Origin::Text);
    let shell = tree.split_off(ShellConfig::KEYS).read(&[])?;
    let worker: C = tree.read(&[])?;
    worker.check().map_err(ConfigError::Rule)?;
    Ok(Loaded { shell, worker })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::{Deserialize, Serialize};

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Keys {
        lane: u16,
        note: Option<String>,
        vardiff: BTreeMap<String, u32>,
    }

    impl WorkerConfig for Keys {
        const RELOADABLE: &'static [&'static str] = &["vardiff"];
    }

    fn loaded(lane: u16, note: Option<&str>, rate: u32, level: &str) -> Loaded<Keys> {
        let vardiff = BTreeMap::from([("rate".to_owned(), rate)]);
        let worker = Keys { lane, note: note.map(str::to_owned), vardiff };
        let mut shell = ShellConfig::default();
        level.clone_into(&mut shell.log.level);
        Loaded { shell, worker }
    }

    #[test]
    fn what_may_change_changes_and_the_rest_is_named() {
        let old = loaded(7, None, 6, "info");
        let new = loaded(8, Some("new"), 30, "debug");
        let reload = reload(&old, &new).unwrap();
        assert_eq!(reload.applied, ["log.level", "vardiff.rate"]);
        assert_eq!(reload.needs_restart, ["lane", "note"]);
        assert_eq!(reload.next, loaded(7, None, 30, "debug"));
    }

    #[test]
    fn a_key_whose_name_only_begins_alike_is_not_reloadable() {
        assert!(may_change::<Keys>("vardiff") && may_change::<Keys>("vardiff.rate"));
        assert!(!may_change::<Keys>("vardiff_rate"));
    }
}
