//! Logs: JSON or text on standard output, Loki beside it when configured, level changeable.

use crate::config::{LogConfig, LogFormat};
use anyhow::Context as _;
use std::{sync::OnceLock, time::Duration};
use tokio::task::JoinHandle;
use tracing_loki::BackgroundTaskController;
use tracing_subscriber::{
    EnvFilter, Layer, Registry, fmt, layer::SubscriberExt, reload, util::SubscriberInitExt,
};

type BoxedLayer = Box<dyn Layer<Filtered> + Send + Sync>;
type Filtered = tracing_subscriber::layer::Layered<reload::Layer<EnvFilter, Registry>, Registry>;

static LEVEL: OnceLock<reload::Handle<EnvFilter, Registry>> = OnceLock::new();

/// Longest accepted level text, in bytes: some tens of directives.
const MAX_LEVEL_LENGTH: usize = 1_024;

/// The level cannot be set.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LevelError {
    /// Not directives.
    #[error("not a log level: {0}")]
    Invalid(String),
    /// Somebody else owns the process's logs.
    #[error("the log level of this process cannot be changed")]
    NotOurs,
}

/// How long the last lines may take to reach Loki.
const SHIP_DEADLINE: Duration = Duration::from_secs(1);

/// The way of logs out of this process.
#[derive(Default)]
pub(crate) struct Logs {
    shipper: Option<(BackgroundTaskController, JoinHandle<()>)>,
}

impl Logs {
    /// Ships the last lines.
    pub(crate) async fn finish(self) {
        let Some((controller, shipper)) = self.shipper else { return };
        let shipping = async {
            controller.shutdown().await;
            shipper.await
        };
        // What has not arrived by then is on standard output all the same.
        drop(tokio::time::timeout(SHIP_DEADLINE, shipping).await);
    }
}

/// Starts logging for the whole process. `workers` labels what goes to Loki.
pub(crate) fn init(config: &LogConfig, workers: &str) -> anyhow::Result<Logs> {
    let filter = EnvFilter::try_new(&config.level).context("the log level")?;
    let (filter, handle) = reload::Layer::new(filter);
    let mut layers = vec![printer(config.format)];
    let mut logs = Logs::default();
    if let Some(url) = &config.loki_url {
        let (layer, shipper) = loki(url, workers)?;
        layers.push(layer);
        logs.shipper = Some(shipper);
    }
    if tracing_subscriber::registry().with(filter).with(layers).try_init().is_ok() {
        // A second set can only come from a second `init`, which does not get here.
        LEVEL.get_or_init(|| handle);
    }
    Ok(logs)
}

fn printer(format: LogFormat) -> BoxedLayer {
    match format {
        LogFormat::Json => fmt::layer().json().flatten_event(true).with_current_span(false).boxed(),
        LogFormat::Text => fmt::layer().with_target(false).boxed(),
    }
}

#[expect(clippy::disallowed_methods, reason = "logs outlive every worker's own tasks")]
fn loki(
    url: &str,
    workers: &str,
) -> anyhow::Result<(BoxedLayer, (BackgroundTaskController, JoinHandle<()>))> {
    let url = url::Url::parse(url).context("log.loki_url")?;
    let (layer, controller, shipper) = tracing_loki::builder()
        .label("service", "hyperhash")?
        .label("worker", workers)?
        .extra_field("pid", std::process::id().to_string())?
        .build_controller_url(url)?;
    Ok((layer.boxed(), (controller, tokio::spawn(shipper))))
}

/// Changes the level of the whole process.
pub(crate) fn set_level(text: &str) -> Result<(), LevelError> {
    let text = text.trim();
    if text.is_empty() || text.len() > MAX_LEVEL_LENGTH {
        return Err(LevelError::Invalid("use e.g. `info` or `info,worker_runtime=debug`".into()));
    }
    let filter =
        EnvFilter::try_new(text).map_err(|error| LevelError::Invalid(error.to_string()))?;
    let handle = LEVEL.get().ok_or(LevelError::NotOurs)?;
    handle.reload(filter).map_err(|_| LevelError::NotOurs)
}

/// The level of the process, as directives.
pub(crate) fn level() -> Option<String> {
    LEVEL.get()?.with_current(ToString::to_string).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonsense_is_no_level() {
        assert!(matches!(set_level("a=b=c"), Err(LevelError::Invalid(_))));
        assert!(matches!(set_level(" "), Err(LevelError::Invalid(_))));
    }
}
