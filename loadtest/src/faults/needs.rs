//! What a scenario needs of its network.

/// What a network must have for a scenario, beyond what every one has. Scenarios with the same
/// needs share a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// Nothing.
    Nothing,
    /// Stores of hub and leaf on [`super::Disks`] of their own.
    Disks,
    /// A second provider of templates, with a bitcoind of its own.
    TwoProviders,
    /// A hub of three servers.
    ThreeHubServers,
}

impl Needs {
    /// All, in the order in which their networks are started.
    pub const ALL: [Self; 4] =
        [Self::Nothing, Self::Disks, Self::TwoProviders, Self::ThreeHubServers];

    /// Name of the folder of its network.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nothing => "network",
            Self::Disks => "disks",
            Self::TwoProviders => "two-providers",
            Self::ThreeHubServers => "three-hub-servers",
        }
    }

    /// Options with which `hyperhash dev up` starts such a network.
    pub const fn options(self) -> &'static [&'static str] {
        match self {
            Self::Nothing | Self::Disks => &[],
            Self::TwoProviders => &["--providers", "2"],
            Self::ThreeHubServers => &["--hub-servers", "3"],
        }
    }
}
