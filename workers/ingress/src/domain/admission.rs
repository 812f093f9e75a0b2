//! Who may connect: bounds in total and per address, and how often.

use super::allowance::{Allowance, Rate};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::Duration,
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
    /// The address opens connections faster than it may.
    #[error("this address connects too often")]
    TooOften,
    /// Shares wait for the bus, or there is no work.
    #[error("the ingress is not ready")]
    NotReady,
    /// A proxy did not say for whom it speaks.
    #[error("a trusted proxy sent no header of the PROXY protocol, version 2")]
    NotIntroduced,
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
            Self::TooOften => "too-often",
            Self::NotReady => "not-ready",
            Self::NotIntroduced => "not-introduced",
            Self::OtherProtocol => "other-protocol",
        }
    }
}

/// How many connections there may be.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// In all.
    pub most: usize,
    /// Of one origin.
    pub most_per_origin: usize,
    /// How fast one origin may open them.
    pub rate_per_origin: Rate,
}

/// An admitted connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(u64);

/// A connection that was let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admitted {
    /// What it is known by.
    pub ticket: Ticket,
    /// Who has to go for it: one that has not begun to mine.
    pub evicted: Option<Ticket>,
}

/// How long a connection that has not begun to mine is left alone, whoever wants its place: the
/// handshake and the greeting of a miner at the other end of the world.
const GRACE: Duration = Duration::from_secs(3);
/// Origins that are remembered before those that no longer matter are looked for.
const LEAST_ORIGINS: usize = 1_024;

/// The connections that are open. Those that have not begun to mine, newcomers, make room when there
/// is none: half-open and idle ones keep no miner out.
#[derive(Debug)]
pub struct Admission {
    bounds: Bounds,
    open: usize,
    last: u64,
    origins: BTreeMap<Origin, OfOrigin>,
    newcomers: BTreeMap<Ticket, (Origin, Duration)>,
    /// How many origins there may be before those that no longer matter are forgotten.
    sweep_at: usize,
}

/// What is known of an origin.
#[derive(Debug, Default)]
struct OfOrigin {
    open: usize,
    newcomers: BTreeSet<Ticket>,
    allowance: Allowance,
}

impl Admission {
    /// None is open.
    pub const fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            open: 0,
            last: 0,
            origins: BTreeMap::new(),
            newcomers: BTreeMap::new(),
            sweep_at: LEAST_ORIGINS,
        }
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
    pub fn admit(&mut self, origin: Origin, now: Duration) -> Result<Admitted, TurnedAway> {
        let Bounds { most, most_per_origin, rate_per_origin } = self.bounds;
        self.sweep(now);
        let of_origin = self.origins.entry(origin).or_default();
        if of_origin.allowance.pause(rate_per_origin, now).is_some() {
            return Err(TurnedAway::TooOften);
        }
        let evicted = if of_origin.open >= most_per_origin {
            let oldest = of_origin.newcomers.first().copied();
            Some(self.evict(oldest, now).ok_or(TurnedAway::AddressFull)?)
        } else if self.open >= most {
            let oldest = self.newcomers.keys().next().copied();
            Some(self.evict(oldest, now).ok_or(TurnedAway::Full)?)
        } else {
            None
        };
        self.last += 1;
        let ticket = Ticket(self.last);
        let of_origin = self.origins.entry(origin).or_default();
        of_origin.allowance.take(rate_per_origin, 1, now);
        of_origin.open += 1;
        of_origin.newcomers.insert(ticket);
        self.newcomers.insert(ticket, (origin, now));
        self.open += 1;
        Ok(Admitted { ticket, evicted })
    }

    /// Takes the place of a newcomer, unless it came just now.
    fn evict(&mut self, oldest: Option<Ticket>, now: Duration) -> Option<Ticket> {
        let ticket = oldest?;
        let (_, since) = self.newcomers.get(&ticket)?;
        if now.saturating_sub(*since) < GRACE {
            return None;
        }
        self.release_newcomer(ticket);
        Some(ticket)
    }

    /// A newcomer has begun to mine: nobody takes its place any more.
    pub fn establish(&mut self, ticket: Ticket) {
        if let Some((origin, _)) = self.newcomers.remove(&ticket)
            && let Some(of_origin) = self.origins.get_mut(&origin)
        {
            of_origin.newcomers.remove(&ticket);
        }
    }

    /// Counts a newcomer out, unless its place was taken.
    pub fn release_newcomer(&mut self, ticket: Ticket) {
        if let Some((origin, _)) = self.newcomers.get(&ticket).copied() {
            self.establish(ticket);
            self.release(origin);
        }
    }

    /// Counts out a connection that had begun to mine.
    pub fn release(&mut self, origin: Origin) {
        let Some(of_origin) = self.origins.get_mut(&origin) else { return };
        of_origin.open = of_origin.open.saturating_sub(1);
        self.open = self.open.saturating_sub(1);
    }

    /// Forgets origins that have no connection and owe nothing, now and then.
    fn sweep(&mut self, now: Duration) {
        if self.origins.len() >= self.sweep_at {
            self.origins.retain(|_, origin| origin.open > 0 || !origin.allowance.is_earned(now));
            self.sweep_at = self.origins.len().saturating_mul(2).max(LEAST_ORIGINS);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::num::NonZeroU32;

    fn origin(text: &str) -> Origin {
        text.parse::<IpAddr>().unwrap().into()
    }

    fn bounds(most: usize, most_per_origin: usize) -> Bounds {
        let rate_per_origin = Rate::new(NonZeroU32::new(10).unwrap(), 100);
        Bounds { most, most_per_origin, rate_per_origin }
    }

    const fn at(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    /// Admits one that begins to mine at once.
    fn settle(admission: &mut Admission, origin: Origin, now: Duration) -> Result<(), TurnedAway> {
        let Admitted { ticket, evicted } = admission.admit(origin, now)?;
        assert_eq!(evicted, None);
        admission.establish(ticket);
        Ok(())
    }

    #[test]
    fn bounds_hold_in_total_and_per_address_and_what_is_released_may_come_again() {
        let mut admission = Admission::new(bounds(3, 2));
        let (a, b) = (origin("192.0.2.1"), origin("192.0.2.2"));
        assert_eq!(settle(&mut admission, a, at(0)), Ok(()));
        assert_eq!(settle(&mut admission, a, at(0)), Ok(()));
        assert_eq!(settle(&mut admission, a, at(0)), Err(TurnedAway::AddressFull));
        assert_eq!(settle(&mut admission, b, at(0)), Ok(()));
        assert_eq!(settle(&mut admission, b, at(0)), Err(TurnedAway::Full));
        admission.release(a);
        assert_eq!(settle(&mut admission, a, at(0)), Ok(()));
        assert_eq!(admission.open(), 3);
        for origin in [a, a, b] {
            admission.release(origin);
        }
        assert_eq!(admission.open(), 0);
    }

    #[test]
    fn who_has_not_begun_to_mine_makes_room_and_who_came_just_now_does_not() {
        let mut admission = Admission::new(bounds(10, 2));
        let a = origin("192.0.2.1");
        let idle = admission.admit(a, at(0)).unwrap().ticket;
        settle(&mut admission, a, at(1)).unwrap();
        let hasty = admission.admit(a, at(2));
        assert_eq!(hasty, Err(TurnedAway::AddressFull), "it may be in its handshake");
        let admitted = admission.admit(a, at(3)).unwrap();
        assert_eq!(admitted.evicted, Some(idle));
        admission.release_newcomer(idle);
        assert_eq!(admission.open(), 2, "its place was taken before it went");
        admission.establish(admitted.ticket);
        assert_eq!(admission.admit(a, at(60)), Err(TurnedAway::AddressFull), "both mine");
    }

    #[test]
    fn when_all_is_full_the_oldest_idle_one_of_anybody_goes() {
        let mut admission = Admission::new(bounds(2, 2));
        let (a, b) = (origin("192.0.2.1"), origin("192.0.2.2"));
        let oldest = admission.admit(a, at(0)).unwrap().ticket;
        admission.admit(a, at(1)).unwrap();
        assert_eq!(admission.admit(b, at(9)).unwrap().evicted, Some(oldest));
    }

    #[test]
    fn an_address_opens_no_more_in_a_while_than_it_may() {
        let rate_per_origin = Rate::new(NonZeroU32::new(1).unwrap(), 2);
        let mut admission = Admission::new(Bounds { rate_per_origin, ..bounds(100, 100) });
        let (a, b) = (origin("192.0.2.1"), origin("192.0.2.2"));
        let mut open = |origin, now| admission.admit(origin, now).map(|_| ());
        for _ in 0..3 {
            assert_eq!(open(a, at(0)), Ok(()));
        }
        assert_eq!(open(a, at(0)), Err(TurnedAway::TooOften));
        assert_eq!(open(b, at(0)), Ok(()), "others are not to blame");
        assert_eq!(open(a, at(1)), Ok(()));
        assert_eq!(open(a, at(1)), Err(TurnedAway::TooOften));
    }

    #[test]
    fn origins_that_are_gone_are_forgotten() {
        let mut admission = Admission::new(bounds(10, 2));
        for n in 0..100_000_u32 {
            let origin = Origin::V4(Ipv4Addr::from(n));
            let ticket = admission.admit(origin, at(n.into())).unwrap().ticket;
            admission.release_newcomer(ticket);
            assert!(admission.origins.len() <= 2 * LEAST_ORIGINS);
        }
    }

    #[test]
    fn a_subscriber_is_an_address_or_a_64_bit_network() {
        assert_eq!(origin("::ffff:192.0.2.1"), origin("192.0.2.1"));
        assert_eq!(origin("2001:db8:1:2::1"), origin("2001:db8:1:2:ffff::"));
        assert_ne!(origin("2001:db8:1:2::1"), origin("2001:db8:1:3::1"));
    }

    proptest! {
        /// Whatever comes and goes, counts are those of the connections that are there.
        #[test]
        fn the_count_is_of_those_who_are_there(
            steps in prop::collection::vec((0_u32..4, 0_usize..3, 0_u64..4), 1..300),
        ) {
            let mut admission = Admission::new(bounds(6, 3));
            let mut there: Vec<(Ticket, Origin, bool)> = Vec::new();
            let mut now = 0;
            for (from, what, wait) in steps {
                now += wait;
                let origin = Origin::V4(Ipv4Addr::from(from));
                match what {
                    0 => if let Ok(Admitted { ticket, evicted }) = admission.admit(origin, at(now)) {
                        there.retain(|(ticket, ..)| Some(*ticket) != evicted);
                        there.push((ticket, origin, false));
                    },
                    1 => if let Some((ticket, _, mines)) = there.iter_mut().find(|one| !one.2) {
                        admission.establish(*ticket);
                        *mines = true;
                    },
                    _ => if !there.is_empty() {
                        let (ticket, origin, mines) = there.remove(0);
                        if mines { admission.release(origin) } else { admission.release_newcomer(ticket) }
                    },
                }
                prop_assert_eq!(admission.open(), there.len());
                prop_assert!(there.len() <= 6);
                for from in 0..4 {
                    let origin = Origin::V4(Ipv4Addr::from(from));
                    let of_origin = there.iter().filter(|one| one.1 == origin).count();
                    prop_assert!(of_origin <= 3);
                    prop_assert_eq!(admission.origins.get(&origin).map_or(0, |one| one.open), of_origin);
                }
            }
        }
    }
}
