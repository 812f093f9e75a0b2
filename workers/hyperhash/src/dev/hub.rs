//! The servers of the hub.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// How many servers the hub has. Each keeps every stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub enum HubServers {
    /// One: what it does not do stands still.
    #[default]
    One,
    /// Three: any one may end, and the others go on.
    Three,
}

impl HubServers {
    /// Numbers that a person may choose.
    pub const CHOICES: [&'static str; 2] = ["1", "3"];

    /// The names of the servers; the first is there in any case.
    pub const fn names(self) -> &'static [&'static str] {
        match self {
            Self::One => &["hub"],
            Self::Three => &["hub", "hub-2", "hub-3"],
        }
    }

    /// How many there are, and how many copies of each stream.
    pub const fn count(self) -> u8 {
        match self {
            Self::One => 1,
            Self::Three => 3,
        }
    }
}

/// Names of the ports that a server of the hub needs.
pub fn ports(server: &str) -> [String; 4] {
    [server.to_owned(), leaves_port(server), monitor_port(server), routes_port(server)]
}

/// Name of the port where leaves connect to a server.
pub fn leaves_port(server: &str) -> String {
    format!("{server}-leaves")
}

/// Name of the port where a server tells how it is.
pub fn monitor_port(server: &str) -> String {
    format!("{server}-monitor")
}

/// Name of the port where the hub's other servers connect.
pub fn routes_port(server: &str) -> String {
    format!("{server}-routes")
}

impl TryFrom<u8> for HubServers {
    type Error = String;

    fn try_from(count: u8) -> Result<Self, String> {
        match count {
            1 => Ok(Self::One),
            3 => Ok(Self::Three),
            other => Err(format!("a hub has 1 or 3 servers, not {other}")),
        }
    }
}

impl From<HubServers> for u8 {
    fn from(servers: HubServers) -> Self {
        servers.count()
    }
}

impl FromStr for HubServers {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse::<u8>().map_err(|_| format!("`{text}` is no number of servers"))?.try_into()
    }
}

impl fmt::Display for HubServers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.count().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_choice_has_as_many_names_as_it_says() {
        for choice in HubServers::CHOICES {
            let servers: HubServers = choice.parse().unwrap();
            assert_eq!(
                (servers.names().len(), servers.to_string()),
                (servers.count().into(), choice.into())
            );
        }
        assert!("2".parse::<HubServers>().is_err() && "".parse::<HubServers>().is_err());
    }
}
