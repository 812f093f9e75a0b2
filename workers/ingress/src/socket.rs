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
pub enum Reading {
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

/// A stream and its two buffers.
#[derive(Debug)]
pub struct Socket<S> {
    stream: S,
    received: Vec<u8>,
    /// Bytes of `received` that were handled.
    handled: usize,
    unsent: Vec<u8>,
    /// Bytes of `unsent` that the socket has taken.
    sent: usize,
    /// Whether what encrypts holds some of them back.
    held_back: bool,
    /// Since when the peer has taken nothing of what waits.
    unread_since: Option<Duration>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Socket<S> {
    /// A socket from which nothing has come.
    pub const fn new(stream: S) -> Self {
        Self {
            stream,
            received: Vec::new(),
            handled: 0,
            unsent: Vec::new(),
            sent: 0,
            held_back: false,
            unread_since: None,
        }
    }

    /// Waits until something was read, if that is wanted, or some of what waits was sent. May be
    /// cancelled; then nothing is lost.
    ///
    /// # Errors
    ///
    /// When the connection is over.
    pub async fn ready(&mut self, reading: Reading) -> Result<(), Lost> {
        poll_fn(|context| {
            if self.has_unsent()
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
                Poll::Pending => break,
            }
        }
        let flushed = Pin::new(&mut self.stream).poll_flush(context)?;
        let was_held_back = std::mem::replace(&mut self.held_back, flushed.is_pending());
        if self.sent > before || was_held_back && flushed.is_ready() {
            return Poll::Ready(Ok(()));
        }
        Poll::Pending
    }

    /// Sends as much as the socket takes now.
    ///
    /// # Errors
    ///
    /// When the connection is over.
    pub fn send(&mut self, now: Duration) -> Result<(), Lost> {
        if self.has_unsent() {
            // Who waits for the rest is woken by [`Socket::ready`].
            poll_fn(|context| self.poll_send(context)).now_or_never().transpose()?;
        }
        self.note_progress(now);
        Ok(())
    }

    /// Bytes that came and were not handled yet.
    pub fn received(&mut self) -> &mut [u8] {
        self.received.get_mut(self.handled..).unwrap_or_default()
    }

    /// So many of them are handled.
    pub const fn handled(&mut self, bytes: usize) {
        self.handled += bytes;
    }

    /// All that has come whole is handled: forgets it.
    pub fn settle(&mut self) {
        self.received.drain(..self.handled);
        self.handled = 0;
        release(&mut self.received);
    }

    /// Where to put what is to be sent, behind what waits.
    pub const fn outgoing(&mut self) -> &mut Vec<u8> {
        &mut self.unsent
    }

    /// Bytes that wait to be sent.
    pub const fn unsent(&self) -> usize {
        self.unsent.len() - self.sent
    }

    /// Whether anything waits to be sent.
    const fn has_unsent(&self) -> bool {
        self.unsent() > 0 || self.held_back
    }

    /// Since when the peer has taken nothing of what waits; `None` when nothing waits.
    pub const fn unread_since(&self) -> Option<Duration> {
        self.unread_since
    }

    /// Lets the peer read to the end: a socket that is closed with unread bytes in it takes back
    /// what was sent last. Waits until the peer has closed too, but not for long.
    pub async fn linger(mut self) {
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
        if !self.has_unsent() {
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    };
    use tokio::io::DuplexStream;

    /// Takes all that it is given, and passes it on only when it is let: like what encrypts.
    struct Holding {
        inner: DuplexStream,
        held: Vec<u8>,
        lets: Arc<AtomicBool>,
    }

    impl AsyncRead for Holding {
        fn poll_read(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
            bytes: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            Pin::new(&mut self.inner).poll_read(context, bytes)
        }
    }

    impl AsyncWrite for Holding {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.held.extend_from_slice(bytes);
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
            if !self.lets.load(Ordering::SeqCst) {
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            let held = std::mem::take(&mut self.held);
            if held.is_empty() {
                return Poll::Ready(Ok(()));
            }
            Pin::new(&mut self.inner).poll_write(context, &held).map_ok(|_| ())
        }

        fn poll_shutdown(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
        ) -> Poll<io::Result<()>> {
            Pin::new(&mut self.inner).poll_shutdown(context)
        }
    }

    #[tokio::test]
    async fn what_is_held_back_still_waits_to_be_sent() {
        let (inner, mut peer) = tokio::io::duplex(64);
        let lets = Arc::new(AtomicBool::new(false));
        let mut socket = Socket::new(Holding { inner, held: Vec::new(), lets: Arc::clone(&lets) });
        socket.outgoing().extend_from_slice(b"words");
        socket.send(Duration::from_secs(1)).unwrap();
        assert_eq!(socket.unread_since(), Some(Duration::from_secs(1)), "nobody has read it");
        lets.store(true, Ordering::SeqCst);
        socket.ready(Reading::Held).await.unwrap();
        socket.send(Duration::from_secs(2)).unwrap();
        assert_eq!(socket.unread_since(), None);
        let mut read = [0; 5];
        peer.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"words");
    }
}
