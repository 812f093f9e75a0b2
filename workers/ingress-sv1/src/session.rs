//! Connections: lines over a socket, plain or with TLS.

use crate::domain::{
    closing::{Closing, Fault},
    connection::{Connection, Extranonce1, Extranonce2, Offer, Outbox},
};
use ingress::{
    Client, Lost, Protocol, Shared, Visit,
    domain::{
        Moment,
        admission::network_class,
        closing::Leaving,
        desk::{Desk, Tidings},
        selection::Work,
    },
    door::Speaks,
    session::{self, Serving},
};
use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};
use subjects::Exponent;
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::either::Either;

/// Stratum V1.
#[derive(Clone)]
pub struct StratumV1 {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Where rented hashrate comes, and the easiest target there.
    pub rented: Option<(SocketAddr, Exponent)>,
    /// What miners are told.
    pub extranonce1: Extranonce1,
    /// What miners roll.
    pub extranonce2: Extranonce2,
    /// Who answers TLS handshakes.
    pub tls: Option<TlsAcceptor>,
}

impl std::fmt::Debug for StratumV1 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StratumV1").field("listen", &self.listen).finish_non_exhaustive()
    }
}

/// A port of the ingress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    /// For everybody.
    Open,
    /// For rented hashrate: nothing easy.
    Rented(Exponent),
}

impl Protocol for StratumV1 {
    const SPEAKS: &'static [Speaks] = &[Speaks::Lines, Speaks::Tls];

    type Port = Port;

    fn ports(&self) -> Vec<(Port, SocketAddr)> {
        let rented = self.rented.map(|(address, floor)| (Port::Rented(floor), address));
        [(Port::Open, self.listen)].into_iter().chain(rented).collect()
    }

    fn urls(&self, port: Port, address: SocketAddr) -> Vec<(&'static str, String)> {
        let (plain, tls) = match port {
            Port::Open => ("miners.sv1", "miners.sv1_tls"),
            Port::Rented(_) => ("miners.sv1_rented", "miners.sv1_rented_tls"),
        };
        let tls = self.tls.is_some().then(|| (tls, format!("stratum+ssl://{address}")));
        [(plain, format!("stratum+tcp://{address}"))].into_iter().chain(tls).collect()
    }

    async fn begin(
        self: Arc<Self>,
        visit: Visit<Port>,
        stream: TcpStream,
        shared: Arc<Shared>,
    ) -> Option<Serving> {
        let floor = match visit.port {
            Port::Open => Exponent::MIN,
            Port::Rented(floor) => floor,
        };
        let offer = Offer { extranonce1: self.extranonce1, extranonce2: self.extranonce2, floor };
        // Boxed: what a handshake needs would otherwise be part of every connection's task.
        let Visit { peer, speaks, place, .. } = visit;
        let tls = self.tls.as_ref();
        let handshake = Box::pin(shake_hands(stream, (peer, speaks), tls, offer, &shared));
        session::begin(Arc::clone(&shared), place, handshake).await
    }
}

/// A socket without or with TLS, whose state is boxed: few miners have it.
type Stream = Either<TcpStream, Box<TlsStream<TcpStream>>>;

/// Answers a TLS handshake, if the miner begins one.
async fn shake_hands(
    stream: TcpStream,
    (peer, speaks): (IpAddr, Speaks),
    tls: Option<&TlsAcceptor>,
    offer: Offer,
    shared: &Shared,
) -> Result<(Stream, Box<Miner>), Closing> {
    stream.set_nodelay(true).map_err(Lost::from)?;
    let stream = if speaks == Speaks::Tls {
        let acceptor = tls.ok_or(Fault::NoTls)?;
        // Boxed: its buffers would otherwise be part of every connection's task.
        let accepted = Box::pin(acceptor.accept(stream)).await;
        Either::Right(Box::new(accepted.map_err(|_| Fault::Tls)?))
    } else {
        Either::Left(stream)
    };
    let rules = shared.rules.load_full();
    let work = Arc::clone(&shared.work.borrow());
    let connection = Connection::new(rules, offer, network_class(peer), work, shared.moment());
    Ok((stream, Box::new(Miner { connection, out: Outbox::default() })))
}

/// Longest line that a miner may send, in bytes.
const MAX_LINE: usize = 4_096;

/// A miner and what it is told.
struct Miner {
    connection: Connection,
    out: Outbox,
}

impl Client for Miner {
    type Fault = Fault;

    fn read(
        &mut self,
        received: &mut [u8],
        moment: Moment,
        desk: &mut impl Desk,
    ) -> Result<Option<usize>, Closing> {
        let end = received.iter().take(MAX_LINE).position(|byte| *byte == b'\n');
        let Some((line, _)) = end.and_then(|end| received.split_at_checked(end)) else {
            let whole = received.len() < MAX_LINE;
            return if whole { Ok(None) } else { Err(Fault::LineTooLong.into()) };
        };
        let taken = line.len() + 1;
        let line = line.trim_ascii();
        if !line.is_empty() {
            self.connection.receive(
                stratum_v1::read(line).map_err(Fault::from)?,
                moment,
                desk,
                &mut self.out,
            )?;
        }
        Ok(Some(taken))
    }

    fn write(&mut self, unsent: &mut Vec<u8>) -> Result<(), Closing> {
        if !self.out.lines.is_empty() {
            unsent.extend_from_slice(self.out.lines.as_bytes());
            self.out.lines.clear();
        }
        Ok(())
    }

    fn tidings(&mut self) -> &mut Tidings {
        &mut self.out.tidings
    }

    fn wants_input(&self) -> bool {
        self.connection.wants_input()
    }

    fn is_stalled(&self) -> bool {
        self.connection.is_stalled()
    }

    fn unacknowledged(&self) -> usize {
        self.connection.unacknowledged()
    }

    fn channels(&self) -> usize {
        self.connection.channels()
    }

    fn rtt_ms(&self) -> Option<u32> {
        self.connection.rtt_ms()
    }

    fn deadline(&self) -> Option<Duration> {
        self.connection.deadline()
    }

    fn tick(&mut self, moment: Moment) -> Result<(), Closing> {
        self.connection.tick(moment, &mut self.out)
    }

    fn follow(&mut self, work: Arc<Work>, moment: Moment) {
        self.connection.follow(work, moment, &mut self.out);
    }

    fn stored(&mut self, count: usize) {
        self.connection.stored(count, &mut self.out);
    }

    fn resume(&mut self, desk: &mut impl Desk) {
        self.connection.resume(desk, &mut self.out);
    }

    fn farewell(&mut self, leaving: Leaving) {
        self.connection.farewell(leaving, &mut self.out);
    }

    fn end(&mut self, closing: Closing, moment: Moment, desk: &mut impl Desk) {
        self.connection.end(closing, moment, desk, &mut self.out);
    }
}
