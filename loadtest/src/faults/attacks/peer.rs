//! An attacker's connections.

use super::super::{
    honest::NAT,
    outpost::IDENTITY,
    siege::{Aim, Counts},
};
use crate::fleet::{dial, link::Link, miner::set_up};
use anyhow::Context as _;
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use std::{net::Ipv4Addr, time::Duration};
use stratum_v2::client::ClientError;
use subjects::shares::JobKind;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
    time::{sleep, timeout},
};

/// Addresses that attackers come from, besides that of honest miners: 127.0.0.2 and on.
const ADDRESSES: u8 = 8;
/// Before a peer that was shown the door connects again.
const PAUSE: Duration = Duration::from_millis(200);
/// Within which a crowd comes that is no flood.
pub(super) const ONE_BY_ONE: Duration = Duration::from_secs(2);
/// How long a connection or a handshake may take.
const PATIENCE: Duration = Duration::from_secs(5);

impl Aim {
    /// The chances of the `number`th peer.
    pub(super) fn chance(&self, number: usize) -> StdRng {
        StdRng::seed_from_u64(self.seed ^ u64::try_from(number).unwrap_or(0))
    }

    /// Where the `number`th peer comes from: each third one from where honest miners do.
    pub(super) fn source(number: usize) -> Ipv4Addr {
        let other = u8::try_from(number.div_euclid(3) % usize::from(ADDRESSES)).unwrap_or(0);
        if number.is_multiple_of(3) { NAT } else { Ipv4Addr::new(127, 0, 0, 2 + other) }
    }

    /// Connects; nothing when it is not taken.
    pub(super) async fn connect(&self, number: usize) -> Option<TcpStream> {
        let dialled = timeout(PATIENCE, dial(self.address, Some(Self::source(number)))).await;
        let stream = dialled.ok().and_then(Result::ok);
        let count = if stream.is_some() { &self.counts.connected } else { &self.counts.refused };
        Counts::add(count, 1);
        stream
    }

    /// Connects on Stratum V2 up to `SetupConnection`; nothing when it is not taken.
    pub(super) async fn guest(&self, number: usize) -> Option<Link> {
        let key = self.endpoint.authority.to_bytes();
        let open = async {
            let mut link = Link::open(self.address, Some(Self::source(number)), key).await?;
            link.say(set_up(JobKind::Extended)?)?;
            link.flush().await?;
            while link.next()?.is_none() {
                link.readable().await;
                link.receive()?;
            }
            Ok::<_, ClientError>(link)
        };
        let link = timeout(PATIENCE, open).await.ok().and_then(Result::ok);
        let count = if link.is_some() { &self.counts.connected } else { &self.counts.refused };
        Counts::add(count, 1);
        link
    }

    /// Connects on Stratum V1 and is authorized; nothing when it is not taken.
    pub(super) async fn line_guest(&self, number: usize, password: &str) -> Option<TcpStream> {
        let mut stream = self.connect(number).await?;
        let greeting = format!(
            "{{\"id\":1,\"method\":\"mining.subscribe\",\"params\":[\"attack\"]}}\n\
             {{\"id\":2,\"method\":\"mining.authorize\",\
             \"params\":[\"{IDENTITY}.{number}\",\"{password}\"]}}\n"
        );
        stream.write_all(greeting.as_bytes()).await.ok()?;
        Some(stream)
    }

    /// One more message, or piece of one, was sent.
    pub(super) fn sent(&self) {
        Counts::add(&self.counts.sent, 1);
    }

    /// The ingress has ended a connection.
    pub(super) fn was_closed(&self) {
        Counts::add(&self.counts.closed, 1);
    }

    /// Reads until the ingress ends the connection.
    pub(super) async fn until_closed(&self, stream: &mut TcpStream) {
        let mut answer = [0; 1_024];
        while stream.read(&mut answer).await.is_ok_and(|bytes| bytes > 0) {}
        self.was_closed();
    }
}

/// So many peers, each of which does its part again and again. They begin one by one within
/// `spread`, so that no deadline meets all at once: that is a flood.
pub(super) async fn crowd<F>(
    aim: Aim,
    peers: usize,
    spread: Duration,
    part: impl Fn(Aim, usize) -> F,
) -> anyhow::Result<()>
where
    F: Future<Output = ()> + Send + 'static,
{
    let mut all = JoinSet::new();
    for number in 0..peers {
        let first = part(aim.clone(), number);
        let phase = spread.mul_f64(aim.chance(number).r#gen());
        all.spawn(async move {
            sleep(phase).await; // time itself: they come one by one
            first.await;
            number
        });
    }
    while let Some(ended) = all.join_next().await {
        let number = ended.context("an attacker died")?;
        let again = part(aim.clone(), number);
        all.spawn(async move {
            sleep(PAUSE).await; // time itself: who is shown the door comes again
            again.await;
            number
        });
    }
    Ok(())
}
