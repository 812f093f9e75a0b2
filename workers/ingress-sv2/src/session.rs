//! Connections: a Noise handshake, and frames behind it.

use crate::{
    domain::{
        closing::{Closing, Fault},
        connection::{Connection, Outbox},
    },
    noise::{Authority, FIRST_ACT_LENGTH, Frame, Opener, Sealer},
    wire,
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
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// Stratum V2 over Noise.
#[derive(Clone, Debug)]
pub struct StratumV2 {
    /// Where it listens.
    pub listen: SocketAddr,
    /// The key that miners are met with.
    pub authority: Authority,
}

impl Protocol for StratumV2 {
    const SPEAKS: &'static [Speaks] = &[Speaks::Noise];

    type Port = ();

    fn ports(&self) -> Vec<((), SocketAddr)> {
        vec![((), self.listen)]
    }

    fn urls(&self, (): (), address: SocketAddr) -> Vec<(&'static str, String)> {
        vec![("miners.sv2", format!("stratum2+tcp://{address}/{}", self.authority.public()))]
    }

    async fn begin(
        self: Arc<Self>,
        visit: Visit<()>,
        stream: TcpStream,
        shared: Arc<Shared>,
    ) -> Option<Serving> {
        // Boxed: what a handshake needs would otherwise be part of every connection's task.
        let handshake = Box::pin(shake_hands(stream, visit.peer, &self.authority, &shared));
        session::begin(Arc::clone(&shared), visit.place, handshake).await
    }
}

/// Answers a Noise handshake.
async fn shake_hands(
    mut stream: TcpStream,
    peer: IpAddr,
    authority: &Authority,
    shared: &Shared,
) -> Result<(TcpStream, Box<Miner>), Closing> {
    stream.set_nodelay(true).map_err(Lost::from)?;
    let now = shared.clock.now().0 / 1_000;
    let mut first_act = [0; FIRST_ACT_LENGTH];
    stream.read_exact(&mut first_act).await.map_err(Lost::from)?;
    let (second_act, sealer, opener) = {
        let _turn = shared.handshake_turn().await;
        authority.accept(first_act, now)?
    };
    stream.write_all(&second_act).await.map_err(Lost::from)?;
    let rules = shared.rules.load_full();
    let work = Arc::clone(&shared.work.borrow());
    let connection = Connection::new(rules, network_class(peer), work, shared.moment());
    let miner = Miner { connection, sealer, opener, out: Outbox::default() };
    Ok((stream, Box::new(miner)))
}

/// A miner behind its Noise session.
struct Miner {
    connection: Connection,
    sealer: Sealer,
    opener: Opener,
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
        let Some(Frame { header, payload, taken }) = self.opener.open(received)? else {
            return Ok(None);
        };
        let message = wire::read(header, payload)?;
        self.connection.receive(message, moment, desk, &mut self.out)?;
        Ok(Some(taken))
    }

    fn write(&mut self, unsent: &mut Vec<u8>) -> Result<(), Closing> {
        for frame in self.out.frames.iter() {
            self.sealer.seal(frame, unsent)?;
        }
        self.out.frames.clear();
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
