//! The addresses where miners connect. Several ingresses of one process may have one address: what
//! a miner speaks is told by its first bytes, and who does not speak it hands the connection on.

use crate::domain::admission::TurnedAway;
use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
};
use worker_runtime::handover::{self, Listener};

/// What a miner speaks, by its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Speaks {
    /// Stratum V2: the first act of a Noise handshake, which looks like chance.
    Noise,
    /// Stratum V1: lines of text.
    Lines,
    /// Stratum V1 over TLS: a `ClientHello`.
    Tls,
}

/// Bytes that tell what a miner speaks: chance makes so many printable ones once in 10^6 times.
const ENOUGH: usize = 16;
/// Bytes of a TLS record that tell it: a handshake of version 3.x that is a `ClientHello`.
const CLIENT_HELLO: usize = 6;

impl Speaks {
    /// What begins so; `None` when more must come first.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [0x16, 0x03, 0..=4, _, _, 0x01, ..] => Some(Self::Tls),
            [0x16, ..] if bytes.len() < CLIENT_HELLO => None,
            _ if !bytes.iter().take(ENOUGH).all(is_text) => Some(Self::Noise),
            _ if bytes.len() >= ENOUGH => Some(Self::Lines),
            _ => None,
        }
    }

    /// What that is after which nothing came for a while: a short line, or nothing yet. A handshake
    /// comes whole.
    fn of_a_pause(bytes: &[u8]) -> Option<Self> {
        (bytes.iter().all(is_text) && bytes.contains(&b'\n')).then_some(Self::Lines)
    }
}

const fn is_text(byte: &u8) -> bool {
    matches!(byte, b' '..=b'~' | b'\t' | b'\r' | b'\n')
}

/// Pauses between two looks at bytes that do not tell yet.
const PAUSES: [Duration; 2] = [Duration::from_millis(5), Duration::from_millis(500)];

/// Waits until the first bytes tell what a miner speaks, and leaves them where they are; `None`
/// when the connection ends before.
pub(crate) async fn listen_to(stream: &TcpStream) -> io::Result<Option<Speaks>> {
    let mut first = [0; ENOUGH];
    let [mut pause, longest] = PAUSES;
    let mut before = 0;
    loop {
        let count = stream.peek(&mut first).await?;
        let bytes = first.get(..count).unwrap_or_default();
        let paused = count == before;
        if count == 0 {
            return Ok(None);
        }
        let speaks = Speaks::of(bytes);
        if let Some(speaks) = speaks.or_else(|| Speaks::of_a_pause(bytes).filter(|_| paused)) {
            return Ok(Some(speaks));
        }
        before = count;
        // What came is still there: a socket does not say when there is more of it.
        tokio::time::sleep(pause).await; // polls
        pause = pause.saturating_mul(2).min(longest);
    }
}

/// A connection that came.
#[derive(Debug)]
pub(crate) struct Guest {
    pub(crate) stream: TcpStream,
    pub(crate) peer: SocketAddr,
    pub(crate) known: Known,
}

/// What is known of a connection's peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    /// The address that it connected from, which may be a proxy's.
    Address,
    /// Who it is: another ingress has looked, or its proxy has said so.
    Miner,
}

impl Guest {
    /// One that the kernel brought.
    pub(crate) const fn new(stream: TcpStream, peer: SocketAddr) -> Self {
        Self { stream, peer, known: Known::Address }
    }

    /// One whose peer is known.
    pub(crate) const fn introduced(stream: TcpStream, peer: SocketAddr) -> Self {
        Self { stream, peer, known: Known::Miner }
    }
}

/// Guests that may wait for an ingress: a reconnect storm.
const MAX_GUESTS: usize = 1_024;

/// What a process hands its miners' sockets over as.
const LABEL: &str = "miners";

/// An address of this process.
#[derive(Debug)]
pub(crate) struct Door {
    listener: Listener,
    takers: Mutex<Vec<(&'static [Speaks], mpsc::Sender<Guest>)>>,
}

/// The doors of this process that are open.
static DOORS: tokio::sync::Mutex<BTreeMap<SocketAddr, Weak<Door>>> =
    tokio::sync::Mutex::const_new(BTreeMap::new());

impl Door {
    /// Opens an address, or joins those for whom it is open already. Port 0 is a free one each time.
    pub(crate) async fn open(address: SocketAddr) -> io::Result<Arc<Self>> {
        let mut doors = DOORS.lock().await;
        if let Some(door) = doors.get(&address).and_then(Weak::upgrade) {
            return Ok(door);
        }
        let listener = handover::listen(LABEL, address).await?;
        let door = Arc::new(Self { listener, takers: Mutex::default() });
        if address.port() != 0 {
            doors.insert(address, Arc::downgrade(&door));
        }
        Ok(door)
    }

    /// A listener of one's own: whoever is awake first gets a connection.
    pub(crate) fn listener(&self) -> io::Result<TcpListener> {
        TcpListener::from_std(self.listener.try_clone()?)
    }

    /// Where it is open.
    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// From now on takes guests who speak so.
    pub(crate) fn join(&self, speaks: &'static [Speaks]) -> mpsc::Receiver<Guest> {
        let (sender, receiver) = mpsc::channel(MAX_GUESTS);
        let mut takers = self.lock();
        takers.retain(|(_, taker)| !taker.is_closed());
        takers.push((speaks, sender));
        receiver
    }

    /// Hands a connection on.
    ///
    /// # Errors
    ///
    /// When nobody speaks so, or whoever does has not taken up those who came before.
    pub(crate) fn hand_on(&self, speaks: Speaks, guest: Guest) -> Result<(), TurnedAway> {
        let takers = self.lock();
        let taker =
            takers.iter().find(|(known, taker)| known.contains(&speaks) && !taker.is_closed());
        let (_, taker) = taker.ok_or(TurnedAway::OtherProtocol)?;
        let guest = Guest::introduced(guest.stream, guest.peer);
        taker.try_send(guest).map_err(|_| TurnedAway::NotReady)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(&'static [Speaks], mpsc::Sender<Guest>)>> {
        self.takers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng, rngs::StdRng};

    #[test]
    fn first_bytes_tell_what_a_miner_speaks() {
        let hello = [0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3, 0xff, 0, 1, 2, 3];
        assert_eq!(Speaks::of(&hello), Some(Speaks::Tls));
        assert_eq!(Speaks::of(&hello[..6]), Some(Speaks::Tls));
        assert_eq!(Speaks::of(br#"{"id":1,"method":"mining.subscribe""#), Some(Speaks::Lines));
        assert_eq!(Speaks::of(b"\r\n\n{\"id\":1,\"method\":"), Some(Speaks::Lines));
        assert_eq!(Speaks::of(b"GET / HTTP/1.1\r\n"), Some(Speaks::Lines));
        assert_eq!(Speaks::of(&[0x7b, 0x93, 0, 1]), Some(Speaks::Noise));
        assert_eq!(Speaks::of(&[0x16, 0x93, 0, 1, 2, 3]), Some(Speaks::Noise));
        for short in [&b""[..], b"{", b"{}\n", b"{\"id\":1", &[0x16], &[0x16, 3, 1, 2, 0]] {
            assert_eq!(Speaks::of(short), None, "{short:?}");
        }
        assert_eq!(Speaks::of_a_pause(b"{}\n"), Some(Speaks::Lines));
        assert_eq!(Speaks::of_a_pause(b"{"), None);
    }

    #[test]
    fn noise_is_not_taken_for_anything_else() {
        let mut chance = StdRng::seed_from_u64(7);
        for _ in 0..100_000 {
            let act: [u8; ENOUGH] = chance.r#gen();
            assert_eq!(Speaks::of(&act), Some(Speaks::Noise), "{act:?}");
        }
    }
}
