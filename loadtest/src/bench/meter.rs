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
    let path = format!("/proc/{pid}/stat");
    Ok(Times::read(&path).with_context(|| format!("process {pid} is gone"))?.own)
}

/// Processor time of one thread of this process since it started, user and system, to 10 ms.
///
/// # Errors
///
/// When there is no such thread.
pub fn thread_time(thread: i32) -> anyhow::Result<Duration> {
    let path = format!("/proc/self/task/{thread}/stat");
    Ok(Times::read(&path).with_context(|| format!("thread {thread} is gone"))?.own)
}

/// Processor time of a process and its children together, those that have ended included.
///
/// # Errors
///
/// When there is no such process.
pub fn family_time(pid: u64) -> anyhow::Result<Duration> {
    let of = |pid: u64| Times::read(&format!("/proc/{pid}/stat"));
    let parent = of(pid).with_context(|| format!("process {pid} is gone"))?;
    let entries = fs::read_dir("/proc").context("no processes")?;
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    // One that ends meanwhile is among its parent's ended children next time.
    let times = pids.filter_map(|pid: u64| of(pid).ok());
    let children = times.filter(|times| times.parent == pid).map(|times| times.own);
    Ok(parent.own + parent.ended_children + children.sum::<Duration>())
}

/// What the kernel counts of a process or thread.
struct Times {
    parent: u64,
    own: Duration,
    ended_children: Duration,
}

impl Times {
    /// Reads a `stat` file (`proc_pid_stat(5)`, whose numbers of fields these are).
    fn read(path: &str) -> anyhow::Result<Self> {
        let stat = fs::read_to_string(path)?;
        // The name may hold blanks and brackets; what follows is counted behind its end.
        let rest = stat.rsplit_once(')').with_context(|| format!("{path} is unreadable"))?.1;
        let fields: Vec<u64> =
            rest.split_whitespace().map(|text| text.parse().unwrap_or_default()).collect();
        let field = |number: usize| fields.get(number - 3).copied();
        let times = || {
            let time = |ticks: u64| Duration::from_millis(ticks * 1_000 / TICKS_PER_SECOND);
            Some(Self {
                parent: field(4)?,
                own: time(field(14)? + field(15)?),
                ended_children: time(field(16)? + field(17)?),
            })
        };
        times().with_context(|| format!("{path} is unreadable"))
    }
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

/// Forgets the most memory that a process of ours ever had: what is resident now is the most.
///
/// # Errors
///
/// When there is no such process, or it is not ours.
pub fn forget_peak(pid: u64) -> anyhow::Result<()> {
    // proc(5): 5 resets the peak.
    fs::write(format!("/proc/{pid}/clear_refs"), "5").context("cannot forget a peak of memory")
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
        forget_peak(pid).unwrap();
    }

    #[test]
    fn a_family_has_used_what_its_ended_children_used() {
        let pid = u64::from(std::process::id());
        let before = family_time(pid).unwrap();
        let burn = "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done";
        assert!(std::process::Command::new("sh").args(["-c", burn]).status().unwrap().success());
        assert!(family_time(pid).unwrap() >= before + Duration::from_millis(10));
        assert!(family_time(u64::MAX).is_err());
    }

    #[test]
    fn a_process_that_is_gone_is_an_error() {
        assert!(Meter::of(&[u64::MAX]).is_err());
        assert!(Meter::of(&[]).unwrap().micros_per(0).is_err());
    }
}
