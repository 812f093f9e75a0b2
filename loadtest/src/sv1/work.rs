//! Headers from what `mining.notify` told.

use anyhow::{Context as _, bail};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// Nonces that are tried before the miner looks up.
const NONCES: u32 = 50_000;

/// A job.
#[derive(Clone, Debug)]
pub(super) struct Job {
    id: String,
    prevhash: Vec<u8>,
    coinbase1: Vec<u8>,
    coinbase2: Vec<u8>,
    branches: Vec<Vec<u8>>,
    version: u32,
    nbits: u32,
    ntime: u32,
    /// What a share may be at most, and a block.
    share_target: f64,
    block_target: f64,
}

/// A share that meets its job's target.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) job: String,
    pub(super) extranonce2: String,
    pub(super) ntime: String,
    pub(super) nonce: u32,
    pub(super) is_block: bool,
    /// The beginning of the job's coinbase.
    pub(super) space: Vec<u8>,
}

/// One extranonce2 of a job.
#[derive(Clone, Debug)]
pub(super) struct Search {
    job: Arc<Job>,
    extranonce1: Vec<u8>,
    extranonce2: Vec<u8>,
}

fn bytes(text: &Value) -> anyhow::Result<Vec<u8>> {
    Ok(hex::decode(text.as_str().context("bytes are text")?)?)
}

fn number(text: &Value) -> anyhow::Result<u32> {
    Ok(u32::from_str_radix(text.as_str().context("a number is text")?, 16)?)
}

fn double(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(Sha256::digest(bytes)).into()
}

/// A number of little-endian bytes; exact enough to be compared.
fn float(bytes: &[u8]) -> f64 {
    bytes.iter().rev().fold(0.0, |number, byte| number * 256.0 + f64::from(*byte))
}

impl Job {
    pub(super) fn read(params: &Value, difficulty: f64) -> anyhow::Result<Self> {
        let params = params.as_array().map(Vec::as_slice).unwrap_or_default();
        let [id, prevhash, coinbase1, coinbase2, branches, version, nbits, ntime, _] = params
        else {
            bail!("mining.notify has {} parameters and not nine", params.len());
        };
        let words = bytes(prevhash)?;
        let nbits = number(nbits)?;
        let size = f64::from(nbits >> 24);
        Ok(Self {
            id: id.as_str().context("a job has an id")?.to_owned(),
            prevhash: words.chunks(4).flat_map(|word| word.iter().rev().copied()).collect(),
            coinbase1: bytes(coinbase1)?,
            coinbase2: bytes(coinbase2)?,
            branches: branches
                .as_array()
                .context("branches are a list")?
                .iter()
                .map(bytes)
                .collect::<Result<_, _>>()?,
            version: number(version)?,
            nbits,
            ntime: number(ntime)?,
            share_target: 65_535.0 * 208.0_f64.exp2() / difficulty,
            block_target: f64::from(nbits & 0x007f_ffff) * (8.0 * (size - 3.0)).exp2(),
        })
    }
}

impl Search {
    pub(super) fn new(job: &Arc<Job>, extranonce1: &[u8], tried: u64, size: usize) -> Self {
        let mut extranonce2 = tried.to_le_bytes().to_vec();
        extranonce2.resize(size, 0);
        Self { job: Arc::clone(job), extranonce1: extranonce1.to_vec(), extranonce2 }
    }

    /// Tries some nonces.
    pub(super) fn run(self) -> Vec<Found> {
        let Self { job, extranonce1, extranonce2 } = self;
        let coinbase =
            [job.coinbase1.as_slice(), &extranonce1, &extranonce2, &job.coinbase2].concat();
        let root = job
            .branches
            .iter()
            .fold(double(&coinbase), |root, branch| double(&[root.as_slice(), branch].concat()));
        let times = [job.ntime.to_le_bytes(), job.nbits.to_le_bytes()].concat();
        let head = [job.version.to_le_bytes().as_slice(), &job.prevhash, &root, &times].concat();
        let start = Sha256::new_with_prefix(&head);
        let mut found = Vec::new();
        for nonce in 0..NONCES {
            let inner = start.clone().chain_update(nonce.to_le_bytes()).finalize();
            let hash = float(&Sha256::digest(inner));
            if hash <= job.share_target {
                found.push(Found {
                    job: job.id.clone(),
                    extranonce2: hex::encode(&extranonce2),
                    ntime: format!("{:08x}", job.ntime),
                    nonce,
                    is_block: hash <= job.block_target,
                    space: job.coinbase1.clone(),
                });
            }
        }
        found
    }
}
