//! A socket with its buffers: bytes that came and were not understood yet, and bytes that wait for
//! the peer to take them.

use futures_util::FutureExt as _;
use std::{
    future::poll_fn,
    io::{self, ErrorKind},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf},
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
pub(crate) enum Reading {
    /// It may.
    Wanted,
    /// Not yet: what it sent before waits for room.
    Held,
}

/// The connection is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// The peer closed it.
    Left,
    /// It failed.
    Failed,
}

impl From<io::Error> for Lost {
    fn from(error: io::Error) -> Self {
        let left = [ErrorKind::UnexpectedEof, ErrorKind::ConnectionReset, ErrorKind::BrokenPipe];
        if left.contains(&error.kind()) { Self::Left } else { Self::Failed }
    }
}

#[derive(Debug)]
pub(crate) struct Socket<S> {
    stream: S,
    received: Vec<u8>,
    /// Bytes of `received` that were handled.
    handled: usize,
    unsent: Vec<u8>,
    /// Bytes of `unsent` that the socket has taken.
    sent: usize,
    /// Since when the peer has taken nothing of what waits.
    unread_since: Option<Duration>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Socket<S> {
    pub(crate) const fn new(stream: S) -> Self {
        Self {
            stream,
            received: Vec::new(),
            handled: 0,
            unsent: Vec::new(),
            sent: 0,
            unread_since: None,
        }
    }

    /// Waits until something was read, if that is wanted, or some of what waits was sent. May be
    /// cancelled; then nothing is lost.
    pub(crate) async fn ready(&mut self, reading: Reading) -> Result<(), Lost> {
        poll_fn(|context| {
            if self.unsent() > 0
                && let Poll::Ready(sent) = self.poll_send(context)
            {
                return Poll::Ready(sent);
            }
            match reading {
                Reading::Wanted => self.poll_receive(context),
                Reading::Held => Poll::Pending,
            }
        })
        .await
    }

    /// Takes what the socket has, at most [`READ_SIZE`] bytes. Unlike a wait and a read, this knows
    /// after a short read that there is no more, and does not ask the socket again.
    fn poll_receive(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Lost>> {
        let mut bytes = [0; READ_SIZE];
        let mut taken = ReadBuf::new(&mut bytes);
        ready!(Pin::new(&mut self.stream).poll_read(context, &mut taken))?;
        if taken.filled().is_empty() {
            return Poll::Ready(Err(Lost::Left));
        }
        self.received.extend_from_slice(taken.filled());
        Poll::Ready(Ok(()))
    }

    /// Sends as much as the socket takes; ready when that is something.
    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Lost>> {
        let before = self.sent;
        while let Some(rest) = self.unsent.get(self.sent..).filter(|rest| !rest.is_empty()) {
            match Pin::new(&mut self.stream).poll_write(context, rest) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(Lost::Left)),
                Poll::Ready(Ok(count)) => self.sent += count,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error.into())),
                Poll::Pending if self.sent > before => break,
                Poll::Pending => return Poll::Pending,
            }
        }
        // What encrypts may hold something back; it goes with what follows.
        if let Poll::Ready(Err(error)) = Pin::new(&mut self.stream).poll_flush(context) {
            return Poll::Ready(Err(error.into()));
        }
        Poll::Ready(Ok(()))
    }

    /// Sends as much as the socket takes now.
    pub(crate) fn send(&mut self, now: Duration) -> Result<(), Lost> {
        if self.unsent() > 0 {
            // Who waits for the rest is woken by [`Socket::ready`].
            poll_fn(|context| self.poll_send(context)).now_or_never().transpose()?;
        }
        self.note_progress(now);
        Ok(())
    }

    /// Bytes that came and were not handled yet.
    pub(crate) fn received(&mut self) -> &mut [u8] {
        self.received.get_mut(self.handled..).unwrap_or_default()
    }

    /// So many of them are handled.
    pub(crate) const fn handled(&mut self, bytes: usize) {
        self.handled += bytes;
    }

    /// All that has come whole is handled: forgets it.
    pub(crate) fn settle(&mut self) {
        self.received.drain(..self.handled);
        self.handled = 0;
        release(&mut self.received);
    }

    /// Where to put what is to be sent, behind what waits.
    pub(crate) const fn outgoing(&mut self) -> &mut Vec<u8> {
        &mut self.unsent
    }

    /// Bytes that wait to be sent.
    pub(crate) const fn unsent(&self) -> usize {
        self.unsent.len() - self.sent
    }

    /// Since when the peer has taken nothing of what waits; `None` when nothing waits.
    pub(crate) const fn unread_since(&self) -> Option<Duration> {
        self.unread_since
    }

    /// Lets the peer read to the end: a socket that is closed with unread bytes in it takes back
    /// what was sent last. Waits until the peer has closed too, but not for long.
    pub(crate) async fn linger(mut self) {
        let farewell = async {
            let mut ignored = [0; READ_SIZE];
            self.stream.shutdown().await?;
            while self.stream.read(&mut ignored).await? > 0 {}
            io::Result::Ok(())
        };
        // How it ends makes no difference any more.
        drop(timeout(LINGER, farewell).await);
    }

    fn note_progress(&mut self, now: Duration) {
        if self.unsent() == 0 {
            self.unsent.clear();
            self.sent = 0;
            release(&mut self.unsent);
            self.unread_since = None;
        } else if self.sent > 0 || self.unread_since.is_none() {
            self.unsent.drain(..self.sent);
            self.sent = 0;
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
