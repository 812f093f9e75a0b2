//! A Stratum V1 miner on the processor: it knows what it was told, line by line, and notes what was
//! acknowledged.

mod work;

use crate::{ShareKey, miner::Record};
use anyhow::{Context as _, bail, ensure};
use mining::{Prefix, SV2_ROLLED_LENGTH, prefix};
use serde_json::{Value, json};
use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    task::JoinHandle,
    time::timeout,
};
use work::{Found, Job, Search};

/// What the miner is to do.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where it connects, in plain lines.
    pub pool: SocketAddr,
    /// `<address>[.<worker>]`.
    pub user: String,
    /// Where it notes acknowledged shares, for an audit. Only our own pool's have names.
    pub acknowledged: Option<PathBuf>,
    /// What is in between.
    pub way: Way,
}

/// How the miner is connected to the pool, and so what names its shares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// To its port for V1: extranonce1 is the lane, the low byte of the boot epoch, and the channel.
    Direct,
    /// Through the translator: the pool's prefix stands before extranonce1, in the coinbase.
    Translator,
}

/// What became of its shares.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Answered `true`.
    pub accepted: u64,
    /// Refused, by text.
    pub refused: BTreeMap<String, u64>,
    /// Sent, and good enough for a block.
    pub solved: u64,
}

/// Longest wait for any line: jobs come every half minute.
const SILENCE: Duration = Duration::from_secs(60);
/// Ids of shares count from here; those below are of the greeting.
const FIRST_SHARE: u64 = 10;

/// Mines until `enough`.
///
/// # Errors
///
/// When the pool cannot be reached, falls silent, or says what cannot be.
pub async fn mine(plan: &Plan, mut enough: impl FnMut(&Tally) -> bool) -> anyhow::Result<Tally> {
    let mut miner = Miner::connect(plan).await?;
    while !enough(&miner.tally) {
        miner.step(&plan.user).await?;
    }
    Ok(miner.tally)
}

struct Miner {
    lines: Lines<BufReader<OwnedReadHalf>>,
    writer: OwnedWriteHalf,
    record: Option<Record>,
    extranonce1: Vec<u8>,
    extranonce2_size: usize,
    difficulty: f64,
    job: Option<Arc<Job>>,
    /// Extranonces that were tried.
    tried: u64,
    hashing: Option<JoinHandle<Vec<Found>>>,
    /// Shares that were sent.
    sent: u64,
    way: Way,
    /// The header space of shares that were not answered, by their number.
    spaces: BTreeMap<u64, Prefix>,
    tally: Tally,
}

impl Miner {
    async fn connect(plan: &Plan) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(plan.pool).await?;
        stream.set_nodelay(true)?;
        let (reader, writer) = stream.into_split();
        let record = match &plan.acknowledged {
            Some(file) => Some(Record::append_to(file).await?),
            None => None,
        };
        let mut miner = Self {
            lines: BufReader::new(reader).lines(),
            writer,
            record,
            extranonce1: Vec::new(),
            extranonce2_size: 0,
            difficulty: 1.0,
            job: None,
            tried: 0,
            hashing: None,
            sent: 0,
            way: plan.way,
            spaces: BTreeMap::new(),
            tally: Tally::default(),
        };
        let subscribe = json!({"id": 1, "method": "mining.subscribe", "params": ["hyperhash/1"]});
        miner.send(&subscribe).await?;
        let authorize = json!({"id": 2, "method": "mining.authorize", "params": [plan.user, "x"]});
        miner.send(&authorize).await?;
        Ok(miner)
    }

    async fn send(&mut self, line: &Value) -> anyhow::Result<()> {
        let mut text = line.to_string();
        text.push('\n');
        Ok(self.writer.write_all(text.as_bytes()).await?)
    }

    /// Hears a line, or sends what was found.
    async fn step(&mut self, user: &str) -> anyhow::Result<()> {
        if self.hashing.is_none()
            && let Some(job) = &self.job
        {
            self.tried += 1;
            let search = Search::new(job, &self.extranonce1, self.tried, self.extranonce2_size);
            self.hashing = Some(tokio::task::spawn_blocking(move || search.run()));
        }
        let hashing = async {
            match &mut self.hashing {
                Some(hashing) => hashing.await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            line = timeout(SILENCE, self.lines.next_line()) => {
                let line = line.context("the pool is silent")??;
                self.hear(&line.context("the pool has closed the connection")?).await
            }
            found = hashing => {
                self.hashing = None;
                self.submit(found?, user).await
            }
        }
    }

    async fn submit(&mut self, found: Vec<Found>, user: &str) -> anyhow::Result<()> {
        for Found { job, extranonce2, ntime, nonce, is_block, space } in found {
            let id = FIRST_SHARE + self.sent;
            if self.record.is_some() {
                self.spaces.insert(self.sent, self.prefix(&space)?);
            }
            self.sent += 1;
            self.tally.solved += u64::from(is_block);
            let params = json!([user, job, extranonce2, ntime, format!("{nonce:08x}")]);
            self.send(&json!({"id": id, "method": "mining.submit", "params": params})).await?;
        }
        Ok(())
    }

    async fn hear(&mut self, line: &str) -> anyhow::Result<()> {
        let line: Value = serde_json::from_str(line).context("a line is no JSON")?;
        match at(&line, "/method").as_str() {
            Some("mining.set_difficulty") => {
                let difficulty = at(&line, "/params/0").as_f64();
                self.difficulty = difficulty.context("a difficulty is a number")?;
            }
            Some("mining.notify") => {
                self.job = Some(Arc::new(Job::read(at(&line, "/params"), self.difficulty)?));
            }
            Some(_) => {}
            None => self.answered(&line).await?,
        }
        Ok(())
    }

    async fn answered(&mut self, line: &Value) -> anyhow::Result<()> {
        let id = at(line, "/id").as_u64().context("an answer names its request")?;
        if id >= FIRST_SHARE {
            return self.judged(id - FIRST_SHARE, line).await;
        }
        ensure!(at(line, "/error").is_null(), "the pool refuses the greeting: {line}");
        if id == 1 {
            let [_, own, size] =
                at(line, "/result").as_array().map(Vec::as_slice).unwrap_or_default()
            else {
                bail!("the pool answers mining.subscribe with {line}");
            };
            self.extranonce1 = hex::decode(own.as_str().unwrap_or_default())?;
            self.extranonce2_size = usize::try_from(size.as_u64().unwrap_or_default())?;
        }
        Ok(())
    }

    async fn judged(&mut self, share: u64, line: &Value) -> anyhow::Result<()> {
        ensure!(share < self.sent, "the pool answers for share {share}, which was not sent");
        let space = self.spaces.remove(&share);
        if at(line, "/result") != &json!(true) {
            let text = at(line, "/error/1").as_str().unwrap_or("no reason").to_owned();
            *self.tally.refused.entry(text).or_default() += 1;
            return Ok(());
        }
        self.tally.accepted += 1;
        if let (Some(record), Some(space)) = (&mut self.record, space) {
            record.note([key(space, share)?]).await?;
        }
        Ok(())
    }

    /// The header space of a job whose coinbase begins like this.
    fn prefix(&self, coinbase1: &[u8]) -> anyhow::Result<Prefix> {
        let own = match self.way {
            Way::Direct => self.extranonce1.as_slice(),
            Way::Translator => {
                // What nobody rolls of the pool's extranonce follows its prefix.
                let rolled = self.extranonce1.len() + self.extranonce2_size;
                let rest = usize::from(SV2_ROLLED_LENGTH).saturating_sub(rolled);
                let before = coinbase1.len().saturating_sub(rest);
                let whole = coinbase1.get(..before).unwrap_or_default();
                let start = before.saturating_sub(prefix::SV2_LENGTH.into());
                whole.get(start..).unwrap_or_default()
            }
        };
        let (prefix, _) = Prefix::parse(own).context("only shares of our own pool have names")?;
        Ok(prefix)
    }
}

/// A part of a line; null where there is none.
fn at<'a>(line: &'a Value, path: &str) -> &'a Value {
    line.pointer(path).unwrap_or(&Value::Null)
}

/// How our own pool names a share: by its header space and its number, counted from 1.
fn key(space: Prefix, share: u64) -> anyhow::Result<ShareKey> {
    let Prefix { lane, boot_epoch, channel } = space;
    Ok(ShareKey { lane, boot_epoch, channel, sequence: u32::try_from(share + 1)? })
}

/// The same for a miner that our own pool gave this extranonce1.
pub(crate) fn key_in(extranonce1: &[u8], share: u64) -> anyhow::Result<ShareKey> {
    let (space, _) =
        Prefix::parse(extranonce1).context("this is no extranonce1 of our own pool")?;
    key(space, share)
}
