//! What a share must meet.

use crate::report::Finding;
use mining::Target;
use std::fmt;

/// Millionths of difficulty 1.
const ONE: u128 = 1_000_000;
/// Seconds between shares above which a miner looks dead, and below which it wastes bandwidth.
const RARE_SECS: u128 = 600;
const OFTEN_MILLIS: u128 = 100;

/// How rare a share is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Difficulty {
    ppm: u128,
    hashes: u128,
}

impl Difficulty {
    /// V2's target.
    pub fn of_target(target: Target) -> Self {
        Self { ppm: target.difficulty_ppm(), hashes: target.work().to_u128() }
    }

    /// V1's difficulty; `None` for what is not above 0.
    pub fn of_number(number: f64) -> Option<Self> {
        let positive = number.is_finite() && number > 0.0;
        positive.then_some(())?;
        // Numbers beyond 2^128 are no difficulties that a miner ever meets.
        let whole = |number: f64| format!("{number:.0}").parse().unwrap_or(u128::MAX);
        Some(Self { ppm: whole(number * 1e6), hashes: whole(number * 32_f64.exp2()).max(1) })
    }

    /// As a decimal number.
    pub fn decimal(self) -> String {
        let (whole, rest) = (self.ppm / ONE, self.ppm % ONE);
        match (whole, rest) {
            (0, 0) => "below 0.000001".to_owned(),
            (_, 0) => whole.to_string(),
            _ => format!("{whole}.{rest:06}").trim_end_matches('0').to_owned(),
        }
    }

    /// Expected hashes of a share.
    pub const fn hashes(self) -> u128 {
        self.hashes
    }
}

impl fmt::Display for Difficulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} hashes a share)", self.decimal(), self.hashes)
    }
}

/// Judges a share's difficulty, on a chain with this compact target, for a miner with so many
/// hashes per second.
pub fn difficulty(share: Difficulty, nbits: u32, hashrate: Option<u64>) -> Finding {
    let said = format!("difficulty {share}");
    let Ok(block) = Target::from_nbits(nbits) else {
        return Finding::wrong(
            format!("{said}, on a block target that is none: {nbits:#010x}"),
            "The pool's work is broken: tell its operator.",
        );
    };
    let block = block.work().to_u128();
    // Difficulties are rounded on the wire.
    if share.hashes > block.saturating_add(block / 1_000).saturating_add(1) {
        return Finding::warning(
            format!("{said} is harder than a block ({block} hashes)"),
            "Some blocks would not be sent at all. Ask for less, or tell the pool's operator; on a \
             test network this is common.",
        );
    }
    match hashrate.map(u128::from).filter(|rate| *rate > 0) {
        None => Finding::fine(said),
        Some(rate) => paced(share, rate, &said),
    }
}

fn paced(share: Difficulty, rate: u128, said: &str) -> Finding {
    let millis = share.hashes.saturating_mul(1_000) / rate;
    let said = format!("{said}: a share about every {}", pace(millis));
    if millis > RARE_SECS * 1_000 {
        Finding::warning(
            said,
            "The miner will look dead and be paid unevenly: ask for less (password `d=…`, or its \
             own setting), or give its hash rate in V2.",
        )
    } else if millis < OFTEN_MILLIS {
        Finding::warning(said, "So many shares are of no use: ask for more (password `d=…`).")
    } else {
        Finding::fine(said)
    }
}

fn pace(millis: u128) -> String {
    match millis {
        0..1_000 => format!("{millis} ms"),
        1_000..120_000 => format!("{} s", millis / 1_000),
        _ => format!("{} min", millis / 60_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Verdict;
    use subjects::Exponent;

    /// Difficulty 1 as a block's.
    const ONE_BITS: u32 = 0x1d00_ffff;
    /// A block of today's network.
    const HARD_BITS: u32 = 0x1702_5ed4;

    fn number(number: f64) -> Difficulty {
        Difficulty::of_number(number).unwrap()
    }

    #[test]
    fn both_protocols_difficulties_read_the_same() {
        let target = |k| Difficulty::of_target(Target::of(Exponent::clamped(k)));
        assert_eq!(target(0).decimal(), "1");
        assert_eq!(number(1.0).decimal(), "1");
        assert_eq!(target(10).decimal(), number(1_024.0).decimal());
        assert_eq!(number(0.001_5).decimal(), "0.0015");
        assert_eq!(target(-24).decimal(), "below 0.000001");
        assert_eq!(number(1.0).hashes(), 1 << 32);
        assert_eq!(number(1e-30).hashes(), 1);
        assert_eq!(number(f64::MAX).hashes(), u128::MAX);
        for none in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(Difficulty::of_number(none), None);
        }
    }

    #[test]
    fn a_share_is_never_harder_than_a_block() {
        let verdict = |share, nbits| difficulty(share, nbits, None).verdict;
        assert_eq!(verdict(number(1.0), ONE_BITS), Verdict::Fine);
        assert_eq!(verdict(number(1.01), ONE_BITS), Verdict::Warning);
        assert_eq!(verdict(number(1e6), HARD_BITS), Verdict::Fine);
        assert_eq!(verdict(number(1.0), 0), Verdict::Wrong);
    }

    #[test]
    fn shares_come_neither_rarely_nor_in_floods() {
        let met = |share, rate| difficulty(number(share), HARD_BITS, Some(rate));
        assert_eq!(met(512.0, 500_000_000_000).verdict, Verdict::Fine);
        assert!(met(512.0, 500_000_000_000).said.ends_with("about every 4 s"));
        assert_eq!(met(1e6, 1_000_000).verdict, Verdict::Warning);
        assert_eq!(met(0.001, 1_000_000_000_000).verdict, Verdict::Warning);
    }
}
