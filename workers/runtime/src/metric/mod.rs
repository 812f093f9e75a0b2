//! Figures of a process, as `OpenMetrics` text. Names live in one enum, labels are bounded.

mod name;

pub use name::{Kind, Name, Spec};

use prometheus_client::{
    encoding::text::encode,
    metrics::family::Family,
    registry::{Metric, Registry},
};
use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

pub use prometheus_client::metrics::{counter::Counter, gauge::Gauge, histogram::Histogram};

/// Most label combinations that one name may have; a further one is counted under `other`.
/// A dashboard reads tens of series, and a label that outgrows them was never meant to be one.
pub const MAX_SERIES: usize = 64;

/// Value of every label of a series beyond [`MAX_SERIES`].
pub const OVERFLOW_LABEL: &str = "other";

/// Upper bounds of histogram buckets, in milliseconds: a bus round trip to an outage.
const BUCKETS_MS: [f64; 16] = [
    0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 50.0, 100.0, 200.0, 500.0, 1_000.0, 2_000.0, 5_000.0,
    30_000.0, 300_000.0,
];

type Labels = Vec<(&'static str, String)>;

/// A name without labels is one figure, not a family of one: its line has no empty braces.
#[derive(Clone)]
enum Series {
    Counter(Counter),
    Counters(Family<Labels, Counter>),
    Gauge(Gauge),
    Gauges(Family<Labels, Gauge>),
    Histogram(Histogram),
    Histograms(Family<Labels, Histogram, fn() -> Histogram>),
}

/// All figures of one worker. A cheap handle.
#[derive(Clone, Default)]
pub struct Metrics {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    registry: Registry,
    series: BTreeMap<Name, (Series, Vec<Labels>)>,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

impl Metrics {
    /// The counter without labels.
    pub fn counter(&self, name: Name) -> Counter {
        self.counter_with(name, &[])
    }

    /// The counter with these label values. Keep the handle where it is used often.
    pub fn counter_with(&self, name: Name, labels: &[(&'static str, &str)]) -> Counter {
        match self.series(name, labels) {
            (Series::Counter(counter), _) => counter,
            (Series::Counters(family), labels) => family.get_or_create_owned(&labels),
            (
                Series::Gauge(_) | Series::Gauges(_) | Series::Histogram(_) | Series::Histograms(_),
                _,
            ) => {
                misused(name);
                Counter::default()
            }
        }
    }

    /// The gauge without labels. Also for [`Kind::Tally`], which only goes up.
    pub fn gauge(&self, name: Name) -> Gauge {
        self.gauge_with(name, &[])
    }

    /// The gauge with these label values.
    pub fn gauge_with(&self, name: Name, labels: &[(&'static str, &str)]) -> Gauge {
        match self.series(name, labels) {
            (Series::Gauge(gauge), _) => gauge,
            (Series::Gauges(family), labels) => family.get_or_create_owned(&labels),
            (
                Series::Counter(_)
                | Series::Counters(_)
                | Series::Histogram(_)
                | Series::Histograms(_),
                _,
            ) => {
                misused(name);
                Gauge::default()
            }
        }
    }

    /// The histogram without labels, observed in milliseconds.
    pub fn histogram(&self, name: Name) -> Histogram {
        self.histogram_with(name, &[])
    }

    /// The histogram with these label values, observed in milliseconds.
    pub fn histogram_with(&self, name: Name, labels: &[(&'static str, &str)]) -> Histogram {
        match self.series(name, labels) {
            (Series::Histogram(histogram), _) => histogram,
            (Series::Histograms(family), labels) => family.get_or_create_owned(&labels),
            (
                Series::Counter(_) | Series::Counters(_) | Series::Gauge(_) | Series::Gauges(_),
                _,
            ) => {
                misused(name);
                new_histogram()
            }
        }
    }

    /// Everything as `OpenMetrics` text.
    pub fn encode(&self) -> Result<String, fmt::Error> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = String::with_capacity(8_192);
        encode(&mut text, &inner.registry)?;
        Ok(text)
    }

    fn series(&self, name: Name, labels: &[(&'static str, &str)]) -> (Series, Labels) {
        let spec = name.spec();
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let Inner { registry, series } = &mut *inner;
        let (family, seen) =
            series.entry(name).or_insert_with(|| (register(registry, &spec), Vec::new()));
        let wanted = declared(&spec, labels);
        (family.clone(), bounded(seen, wanted))
    }
}

/// The declared labels in their declared order; one that the caller left out is empty.
fn declared(spec: &Spec, labels: &[(&'static str, &str)]) -> Labels {
    debug_assert!(
        labels.len() == spec.labels.len()
            && labels.iter().all(|(label, _)| spec.labels.contains(label)),
        "{} has the labels {:?}",
        spec.name,
        spec.labels
    );
    let value_of = |wanted: &str| {
        labels.iter().find(|(label, _)| *label == wanted).map_or("", |(_, value)| *value).to_owned()
    };
    spec.labels.iter().map(|label| (*label, value_of(label))).collect()
}

fn bounded(seen: &mut Vec<Labels>, wanted: Labels) -> Labels {
    if seen.contains(&wanted) {
        return wanted;
    }
    if seen.len() < MAX_SERIES {
        seen.push(wanted.clone());
        return wanted;
    }
    wanted.into_iter().map(|(label, _)| (label, OVERFLOW_LABEL.to_owned())).collect()
}

fn register(registry: &mut Registry, spec: &Spec) -> Series {
    // The encoder appends a counter's `_total` by itself.
    let stem = spec.name.strip_suffix("_total").unwrap_or(spec.name);
    match (spec.kind, spec.labels.is_empty()) {
        (Kind::Counter, true) => Series::Counter(add(registry, stem, spec, Counter::default())),
        (Kind::Counter, false) => Series::Counters(add(registry, stem, spec, Family::default())),
        (Kind::Gauge | Kind::Tally, true) => {
            Series::Gauge(add(registry, spec.name, spec, Gauge::default()))
        }
        (Kind::Gauge | Kind::Tally, false) => {
            Series::Gauges(add(registry, spec.name, spec, Family::default()))
        }
        (Kind::Histogram, true) => {
            Series::Histogram(add(registry, spec.name, spec, new_histogram()))
        }
        (Kind::Histogram, false) => {
            let family = Family::new_with_constructor(new_histogram as fn() -> Histogram);
            Series::Histograms(add(registry, spec.name, spec, family))
        }
    }
}

fn add<M: Metric + Clone>(registry: &mut Registry, name: &str, spec: &Spec, metric: M) -> M {
    registry.register(name, spec.help, metric.clone());
    metric
}

/// A figure asked for under another kind than its own is counted nowhere; tests fail on it.
fn misused(name: Name) {
    debug_assert!(false, "{name:?} is a {:?}", name.spec().kind);
}

fn new_histogram() -> Histogram {
    Histogram::new(BUCKETS_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_written_under_the_very_name_of_the_enum() {
        let metrics = Metrics::default();
        metrics.counter_with(Name::BusPublishRetriesTotal, &[("reason", "ack-timeout")]).inc();
        metrics.gauge(Name::SharesValid).inc();
        let text = metrics.encode().unwrap();
        assert!(text.contains("bus_publish_retries_total{reason=\"ack-timeout\"} 1"), "{text}");
        assert!(text.contains("\nshares_valid 1\n"), "{text}");
        assert!(text.ends_with("# EOF\n"));
    }

    #[test]
    fn labels_beyond_the_bound_share_one_series() {
        let metrics = Metrics::default();
        for reason in 0..MAX_SERIES + 10 {
            metrics
                .counter_with(Name::BusPublishRetriesTotal, &[("reason", &reason.to_string())])
                .inc();
        }
        let text = metrics.encode().unwrap();
        assert!(text.contains("bus_publish_retries_total{reason=\"other\"} 10"), "{text}");
    }

    #[test]
    fn two_handles_of_one_name_count_together() {
        let metrics = Metrics::default();
        metrics.histogram(Name::BusPublishAckMs).observe(3.0);
        metrics.histogram(Name::BusPublishAckMs).observe(4.0);
        assert!(metrics.encode().unwrap().contains("bus_publish_ack_ms_count 2"));
    }
}
