//! A migrated database for each test.

use share_recorder::{Database, PostgresBook, migrations, pool};
use sqlx::{Connection as _, PgConnection, PgPool};
use std::{
    num::NonZeroU32,
    sync::{
        Arc, Weak,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};
use tokio::sync::Mutex;
use worker_runtime::testing::postgres::Server;

/// The server of the tests that leave it alone, for as long as one of them runs.
static SHARED: Mutex<Weak<Server>> = Mutex::const_new(Weak::new());

static DATABASES: AtomicU32 = AtomicU32::new(0);

/// One migrated database, and a pool for looking into it.
#[derive(Debug)]
pub(crate) struct Fresh {
    server: Arc<Server>,
    name: String,
    pub(crate) pool: PgPool,
}

impl Fresh {
    /// On a server that other tests use too.
    pub(crate) async fn start() -> Self {
        let mut shared = SHARED.lock().await;
        let server = match shared.upgrade() {
            Some(server) => server,
            None => Arc::new(Server::start().await.unwrap()),
        };
        *shared = Arc::downgrade(&server);
        drop(shared);
        Self::on(server).await
    }

    /// On a server of its own, that the test may kill.
    pub(crate) async fn alone() -> Self {
        Self::on(Arc::new(Server::start().await.unwrap())).await
    }

    async fn on(server: Arc<Server>) -> Self {
        let name = format!("test_{}", DATABASES.fetch_add(1, Ordering::Relaxed));
        let mut admin = PgConnection::connect(&server.url()).await.unwrap();
        let create = format!("CREATE DATABASE {name} TEMPLATE template0");
        sqlx::query(&create).execute(&mut admin).await.unwrap();
        admin.close().await.unwrap();
        let pool = pool(&database(&server.url_of(&name)), None).unwrap();
        migrations().run(&pool).await.unwrap();
        Self { server, name, pool }
    }

    /// The server, of a test that is alone with it.
    pub(crate) fn server(&mut self) -> &mut Server {
        Arc::get_mut(&mut self.server).unwrap()
    }

    pub(crate) fn url(&self) -> String {
        self.server.url_of(&self.name)
    }

    /// A hand on the book, with connections of its own.
    pub(crate) fn hand(&self) -> PostgresBook {
        let pool = pool(&database(&self.url()), None).unwrap();
        PostgresBook::new(pool, Duration::from_secs(20))
    }

    pub(crate) async fn count(&self, table: &str) -> i64 {
        self.number(&format!("SELECT count(*) FROM {table}")).await
    }

    pub(crate) async fn number(&self, query: &str) -> i64 {
        sqlx::query_scalar(query).fetch_one(&self.pool).await.unwrap()
    }

    pub(crate) async fn text(&self, query: &str) -> String {
        sqlx::query_scalar(query).fetch_one(&self.pool).await.unwrap()
    }
}

pub(crate) fn database(url: &str) -> Database {
    Database {
        url: url.to_owned(),
        password_file: None,
        max_connections: NonZeroU32::new(8).unwrap(),
        connect_timeout_ms: 2_000,
        transaction_timeout_ms: 20_000,
    }
}
