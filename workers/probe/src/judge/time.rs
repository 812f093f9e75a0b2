//! The pool's clock against ours, by the time that its jobs start from.

use crate::report::Finding;

/// Seconds that clocks may be apart: jobs are minutes old.
const TOLERATED: u64 = 120;
/// Seconds after a job's start until which the time of a header may lie (consensus: two hours).
const WINDOW: u64 = 7_200;

/// What a pool's time means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// V1's `ntime`: the pool's time of sending.
    Now,
    /// V2's `min_ntime`: the least time, which some pools take from the tip instead of the clock.
    Least,
}

/// A job starts at `theirs` while our clock says `ours`, both in seconds since 1970. Returns the
/// pool's lead over us, too.
pub fn clock(told: Told, theirs: u32, ours: u64) -> (i64, Finding) {
    let theirs = u64::from(theirs);
    let apart = theirs.abs_diff(ours);
    let signed = i64::try_from(apart).unwrap_or(i64::MAX);
    if theirs >= ours {
        return (signed, ahead(apart));
    }
    (-signed, behind(told, apart))
}

fn ahead(apart: u64) -> Finding {
    let said = format!("the pool's time is {} ahead of this machine's", words(apart));
    let advice = "Set this machine's and the miner's clock (NTP). If they are right, the pool's \
                  clock is wrong: tell its operator.";
    if apart <= TOLERATED {
        Finding::fine(said)
    } else if apart <= WINDOW {
        Finding::warning(said, advice)
    } else {
        Finding::wrong(said, advice)
    }
}

fn behind(told: Told, apart: u64) -> Finding {
    let said = format!("the pool's time is {} behind this machine's", words(apart));
    let advice = match told {
        Told::Now => {
            "Set this machine's and the miner's clock (NTP). If they are right, the pool's clock is \
             wrong or its work is old: tell its operator."
        }
        Told::Least => {
            "Set this machine's and the miner's clock (NTP). If they are right, this is normal \
             where no block was found for so long; else the pool's clock is wrong or its work old."
        }
    };
    if apart <= TOLERATED {
        Finding::fine(said)
    } else if apart <= WINDOW {
        Finding::warning(said, advice)
    } else {
        let late = "Shares with the time of this clock are refused: they are too late.";
        Finding::wrong(said, format!("{advice} {late}"))
    }
}

fn words(secs: u64) -> String {
    match secs {
        0..120 => format!("{secs} s"),
        120..7_200 => format!("{} min", secs / 60),
        7_200..172_800 => format!("{} h", secs / 3_600),
        _ => format!("{} days", secs / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Verdict;

    const OURS: u64 = 1_790_000_000;

    fn verdict(told: Told, lead: i64) -> Verdict {
        let theirs = u32::try_from(OURS.checked_add_signed(lead).unwrap()).unwrap();
        let (skew, finding) = clock(told, theirs, OURS);
        assert_eq!(skew, lead);
        finding.verdict
    }

    #[test]
    fn minutes_are_tolerated_and_hours_are_not() {
        for told in [Told::Now, Told::Least] {
            for sign in [1, -1] {
                assert_eq!(verdict(told, 0), Verdict::Fine);
                assert_eq!(verdict(told, sign * 120), Verdict::Fine);
                assert_eq!(verdict(told, sign * 121), Verdict::Warning);
                assert_eq!(verdict(told, sign * 7_200), Verdict::Warning);
                assert_eq!(verdict(told, sign * 7_201), Verdict::Wrong);
            }
        }
    }

    #[test]
    fn an_old_least_time_may_be_the_tips() {
        let late = u32::try_from(OURS - 600).unwrap();
        let (_, told) = clock(Told::Least, late, OURS);
        assert!(told.advice.unwrap().contains("no block was found"));
        assert_eq!(told.said, "the pool's time is 10 min behind this machine's");
        assert!(!clock(Told::Now, late, OURS).1.advice.unwrap().contains("no block was found"));
    }

    #[test]
    fn the_ends_of_time_are_judged_too() {
        assert_eq!(clock(Told::Now, 0, u64::MAX), (-i64::MAX, clock(Told::Now, 0, u64::MAX).1));
        assert_eq!(clock(Told::Now, u32::MAX, 0).0, i64::from(u32::MAX));
    }
}
