//! A socket with its Noise session: bytes that came and were not understood yet, and bytes that
//! wait for the peer to take them.

use crate::{
    domain::closing::Closing,
    noise::{Authority, FIRST_ACT_LENGTH, Frame, NoiseFault, Opener, Sealer},
};
use std::{
    future::poll_fn,
    io::ErrorKind,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};
use stratum_core::framing_sv2::header::Header;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf},
    net::TcpStream,
    time::timeout,
};

/// Bytes read from the socket at once: some fifty shares.
const READ_SIZE: usize = 4_096;
/// How long a peer has to read our last words.
const LINGER: Duration = Duration::from_millis(500);
/// What the buffers keep of their memory between uses.
const KEPT_CAPACITY: usize = 512;

/// Whether a connection may be read now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// It may.
    Wanted,
    /// Not yet: what it sent before waits for room.
    Held,
}

/// What a socket is ready for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ready {
    /// It takes more of what waits.
    Writable,
    /// Bytes came, or no more will.
    Received(Result<(), Closing>),
}

#[derive(Debug)]
pub(super) struct Link {
    stream: TcpStream,
    sealer: Sealer,
    opener: Opener,
    received: Vec<u8>,
    /// Bytes of `received` that were handled.
    handled: usize,
    unsent: Vec<u8>,
    /// Bytes of `unsent` that the socket has taken.
    sent: usize,
    /// Since when the peer has taken nothing of what waits.
    unread_since: Option<Duration>,
}

impl Link {
    /// Answers a handshake at `now`, in seconds since 1970.
    pub(super) async fn accept(
        mut stream: TcpStream,
        authority: &Authority,
        now: u64,
    ) -> Result<Self, Closing> {
        let mut first_act = [0; FIRST_ACT_LENGTH];
        stream.read_exact(&mut first_act).await.map_err(|error| failed(error.kind()))?;
        let (second_act, sealer, opener) = authority.accept(first_act, now)?;
        stream.write_all(&second_act).await.map_err(|error| failed(error.kind()))?;
        Ok(Self {
            stream,
            sealer,
            opener,
            received: Vec::new(),
            handled: 0,
            unsent: Vec::new(),
            sent: 0,
            unread_since: None,
        })
    }

    /// Waits until something was read, if that is wanted, or until what waits can be sent. May be
    /// cancelled; then nothing is lost.
    pub(super) async fn ready(&mut self, reading: Reading) -> Ready {
        poll_fn(|context| {
            // A socket that fails is ready: the next call says how.
            if self.unsent() > 0 && self.stream.poll_write_ready(context).is_ready() {
                return Poll::Ready(Ready::Writable);
            }
            match reading {
                Reading::Wanted => self.poll_receive(context).map(Ready::Received),
                Reading::Held => Poll::Pending,
            }
        })
        .await
    }

    /// Takes what the socket has, at most [`READ_SIZE`] bytes. Unlike a wait and a read, this knows
    /// after a short read that there is no more, and does not ask the socket again.
    fn poll_receive(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Closing>> {
        let mut bytes = [0; READ_SIZE];
        let mut taken = ReadBuf::new(&mut bytes);
        let read = ready!(Pin::new(&mut self.stream).poll_read(context, &mut taken));
        Poll::Ready(match read {
            Ok(()) if taken.filled().is_empty() => Err(Closing::Left),
            Ok(()) => {
                self.received.extend_from_slice(taken.filled());
                Ok(())
            }
            Err(error) => Err(failed(error.kind())),
        })
    }

    /// Opens the next frame and hands it to `handle`; `false` when it has not all come.
    pub(super) fn next_frame(
        &mut self,
        handle: impl FnOnce(Header, &mut [u8]) -> Result<(), Closing>,
    ) -> Result<bool, Closing> {
        let rest = self.received.get_mut(self.handled..).unwrap_or_default();
        let Some(Frame { header, payload, taken }) = self.opener.open(rest)? else {
            self.received.drain(..self.handled);
            self.handled = 0;
            release(&mut self.received);
            return Ok(false);
        };
        self.handled += taken;
        handle(header, payload)?;
        Ok(true)
    }

    /// Seals a plain frame behind what waits to be sent.
    pub(super) fn seal(&mut self, frame: &[u8]) -> Result<(), NoiseFault> {
        self.sealer.seal(frame, &mut self.unsent)
    }

    /// Bytes that wait to be sent.
    pub(super) const fn unsent(&self) -> usize {
        self.unsent.len() - self.sent
    }

    /// Since when the peer has taken nothing of what waits; `None` when nothing waits.
    pub(super) const fn unread_since(&self) -> Option<Duration> {
        self.unread_since
    }

    /// Sends as much as the socket takes now.
    pub(super) fn send(&mut self, now: Duration) -> Result<(), Closing> {
        let before = self.sent;
        while let Some(rest) = self.unsent.get(self.sent..).filter(|rest| !rest.is_empty()) {
            match self.stream.try_write(rest) {
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(failed(error.kind())),
            }
        }
        self.note_progress(self.sent > before, now);
        Ok(())
    }

    /// Lets the peer read to the end: a socket that is closed with unread bytes in it takes back
    /// what was sent last. Waits until the peer has closed too, but not for long.
    pub(super) async fn linger(mut self) {
        let farewell = async {
            let mut ignored = [0; READ_SIZE];
            self.stream.shutdown().await?;
            while self.stream.read(&mut ignored).await? > 0 {}
            std::io::Result::Ok(())
        };
        // How it ends makes no difference any more.
        drop(timeout(LINGER, farewell).await);
    }

    fn note_progress(&mut self, progress: bool, now: Duration) {
        if self.unsent() == 0 {
            self.unsent.clear();
            self.sent = 0;
            release(&mut self.unsent);
            self.unread_since = None;
        } else if progress || self.unread_since.is_none() {
            self.unread_since = Some(now);
        }
    }
}

/// Gives memory back that an unusual burst needed.
fn release(buffer: &mut Vec<u8>) {
    if buffer.is_empty() {
        buffer.shrink_to(KEPT_CAPACITY);
    }
}

fn failed(kind: ErrorKind) -> Closing {
    let left = [ErrorKind::UnexpectedEof, ErrorKind::ConnectionReset, ErrorKind::BrokenPipe];
    if left.contains(&kind) { Closing::Left } else { Closing::Socket }
}
