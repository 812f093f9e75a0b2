//! What can be set.

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use sqlx::postgres::PgConnectOptions;
use std::{num::NonZeroU32, path::PathBuf, time::Duration};
use worker_runtime::{BusConfig, WorkerConfig};

/// The recorder's configuration.
///
/// ```
/// let config: share_recorder::Config = worker_runtime::config::parse(
///     r#"
///     max_batch_rows = 20_000
///     max_wait_ms = 50
///
///     [bus]
///     url = "tls://127.0.0.1:4222"
///     creds_file = "keys/creds/share-recorder.creds"
///
///     [database]
///     url = "postgres://recorder@127.0.0.1:5432/hyperhash"
///     password_file = "keys/database-password"
///     "#,
/// )?;
/// assert_eq!(config.max_wait_ms, 50);
/// # Ok::<(), worker_runtime::config::ConfigError>(())
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The bus.
    pub bus: BusConfig,
    /// The account that keeps statements; without it they are not recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub money_bus: Option<BusConfig>,
    /// The database.
    pub database: Database,
    /// Rows after which a batch is written without waiting for more. Three batches of this size
    /// are the most that a feed ever holds.
    #[serde(default = "default_max_batch_rows")]
    pub max_batch_rows: NonZeroU32,
    /// How long a row may wait for company before it is written, in milliseconds.
    #[serde(default = "default_max_wait_ms")]
    pub max_wait_ms: u64,
}

/// Where the database is, and how patient to be with it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Database {
    /// `postgres://user@host:port/name`, without the password.
    pub url: String,
    /// File that holds the password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
    /// Most connections; each feed needs one.
    #[serde(default = "default_max_connections")]
    pub max_connections: NonZeroU32,
    /// How long to wait for a connection, in milliseconds.
    #[serde(default = "default_connect_timeout_ms")]
    pub connect_timeout_ms: u64,
    /// How long one transaction may take, in milliseconds.
    #[serde(default = "default_transaction_timeout_ms")]
    pub transaction_timeout_ms: u64,
}

fn default_max_batch_rows() -> NonZeroU32 {
    NonZeroU32::new(20_000).unwrap_or(NonZeroU32::MIN)
}

const fn default_max_wait_ms() -> u64 {
    100
}

fn default_max_connections() -> NonZeroU32 {
    NonZeroU32::new(8).unwrap_or(NonZeroU32::MIN)
}

const fn default_connect_timeout_ms() -> u64 {
    5_000
}

const fn default_transaction_timeout_ms() -> u64 {
    30_000
}

impl WorkerConfig for Config {
    const RELOADABLE: &'static [&'static str] = &["max_batch_rows", "max_wait_ms"];

    fn check(&self) -> Result<(), String> {
        let url = url::Url::parse(&self.database.url)
            .map_err(|error| format!("database.url is not a URL: {error}"))?;
        if !matches!(url.scheme(), "postgres" | "postgresql") {
            return Err(format!("database.url is a `{}` URL: use postgres://…", url.scheme()));
        }
        if url.password().is_some() {
            return Err("database.url holds a password: put it into a file and name that as \
                        database.password_file"
                .to_owned());
        }
        self.database.options(None).map(|_| ()).map_err(|error| format!("database.url: {error}"))
    }
}

impl Database {
    /// How long to wait for a connection.
    pub const fn connect_timeout(&self) -> Duration {
        Duration::from_millis(self.connect_timeout_ms)
    }

    /// How long one transaction may take.
    pub const fn transaction_timeout(&self) -> Duration {
        Duration::from_millis(self.transaction_timeout_ms)
    }

    /// How to connect.
    ///
    /// The server gives up on a session that holds the position's lock and says nothing, so a
    /// recorder that hangs never keeps its standby from working.
    ///
    /// # Errors
    ///
    /// When the URL names no database server.
    pub fn options(
        &self,
        password: Option<&SecretString>,
    ) -> Result<PgConnectOptions, sqlx::Error> {
        let timeout = self.transaction_timeout_ms.to_string();
        let options: PgConnectOptions = self.url.parse()?;
        let options = options.application_name("share-recorder").options([
            ("statement_timeout", timeout.as_str()),
            ("lock_timeout", timeout.as_str()),
            ("idle_in_transaction_session_timeout", timeout.as_str()),
        ]);
        Ok(match password {
            Some(password) => options.password(password.expose_secret().trim_end()),
            None => options,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_url(url: &str) -> Result<(), String> {
        let database = Database {
            url: url.to_owned(),
            password_file: None,
            max_connections: default_max_connections(),
            connect_timeout_ms: 1,
            transaction_timeout_ms: 1,
        };
        let config = Config {
            bus: BusConfig::new("nats://127.0.0.1:4222"),
            money_bus: None,
            database,
            max_batch_rows: default_max_batch_rows(),
            max_wait_ms: 1,
        };
        config.check()
    }

    #[test]
    fn a_password_in_the_url_is_refused() {
        assert_eq!(with_url("postgres://me@localhost/book"), Ok(()));
        assert!(with_url("postgres://me:secret@localhost/book").unwrap_err().contains("_file"));
        assert!(with_url("mysql://me@localhost/book").is_err());
        assert!(with_url("here").is_err());
    }
}
