//! Why a process is ready, or not.

use crate::{
    clock::Clock,
    metric::{Metrics, Name},
};
use serde::Serialize;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};
use subjects::Timestamp;

/// The state of one check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Check {
    /// What is checked.
    pub(crate) name: &'static str,
    /// Whether it passes.
    pub(crate) ok: bool,
    /// What a person should know about it.
    pub(crate) why: String,
    /// When it last began to pass or to fail.
    pub(crate) since: Timestamp,
}

/// All checks of a process.
pub(crate) struct Checks {
    metrics: Metrics,
    clock: Arc<dyn Clock>,
    checks: Mutex<BTreeMap<&'static str, Check>>,
}

impl Checks {
    pub(crate) fn new(metrics: Metrics, clock: Arc<dyn Clock>) -> Self {
        Self { metrics, clock, checks: Mutex::default() }
    }

    /// Sets a check, and logs when it turns.
    pub(crate) fn set(&self, name: &'static str, ok: bool, why: &str) {
        let now = self.clock.now();
        let mut checks = self.checks.lock().unwrap_or_else(PoisonError::into_inner);
        let turned = checks.get(name).is_none_or(|check| check.ok != ok);
        let since = checks.get(name).filter(|_| !turned).map_or(now, |check| check.since);
        checks.insert(name, Check { name, ok, why: why.to_owned(), since });
        drop(checks);
        if turned {
            self.metrics.gauge_with(Name::WorkerCheckOk, &[("check", name)]).set(i64::from(ok));
            tracing::info!(check = name, ok, why, "readiness check turned");
        }
    }

    /// Whether every check passes. A process that has checked nothing yet is not ready.
    pub(crate) fn all_pass(&self) -> bool {
        let checks = self.checks.lock().unwrap_or_else(PoisonError::into_inner);
        !checks.is_empty() && checks.values().all(|check| check.ok)
    }

    /// All checks by name.
    pub(crate) fn list(&self) -> Vec<Check> {
        self.checks.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;
    use std::time::Duration;

    #[test]
    fn a_check_remembers_since_when_it_is_as_it_is() {
        let clock = Arc::new(ManualClock::new(Timestamp(1_000)));
        let checks = Checks::new(Metrics::default(), Arc::clone(&clock) as Arc<dyn Clock>);
        assert!(!checks.all_pass(), "nothing was checked yet");
        checks.set("bus", false, "connecting");
        clock.advance(Duration::from_secs(1));
        checks.set("bus", false, "connection refused");
        assert!(!checks.all_pass());
        let [check] = checks.list().try_into().unwrap();
        assert_eq!((check.since, check.why.as_str()), (Timestamp(1_000), "connection refused"));
        checks.set("bus", true, "connected");
        assert!(checks.all_pass());
        assert_eq!(checks.list()[0].since, Timestamp(2_000));
    }
}
