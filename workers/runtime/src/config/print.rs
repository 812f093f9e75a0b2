//! The effective configuration for a person's eyes: secrets hidden.

use super::{ConfigError, Loaded, WorkerConfig};
use serde::Serialize;

/// Shown instead of a secret.
const HIDDEN: &str = "***";

/// Words in a key that make its value a secret, unless the key names a file.
const SECRET_WORDS: [&str; 4] = ["password", "secret", "token", "seed"];

/// The configuration as one tree: the shell's sections beside the worker's keys.
pub(super) fn tree<C: WorkerConfig>(loaded: &Loaded<C>) -> Result<toml::Table, ConfigError> {
    let mut tree = table_of(&loaded.worker)?;
    tree.extend(table_of(&loaded.shell)?);
    Ok(tree)
}

/// The configuration as TOML with passwords in URLs and secret-looking values hidden.
pub fn redacted<C: WorkerConfig>(loaded: &Loaded<C>) -> Result<String, ConfigError> {
    let mut tree = tree(loaded)?;
    for (key, value) in &mut tree {
        hide(key, value);
    }
    Ok(toml::to_string(&tree)?)
}

pub(super) fn table_of<T: Serialize>(value: &T) -> Result<toml::Table, ConfigError> {
    // A worker without keys serializes as a unit, which TOML cannot say.
    if size_of::<T>() == 0 {
        return Ok(toml::Table::new());
    }
    Ok(toml::Table::try_from(value)?)
}

fn hide(key: &str, value: &mut toml::Value) {
    match value {
        toml::Value::Table(table) => {
            for (key, value) in table.iter_mut() {
                hide(key, value);
            }
        }
        toml::Value::Array(items) => {
            for item in items {
                hide(key, item);
            }
        }
        toml::Value::String(text) => hide_text(key, text),
        toml::Value::Integer(_)
        | toml::Value::Float(_)
        | toml::Value::Boolean(_)
        | toml::Value::Datetime(_) => {}
    }
}

fn hide_text(key: &str, text: &mut String) {
    if !key.ends_with("_file") && SECRET_WORDS.iter().any(|word| key.contains(word)) {
        HIDDEN.clone_into(text);
    } else if let Ok(mut url) = url::Url::parse(text)
        && url.password().is_some()
        && url.set_password(Some(HIDDEN)).is_ok()
    {
        *text = url.to_string();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ShellConfig;
    use serde::Deserialize;

    #[derive(Serialize, Deserialize)]
    struct Keys {
        database_url: String,
        api_token: String,
        api_token_file: String,
        urls: Vec<String>,
    }

    impl WorkerConfig for Keys {}

    #[test]
    fn secrets_are_hidden_and_the_rest_is_shown() {
        let worker = Keys {
            database_url: "postgres://recorder:hunter2@127.0.0.1/hh".to_owned(),
            api_token: "hunter2".to_owned(),
            api_token_file: "/etc/token".to_owned(),
            urls: vec!["nats://a:hunter2@b".to_owned(), "nats://c".to_owned()],
        };
        let text = redacted(&Loaded { shell: ShellConfig::default(), worker }).unwrap();
        assert!(!text.contains("hunter2"), "{text}");
        assert!(text.contains("postgres://recorder:***@127.0.0.1/hh"), "{text}");
        assert!(text.contains("api_token_file = \"/etc/token\""), "{text}");
        assert!(text.contains("[http]") && text.contains("grace_ms = 10000"), "{text}");
    }

    #[test]
    fn a_worker_without_keys_prints_the_shell_alone() {
        let text = redacted(&Loaded { shell: ShellConfig::default(), worker: () }).unwrap();
        assert!(text.starts_with("read_only = false"), "{text}");
    }
}
