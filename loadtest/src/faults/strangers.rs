//! Peers on the miners' port that are no good miners.

use super::Field;
use anyhow::{Context as _, ensure};
use rand::{Rng as _, RngCore as _, SeedableRng as _, rngs::StdRng};
use std::time::Duration;
use stratum_v2::{
    Endpoint,
    client::{Client, Device, Open},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use worker_runtime::clock::Clock as _;

/// Peers that connect and say nothing, as after a lost handshake.
const SILENT: usize = 100;
/// Peers that send what is no handshake, again and again.
const GARBAGE: usize = 50;
/// Most bytes of it at a time.
const MAX_GARBAGE: usize = 4_096;
/// Its sender's pause before it tries again.
const BETWEEN_TRIES: Duration = Duration::from_millis(500);
/// Miners that open a channel, and then neither read nor write.
const STALLED: usize = 20;
/// The hash rate that they name: one that gets a usual target.
const HASHRATE: f32 = 400_000.0;
/// The ingress gives a handshake ten seconds.
const CLOSED_WITHIN: Duration = Duration::from_secs(20);
/// Shares that honest miners are acknowledged meanwhile.
const HONEST: usize = 60;

/// All of them at once, while the network's own miners work. Who never finishes a handshake is
/// shown the door; a miner that only stalls may stay for a while, and costs nobody anything.
pub(super) async fn crowd(field: &mut Field<'_>) -> anyhow::Result<()> {
    let status = field.network.ready().await?;
    let endpoint: Endpoint = status.text("/endpoints/miners/sv2")?.parse()?;
    let enough = CancellationToken::new();
    let mut stalled = Vec::new();
    for number in 0..STALLED {
        stalled.push(stall(&endpoint, number).await.context("a stalling miner is not served")?);
    }
    let mut peers = JoinSet::new();
    for _ in 0..SILENT {
        peers.spawn(silent(endpoint.clone(), enough.clone()));
    }
    for _ in 0..GARBAGE {
        peers.spawn(garbage(endpoint.clone(), field.seed(), enough.clone()));
    }
    let begun = field.network.clock().monotonic();
    for _ in 0..field.times(1, 10) {
        field.until_acknowledged(HONEST).await?;
    }
    let took = field.network.clock().monotonic().saturating_sub(begun);
    enough.cancel();
    let mut closed = 0;
    while let Some(ended) = peers.join_next().await {
        closed += ended.context("a peer died")??;
    }
    ensure!(closed >= SILENT + GARBAGE, "the door was shown {closed} times only");
    field.note(format!(
        "honest miners got {} shares acknowledged in {took:?} beside {SILENT} silent, {GARBAGE} \
         senseless and {STALLED} stalled peers; the door was shown {closed} times",
        HONEST.saturating_mul(usize::try_from(field.times(1, 10))?)
    ));
    drop(stalled);
    Ok(())
}

/// A miner that has a channel and does nothing more: what is sent to it stays in the sockets.
async fn stall(endpoint: &Endpoint, number: usize) -> anyhow::Result<Client> {
    let mut client = Client::connect(endpoint).await?;
    client.setup(&Device::default(), 0).await?;
    let open = Open {
        user_identity: format!(
            "tb1qrp33g0q5c5txsp9arysrx4k6zdkfs4nce4xj0gdcccefvpysxf3q0sl5k7.{number}"
        ),
        nominal_hash_rate: HASHRATE,
        max_target: [0xff; 32],
    };
    client.open_extended(1, &open, 8).await?;
    Ok(client)
}

/// Says nothing until it is shown the door, again and again. Returns how often it was.
async fn silent(endpoint: Endpoint, enough: CancellationToken) -> anyhow::Result<usize> {
    let mut closed = 0;
    loop {
        let stream = TcpStream::connect((endpoint.host.as_str(), endpoint.port)).await?;
        shown_the_door(stream).await?;
        closed += 1;
        if enough.is_cancelled() {
            return Ok(closed);
        }
    }
}

/// Sends garbage until it is shown the door, again and again. Returns how often it was.
async fn garbage(
    endpoint: Endpoint,
    seed: u64,
    enough: CancellationToken,
) -> anyhow::Result<usize> {
    let mut chance = StdRng::seed_from_u64(seed);
    let mut closed = 0;
    loop {
        let mut bytes = vec![0; chance.gen_range(1..=MAX_GARBAGE)];
        chance.fill_bytes(&mut bytes);
        let mut stream = TcpStream::connect((endpoint.host.as_str(), endpoint.port)).await?;
        // The door may be shown before all of it is out.
        drop(stream.write_all(&bytes).await);
        shown_the_door(stream).await?;
        closed += 1;
        if enough.is_cancelled() {
            return Ok(closed);
        }
        sleep(BETWEEN_TRIES).await; // time itself: it is no flood
    }
}

/// Waits until the other side closes the connection.
async fn shown_the_door(mut stream: TcpStream) -> anyhow::Result<()> {
    let mut answer = [0; 1_024];
    let closing = async {
        // Garbage of the right length is a key, which is answered.
        while stream.read(&mut answer).await.is_ok_and(|bytes| bytes > 0) {}
    };
    timeout(CLOSED_WITHIN, closing).await.context("a stranger is not shown the door")
}
