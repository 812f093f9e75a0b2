//! Round trips.

use crate::report::{Finding, Latency};
use std::time::Duration;

/// A round trip above this costs a miner shares at every new block.
const TOO_SLOW: Duration = Duration::from_millis(250);

/// The times of round trips of `of`, of which `asked` were tried.
pub fn latency(times: &[Duration], asked: usize, of: &str) -> (Option<Latency>, Finding) {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    let ranked = |percent| sorted.get(rank(sorted.len(), percent)).copied();
    let (Some(p50), Some(p95), Some(max)) = (ranked(50), ranked(95), ranked(100)) else {
        let advice = "The pool stopped answering: try again, and look at the line in between.";
        return (None, Finding::wrong(format!("no round trip of {of} was answered"), advice));
    };
    let latency = Latency { of: of.to_owned(), count: sorted.len(), p50, p95, max };
    let said = format!(
        "{} round trips ({of}): p50 {}, p95 {}, max {}",
        sorted.len(),
        millis(p50),
        millis(p95),
        millis(max),
    );
    let finding = if sorted.len() < asked {
        let missing = asked - sorted.len();
        Finding::warning(
            format!("{said}; {missing} not answered"),
            "The line loses packets or the pool is overloaded: try again, by cable if by radio.",
        )
    } else if p95 > TOO_SLOW {
        Finding::warning(
            said,
            "Above 250 ms shares become stale at every new block: use a nearer node.",
        )
    } else {
        Finding::fine(said)
    };
    (Some(latency), finding)
}

/// The place of a percentile in so many sorted values: the nearest rank.
const fn rank(count: usize, percent: usize) -> usize {
    (count * percent).div_ceil(100).saturating_sub(1)
}

fn millis(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1_000.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Verdict;

    fn times(millis: impl Iterator<Item = u64>) -> Vec<Duration> {
        millis.map(Duration::from_millis).collect()
    }

    #[test]
    fn percentiles_are_of_the_nearest_rank() {
        let (latency, finding) = latency(&times((1..=20).rev()), 20, "ping");
        let latency = latency.unwrap();
        let wanted = [10, 19, 20].map(Duration::from_millis);
        assert_eq!([latency.p50, latency.p95, latency.max], wanted);
        assert_eq!((latency.count, finding.verdict), (20, Verdict::Fine));
    }

    #[test]
    fn slow_lossy_and_mute_are_told_apart() {
        let verdict = |times: &[Duration], asked| latency(times, asked, "ping").1.verdict;
        assert_eq!(verdict(&times([250].into_iter()), 1), Verdict::Fine);
        assert_eq!(verdict(&times([251].into_iter()), 1), Verdict::Warning);
        assert_eq!(verdict(&times([1].into_iter()), 2), Verdict::Warning);
        assert_eq!(verdict(&[], 2), Verdict::Wrong);
    }
}
