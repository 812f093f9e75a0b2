//! One listener per worker: `/healthz`, `/readyz`, `/metrics`, `/log-level`.

use crate::{
    context::{Check, Shell},
    handover,
    logging::{self, LevelError},
};
use anyhow::Context as _;
use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use serde::Serialize;
use std::{
    collections::BTreeMap,
    io::{self, Write},
    path::Path,
    sync::Arc,
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Longest request body, in bytes: a log level.
const MAX_BODY: usize = 2_048;

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Serialize)]
struct Readiness {
    ready: bool,
    worker: &'static str,
    draining: bool,
    checks: Vec<Check>,
}

#[derive(Serialize)]
struct Announcement<'a> {
    worker: &'static str,
    instance: &'a str,
    pid: u32,
    addresses: &'a BTreeMap<String, String>,
}

/// Binds the listener and announces its address.
pub(crate) async fn bind(shell: &Shell) -> anyhow::Result<TcpListener> {
    let wanted = shell.config.load().http.listen;
    let label = format!("http-{}", shell.name);
    let listener = handover::listen(&label, wanted)
        .await
        .with_context(|| format!("cannot listen on {wanted} (http.listen): is the port in use?"))?;
    let listener = TcpListener::from_std(listener.try_clone()?)?;
    shell.announce("http", &listener.local_addr()?.to_string());
    Ok(listener)
}

/// Serves until `until` is cancelled.
pub(crate) async fn serve(
    listener: TcpListener,
    shell: Arc<Shell>,
    until: CancellationToken,
) -> io::Result<()> {
    axum::serve(listener, router(shell)).with_graceful_shutdown(until.cancelled_owned()).await
}

fn router(shell: Arc<Shell>) -> Router {
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/log-level", get(log_level).post(set_log_level))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(shell)
}

async fn readyz(State(shell): State<Arc<Shell>>) -> Response {
    let draining = shell.stop.is_cancelled();
    let ready = shell.checks.all_pass() && !draining;
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = Readiness { ready, worker: shell.name, draining, checks: shell.checks.list() };
    (status, Json(body)).into_response()
}

async fn metrics(State(shell): State<Arc<Shell>>) -> Response {
    shell.set_ready_gauge();
    match shell.metrics.encode() {
        Ok(text) => ([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

async fn log_level() -> String {
    logging::level().unwrap_or_default()
}

async fn set_log_level(text: String) -> Response {
    match logging::set_level(&text) {
        Ok(()) => {
            tracing::warn!(level = text.trim(), "log level changed by request");
            StatusCode::NO_CONTENT.into_response()
        }
        Err(error @ LevelError::Invalid(_)) => {
            (StatusCode::BAD_REQUEST, error.to_string()).into_response()
        }
        Err(error @ LevelError::NotOurs) => {
            (StatusCode::CONFLICT, error.to_string()).into_response()
        }
    }
}

/// Writes where this process can be reached. The file is replaced in one step, so that a reader
/// sees the old announcement or the new one, never half of one.
pub(crate) fn write_announcement(
    path: &Path,
    shell: &Shell,
    addresses: &BTreeMap<String, String>,
) -> io::Result<()> {
    let announcement = Announcement {
        worker: shell.name,
        instance: &shell.instance,
        pid: std::process::id(),
        addresses,
    };
    let mut part = path.as_os_str().to_owned();
    part.push(format!(".{}.part", std::process::id()));
    let mut file = std::fs::File::create(&part)?;
    serde_json::to_writer_pretty(&mut file, &announcement)?;
    file.write_all(b"\n")?;
    file.sync_all()?;
    std::fs::rename(part, path)
}
