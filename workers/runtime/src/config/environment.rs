//! The environment, read once.

use std::collections::BTreeMap;

/// Every variable of ours begins so; `__` separates the levels of a key.
pub const PREFIX: &str = "HYPERHASH_";

/// Variables under [`PREFIX`] that are not configuration: where development tools find servers,
/// and which file to read.
const RESERVED: [&str; 3] = ["NATS_SERVER", "CONFIG", "DEV_"];

/// The part of the environment that is meant for one worker.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    variables: BTreeMap<Vec<String>, (String, String)>,
}

impl Environment {
    /// Takes the variables for the worker `name` out of the process's environment; those that
    /// name one of the `others` are left to them.
    pub fn of_process(name: &str, others: &[&str]) -> Self {
        let texts = std::env::vars_os().filter_map(|(variable, text)| {
            Some((variable.into_string().ok()?, text.into_string().ok()?))
        });
        Self::of(texts, name, others)
    }

    /// The same from any list of variables.
    pub fn of(
        variables: impl IntoIterator<Item = (String, String)>,
        name: &str,
        others: &[&str],
    ) -> Self {
        let mine = segment(name);
        let others: Vec<String> = others.iter().map(|other| segment(other)).collect();
        let mut kept = BTreeMap::new();
        let mut own = BTreeMap::new();
        for (variable, text) in variables {
            let Some(mut keys) = keys_of(&variable) else { continue };
            match keys.first() {
                Some(first) if *first == mine => {
                    keys.remove(0);
                    own.insert(keys, (text, variable));
                }
                Some(first) if others.contains(first) => {}
                _ => {
                    kept.insert(keys, (text, variable));
                }
            }
        }
        kept.extend(own);
        Self { variables: kept }
    }

    /// The same with what the command line says, which beats the environment: a key, its value, and
    /// the option that names it.
    #[must_use]
    pub fn and<'a>(
        mut self,
        options: impl IntoIterator<Item = &'a (&'static str, String, &'static str)>,
    ) -> Self {
        for (key, text, option) in options {
            let keys = key.split('.').map(str::to_owned).collect();
            self.variables.insert(keys, (text.clone(), (*option).to_owned()));
        }
        self
    }

    /// Keys, value and the variable's name.
    pub(super) fn entries(&self) -> impl Iterator<Item = (Vec<String>, String, String)> + '_ {
        self.variables
            .iter()
            .map(|(keys, (text, variable))| (keys.clone(), text.clone(), variable.clone()))
    }
}

/// A worker's name as the first segment of a variable.
fn segment(name: &str) -> String {
    name.replace('-', "_")
}

fn keys_of(variable: &str) -> Option<Vec<String>> {
    let rest = variable.strip_prefix(PREFIX)?;
    if rest.is_empty() || RESERVED.iter().any(|reserved| is_reserved(rest, reserved)) {
        return None;
    }
    Some(rest.split("__").map(str::to_ascii_lowercase).collect())
}

fn is_reserved(rest: &str, reserved: &str) -> bool {
    rest == reserved || (reserved.ends_with('_') && rest.starts_with(reserved))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_names_a_worker_goes_to_that_worker_alone() {
        let variables = [
            ("HYPERHASH_BUS__URL", "both"),
            ("HYPERHASH_SHARE_VERIFIER__BUS__URL", "mine"),
            ("HYPERHASH_SHARE_RECORDER__BUS__URL", "theirs"),
            ("HYPERHASH_NATS_SERVER", "reserved"),
            ("HYPERHASH_DEV_ROOT", "reserved"),
            ("PATH", "unrelated"),
        ]
        .map(|(variable, text)| (variable.to_owned(), text.to_owned()));
        let environment = Environment::of(variables, "share-verifier", &["share-recorder"]);
        let found: Vec<_> =
            environment.entries().map(|(keys, text, _)| (keys.join("."), text)).collect();
        assert_eq!(found, [("bus.url".to_owned(), "mine".to_owned())]);
    }

    #[test]
    fn the_command_line_has_the_last_word() {
        let variables = [("HYPERHASH_LISTEN".to_owned(), "1.2.3.4:5".to_owned())];
        let options = [("listen", "0.0.0.0:1".to_owned(), "--listen")];
        let environment = Environment::of(variables, "translator", &[]).and(&options);
        let found: Vec<_> = environment.entries().collect();
        let expected = (vec!["listen".to_owned()], "0.0.0.0:1".to_owned(), "--listen".to_owned());
        assert_eq!(found, [expected]);
    }
}
