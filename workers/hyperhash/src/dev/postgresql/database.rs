//! The database, the roles that use it, and their passwords.

use crate::dev::{files, home::Home};
use anyhow::Context as _;
use rand::RngCore as _;
use sqlx::{
    Connection as _, Executor as _, PgConnection, Row as _,
    postgres::{PgConnectOptions, PgSslMode},
};
use std::{fs, net::SocketAddr, path::PathBuf};

/// The database's name.
pub const DATABASE: &str = "hyperhash";

/// Who connects to the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Administers the cluster.
    Superuser,
    /// Owns the database and changes its schema.
    Owner,
    /// Writes history.
    Recorder,
    /// Reads everything and changes nothing.
    Reader,
}

impl Role {
    const ALL: [Self; 4] = [Self::Superuser, Self::Owner, Self::Recorder, Self::Reader];

    /// Its name in the database.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Superuser => "postgres",
            Self::Owner => "hyperhash",
            Self::Recorder => "share_recorder",
            Self::Reader => "reader",
        }
    }

    /// The file that holds its password.
    pub fn password_file(self, home: &Home) -> PathBuf {
        home.secret(&format!("postgresql-{}", self.name()))
    }
}

/// A running database server.
#[derive(Clone, Debug)]
pub struct Database {
    home: Home,
    address: SocketAddr,
}

/// Makes a password for every role that has none yet.
///
/// # Errors
///
/// When a password file cannot be read or written.
pub fn mint_passwords(home: &Home) -> anyhow::Result<()> {
    for role in Role::ALL {
        let path = role.password_file(home);
        if !path.exists() {
            let mut bytes = [0; 16];
            rand::thread_rng().fill_bytes(&mut bytes);
            files::write_private(&path, hex::encode(bytes).as_bytes())?;
        }
    }
    Ok(())
}

impl Database {
    /// The server at `address`.
    pub const fn new(home: Home, address: SocketAddr) -> Self {
        Self { home, address }
    }

    /// `postgres://role@host:port/name`, without the password.
    pub fn url(&self, role: Role) -> String {
        format!("postgres://{}@{}/{DATABASE}", role.name(), self.address)
    }

    /// The reader's whole connection string. Its password opens nothing but a look at a dev
    /// network on this very machine.
    ///
    /// # Errors
    ///
    /// When the password cannot be read.
    pub fn reader_url(&self) -> anyhow::Result<String> {
        let password = self.password(Role::Reader)?;
        Ok(format!("postgres://{}:{password}@{}/{DATABASE}", Role::Reader.name(), self.address))
    }

    /// The password of a role.
    ///
    /// # Errors
    ///
    /// When its file cannot be read.
    pub fn password(&self, role: Role) -> anyhow::Result<String> {
        let path = role.password_file(&self.home);
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
    }

    /// Connects to the network's database.
    ///
    /// # Errors
    ///
    /// When the server does not answer or refuses.
    pub async fn connect(&self, role: Role) -> anyhow::Result<PgConnection> {
        self.connect_to(role, DATABASE).await
    }

    /// Makes database and roles what they should be, and brings the schema up to date.
    ///
    /// # Errors
    ///
    /// When the server refuses.
    pub async fn prepare(&self) -> anyhow::Result<()> {
        let mut admin = self.connect_to(Role::Superuser, "postgres").await?;
        self.prepare_roles(&mut admin).await?;
        let found = sqlx::query("SELECT 1 FROM pg_database WHERE datname = $1").bind(DATABASE);
        if admin.fetch_optional(found).await?.is_none() {
            let owner = Role::Owner.name();
            admin.execute(format!("CREATE DATABASE {DATABASE} OWNER {owner}").as_str()).await?;
        }
        admin.close().await?;
        self.prepare_rights().await?;
        let mut owner = self.connect(Role::Owner).await?;
        share_recorder::migrations()
            .run(&mut owner)
            .await
            .context("cannot bring the database's schema up to date")?;
        owner.close().await?;
        Ok(())
    }

    /// Whether the server takes connections.
    ///
    /// # Errors
    ///
    /// When it does not yet.
    pub async fn answers(&self) -> anyhow::Result<()> {
        let mut admin = self.connect_to(Role::Superuser, "postgres").await?;
        admin.ping().await?;
        Ok(admin.close().await?)
    }

    async fn prepare_roles(&self, admin: &mut PgConnection) -> anyhow::Result<()> {
        for role in [Role::Owner, Role::Recorder, Role::Reader] {
            let (name, password) = (role.name(), self.password(role)?);
            let found = sqlx::query("SELECT 1 FROM pg_roles WHERE rolname = $1").bind(name);
            if admin.fetch_optional(found).await?.is_none() {
                admin.execute(format!("CREATE ROLE {name} LOGIN").as_str()).await?;
            }
            // Names are ours and passwords are hexadecimal, so nothing needs quoting.
            admin.execute(format!("ALTER ROLE {name} PASSWORD '{password}'").as_str()).await?;
        }
        let reader = Role::Reader.name();
        admin.execute(format!("GRANT pg_read_all_data TO {reader}").as_str()).await?;
        Ok(())
    }

    /// What the recorder may do with the tables that the owner makes.
    async fn prepare_rights(&self) -> anyhow::Result<()> {
        let (owner, recorder) = (Role::Owner.name(), Role::Recorder.name());
        let mut admin = self.connect(Role::Superuser).await?;
        let rights = format!(
            "CREATE EXTENSION IF NOT EXISTS timescaledb;
             ALTER DEFAULT PRIVILEGES FOR ROLE {owner} GRANT SELECT, INSERT, UPDATE ON TABLES TO {recorder};
             ALTER DEFAULT PRIVILEGES FOR ROLE {owner} GRANT USAGE ON SEQUENCES TO {recorder};"
        );
        admin.execute(rights.as_str()).await?;
        Ok(admin.close().await?)
    }

    async fn connect_to(&self, role: Role, database: &str) -> anyhow::Result<PgConnection> {
        let options = PgConnectOptions::new_without_pgpass()
            .host(&self.address.ip().to_string())
            .port(self.address.port())
            .username(role.name())
            .password(&self.password(role)?)
            .database(database)
            // Loopback, and the server has no certificate.
            .ssl_mode(PgSslMode::Disable)
            .application_name("hyperhash dev");
        PgConnection::connect_with(&options).await.with_context(|| {
            format!("cannot connect to PostgreSQL at {} as {}", self.address, role.name())
        })
    }
}

/// What the tables say of the network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recorded {
    /// Shares in the database.
    pub shares: u64,
    /// Shares that Core refused, by reason.
    pub refused: Vec<(String, u64)>,
}

/// Reads what is recorded, at one moment.
///
/// # Errors
///
/// When the database does not answer.
pub async fn recorded(connection: &mut PgConnection) -> anyhow::Result<Recorded> {
    let mut transaction = connection.begin().await?;
    transaction.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY").await?;
    let sum = "SELECT coalesce(sum(shares), 0)::bigint FROM share_minutes_by_node";
    let row = transaction.fetch_one(sum).await?;
    let mut recorded = Recorded { shares: unsigned(row.try_get(0)?)?, refused: Vec::new() };
    let reasons = "SELECT reason, count(*) FROM refusals GROUP BY reason ORDER BY reason";
    for row in transaction.fetch_all(reasons).await? {
        recorded.refused.push((row.try_get(0)?, unsigned(row.try_get(1)?)?));
    }
    transaction.rollback().await?;
    Ok(recorded)
}

fn unsigned(value: i64) -> anyhow::Result<u64> {
    u64::try_from(value).context("a count is negative")
}
