//! A Stratum V1 pool, the miner's way.

use crate::{
    judge::{self, Difficulty, Doing, End, Stranger, Told},
    lines::{Line, Lines},
    probe::Probe,
    reach::connect_times,
    report::{Finding, Name, Verdict},
    stranger,
    walk::Walk,
};
use serde_json::{Value, json};
use std::{net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::timeout,
};

/// Who we say we are.
const AGENT: &str = concat!("hyperhash-ping/", env!("CARGO_PKG_VERSION"));
/// How long a pool that knows `mining.ping` takes at most: others say nothing at all.
const PING_LIMIT: Duration = Duration::from_secs(3);
const PING: &str = "mining.ping";

/// Greeting, job, round trips.
pub(crate) async fn go(
    walk: &mut Walk<'_>,
    probe: &Probe,
    stream: impl AsyncRead + AsyncWrite + Unpin,
    address: SocketAddr,
) {
    let mut pool = Conversation { lines: Lines::new(stream), told: Work::default(), probe };
    if !configure(walk, &mut pool, address).await || !subscribe(walk, &mut pool, address).await {
        return;
    }
    match &probe.user {
        Some(user) => {
            if !authorize(walk, &mut pool, user).await || !work(walk, &mut pool).await {
                return;
            }
        }
        None => walk.step(Name::Authorize, Finding::skipped("needs --user")),
    }
    round_trips(walk, &mut pool, address).await;
}

struct Conversation<'a, S> {
    lines: Lines<S>,
    told: Work,
    probe: &'a Probe,
}

/// What the pool told without being asked.
#[derive(Default)]
struct Work {
    difficulty: Option<f64>,
    job: Option<Job>,
}

struct Job {
    nbits: u32,
    ntime: u32,
}

impl Work {
    /// Hears what is told; an error for a job that is none.
    fn hear(&mut self, method: &str, params: &Value) -> Result<(), End> {
        match method {
            "mining.set_difficulty" => {
                self.difficulty = params.get(0).and_then(Value::as_f64);
            }
            "mining.notify" => {
                let hex = |place| {
                    let text = params.get(place).and_then(Value::as_str)?;
                    u32::from_str_radix(text, 16).ok()
                };
                let (Some(nbits), Some(ntime)) = (hex(6), hex(7)) else {
                    let shown: String = params.to_string().chars().take(120).collect();
                    return Err(End::Nonsense(format!("mining.notify {shown}")));
                };
                self.job = Some(Job { nbits, ntime });
            }
            _ => {}
        }
        Ok(())
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Conversation<'_, S> {
    /// Asks, and hears everything until the answer.
    async fn ask(&mut self, method: &str, params: Value) -> Result<Result<Value, Value>, End> {
        self.ask_within(self.probe.timeout, method, params).await
    }

    async fn ask_within(
        &mut self,
        limit: Duration,
        method: &str,
        params: Value,
    ) -> Result<Result<Value, Value>, End> {
        let asked = async {
            let wanted = self.lines.ask(method, &params).await?;
            loop {
                match self.lines.next().await? {
                    Line::Answer { id, result } if id == Some(wanted) => return Ok(result),
                    Line::Answer { .. } => {}
                    Line::Told { method, params } => self.told.hear(&method, &params)?,
                }
            }
        };
        match timeout(limit, asked).await {
            Ok(answer) => answer,
            Err(_) => Err(self.lines.foreign()),
        }
    }

    async fn until_job(&mut self) -> Result<(), End> {
        let waited = async {
            while self.told.job.is_none() {
                if let Line::Told { method, params } = self.lines.next().await? {
                    self.told.hear(&method, &params)?;
                }
            }
            Ok(())
        };
        match timeout(self.probe.timeout, waited).await {
            Ok(answer) => answer,
            Err(_) => Err(self.lines.foreign()),
        }
    }

    /// The greeting ended so: with a pool, or with somebody who never spoke V1.
    async fn met(&self, method: &str, end: &End, address: SocketAddr) -> Finding {
        let known = match end {
            End::Stranger(stranger) => *stranger != Stranger::Binary,
            End::Silent | End::Closed | End::Failed(_) | End::Nonsense(_) => self.lines.heard,
        };
        if !known && stranger::to_noise(address, self.probe.timeout).await {
            return Finding::wrong(
                "the pool speaks Stratum V2 here, and no V1",
                "Use stratum2+tcp://host:port/<authority key>, or the pool's port for V1.",
            );
        }
        self.ended(Doing::Asking(method), end)
    }

    fn ended(&self, doing: Doing<'_>, end: &End) -> Finding {
        let address = format!("{}:{}", self.probe.pool.host(), self.probe.pool.port());
        judge::conversation(doing, end, &address)
    }
}

/// Whether the conversation can go on. Old pools do not know the method.
async fn configure<S: AsyncRead + AsyncWrite + Unpin>(
    walk: &mut Walk<'_>,
    pool: &mut Conversation<'_, S>,
    address: SocketAddr,
) -> bool {
    let method = "mining.configure";
    let params = json!([["version-rolling"], { "version-rolling.mask": "1fffe000" }]);
    let advice = "ASICs that need to roll the version cannot mine here.";
    let finding = match pool.ask(method, params).await {
        Ok(Ok(result)) => match result.get("version-rolling.mask").and_then(Value::as_str) {
            Some(mask) => Finding::fine(format!("version rolling with mask {mask}")),
            None => Finding::warning("the pool does not allow version rolling", advice),
        },
        Ok(Err(error)) => Finding::warning(format!("{method} was refused: {error}"), advice),
        // What it is shows with the next request, which every pool knows.
        Err(End::Silent | End::Closed) if !pool.lines.heard => {
            Finding::warning(format!("{method} was not answered"), advice)
        }
        Err(end) => pool.met(method, &end, address).await,
    };
    let goes_on = finding.verdict < Verdict::Wrong;
    walk.step(Name::Configure, finding);
    goes_on
}

async fn subscribe<S: AsyncRead + AsyncWrite + Unpin>(
    walk: &mut Walk<'_>,
    pool: &mut Conversation<'_, S>,
    address: SocketAddr,
) -> bool {
    let method = "mining.subscribe";
    let finding = match pool.ask(method, json!([AGENT])).await {
        Ok(Ok(result)) => subscribed(&result),
        Ok(Err(error)) => judge::refusal(method, &error),
        Err(end) => pool.met(method, &end, address).await,
    };
    let goes_on = finding.verdict < Verdict::Wrong;
    walk.step(Name::Subscribe, finding);
    goes_on
}

fn subscribed(result: &Value) -> Finding {
    let (own, size) =
        (result.get(1).and_then(Value::as_str), result.get(2).and_then(Value::as_u64));
    let (Some(own), Some(size)) = (own, size) else {
        let shown: String = result.to_string().chars().take(120).collect();
        return Finding::wrong(
            format!("the answer to mining.subscribe has no extranonce: {shown}"),
            "The pool does not keep to the protocol: tell its operator.",
        );
    };
    let said = format!("extranonce1 {own}, {size} bytes to roll");
    match size {
        4..=8 => Finding::fine(said),
        _ => Finding::warning(said, "Some firmware takes only 4 to 8 bytes: test yours."),
    }
}

async fn authorize<S: AsyncRead + AsyncWrite + Unpin>(
    walk: &mut Walk<'_>,
    pool: &mut Conversation<'_, S>,
    user: &str,
) -> bool {
    let method = "mining.authorize";
    let answer = pool.ask(method, json!([user, pool.probe.password])).await;
    let finding = match &answer {
        Ok(Ok(_)) => Finding::fine(format!("`{user}` is taken")),
        Ok(Err(error)) => judge::refusal(method, error),
        Err(end) => pool.ended(Doing::Asking(method), end),
    };
    walk.step(Name::Authorize, finding);
    matches!(answer, Ok(Ok(_)))
}

/// Waits for work and judges it. Whether the conversation can go on.
async fn work<S: AsyncRead + AsyncWrite + Unpin>(
    walk: &mut Walk<'_>,
    pool: &mut Conversation<'_, S>,
) -> bool {
    let waited = pool.until_job().await;
    let job = match (&waited, &pool.told.job) {
        (Ok(()), Some(job)) => job,
        (Ok(()), None) => return false,
        (Err(end), _) => {
            walk.step(Name::Job, pool.ended(Doing::Waiting, end));
            return false;
        }
    };
    walk.step(Name::Job, Finding::fine("mining.notify"));
    match pool.told.difficulty.map(|number| (number, Difficulty::of_number(number))) {
        Some((_, Some(share))) => walk.difficulty(share, job.nbits, pool.probe.hashrate),
        Some((number, None)) => walk.step(
            Name::Difficulty,
            Finding::wrong(
                format!("difficulty {number} is none"),
                "The pool does not keep to the protocol: tell its operator.",
            ),
        ),
        None => walk.step(
            Name::Difficulty,
            Finding::warning(
                "the pool told no difficulty before its first job",
                "Miners take it for 1: shares may be refused. Tell the pool's operator.",
            ),
        ),
    }
    walk.clock(Told::Now, job.ntime);
    true
}

async fn round_trips<S: AsyncRead + AsyncWrite + Unpin>(
    walk: &mut Walk<'_>,
    pool: &mut Conversation<'_, S>,
    address: SocketAddr,
) {
    let (probe, limit) = (pool.probe, pool.probe.timeout.min(PING_LIMIT));
    let mut times = Vec::new();
    for _ in 0..probe.count {
        let since = walk.clock.monotonic();
        // An error is an answer, too.
        if pool.ask_within(limit, PING, json!([])).await.is_err() {
            break;
        }
        times.push(walk.clock.monotonic().saturating_sub(since));
    }
    if times.is_empty() {
        let times = connect_times(walk, address, probe).await;
        return walk.latency(&times, probe.count, "TCP connections");
    }
    walk.latency(&times, probe.count, PING);
}
