//! What miners are known by the name that they give at `mining.subscribe`, as far as they need
//! something of their own.

use subjects::Exponent;

/// A family of firmware.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Firmware {
    /// `AxeOS` on a Bitaxe.
    Bitaxe,
    /// cgminer, and what calls itself so.
    Cgminer,
    /// Firmware of large machines: Antminer, Whatsminer, `LUXminer`, Braiins OS, Vnish, ePIC.
    Asic,
    /// Rented hashrate.
    NiceHash,
    /// Everybody else.
    #[default]
    Other,
}

/// The least difficulty that `NiceHash` takes is 500 000; this is the next power of two.
const NICEHASH_LEAST: i64 = 19;

/// What agents of large machines begin with or contain, in lower case.
const ASICS: [&str; 9] = [
    "antminer",
    "bmminer",
    "whatsminer",
    "btminer",
    "luxminer",
    "bosminer",
    "xminer",
    "powerplay-bm",
    "avalon",
];

impl Firmware {
    /// The family that an agent belongs to.
    pub fn of(agent: &str) -> Self {
        let agent = agent.to_ascii_lowercase();
        if agent.starts_with("nicehash/") {
            Self::NiceHash
        } else if ASICS.iter().any(|name| agent.contains(name)) {
            Self::Asic
        } else if agent.starts_with("bitaxe") {
            Self::Bitaxe
        } else if agent.starts_with("cgminer") {
            Self::Cgminer
        } else {
            Self::Other
        }
    }

    /// The easiest target that it works with: some take no fractions of difficulty 1.
    pub fn easiest(self) -> Exponent {
        match self {
            Self::NiceHash => Exponent::clamped(NICEHASH_LEAST),
            Self::Asic => Exponent::clamped(0),
            Self::Bitaxe | Self::Cgminer | Self::Other => Exponent::MIN,
        }
    }

    /// Whether it answers `mining.ping`. Others are confused by it.
    pub const fn answers_pings(self) -> bool {
        match self {
            Self::Bitaxe | Self::Cgminer => true,
            Self::Asic | Self::NiceHash | Self::Other => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_are_known_by_their_agents() {
        for (agent, family) in [
            ("bitaxe/BM1370/v2.15.0", Firmware::Bitaxe),
            ("bitaxe/BM1368", Firmware::Bitaxe),
            ("NerdQAxe++/BM1370/v1.0.36", Firmware::Other),
            ("NerdMinerV2/1.7.0", Firmware::Other),
            ("cpuminer/2.5.1", Firmware::Other),
            ("cgminer/4.13.1", Firmware::Cgminer),
            ("bmminer/2.0.0", Firmware::Asic),
            ("Antminer S21/Tue Oct 1", Firmware::Asic),
            ("Antminer S19k Pro|LUXminer 2025.7.10.152155-6e13fb74|BHB56903|", Firmware::Asic),
            ("whatsminer/v1.0", Firmware::Asic),
            ("bosminer-plus-tuner 0.2.0-e5031d4", Firmware::Asic),
            ("xminer-1.2.6", Firmware::Asic),
            ("PowerPlay-BM/1.15.0", Firmware::Asic),
            ("NiceHash/1.0.0", Firmware::NiceHash),
            ("", Firmware::Other),
        ] {
            assert_eq!(Firmware::of(agent), family, "{agent}");
        }
    }
}
