//! The task of one connection of a fleet that speaks Stratum V1.

use super::{
    FleetError, Plan,
    channel::Violation,
    lines::LineLink,
    orders::{LONG, Orders},
    work::{Job, Notify, Share, target},
};
use crate::{ShareKey, sv1::key_in};
use mining::Target;
use serde_json::Value;
use std::{collections::VecDeque, net::SocketAddr, str, time::Duration};
use stratum_v2::client::{ANSWER_TIMEOUT, ClientError};
use tokio::time::{sleep, timeout};

/// Ids of shares count from here; those below are of the greeting.
const FIRST_SHARE: u64 = 10;
const SUBSCRIBE: u64 = 2;
const AUTHORIZE: u64 = 3;
/// Asks for the easiest target; a pool that does not know it takes it for a filler.
const PASSWORD: &str = "fd=0.00000000023283064365386962890625";

pub(super) struct LineMiner {
    link: LineLink,
    user: Box<str>,
    extranonce1: Vec<u8>,
    size: usize,
    target: Target,
    job: Option<Job>,
    /// Numbers the pieces of header space.
    space: u64,
    nonce: u32,
    authorized: bool,
    /// Shares that were sent.
    sent: u64,
    /// Shares that wait for an answer, and when each was written.
    owed: VecDeque<(u64, Duration)>,
    orders: Orders,
}

/// A line that is no answer of the pool's to a good share.
enum Heard {
    Nothing,
    Stored(u64),
}

impl LineMiner {
    /// Connects, and waits for the first job.
    pub(super) async fn open(
        plan: &Plan,
        address: SocketAddr,
        number: usize,
        orders: Orders,
    ) -> Result<Self, FleetError> {
        let open = async {
            let refused = |source| ClientError::Connect { address: address.to_string(), source };
            let link = LineLink::open(address, plan.source(number)).await.map_err(refused)?;
            let mut miner = Self {
                link,
                user: format!("{}.{number}", plan.address).into(),
                extranonce1: Vec::new(),
                size: 0,
                target: target(1.0),
                job: None,
                space: 0,
                nonce: 0,
                authorized: false,
                sent: 0,
                owed: VecDeque::new(),
                orders,
            };
            miner.greet().await?;
            Ok(miner)
        };
        let patience = ANSWER_TIMEOUT;
        timeout(patience, open).await.unwrap_or(Err(ClientError::TimedOut(patience).into()))
    }

    /// In one piece, as `AxeOS` does it.
    async fn greet(&mut self) -> Result<(), FleetError> {
        let Self { link, user, .. } = self;
        link.say(
            r#"{"id":1,"method":"mining.configure","params":[["version-rolling"],{"version-rolling.mask":"1fffe000"}]}"#,
        );
        link.say(&format!(
            r#"{{"id":{SUBSCRIBE},"method":"mining.subscribe","params":["hyperhash/fleet"]}}"#
        ));
        link.say(&format!(
            r#"{{"id":{AUTHORIZE},"method":"mining.authorize","params":["{user}","{PASSWORD}"]}}"#
        ));
        while !(self.authorized && self.job.is_some()) {
            self.link.send()?;
            self.link.readable().await;
            self.link.receive()?;
            self.handle()?;
        }
        Ok(())
    }

    /// Shares that wait for an answer.
    pub(super) fn owed(&self) -> usize {
        self.owed.len()
    }

    /// Mines until the fleet is closed.
    pub(super) async fn run(&mut self) -> Result<(), FleetError> {
        loop {
            let (shares, pause) = self.orders.shares(self.owed.len());
            for _ in 0..shares {
                self.submit()?;
            }
            self.link.send()?;
            tokio::select! {
                open = self.orders.changed() => if !open { return Ok(()) },
                () = self.link.readable() => {
                    self.link.receive()?;
                    let handled = self.handle();
                    self.orders.settle().await;
                    handled?;
                }
                () = self.link.writable(), if self.link.unsent() > 0 => {}
                () = sleep(pause), if pause < LONG => {} // time itself: the pace
            }
        }
    }

    fn submit(&mut self) -> Result<(), FleetError> {
        let Some(job) = &self.job else { return Ok(()) };
        self.space += 1;
        let share: Share = job.share(&self.extranonce1, self.size, self.space, self.nonce)?;
        self.nonce = share.nonce.wrapping_add(1);
        self.link.say(&job.submit(FIRST_SHARE + self.sent, &self.user, &share));
        self.owed.push_back((self.sent, self.orders.now()));
        self.sent += 1;
        self.orders.tally.sent(1);
        Ok(())
    }

    /// Handles all lines that have come. What was answered counts, whatever comes behind it.
    fn handle(&mut self) -> Result<(), FleetError> {
        let mut stored = 0;
        let handled = self.handle_lines(&mut stored);
        self.orders.tally.stored(stored);
        handled
    }

    fn handle_lines(&mut self, stored: &mut u64) -> Result<(), FleetError> {
        let now = self.orders.now();
        while let Some(line) = self.link.next()? {
            let heard = match accepted(line) {
                Some(id) if id >= FIRST_SHARE => Heard::Stored(id - FIRST_SHARE),
                _ => {
                    // Few lines are no answers to shares: a copy of one costs little.
                    let line = line.to_vec();
                    self.hear(&line, now)?
                }
            };
            if let Heard::Stored(share) = heard {
                let written = self.answered(share)?;
                self.orders.stored(written, now, self.key(share));
                *stored += 1;
            }
        }
        Ok(())
    }

    /// When the share was written that is answered now.
    fn answered(&mut self, share: u64) -> Result<Duration, Violation> {
        let last = u32::try_from(share).unwrap_or(u32::MAX);
        let place = self.owed.iter().position(|(owed, _)| *owed == share);
        let owed = place.and_then(|place| self.owed.remove(place));
        owed.map(|(_, written)| written).ok_or(Violation::NotSent { count: 1, last })
    }

    /// How our own pool names the share.
    fn key(&self, share: u64) -> Option<ShareKey> {
        key_in(&self.extranonce1, share).ok()
    }

    fn hear(&mut self, line: &[u8], now: Duration) -> Result<Heard, FleetError> {
        if line.is_empty() {
            return Ok(Heard::Nothing);
        }
        let unreadable = || ClientError::Message(String::from_utf8_lossy(line).into_owned());
        if contains(line, b"\"mining.notify\"") && !contains(line, b"\"result\"") {
            let notify: Notify<'_> = serde_json::from_slice(line).map_err(|_| unreadable())?;
            let job = notify.job(self.target).ok_or_else(unreadable)?;
            self.begin(job, notify.clean(), now);
            return Ok(Heard::Nothing);
        }
        let line: Value = serde_json::from_slice(line).map_err(|_| unreadable())?;
        let at = |path: &str| line.pointer(path).unwrap_or(&Value::Null);
        match at("/method").as_str() {
            Some("mining.set_difficulty") => {
                let difficulty = at("/params/0").as_f64().filter(|number| *number > 0.0);
                self.target = target(difficulty.ok_or_else(unreadable)?);
            }
            Some("mining.ping") => {
                self.link.say(&format!(r#"{{"id":{},"result":"pong","error":null}}"#, at("/id")));
            }
            Some("client.reconnect") => return Err(FleetError::SentAway),
            Some(_) => {}
            None => return self.judge(&line),
        }
        Ok(Heard::Nothing)
    }

    fn begin(&mut self, job: Job, clean: bool, now: Duration) {
        let tally = &self.orders.tally;
        match &self.job {
            None => tally.new_tip(),
            Some(before) if clean && before.prevhash() != job.prevhash() => {
                tally.told_of_tip(job.prevhash(), now);
            }
            Some(_) => {}
        }
        tally.new_job();
        self.job = Some(job);
    }

    /// An answer to a request: of the greeting, or to a share.
    fn judge(&mut self, line: &Value) -> Result<Heard, FleetError> {
        let at = |path: &str| line.pointer(path).unwrap_or(&Value::Null);
        let Some(id) = at("/id").as_u64() else { return Ok(Heard::Nothing) };
        let good = at("/error").is_null() && at("/result") != &Value::Bool(false);
        if id >= FIRST_SHARE && good {
            return Ok(Heard::Stored(id - FIRST_SHARE));
        }
        let code = at("/error/1").as_str().unwrap_or("no reason").to_owned();
        match id {
            _ if id >= FIRST_SHARE => {
                self.answered(id - FIRST_SHARE)?;
                self.orders.tally.turned_down(code);
            }
            SUBSCRIBE | AUTHORIZE if !good => return Err(ClientError::Refused(code).into()),
            SUBSCRIBE => {
                let own = at("/result/1").as_str().and_then(|text| hex::decode(text).ok());
                let size = at("/result/2").as_u64().and_then(|size| usize::try_from(size).ok());
                let answer = || ClientError::Unexpected(line.to_string());
                (self.extranonce1, self.size) = own.zip(size).ok_or_else(answer)?;
            }
            AUTHORIZE => self.authorized = true,
            _ => {}
        }
        Ok(Heard::Nothing)
    }
}

/// The id of a request that was answered with `true`, in the form that most pools use.
fn accepted(line: &[u8]) -> Option<u64> {
    let rest = line.strip_prefix(b"{\"id\":")?;
    let digits = rest.iter().position(|byte| !byte.is_ascii_digit())?;
    let (id, rest) = rest.split_at_checked(digits)?;
    let is_good = rest.starts_with(b",\"result\":true,\"error\":null}");
    is_good.then(|| str::from_utf8(id).ok()?.parse().ok())?
}

fn contains(line: &[u8], word: &[u8]) -> bool {
    line.windows(word.len()).any(|window| window == word)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::{Fleet, Pace, Pool, WhenLost};
    use serde_json::json;
    use tokio::{
        io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
        net::{TcpListener, TcpStream},
    };

    const PATIENCE: Duration = Duration::from_secs(30);

    /// Serves one connection: every third share is refused, and the connection ends after ten.
    async fn serve(stream: TcpStream) -> std::io::Result<()> {
        let (reader, mut writer) = stream.into_split();
        let mut lines = BufReader::new(reader).lines();
        let zeros = "0".repeat(64);
        let job = json!(["1", zeros, "01", "02", [], "20000000", "1d00ffff", "6a000000", true]);
        let mut shares = 0;
        while let Some(line) = lines.next_line().await? {
            let line: Value = serde_json::from_str(&line)?;
            let (mut more, id) = (vec![], &line["id"]);
            let result = match line["method"].as_str().unwrap() {
                "mining.subscribe" => json!([[], "000100020003", 8]),
                "mining.authorize" => {
                    more.push(json!({"method": "mining.set_difficulty", "params": [1e-9]}));
                    more.push(json!({"id": null, "method": "mining.notify", "params": job}));
                    json!(true)
                }
                "mining.submit" => {
                    shares += 1;
                    json!(shares % 3 != 0)
                }
                _ => json!({}),
            };
            more.insert(0, json!({"id": id, "result": result, "error": null}));
            for line in more {
                writer.write_all(format!("{line}\n").as_bytes()).await?;
            }
            if shares == 10 {
                return Ok(());
            }
        }
        Ok(())
    }

    #[tokio::test]
    async fn a_fleet_is_answered_comes_back_and_keeps_what_was_acknowledged() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("stratum+tcp://{}", listener.local_addr().unwrap());
        let pool: Pool = url.parse().unwrap();
        let mut served = tokio::task::JoinSet::new();
        served.spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream));
            }
        });
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("acknowledged");
        let when_lost = WhenLost::ComeBack;
        let plan = Plan {
            acknowledged: Some(file.clone()),
            when_lost,
            sources: vec!["127.0.0.2".parse().unwrap()],
            ..Plan::new(pool, 2, "a")
        };
        let mut fleet = Fleet::open(&plan).await.unwrap();
        fleet.pace(Pace::Every(Duration::from_millis(1)));
        fleet.until("lost", PATIENCE, |tally| tally.lost() >= 4).await.unwrap();
        fleet.until("answered", PATIENCE, |tally| tally.acknowledged() >= 40).await.unwrap();
        let (tally, after) = (std::sync::Arc::clone(&fleet.tally), fleet.tally.breaks.count());
        fleet.close().await.unwrap();
        assert!(after >= 2 && tally.refused() > 0, "{tally:?}");
        let noted = std::fs::read_to_string(file).unwrap();
        assert_eq!(noted.lines().count() as u64, tally.acknowledged());
        let first: ShareKey = noted.lines().next().unwrap().parse().unwrap();
        assert_eq!((first.lane.0, first.boot_epoch.0, first.channel), (1, 0, 0x02_0003));
    }

    #[test]
    fn answers_are_read_without_a_parser_where_that_is_sure() {
        assert_eq!(accepted(br#"{"id":17,"result":true,"error":null}"#), Some(17));
        for other in [
            r#"{"id":17,"result":null,"error":[23,"Low difficulty share",null]}"#,
            r#"{"id":null,"method":"mining.ping","params":[]}"#,
            r#"{"result":true,"error":null,"id":17}"#,
            r#"{"id":"17","result":true,"error":null}"#,
            "",
        ] {
            assert_eq!(accepted(other.as_bytes()), None, "{other}");
        }
    }
}
