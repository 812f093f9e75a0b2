//! The schema of the database, carried in the program.
//!
//! The files in `schemas/sql` are the source; a test compares this list with that folder.

use sqlx::migrate::{Migration, MigrationType, Migrator};
use std::borrow::Cow;

/// One step of the schema: number, name, way up, way down.
type Step = (i64, &'static str, &'static str, &'static str);

macro_rules! step {
    ($number:literal, $file:literal, $name:literal) => {
        (
            $number,
            $name,
            include_str!(concat!("../../../schemas/sql/", $file, ".up.sql")),
            include_str!(concat!("../../../schemas/sql/", $file, ".down.sql")),
        )
    };
}

const STEPS: [Step; 6] = [
    step!(1, "0001_parties", "parties"),
    step!(2, "0002_shares", "shares"),
    step!(3, "0003_share_minutes", "share minutes"),
    step!(4, "0004_blocks", "blocks"),
    step!(5, "0005_invoices", "invoices"),
    step!(6, "0006_audit", "audit"),
];

/// All migrations, up and down. `run` brings a database up to date, `undo` takes it back; both
/// take a lock, so two programs that start at once do no harm.
pub fn migrations() -> Migrator {
    let both_ways = |(number, name, up, down): &Step| {
        [
            migration(*number, name, MigrationType::ReversibleUp, up),
            migration(*number, name, MigrationType::ReversibleDown, down),
        ]
    };
    Migrator {
        migrations: Cow::Owned(STEPS.iter().flat_map(both_ways).collect()),
        ..Migrator::DEFAULT
    }
}

fn migration(number: i64, name: &'static str, kind: MigrationType, sql: &'static str) -> Migration {
    Migration::new(number, Cow::Borrowed(name), kind, Cow::Borrowed(sql), false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{collections::BTreeSet, path::Path};

    #[test]
    fn the_list_is_the_folder() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schemas/sql");
        let files: BTreeSet<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        let migrations = migrations();
        let listed = migrations.iter().map(|migration| {
            let way = if migration.migration_type.is_down_migration() { "down" } else { "up" };
            let name = migration.description.replace(' ', "_");
            format!("{:04}_{name}.{way}.sql", migration.version)
        });
        assert_eq!(listed.collect::<BTreeSet<_>>(), files);
    }
}
