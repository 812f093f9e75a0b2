//! `hyperhash migrate`.

use super::say;
use crate::dev::{
    home::Home,
    postgresql::database::{Database, Role},
    settings,
};
use anyhow::{Context as _, ensure};
use clap::ValueEnum;
use sqlx::{
    Connection as _, PgConnection,
    migrate::{Migrate as _, Migrator},
    postgres::PgConnectOptions,
};
use std::{collections::BTreeSet, fs, path::PathBuf};

/// Bring the database's schema up to date, take it back, or say how far it is.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  hyperhash migrate status                      of the dev network's database
  hyperhash migrate up --database postgres://owner@db:5432/hyperhash --password-file owner.pw
  hyperhash migrate down --to 4                 undo all steps after the fourth")]
pub(super) struct Args {
    /// What to do
    direction: Direction,
    /// With `down`: the last step that stays [default: all but the latest]
    #[arg(long, value_name = "STEP")]
    to: Option<i64>,
    /// PostgreSQL, without the password [default: that of the dev network]
    #[arg(long, value_name = "URL")]
    database: Option<String>,
    /// File that holds the password of the database's owner
    #[arg(long, value_name = "FILE", requires = "database")]
    password_file: Option<PathBuf>,
    /// Folder of the dev network's data
    #[arg(
        long,
        default_value = ".dev",
        env = "HYPERHASH_DEV_DATA_DIR",
        hide_env = true,
        value_name = "FOLDER"
    )]
    data_dir: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Direction {
    /// Apply every step that is missing
    Up,
    /// Undo the latest step, or all after `--to`
    Down,
    /// List the steps, and which are applied
    Status,
}

impl Args {
    /// Does it.
    pub(super) async fn run(self) -> anyhow::Result<()> {
        ensure!(
            self.to.is_none() || self.direction == Direction::Down,
            "--to goes with `down` only"
        );
        let mut connection = self.connect().await?;
        let migrator = share_recorder::migrations();
        match self.direction {
            Direction::Up => migrator.run(&mut connection).await?,
            Direction::Down => {
                let applied = applied(&mut connection).await?;
                migrator.undo(&mut connection, self.to.unwrap_or_else(|| before(&applied))).await?;
            }
            Direction::Status => {}
        }
        list(&migrator, &applied(&mut connection).await?)?;
        Ok(connection.close().await?)
    }

    async fn connect(&self) -> anyhow::Result<PgConnection> {
        let Some(url) = &self.database else {
            let home = Home::at(&self.data_dir)?;
            let ports = settings::remembered(&home)?.with_context(|| {
                format!(
                    "there is no dev network in {}: name a database with --database",
                    home.folder().display()
                )
            })?;
            let database = Database::new(home, ports.address("postgresql")?);
            return database.connect(Role::Owner).await;
        };
        let mut options: PgConnectOptions = url.parse().context("--database")?;
        if let Some(file) = &self.password_file {
            let password = fs::read_to_string(file)
                .with_context(|| format!("cannot read {}", file.display()))?;
            options = options.password(password.trim_end());
        }
        PgConnection::connect_with(&options).await.context("cannot connect to the database")
    }
}

/// The step before the latest one; 0 is before the first.
fn before(applied: &BTreeSet<i64>) -> i64 {
    applied.iter().rev().nth(1).copied().unwrap_or(0)
}

async fn applied(connection: &mut PgConnection) -> anyhow::Result<BTreeSet<i64>> {
    connection.ensure_migrations_table().await?;
    let applied = connection.list_applied_migrations().await?;
    Ok(applied.into_iter().map(|migration| migration.version).collect())
}

fn list(migrator: &Migrator, applied: &BTreeSet<i64>) -> anyhow::Result<()> {
    for step in migrator.iter().filter(|step| step.migration_type.is_up_migration()) {
        let mark = if applied.contains(&step.version) { "applied" } else { "missing" };
        say(&format!("{:>4}  {mark}  {}", step.version, step.description))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_step_back_is_the_step_before_the_latest() {
        assert_eq!(before(&[1, 2, 5].into()), 2);
        assert_eq!(before(&[1].into()), 0);
        assert_eq!(before(&BTreeSet::new()), 0);
    }
}
