//! What a process used, as the kernel counts it.

use anyhow::{Context as _, ensure};
use std::{fs, time::Duration};

/// The kernel counts processor time in these, whatever its timer does (`USER_HZ`).
const TICKS_PER_SECOND: u64 = 100;

/// Processor time of a process and all its threads since it started, user and system, to 10 ms.
///
/// # Errors
///
/// When there is no such process.
pub fn processor_time(pid: u64) -> anyhow::Result<Duration> {
    used(&format!("/proc/{pid}/stat")).with_context(|| format!("process {pid} is gone"))
}

/// Processor time of one thread of this process since it started, user and system, to 10 ms.
///
/// # Errors
///
/// When there is no such thread.
pub fn thread_time(thread: i32) -> anyhow::Result<Duration> {
    let path = format!("/proc/self/task/{thread}/stat");
    used(&path).with_context(|| format!("thread {thread} is gone"))
}

fn used(path: &str) -> anyhow::Result<Duration> {
    let stat = fs::read_to_string(path)?;
    // The name may hold blanks and brackets; fields 14 and 15 are counted behind its end.
    let rest = stat.rsplit_once(')').with_context(|| format!("{path} is unreadable"))?.1;
    let field =
        |place: usize| rest.split_whitespace().nth(place).and_then(|text| text.parse().ok());
    let (user, system): (u64, u64) =
        field(11).zip(field(12)).with_context(|| format!("{path} is unreadable"))?;
    Ok(Duration::from_millis((user + system) * 1_000 / TICKS_PER_SECOND))
}

/// Bytes of a process that are in memory now, and the most that ever were.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Resident now.
    pub resident: u64,
    /// Most that was ever resident.
    pub peak: u64,
}

/// The memory of a process.
///
/// # Errors
///
/// When there is no such process.
pub fn memory(pid: u64) -> anyhow::Result<Memory> {
    let path = format!("/proc/{pid}/status");
    let status = fs::read_to_string(&path).with_context(|| format!("process {pid} is gone"))?;
    let kib = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key));
        line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok())
    };
    let both = kib("VmRSS:").zip(kib("VmHWM:"));
    let (resident, peak) = both.with_context(|| format!("{path} has no memory"))?;
    Ok(Memory { resident: resident << 10, peak: peak << 10 })
}

/// Processor time of several processes since the meter was made.
#[derive(Clone, Debug)]
pub struct Meter(Vec<(u64, Duration)>);

impl Meter {
    /// Begins to measure.
    ///
    /// # Errors
    ///
    /// When there is no such process.
    pub fn of(pids: &[u64]) -> anyhow::Result<Self> {
        let begun = pids.iter().map(|pid| Ok((*pid, processor_time(*pid)?)));
        Ok(Self(begun.collect::<anyhow::Result<_>>()?))
    }

    /// What all used together since.
    ///
    /// # Errors
    ///
    /// When one has ended.
    pub fn used(&self) -> anyhow::Result<Duration> {
        let used = self.0.iter().map(|(pid, begun)| anyhow::Ok(processor_time(*pid)? - *begun));
        used.sum()
    }

    /// Microseconds that all used together since for each of `units`.
    ///
    /// # Errors
    ///
    /// When one has ended, or there are no units.
    pub fn micros_per(&self, units: u64) -> anyhow::Result<f64> {
        ensure!(units > 0, "nothing was done");
        Ok(self.used()?.as_secs_f64() * 1e6 / float(units))
    }
}

/// A count as a number to calculate figures with.
#[expect(clippy::cast_precision_loss, reason = "figures have three digits that mean something")]
pub const fn float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_time_and_memory() {
        let pid = u64::from(std::process::id());
        let meter = Meter::of(&[pid]).unwrap();
        let mut sum = 0_u64;
        while meter.used().unwrap() < Duration::from_millis(20) {
            sum = std::hint::black_box(sum.wrapping_mul(31).wrapping_add(7));
        }
        assert!(meter.micros_per(10).unwrap() >= 2_000.0, "{sum}");
        let memory = memory(pid).unwrap();
        assert!(memory.resident > 1 << 20 && memory.peak >= memory.resident);
    }

    #[test]
    fn a_process_that_is_gone_is_an_error() {
        assert!(Meter::of(&[u64::MAX]).is_err());
        assert!(Meter::of(&[]).unwrap().micros_per(0).is_err());
    }
}
