//! What a peer said first, for when it turns out to be somebody else.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, ReadBuf};

/// Bytes that are kept: enough to know any protocol by.
const KEPT: usize = 64;

/// A reader whose first bytes are kept.
#[derive(Debug)]
pub(crate) struct Tee<R> {
    reader: R,
    said: Said,
}

/// The first bytes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Said(Arc<Mutex<Vec<u8>>>);

impl Said {
    /// What was read so far.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn keep(&self, bytes: &[u8]) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let room = KEPT.saturating_sub(kept.len());
        kept.extend(bytes.iter().take(room));
    }
}

impl<R> Tee<R> {
    pub(crate) fn new(reader: R) -> (Self, Said) {
        let said = Said::default();
        (Self { reader, said: said.clone() }, said)
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for Tee<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.reader).poll_read(context, buffer))?;
        if let Some(new) = buffer.filled().get(before..) {
            self.said.keep(new);
        }
        Poll::Ready(Ok(()))
    }
}
