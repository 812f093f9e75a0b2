//! A process hands its listening sockets to the next one, so that nobody who connects in between is
//! refused: the successor gets the very sockets, with those who wait in them, and only when it serves
//! does its predecessor begin to end.
//!
//! They meet at a Unix socket, which only the user that runs them may open. The successor says `t`
//! (take); the predecessor sends one message a socket, 128 bytes of label and address with the
//! socket itself beside them, and one of blanks; the successor says `r` (ready) once it serves.

use anyhow::Context as _;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use std::{
    fs, io,
    io::{IoSlice, IoSliceMut},
    mem::MaybeUninit,
    net::SocketAddr,
    os::{
        fd::{AsFd as _, BorrowedFd, OwnedFd},
        unix::fs::PermissionsExt as _,
    },
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, Interest},
    net::{TcpListener, UnixListener, UnixStream},
    time::timeout,
};

/// Bytes of a message: a label, a blank and an address, padded with blanks.
const MESSAGE_BYTES: usize = 128;
/// Most sockets that are handed over.
const MAX_SOCKETS: usize = 64;
/// For each step of the two that needs nothing but their processors.
const STEP: Duration = Duration::from_secs(10);
/// For a successor to serve: it may have to wait for a lane, or for the first template.
const PATIENCE: Duration = Duration::from_secs(600);
const TAKE: u8 = b't';
const READY: u8 = b'r';

/// A socket on which this process listens, as long as somebody holds it.
pub type Listener = Arc<std::net::TcpListener>;

/// What this process listens on, and what it was handed and nobody asked for yet.
#[derive(Debug)]
struct Sockets {
    held: Vec<(String, Weak<std::net::TcpListener>)>,
    inherited: Vec<(String, std::net::TcpListener)>,
}

static SOCKETS: Mutex<Sockets> = Mutex::new(Sockets { held: Vec::new(), inherited: Vec::new() });

fn sockets() -> MutexGuard<'static, Sockets> {
    SOCKETS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Listens at an address, with the predecessor's socket if it had one of this label there. Port 0
/// is a free one, or whichever the predecessor had.
///
/// # Errors
///
/// When the address cannot be had.
pub async fn listen(label: &str, address: SocketAddr) -> io::Result<Listener> {
    if let Some(listener) = inherited(label, address) {
        return Ok(hold(label, listener));
    }
    let listener = TcpListener::bind(address).await?.into_std()?;
    Ok(hold(label, listener))
}

fn inherited(label: &str, wanted: SocketAddr) -> Option<std::net::TcpListener> {
    let mut sockets = sockets();
    let is_it = |address: SocketAddr| {
        address == wanted || wanted.port() == 0 && address.ip() == wanted.ip()
    };
    let place = sockets
        .inherited
        .iter()
        .position(|(known, listener)| known == label && listener.local_addr().is_ok_and(is_it))?;
    Some(sockets.inherited.swap_remove(place).1)
}

fn hold(label: &str, listener: std::net::TcpListener) -> Listener {
    let listener = Arc::new(listener);
    let mut sockets = sockets();
    sockets.held.retain(|(_, held)| held.strong_count() > 0);
    sockets.held.push((label.to_owned(), Arc::downgrade(&listener)));
    listener
}

/// The process that handed its sockets to this one, and waits for it to serve.
#[derive(Debug)]
pub(crate) struct Predecessor(UnixStream);

/// Takes the sockets of the process that waits at `path`; `None` when there is none.
pub(crate) async fn inherit(path: &Path) -> anyhow::Result<Option<Predecessor>> {
    use io::ErrorKind::{ConnectionRefused, NotFound};
    let mut stream = match UnixStream::connect(path).await {
        Ok(stream) => stream,
        // Nobody, or what somebody left who was killed.
        Err(error) if matches!(error.kind(), NotFound | ConnectionRefused) => return Ok(None),
        Err(error) => {
            let text = format!("cannot ask at {} who is to be relieved", path.display());
            return Err(anyhow::Error::new(error).context(text));
        }
    };
    let taken = timeout(STEP, async {
        stream.write_all(&[TAKE]).await?;
        receive_all(&stream).await
    });
    let taken = taken.await.context("the predecessor does not hand over its sockets")?;
    let taken = taken.context("the predecessor's sockets cannot be taken")?;
    tracing::info!(sockets = taken.len(), "takes over from a predecessor");
    sockets().inherited = taken;
    Ok(Some(Predecessor(stream)))
}

impl Predecessor {
    /// Tells it that this process serves, and closes what nobody here wants of its sockets.
    pub(crate) async fn relieve(mut self) -> io::Result<()> {
        sockets().inherited.clear();
        self.0.write_all(&[READY]).await?;
        // It says goodbye by closing its end, when it no longer waits at the path.
        let mut rest = [0];
        drop(timeout(STEP, self.0.read(&mut rest)).await);
        Ok(())
    }
}

/// Waits at `path` for a successor that serves, and hands this process's sockets to it.
#[derive(Debug)]
pub(crate) struct Heir(UnixListener);

impl Heir {
    /// Waits from now on, in the place of whoever waited there before.
    pub(crate) fn wait_at(path: &Path) -> io::Result<Self> {
        let new = path.with_extension(format!("{}.new", std::process::id()));
        drop(fs::remove_file(&new));
        let listener = UnixListener::bind(&new)?;
        fs::set_permissions(&new, fs::Permissions::from_mode(0o600))?;
        fs::rename(&new, path)?;
        Ok(Self(listener))
    }

    /// Until a successor serves. One that fails before changes nothing.
    pub(crate) async fn relieved(&self) {
        loop {
            let handed = match self.0.accept().await {
                Ok((stream, _)) => hand_over(stream).await,
                Err(error) => Err(error),
            };
            match handed {
                Ok(()) => return,
                Err(error) => {
                    tracing::warn!(%error, "a successor did not come to serve");
                    tokio::time::sleep(PAUSE).await; // time itself
                }
            }
        }
    }
}

/// Between two successors that fail.
const PAUSE: Duration = Duration::from_millis(200);

async fn hand_over(mut stream: UnixStream) -> io::Result<()> {
    let ours = rustix::process::geteuid().as_raw();
    if stream.peer_cred()?.uid() != ours {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "another user asks"));
    }
    let late = |_| io::Error::from(io::ErrorKind::TimedOut);
    expect(timeout(STEP, stream.read_u8()).await.map_err(late)??, TAKE)?;
    timeout(STEP, send_all(&stream)).await.map_err(late)??;
    expect(timeout(PATIENCE, stream.read_u8()).await.map_err(late)??, READY)
}

fn expect(said: u8, wanted: u8) -> io::Result<()> {
    if said == wanted { Ok(()) } else { Err(io::ErrorKind::InvalidData.into()) }
}

async fn send_all(stream: &UnixStream) -> io::Result<()> {
    let held: Vec<_> = {
        let sockets = sockets();
        let held = sockets.held.iter();
        held.filter_map(|(label, held)| Some((label.clone(), held.upgrade()?))).collect()
    };
    for (label, listener) in held.iter().take(MAX_SOCKETS) {
        let text = format!("{label} {}", listener.local_addr()?);
        send(stream, &text, &[listener.as_fd()]).await?;
    }
    send(stream, "", &[]).await
}

async fn send(stream: &UnixStream, text: &str, socket: &[BorrowedFd<'_>]) -> io::Result<()> {
    let message = format!("{text:MESSAGE_BYTES$}");
    if message.len() != MESSAGE_BYTES {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the label is too long"));
    }
    let sent = stream.async_io(Interest::WRITABLE, || {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if !socket.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(socket)) {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        let bytes = [IoSlice::new(message.as_bytes())];
        Ok(sendmsg(stream, &bytes, &mut ancillary, SendFlags::NOSIGNAL)?)
    });
    if sent.await? == MESSAGE_BYTES { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
}

async fn receive_all(stream: &UnixStream) -> io::Result<Vec<(String, std::net::TcpListener)>> {
    let mut taken = Vec::new();
    while taken.len() <= MAX_SOCKETS {
        let (text, socket) = receive(stream).await?;
        let Some((label, _)) = text.split_once(' ') else { return Ok(taken) };
        let socket = socket.ok_or(io::ErrorKind::InvalidData)?;
        taken.push((label.to_owned(), std::net::TcpListener::from(socket)));
    }
    Err(io::ErrorKind::InvalidData.into())
}

async fn receive(stream: &UnixStream) -> io::Result<(String, Option<OwnedFd>)> {
    let received = stream.async_io(Interest::READABLE, || {
        let mut message = [0; MESSAGE_BYTES];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::WAITALL;
        let count = {
            let mut bytes = [IoSliceMut::new(&mut message)];
            recvmsg(stream, &mut bytes, &mut ancillary, flags)?.bytes
        };
        let socket = ancillary.drain().find_map(|beside| match beside {
            RecvAncillaryMessage::ScmRights(mut sockets) => sockets.next(),
            RecvAncillaryMessage::ScmCredentials(_) | _ => None,
        });
        if count != MESSAGE_BYTES {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let text = String::from_utf8_lossy(&message);
        Ok((text.trim_end().to_owned(), socket))
    });
    received.await
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;
    use tokio::net::TcpStream;

    /// Both processes are this one: what the predecessor holds is let go before it is asked for.
    #[tokio::test]
    async fn who_waits_in_a_socket_is_served_by_the_successor() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ingress.sock");
        assert!(inherit(&path).await.unwrap().is_none(), "nobody is there yet");
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let old = listen("test-miners", any).await.unwrap();
        let address = old.local_addr().unwrap();
        let heir = Heir::wait_at(&path).unwrap();
        let waiting = TcpStream::connect(address).await.unwrap();
        let successor = async {
            let predecessor = inherit(&path).await.unwrap().expect("somebody waits");
            let new = listen("test-miners", address).await.unwrap();
            let other = listen("test-other", any).await.unwrap();
            assert_ne!(other.local_addr().unwrap(), address, "a label is asked for by its name");
            let next = Heir::wait_at(&path).unwrap();
            predecessor.relieve().await.unwrap();
            assert!(
                timeout(Duration::from_millis(20), next.relieved()).await.is_err(),
                "nobody relieves the successor"
            );
            new
        };
        let ((), new) = tokio::join!(heir.relieved(), successor);
        drop((old, heir));
        let new = TcpListener::from_std(new.try_clone().unwrap()).unwrap();
        let (_, peer) = new.accept().await.unwrap();
        assert_eq!(peer, waiting.local_addr().unwrap());
    }

    #[tokio::test]
    async fn a_successor_that_fails_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ingress.sock");
        let heir = Heir::wait_at(&path).unwrap();
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(async move { heir.relieved().await });
        for said in [&b"t"[..], b"x", b"r", b""] {
            let mut stream = UnixStream::connect(&path).await.unwrap();
            stream.write_all(said).await.unwrap();
            if said == b"t" {
                receive_all(&stream).await.unwrap();
            }
        }
        let predecessor = inherit(&path).await.unwrap().expect("it still waits");
        assert!(tasks.try_join_next().is_none());
        predecessor.relieve().await.unwrap();
        timeout(STEP, tasks.join_next()).await.unwrap().unwrap().unwrap();
    }
}
