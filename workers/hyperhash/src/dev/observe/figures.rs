//! What the workers' metrics pages say of each stage of a share's way.

use super::{
    counter::Counters,
    metrics::{Page, Where},
    window::Window,
};
use crate::{dev::workers::INGRESS, status::Stage};
use std::collections::BTreeMap;
use worker_runtime::metric::Name;

/// One stage: where its times and what waits for it are counted.
struct Source {
    stage: &'static str,
    worker: &'static str,
    times: Name,
    lag: Option<Name>,
    of: Where<'static>,
}

/// The stages, in the order in which a share and then its block meet them.
const SOURCES: [Source; 8] = [
    Source {
        stage: "template",
        worker: "template-publisher",
        times: Name::TemplateLatencyMs,
        lag: None,
        of: None,
    },
    Source {
        stage: "tip",
        worker: "template-publisher",
        times: Name::TipLatencyMs,
        lag: None,
        of: None,
    },
    Source {
        stage: "acknowledge",
        worker: INGRESS,
        times: Name::ShareAckMs,
        lag: Some(Name::SharesUnacknowledged),
        of: None,
    },
    Source {
        stage: "verify",
        worker: "share-verifier",
        times: Name::StreamHandleLatencyMs,
        lag: Some(Name::StreamLagMessages),
        of: Some(("stream", streams::SHARES_SUBMITTED)),
    },
    Source {
        stage: "record",
        worker: "share-recorder",
        times: Name::StreamHandleLatencyMs,
        lag: Some(Name::StreamLagMessages),
        of: Some(("stream", streams::SHARES)),
    },
    Source {
        stage: "round",
        worker: "round-tracker",
        times: Name::StreamHandleLatencyMs,
        lag: Some(Name::StreamLagMessages),
        of: Some(("stream", streams::SHARES)),
    },
    Source {
        stage: "submit",
        worker: "block-submitter",
        times: Name::BlockSubmitMs,
        lag: None,
        of: None,
    },
    Source {
        stage: "state",
        worker: "payout-calculator",
        times: Name::StreamHandleLatencyMs,
        lag: Some(Name::StreamLagMessages),
        of: Some(("stream", streams::BLOCKS)),
    },
];

/// The names of the stages, in order.
pub fn stages() -> impl Iterator<Item = &'static str> {
    SOURCES.iter().map(|source| source.stage)
}

/// The figures of all workers.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// What outlives processes.
    pub counters: Counters,
    windows: BTreeMap<&'static str, Window>,
    lags: BTreeMap<&'static str, u64>,
}

impl Figures {
    /// Goes on from what was counted before.
    pub fn new(counters: Counters) -> Self {
        Self { counters, ..Self::default() }
    }

    /// Takes the page of `worker`, whose process is `pid`.
    pub fn add(&mut self, worker: &str, pid: u32, page: &Page) {
        for source in SOURCES.iter().filter(|source| source.worker == worker) {
            let window = self.windows.entry(source.stage).or_default();
            window.add(page.histogram(source.times.spec().name, source.of));
            if let Some(lag) = source.lag.and_then(|lag| page.sum(lag.spec().name, source.of)) {
                self.lags.insert(source.stage, lag);
            }
        }
        if worker == INGRESS {
            self.count(pid, page);
        }
    }

    /// Every stage.
    pub fn stages(&self) -> BTreeMap<String, Stage> {
        let stage = |Source { stage, lag, .. }: &Source| {
            let quantile = |q| self.windows.get(stage).and_then(|window| window.quantile(q));
            let lag = lag.and_then(|_| self.lags.get(stage).copied());
            (String::from(*stage), Stage { p50_ms: quantile(0.5), p99_ms: quantile(0.99), lag })
        };
        SOURCES.iter().map(stage).collect()
    }

    fn count(&mut self, pid: u32, page: &Page) {
        if let Some(valid) = page.sum(Name::SharesValid.spec().name, None) {
            self.counters.submitted.add(pid, valid);
        }
        for (reason, count) in page.by(Name::SharesRejected.spec().name, "reason") {
            self.counters.rejected.entry(reason).or_default().add(pid, count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_takes_the_lines_of_its_own_stream() {
        let page = Page::parse(
            "stream_lag_messages{stream=\"SHARES\"} 3\n\
             stream_lag_messages{stream=\"SHARES_REFUSED\"} 9\n\
             stream_handle_latency_ms_bucket{le=\"10.0\",stream=\"SHARES\"} 4\n\
             stream_handle_latency_ms_bucket{le=\"+Inf\",stream=\"SHARES\"} 4\n",
        );
        let mut figures = Figures::default();
        figures.add("share-recorder", 7, &page);
        let found = figures.stages();
        let wanted = Stage { p50_ms: Some(5.0), p99_ms: Some(9.9), lag: Some(3) };
        assert_eq!(found["record"], wanted);
        assert_eq!(found["round"], Stage::default());
        assert_eq!(found.len(), stages().count());
    }

    #[test]
    fn what_an_ingress_counts_goes_on_over_its_restarts() {
        let page = |valid, stale| {
            Page::parse(&format!(
                "shares_valid {valid}\nshares_rejected{{reason=\"stale\"}} {stale}\n"
            ))
        };
        let mut figures = Figures::default();
        figures.add(INGRESS, 1, &page(10, 1));
        figures.add(INGRESS, 2, &page(4, 1));
        let Counters { submitted, rejected } = figures.counters;
        assert_eq!((submitted.total(), rejected["stale"].total()), (14, 2));
    }
}
