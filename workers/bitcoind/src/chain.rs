//! The chains, and those of their constants that bitcoind does not tell over RPC.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};
use subjects::{BlockHash, Sats};

/// Subsidy of the first block of every chain, in satoshis.
const FIRST_SUBSIDY_SATS: u64 = 50 * 100_000_000;

/// The network's time may run back by this much at a retarget, in seconds (BIP 94, enforced in
/// templates of every chain since Bitcoin Core 29).
const MAX_TIMEWARP_SECS: u32 = 600;

/// A chain, by the name that bitcoind's `getblockchaininfo` gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Chain {
    /// Bitcoin.
    Main,
    /// The third test network.
    Test,
    /// The fourth test network (BIP 94).
    Testnet4,
    /// A signed test network (BIP 325): the public one, or a private one with its own challenge.
    Signet,
    /// Everybody's own regression test chain.
    Regtest,
}

/// The text names no chain.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a chain: use main, test, testnet4, signet or regtest")]
pub struct UnknownChain(String);

impl Chain {
    const ALL: [Self; 5] = [Self::Main, Self::Test, Self::Testnet4, Self::Signet, Self::Regtest];

    /// The name that bitcoind uses.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Main => "main",
            Self::Test => "test",
            Self::Testnet4 => "testnet4",
            Self::Signet => "signet",
            Self::Regtest => "regtest",
        }
    }

    /// Hash of the block of height 0. Every signet has the same one, whatever its challenge.
    pub fn genesis(self) -> BlockHash {
        let network = match self {
            Self::Main => bitcoin::Network::Bitcoin,
            Self::Test => bitcoin::Network::Testnet,
            Self::Testnet4 => bitcoin::Network::Testnet4,
            Self::Signet => bitcoin::Network::Signet,
            Self::Regtest => bitcoin::Network::Regtest,
        };
        let block = bitcoin::constants::genesis_block(network);
        BlockHash(*AsRef::<[u8; 32]>::as_ref(&block.block_hash()))
    }

    /// Blocks between two halvings of the subsidy.
    pub const fn halving_interval(self) -> u32 {
        match self {
            Self::Main | Self::Test | Self::Testnet4 | Self::Signet => 210_000,
            Self::Regtest => 150,
        }
    }

    /// Blocks between two adjustments of the difficulty.
    pub const fn adjustment_interval(self) -> u32 {
        match self {
            Self::Main | Self::Test | Self::Testnet4 | Self::Signet => 2_016,
            Self::Regtest => 144,
        }
    }

    /// What the coinbase of the block of this height may create, fees aside.
    pub fn subsidy(self, height: u32) -> Sats {
        let halvings = height.checked_div(self.halving_interval()).unwrap_or(u32::MAX);
        let sats = FIRST_SUBSIDY_SATS.checked_shr(halvings).unwrap_or(0);
        Sats::new(sats).unwrap_or(Sats::ZERO)
    }

    /// Least time that the header of the block of `height` may carry, in seconds since 1970: later
    /// than the median of the eleven blocks before it, and at a retarget at most ten minutes
    /// before its parent. The same as `mintime` of `getblocktemplate`.
    pub fn min_ntime(self, height: u32, median_time: u32, parent_time: u32) -> u32 {
        let after_median = median_time.saturating_add(1);
        if height.is_multiple_of(self.adjustment_interval()) {
            after_median.max(parent_time.saturating_sub(MAX_TIMEWARP_SECS))
        } else {
            after_median
        }
    }

    /// Whether blocks need the rule `signet` to be understood (BIP 325).
    pub const fn is_signet(self) -> bool {
        matches!(self, Self::Signet)
    }
}

impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Chain {
    type Err = UnknownChain;

    fn from_str(text: &str) -> Result<Self, UnknownChain> {
        let found = Self::ALL.into_iter().find(|chain| chain.name() == text);
        found.ok_or_else(|| UnknownChain(text.chars().take(32).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_subsidy_halves_to_nothing() {
        let sats = |chain: Chain, height| chain.subsidy(height).to_u64();
        assert_eq!(sats(Chain::Main, 0), 5_000_000_000);
        assert_eq!(sats(Chain::Main, 209_999), 5_000_000_000);
        assert_eq!(sats(Chain::Main, 210_000), 2_500_000_000);
        assert_eq!(sats(Chain::Main, 840_000), 312_500_000);
        assert_eq!(sats(Chain::Main, 32 * 210_000), 1);
        assert_eq!(sats(Chain::Main, 33 * 210_000), 0);
        assert_eq!(sats(Chain::Main, u32::MAX), 0);
        assert_eq!(sats(Chain::Regtest, 149), 5_000_000_000);
        assert_eq!(sats(Chain::Regtest, 150), 2_500_000_000);
        assert_eq!(sats(Chain::Regtest, 64 * 150), 0, "a shift by 64 would wrap");
    }

    #[test]
    fn the_whole_schedule_stays_below_the_cap() {
        let eras = (0..64).map(|era| Chain::Main.subsidy(era * 210_000).to_u64() * 210_000);
        assert_eq!(eras.sum::<u64>(), 2_099_999_997_690_000);
    }

    #[test]
    fn names_are_those_of_bitcoind() {
        for chain in Chain::ALL {
            assert_eq!(chain.name().parse(), Ok(chain));
            assert_eq!(serde_json::to_string(&chain).unwrap(), format!("\"{chain}\""));
        }
        assert!("mainnet".parse::<Chain>().is_err());
    }

    #[test]
    fn genesis_hashes_are_the_well_known_ones() {
        let main = "000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f";
        let signet = "00000008819873e925422c1ff0f99f7cc9bbb232af63a077a480a3633bee1ef6";
        assert_eq!(Chain::Main.genesis().to_string(), main);
        assert_eq!(Chain::Signet.genesis().to_string(), signet);
    }

    // Both pairs were seen on a regtest node: block 143 two hours ahead, and not.
    #[test]
    fn a_retarget_bounds_how_far_time_runs_back() {
        assert_eq!(Chain::Regtest.min_ntime(144, 1_795_265_688, 1_795_272_689), 1_795_272_089);
        assert_eq!(Chain::Regtest.min_ntime(144, 1_795_265_688, 1_795_265_689), 1_795_265_689);
        assert_eq!(Chain::Main.min_ntime(144, 1_795_265_688, 1_795_272_689), 1_795_265_689);
    }
}
