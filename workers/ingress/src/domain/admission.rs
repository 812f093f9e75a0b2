//! Who may connect: bounds in total and per address.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};
use subjects::sessions::NetworkClass;

/// Where a connection comes from, as far as bounds are concerned: an IPv4 address, or the /64 of
/// an IPv6 address, which is what one subscriber is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// An address.
    V4(Ipv4Addr),
    /// The first 64 bits of an address.
    V6(u64),
}

impl From<IpAddr> for Origin {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address),
            IpAddr::V6(address) => Self::V6(high_half(address)),
        }
    }
}

fn high_half(address: Ipv6Addr) -> u64 {
    let [s0, s1, s2, s3, ..] = address.segments();
    [s0, s1, s2, s3].iter().fold(0, |half, segment| (half << 16) | u64::from(*segment))
}

/// Where a miner comes from, without saying from where.
pub const fn network_class(peer: IpAddr) -> NetworkClass {
    match peer.to_canonical() {
        peer if peer.is_loopback() => NetworkClass::Loopback,
        IpAddr::V4(peer) if peer.is_private() || peer.is_link_local() => NetworkClass::Private,
        IpAddr::V6(peer) if peer.is_unique_local() || peer.is_unicast_link_local() => {
            NetworkClass::Private
        }
        IpAddr::V4(_) => NetworkClass::PublicV4,
        IpAddr::V6(_) => NetworkClass::PublicV6,
    }
}

/// Why a connection is turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TurnedAway {
    /// The process holds as many connections as it may.
    #[error("as many connections are open as may")]
    Full,
    /// The address holds as many connections as it may.
    #[error("as many connections of this address are open as may")]
    AddressFull,
    /// Shares wait for the bus, or there is no work.
    #[error("the ingress is not ready")]
    NotReady,
    /// The miner speaks what nobody at this address does.
    #[error("nobody here speaks as the miner does")]
    OtherProtocol,
}

impl TurnedAway {
    /// A short code: a metric's label.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::AddressFull => "address-full",
            Self::NotReady => "not-ready",
            Self::OtherProtocol => "other-protocol",
        }
    }
}

/// The connections that are open.
#[derive(Debug)]
pub struct Admission {
    most: usize,
    most_per_origin: usize,
    open: usize,
    by_origin: BTreeMap<Origin, usize>,
}

impl Admission {
    /// None is open.
    pub const fn new(most: usize, most_per_origin: usize) -> Self {
        Self { most, most_per_origin, open: 0, by_origin: BTreeMap::new() }
    }

    /// Connections that are open.
    pub const fn open(&self) -> usize {
        self.open
    }

    /// Counts a connection in.
    ///
    /// # Errors
    ///
    /// When a bound is reached; the connection does not count then.
    pub fn admit(&mut self, origin: Origin) -> Result<(), TurnedAway> {
        if self.open >= self.most {
            return Err(TurnedAway::Full);
        }
        let of_origin = self.by_origin.entry(origin).or_default();
        if *of_origin >= self.most_per_origin {
            return Err(TurnedAway::AddressFull);
        }
        *of_origin += 1;
        self.open += 1;
        Ok(())
    }

    /// Counts an admitted connection out.
    pub fn release(&mut self, origin: Origin) {
        let Some(of_origin) = self.by_origin.get_mut(&origin) else { return };
        *of_origin = of_origin.saturating_sub(1);
        self.open = self.open.saturating_sub(1);
        if *of_origin == 0 {
            self.by_origin.remove(&origin);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(text: &str) -> Origin {
        text.parse::<IpAddr>().unwrap().into()
    }

    #[test]
    fn bounds_hold_in_total_and_per_address_and_what_is_released_may_come_again() {
        let mut admission = Admission::new(3, 2);
        let (a, b) = (origin("192.0.2.1"), origin("192.0.2.2"));
        assert_eq!(admission.admit(a), Ok(()));
        assert_eq!(admission.admit(a), Ok(()));
        assert_eq!(admission.admit(a), Err(TurnedAway::AddressFull));
        assert_eq!(admission.admit(b), Ok(()));
        assert_eq!(admission.admit(b), Err(TurnedAway::Full));
        admission.release(a);
        assert_eq!(admission.admit(a), Ok(()));
        assert_eq!(admission.open(), 3);
        for origin in [a, a, b, b] {
            admission.release(origin);
        }
        assert_eq!((admission.open(), admission.by_origin.len()), (0, 0));
    }

    #[test]
    fn a_subscriber_is_an_address_or_a_64_bit_network() {
        assert_eq!(origin("::ffff:192.0.2.1"), origin("192.0.2.1"));
        assert_eq!(origin("2001:db8:1:2::1"), origin("2001:db8:1:2:ffff::"));
        assert_ne!(origin("2001:db8:1:2::1"), origin("2001:db8:1:3::1"));
    }
}
