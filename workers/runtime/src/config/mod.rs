//! Configuration: defaults, then a TOML file, then the environment; nothing unknown is accepted.
//!
//! The shell's own sections (`[http]`, `[log]`, `[shutdown]`, `[flags]`, `read_only`) stand beside
//! the worker's keys in one file. The environment overrides single keys: `HYPERHASH_BUS__URL` is
//! `bus.url`. Where several workers share a process, `HYPERHASH_<WORKER>__BUS__URL` is meant for
//! one of them.

mod environment;
mod error;
mod node;
mod print;
mod reload;
mod shell;

pub use environment::{Environment, PREFIX};
pub use error::ConfigError;
pub use print::redacted;
pub use reload::{Reload, reload};
pub use shell::{HttpConfig, LogConfig, LogFormat, ShellConfig, ShutdownConfig};

use node::{Node, Origin};
use serde::{Serialize, de::DeserializeOwned};
use std::{collections::BTreeMap, path::Path, sync::Arc};

/// Longest configuration file, in bytes.
const MAX_FILE_LENGTH: u64 = 1_048_576;

/// The keys of one worker.
///
/// Derive `Serialize` and `Deserialize` with `#[serde(deny_unknown_fields)]`, put units into
/// names, and keep secrets out: a key `token_file` names the file that holds the token.
pub trait WorkerConfig: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// Dotted keys, or whole sections, that a reload may change while the worker runs.
    const RELOADABLE: &'static [&'static str] = &[];

    /// Rules between keys. The error says in words what to change.
    fn check(&self) -> Result<(), String> {
        Ok(())
    }
}

impl WorkerConfig for () {}

/// Everything that one worker was configured with.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded<C> {
    /// The shell's sections.
    pub shell: ShellConfig,
    /// The worker's own keys.
    pub worker: C,
}

/// Reads a worker's configuration from a file (or from nothing) and the environment.
///
/// `flags` are the feature flags that this worker knows.
pub fn load<C: WorkerConfig>(
    file: Option<&Path>,
    environment: &Environment,
    flags: &[&str],
) -> Result<Loaded<C>, ConfigError> {
    let mut tree = match file {
        Some(path) => read(path)?,
        None => Node::table(Origin::Default),
    };
    for (keys, text, variable) in environment.entries() {
        tree.set(&keys, text, Origin::Environment(variable))?;
    }
    from_tree(tree, flags)
}

/// Reads a worker's own keys from TOML text, as its documentation and its tests do.
pub fn parse<C: WorkerConfig>(text: &str) -> Result<C, ConfigError> {
    let tree = parse_tree(text, Origin::Text)?;
    from_tree(tree, &[]).map(|loaded| loaded.worker)
}

/// A second copy of a worker's keys.
pub(crate) fn copy<C: WorkerConfig>(config: &C) -> Result<C, ConfigError> {
    let tree = toml::Value::Table(print::table_of(config)?);
    Node::from_toml(tree, &Origin::Text).read(&[])
}

fn read(path: &Path) -> Result<Node, ConfigError> {
    let unreadable = |source| ConfigError::Unreadable { path: path.to_owned(), source };
    if std::fs::metadata(path).map_err(unreadable)?.len() > MAX_FILE_LENGTH {
        return Err(ConfigError::TooLong(path.to_owned()));
    }
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    parse_tree(&text, Origin::File(Arc::from(path)))
}

fn parse_tree(text: &str, origin: Origin) -> Result<Node, ConfigError> {
    let table = text
        .parse::<toml::Table>()
        .map_err(|source| ConfigError::Syntax { origin: origin.to_string(), source })?;
    Ok(Node::from_toml(toml::Value::Table(table), &origin))
}

fn from_tree<C: WorkerConfig>(mut tree: Node, flags: &[&str]) -> Result<Loaded<C>, ConfigError> {
    let shell: ShellConfig = tree.split_off(ShellConfig::KEYS).read(&[])?;
    check_flags(&shell.flags, flags)?;
    shell.check()?;
    let worker: C = tree.read(ShellConfig::KEYS)?;
    worker.check().map_err(ConfigError::Rule)?;
    Ok(Loaded { shell, worker })
}

fn check_flags(set: &BTreeMap<String, bool>, known: &[&str]) -> Result<(), ConfigError> {
    match set.keys().find(|flag| !known.contains(&flag.as_str())) {
        None => Ok(()),
        Some(flag) => Err(ConfigError::unknown_key(&format!("flags.{flag}"), flag, known)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;
    use std::path::PathBuf;

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields, default)]
    struct Sample {
        max_sessions: u32,
        tag: String,
        ratio: f64,
        rules: Vec<String>,
        certificate_file: Option<PathBuf>,
        vardiff: Vardiff,
    }

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields, default)]
    struct Vardiff {
        mode: Mode,
        shares_per_minute: u16,
    }

    #[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Mode {
        Fixed,
        Adaptive,
    }

    impl Default for Sample {
        fn default() -> Self {
            Self {
                max_sessions: 10,
                tag: "hh".to_owned(),
                ratio: 0.5,
                rules: Vec::new(),
                certificate_file: None,
                vardiff: Vardiff::default(),
            }
        }
    }

    impl Default for Vardiff {
        fn default() -> Self {
            Self { mode: Mode::Adaptive, shares_per_minute: 6 }
        }
    }

    impl WorkerConfig for Sample {
        fn check(&self) -> Result<(), String> {
            if self.max_sessions > 0 {
                Ok(())
            } else {
                Err("`max_sessions` must be above 0".into())
            }
        }
    }

    fn loaded(file: &str, variables: &[(&str, &str)]) -> Result<Loaded<Sample>, ConfigError> {
        let path = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(path.path(), file).unwrap();
        let variables =
            variables.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
        let environment = Environment::of(variables, "ingress-sv2", &["share-verifier"]);
        load(Some(path.path()), &environment, &["turbo"])
    }

    #[test]
    fn the_environment_beats_the_file_and_the_file_beats_the_defaults() {
        let loaded = loaded(
            "max_sessions = 20\ntag = \"file\"\n[vardiff]\nmode = \"fixed\"\n[log]\nlevel = \"debug\"",
            &[
                ("HYPERHASH_TAG", "123"),
                ("HYPERHASH_RATIO", "0.25"),
                ("HYPERHASH_RULES", "segwit, taproot"),
                ("HYPERHASH_VARDIFF__SHARES_PER_MINUTE", "30"),
                ("HYPERHASH_INGRESS_SV2__MAX_SESSIONS", "40"),
                ("HYPERHASH_SHARE_VERIFIER__MAX_SESSIONS", "50"),
                ("HYPERHASH_READ_ONLY", "true"),
                ("HYPERHASH_DEV_ROOT", "/not/ours"),
                ("UNRELATED", "x"),
            ],
        )
        .unwrap();
        assert_eq!(loaded.worker.max_sessions, 40);
        assert_eq!(loaded.worker.tag, "123");
        assert_eq!(loaded.worker.ratio.to_bits(), 0.25_f64.to_bits());
        assert_eq!(loaded.worker.rules, ["segwit", "taproot"]);
        assert_eq!(loaded.worker.vardiff, Vardiff { mode: Mode::Fixed, shares_per_minute: 30 });
        assert!(loaded.shell.read_only);
        assert_eq!(loaded.shell.log.level, "debug");
    }

    #[test]
    fn an_unknown_key_is_named_with_its_path_and_the_nearest_known_one() {
        let told = |file: &str, variables: &[(&str, &str)]| {
            loaded(file, variables).unwrap_err().to_string()
        };
        let message = told("[vardiff]\nshare_per_minute = 3", &[]);
        assert!(message.contains("`vardiff.share_per_minute`"), "{message}");
        assert!(message.contains("did you mean `shares_per_minute`?"), "{message}");
        let message = told("[logg]\nlevel = \"info\"", &[]);
        assert!(message.contains("`logg`") && message.contains("did you mean `log`?"), "{message}");
        let message = told("", &[("HYPERHASH_MAX_SESSION", "1")]);
        assert!(message.contains("HYPERHASH_MAX_SESSION"), "{message}");
        assert!(message.contains("did you mean `max_sessions`?"), "{message}");
        let message = told("[flags]\ntrubo = true", &[]);
        assert!(message.contains("`flags.trubo`"), "{message}");
        assert!(message.contains("did you mean `turbo`?"), "{message}");
    }

    #[test]
    fn a_wrong_value_is_named_with_its_path_and_its_origin() {
        let told = |file: &str, variables: &[(&str, &str)]| {
            loaded(file, variables).unwrap_err().to_string()
        };
        let message = told("[vardiff]\nshares_per_minute = -1", &[]);
        assert!(message.contains("`vardiff.shares_per_minute`"), "{message}");
        let message = told("", &[("HYPERHASH_MAX_SESSIONS", "many")]);
        assert!(message.contains("`max_sessions`"), "{message}");
        assert!(message.contains("HYPERHASH_MAX_SESSIONS"), "{message}");
        let message = told("[vardiff]\nmode = \"adaptiv\"", &[]);
        assert!(message.contains("did you mean `adaptive`?"), "{message}");
        assert!(told("max_sessions = 0", &[]).contains("must be above 0"));
        assert!(told("max_sessions = ", &[]).contains("not TOML"));
        assert!(told("vardiff = 3", &[]).contains("`vardiff`"));
    }

    #[test]
    fn nothing_at_all_gives_the_defaults() {
        let environment = Environment::of([], "ingress-sv2", &[]);
        let loaded: Loaded<Sample> = load(None, &environment, &[]).unwrap();
        assert_eq!(loaded.worker, Sample::default());
        assert_eq!(loaded.shell, ShellConfig::default());
        assert_eq!(parse::<Sample>("").unwrap(), Sample::default());
    }
}
