//! A Stratum V2 pool, the miner's way.

use crate::{
    judge::{self, Difficulty, Doing, End, KeyHolds, Stranger, Told},
    probe::Probe,
    reach::{connect, connect_times},
    report::{Finding, Name},
    stranger,
    tee::Tee,
    walk::Walk,
};
use mining::Target;
use std::{net::SocketAddr, time::Duration};
use stratum_core::{mining_sv2::UpdateChannelOwned, parsers_sv2::MiningOwned};
use stratum_v2::{
    Certificate, Endpoint, Refused, TransportError,
    client::{Client, ClientError, Device, Open, Opened},
    handshake_at,
};
use tokio::{
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    time::timeout,
};

/// `REQUIRES_VERSION_ROLLING`: what every ASIC asks for.
const VERSION_ROLLING: u32 = 1 << 2;
/// Hashes per second of a miner that does not say.
const HASHRATE: u64 = 1_000_000_000_000;
/// Bytes that a proxy for a few miners rolls.
const EXTRANONCE: u16 = 4;
/// A channel that is not there.
const NO_CHANNEL: u32 = u32::MAX;
/// What round trips are made of: a message that every pool must answer, with an error.
const ROUND_TRIP: &str = "UpdateChannel of no channel";

type Pool = Client<Tee<OwnedReadHalf>, OwnedWriteHalf>;

/// Handshake, setup, channel, job, round trips.
pub(crate) async fn go(
    walk: &mut Walk<'_>,
    probe: &Probe,
    endpoint: &Endpoint,
    stream: TcpStream,
    address: SocketAddr,
) {
    let Some(mut pool) = noise(walk, probe, endpoint, stream, address).await else { return };
    if !setup(walk, probe, &mut pool).await {
        return;
    }
    let mut left = true;
    match &probe.user {
        Some(user) => {
            let Some(opened) = open(walk, probe, user, &mut pool).await else { return };
            left = work(walk, probe, &opened, &mut pool).await;
        }
        None => walk.step(Name::Channel, Finding::skipped("needs --user")),
    }
    if left {
        round_trips(walk, probe, &mut pool, address).await;
    }
}

/// Seconds since 1970 as certificates count them.
fn now(walk: &Walk<'_>) -> u32 {
    u32::try_from(walk.now_secs()).unwrap_or(u32::MAX)
}

async fn noise(
    walk: &mut Walk<'_>,
    probe: &Probe,
    endpoint: &Endpoint,
    stream: TcpStream,
    address: SocketAddr,
) -> Option<Pool> {
    let (reader, writer) = stream.into_split();
    let (reader, said) = Tee::new(reader);
    let now = now(walk);
    let shaking = handshake_at(reader, writer, endpoint.authority.to_bytes(), now);
    let finding = match timeout(probe.timeout, shaking).await {
        Ok(Ok((reader, writer))) => {
            walk.step(Name::Noise, Finding::fine("the pool holds the authority key"));
            return Some(Client::over(reader, writer));
        }
        Ok(Err(TransportError::Certificate(certificate))) => {
            let key = match certificate.refused_at(now) {
                Refused::OtherKey => KeyHolds::No,
                Refused::Expired | Refused::NotYetValid => {
                    key_holds(endpoint, certificate, address, probe.timeout).await
                }
            };
            judge::certificate(certificate, now, key)
        }
        Ok(Err(_)) | Err(_) => {
            let mut stranger = Stranger::of(&said.bytes());
            if stranger == Stranger::Mute {
                stranger = stranger::to_lines(address, probe.timeout).await;
            }
            judge::not_noise(stranger, &format!("{}:{}", endpoint.host, endpoint.port))
        }
    };
    walk.step(Name::Noise, finding);
    None
}

/// Whether the authority key is right where only the dates of the certificate are looked at first:
/// another handshake, at a time at which the certificate holds.
async fn key_holds(
    endpoint: &Endpoint,
    certificate: Certificate,
    address: SocketAddr,
    limit: Duration,
) -> KeyHolds {
    let Certificate { valid_from, not_valid_after } = certificate;
    let within = valid_from.midpoint(not_valid_after);
    let again = async {
        let stream = connect(address, limit).await.ok()?;
        let (reader, writer) = stream.into_split();
        let shaken = handshake_at(reader, writer, endpoint.authority.to_bytes(), within).await;
        match shaken {
            Ok(_) => Some(KeyHolds::Yes),
            Err(TransportError::Certificate(again)) => match again.refused_at(within) {
                Refused::OtherKey => Some(KeyHolds::No),
                Refused::Expired | Refused::NotYetValid => None,
            },
            Err(_) => None,
        }
    };
    timeout(limit, again).await.ok().flatten().unwrap_or(KeyHolds::Unknown)
}

async fn setup(walk: &mut Walk<'_>, probe: &Probe, pool: &mut Pool) -> bool {
    let device = Device {
        firmware: concat!("hyperhash-ping/", env!("CARGO_PKG_VERSION")).to_owned(),
        ..Device::default()
    };
    let answer = within(probe.timeout, pool.setup(&device, VERSION_ROLLING)).await;
    let finding = match &answer {
        Ok(success) => {
            Finding::fine(format!("version {}, version rolling allowed", success.used_version))
        }
        Err(ClientError::Refused(code)) => judge::setup_refused(code),
        Err(error) => ended(Doing::Asking("SetupConnection"), error, probe),
    };
    walk.step(Name::Setup, finding);
    answer.is_ok()
}

async fn open(walk: &mut Walk<'_>, probe: &Probe, user: &str, pool: &mut Pool) -> Option<Opened> {
    let open = Open {
        user_identity: user.to_owned(),
        nominal_hash_rate: approximate(probe.hashrate.unwrap_or(HASHRATE)),
        max_target: [0xff; 32],
    };
    let answer = within(probe.timeout, pool.open_extended(1, &open, EXTRANONCE)).await;
    let finding = match &answer {
        Ok(opened) => Finding::fine(format!(
            "`{user}` is taken: channel {}, {} bytes to roll",
            opened.channel_id, opened.extranonce_size
        )),
        Err(ClientError::Refused(code)) => judge::channel_refused(user, code),
        Err(error) => ended(Doing::Asking("OpenExtendedMiningChannel"), error, probe),
    };
    walk.step(Name::Channel, finding);
    answer.ok()
}

/// SV2 counts hashes per second in single precision.
#[expect(clippy::cast_precision_loss, reason = "a nominal rate is rounded on the wire")]
const fn approximate(hashrate: u64) -> f32 {
    hashrate as f32
}

/// What is needed to mine.
#[derive(Default)]
struct Work {
    has_job: bool,
    tip: Option<Tip>,
    target: Option<[u8; 32]>,
}

struct Tip {
    min_ntime: u32,
    nbits: u32,
}

impl Work {
    #[expect(clippy::wildcard_enum_match_arm, reason = "other messages are not waited for")]
    fn hear(&mut self, message: MiningOwned) {
        match message {
            MiningOwned::NewExtendedMiningJob(_) | MiningOwned::NewMiningJob(_) => {
                self.has_job = true;
            }
            MiningOwned::SetNewPrevHash(tip) => {
                self.tip = Some(Tip { min_ntime: tip.min_ntime, nbits: tip.nbits });
            }
            MiningOwned::SetTarget(set) => self.target = Some(set.maximum_target.to_array()),
            _ => {}
        }
    }

    const fn ready(&self) -> Option<&Tip> {
        if self.has_job { self.tip.as_ref() } else { None }
    }
}

/// Waits for work and judges it. Whether the conversation can go on.
async fn work(walk: &mut Walk<'_>, probe: &Probe, opened: &Opened, pool: &mut Pool) -> bool {
    let mut work = Work::default();
    let waited = async {
        while work.ready().is_none() {
            work.hear(pool.next_mining().await?);
        }
        Ok(())
    };
    if let Err(error) = within(probe.timeout, waited).await {
        walk.step(Name::Job, ended(Doing::Waiting, &error, probe));
        return false;
    }
    let Some(tip) = work.ready() else { return false };
    walk.step(Name::Job, Finding::fine("a job and the tip that it is on"));
    let target = work.target.unwrap_or(opened.target);
    let difficulty = Difficulty::of_target(Target::from_le_bytes(target));
    walk.difficulty(difficulty, tip.nbits, probe.hashrate);
    walk.clock(Told::Least, tip.min_ntime);
    true
}

async fn round_trips(walk: &mut Walk<'_>, probe: &Probe, pool: &mut Pool, address: SocketAddr) {
    let mut times = Vec::new();
    for _ in 0..probe.count {
        let since = walk.clock.monotonic();
        if within(probe.timeout, round_trip(pool)).await.is_err() {
            break;
        }
        times.push(walk.clock.monotonic().saturating_sub(since));
    }
    if times.is_empty() {
        let times = connect_times(walk, address, probe).await;
        return walk.latency(&times, probe.count, "TCP connections");
    }
    walk.latency(&times, probe.count, ROUND_TRIP);
}

async fn round_trip(pool: &mut Pool) -> Result<(), ClientError> {
    let update = UpdateChannelOwned {
        channel_id: NO_CHANNEL,
        nominal_hash_rate: 1.0,
        maximum_target: [0xff; 32].into(),
    };
    pool.send(MiningOwned::UpdateChannel(update)).await?;
    // Jobs may come in between.
    while !matches!(pool.next_mining().await?, MiningOwned::UpdateChannelError(_)) {}
    Ok(())
}

async fn within<T>(
    limit: Duration,
    answer: impl Future<Output = Result<T, ClientError>>,
) -> Result<T, ClientError> {
    timeout(limit, answer).await.unwrap_or(Err(ClientError::TimedOut(limit)))
}

fn ended(doing: Doing<'_>, error: &ClientError, probe: &Probe) -> Finding {
    let address = format!("{}:{}", probe.pool.host(), probe.pool.port());
    judge::conversation(doing, &end(error), &address)
}

fn end(error: &ClientError) -> End {
    match error {
        ClientError::TimedOut(_) => End::Silent,
        // It sends its miners away, and the connection ends.
        ClientError::Reconnect | ClientError::Transport(TransportError::Closed) => End::Closed,
        ClientError::Connect { source: io, .. }
        | ClientError::Transport(TransportError::Io(io)) => End::Failed(io.to_string()),
        ClientError::Transport(
            broken @ (TransportError::TooLong
            | TransportError::Codec(_)
            | TransportError::Certificate(_)
            | TransportError::Authority(_)),
        ) => End::Nonsense(broken.to_string()),
        ClientError::Message(what) | ClientError::Unexpected(what) | ClientError::Field(what) => {
            End::Nonsense(what.clone())
        }
        ClientError::Refused(code) => End::Nonsense(format!("`{code}`")),
    }
}
