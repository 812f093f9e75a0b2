//! One connection of a fleet that speaks in lines: many of them travel in one write.

use std::{
    io::{self, ErrorKind},
    net::{Ipv4Addr, SocketAddr},
};
use tokio::net::TcpStream;

/// Bytes read from the socket at once.
const READ_SIZE: usize = 8_192;
/// Longest line of a pool.
const MAX_LINE: usize = 65_536;
/// What the buffers keep of their memory between uses.
const KEPT_CAPACITY: usize = 512;

pub(super) struct LineLink {
    stream: TcpStream,
    received: Vec<u8>,
    handled: usize,
    unsent: Vec<u8>,
    sent: usize,
}

impl LineLink {
    pub(super) async fn open(address: SocketAddr, from: Option<Ipv4Addr>) -> io::Result<Self> {
        let stream = super::dial(address, from).await?;
        Ok(Self { stream, received: Vec::new(), handled: 0, unsent: Vec::new(), sent: 0 })
    }

    /// Puts a line behind what waits to be sent.
    pub(super) fn say(&mut self, line: &str) {
        self.unsent.extend_from_slice(line.as_bytes());
        self.unsent.push(b'\n');
    }

    /// Waits until there is something to read. May be cancelled.
    pub(super) async fn readable(&self) {
        // A socket that fails is readable: the next read says how.
        drop(self.stream.readable().await);
    }

    /// Waits until something can be sent. May be cancelled.
    pub(super) async fn writable(&self) {
        drop(self.stream.writable().await);
    }

    /// Bytes that wait to be sent.
    pub(super) const fn unsent(&self) -> usize {
        self.unsent.len() - self.sent
    }

    /// Takes what the socket has.
    pub(super) fn receive(&mut self) -> io::Result<()> {
        let mut bytes = [0; READ_SIZE];
        match self.stream.try_read(&mut bytes) {
            Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
            Ok(count) => {
                self.received.extend_from_slice(bytes.get(..count).unwrap_or_default());
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Sends as much as the socket takes now.
    pub(super) fn send(&mut self) -> io::Result<()> {
        while let Some(rest) = self.unsent.get(self.sent..).filter(|rest| !rest.is_empty()) {
            match self.stream.try_write(rest) {
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        self.unsent.clear();
        self.unsent.shrink_to(KEPT_CAPACITY);
        self.sent = 0;
        Ok(())
    }

    /// The next line that has come whole, without its end.
    pub(super) fn next(&mut self) -> io::Result<Option<&[u8]>> {
        let rest = self.received.get(self.handled..).unwrap_or_default();
        let Some(end) = rest.iter().position(|byte| *byte == b'\n') else {
            if rest.len() > MAX_LINE {
                return Err(ErrorKind::InvalidData.into());
            }
            self.received.drain(..self.handled);
            self.received.shrink_to(KEPT_CAPACITY);
            self.handled = 0;
            return Ok(None);
        };
        let from = self.handled;
        self.handled += end + 1;
        Ok(self.received.get(from..from + end))
    }
}
