//! The way from a name to a job.

use crate::{
    Pool,
    report::{Report, Step},
    tls::Trust,
    walk::Walk,
    {reach, tls, v1, v2},
};
use std::time::Duration;
use worker_runtime::clock::Clock;

/// What is looked at, and as whom.
#[derive(Clone, Debug)]
pub struct Probe {
    /// The pool.
    pub pool: Pool,
    /// `<address>[.<worker>]`; without it nothing behind the greeting is looked at.
    pub user: Option<String>,
    /// V1's password.
    pub password: String,
    /// The miner's hashes per second, if they are known.
    pub hashrate: Option<u64>,
    /// Whose certificates are trusted on V1 over TLS.
    pub trust: Trust,
    /// For every step.
    pub timeout: Duration,
    /// Round trips that are measured.
    pub count: usize,
}

/// Looks at everything that can be looked at; `tell` hears of each step as it ends.
pub async fn run(probe: &Probe, clock: &dyn Clock, tell: &mut (dyn FnMut(&Step) + Send)) -> Report {
    let mut walk = Walk::new(probe.pool.to_string(), clock, tell);
    if let Some((stream, address)) = reach::reach(&mut walk, probe).await {
        walk.report.address = Some(address.to_string());
        match &probe.pool {
            Pool::V2(endpoint) => v2::go(&mut walk, probe, endpoint, stream, address).await,
            Pool::V1 { .. } => v1::go(&mut walk, probe, stream, address).await,
            Pool::V1Tls { host, .. } => {
                if let Some(stream) = tls::go(&mut walk, probe, host, stream).await {
                    v1::go(&mut walk, probe, stream, address).await;
                }
            }
        }
    }
    walk.report
}
