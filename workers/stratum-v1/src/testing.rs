//! A miner that builds headers from nothing but the lines that it was sent, the way firmware does:
//! for the tests of whoever serves Stratum V1.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    reason = "a test fails by panicking"
)]

use serde_json::Value;
use sha2::{Digest, Sha256};

/// A job as `mining.notify` told it.
#[derive(Clone, Debug)]
pub struct Job {
    /// Its id.
    pub id: String,
    prevhash: Vec<u8>,
    coinbase1: Vec<u8>,
    coinbase2: Vec<u8>,
    branches: Vec<Vec<u8>>,
    /// The version as it was told.
    pub version: u32,
    nbits: u32,
    /// Where the time starts.
    pub ntime: u32,
    /// Whether all jobs before it are over.
    pub clean: bool,
    extranonce1: Vec<u8>,
    /// The difficulty that was told before it.
    pub difficulty: f64,
}

/// What a miner knows.
#[derive(Debug, Default)]
pub struct Miner {
    /// Extranonce1.
    pub extranonce1: Vec<u8>,
    /// Bytes that it rolls.
    pub extranonce2_size: usize,
    /// The difficulty that was told last; 0 before.
    pub difficulty: f64,
    /// The version bits that it may roll.
    pub mask: u32,
    /// All jobs, in their order.
    pub jobs: Vec<Job>,
}

/// A share that meets its job's target.
#[derive(Clone, Debug)]
pub struct Found {
    /// The job's id.
    pub job: String,
    /// What was rolled.
    pub extranonce2: String,
    /// Time in the header.
    pub ntime: String,
    /// Nonce in the header.
    pub nonce: u32,
    /// The rolled bits.
    pub bits: u32,
}

impl Found {
    /// The line of five parameters.
    pub fn submit(&self, id: &str, user: &str) -> String {
        let Self { job, extranonce2, ntime, nonce, .. } = self;
        format!(
            r#"{{"id":{id},"method":"mining.submit","params":["{user}","{job}","{extranonce2}","{ntime}","{nonce:08x}"]}}"#
        )
    }

    /// The line of six parameters.
    pub fn submit_rolled(&self, id: &str, user: &str, version: u32) -> String {
        let five = self.submit(id, user);
        format!(r#"{},"{version:08x}"]}}"#, five.strip_suffix("]}").unwrap())
    }
}

fn bytes(text: &Value) -> Vec<u8> {
    hex::decode(text.as_str().unwrap()).unwrap()
}

fn number(text: &Value) -> u32 {
    u32::from_str_radix(text.as_str().unwrap(), 16).unwrap()
}

fn double(bytes: &[u8]) -> Vec<u8> {
    Sha256::digest(Sha256::digest(bytes)).to_vec()
}

impl Miner {
    /// Hears a line.
    pub fn hear(&mut self, line: &str) {
        let line: Value = serde_json::from_str(line).unwrap();
        assert!(line.get("id").is_some(), "some firmware drops lines without an id: {line}");
        let params = &line["params"];
        match line["method"].as_str() {
            Some("mining.set_difficulty") => self.difficulty = params[0].as_f64().unwrap(),
            Some("mining.set_version_mask") => self.mask = number(&params[0]),
            Some("mining.set_extranonce") => {
                self.extranonce1 = bytes(&params[0]);
                self.extranonce2_size = usize::try_from(params[1].as_u64().unwrap()).unwrap();
            }
            Some("mining.notify") => self.notified(params.as_array().unwrap()),
            Some(_) => {}
            None => {
                assert!(line.get("error").is_some(), "some firmware needs an error: {line}");
                self.answered(&line["result"]);
            }
        }
    }

    fn answered(&mut self, result: &Value) {
        if let Some([_, own, size]) = result.as_array().map(Vec::as_slice) {
            self.extranonce1 = bytes(own);
            self.extranonce2_size = usize::try_from(size.as_u64().unwrap()).unwrap();
        }
        if let Some(mask) = result.get("version-rolling.mask") {
            self.mask = number(mask);
        }
    }

    fn notified(&mut self, params: &[Value]) {
        let [id, prevhash, coinbase1, coinbase2, branches, version, nbits, ntime, clean] = params
        else {
            panic!("nine parameters, clean_jobs last: {params:?}");
        };
        let id = id.as_str().unwrap().to_owned();
        assert!(self.jobs.iter().all(|job| job.id != id), "job {id} was sent before");
        let words = bytes(prevhash);
        let prevhash = words.chunks(4).flat_map(|word| word.iter().rev().copied()).collect();
        self.jobs.push(Job {
            id,
            prevhash,
            coinbase1: bytes(coinbase1),
            coinbase2: bytes(coinbase2),
            branches: branches.as_array().unwrap().iter().map(bytes).collect(),
            version: number(version),
            nbits: number(nbits),
            ntime: number(ntime),
            clean: clean.as_bool().unwrap(),
            extranonce1: self.extranonce1.clone(),
            difficulty: self.difficulty,
        });
    }

    /// The job that it works on.
    pub fn job(&self) -> &Job {
        self.jobs.last().expect("a job")
    }

    /// A share on the current job, different for every `number`.
    pub fn find(&self, number: u32) -> Found {
        self.find_on(self.job(), number, 0)
    }

    /// A share on a job with these bits of the version rolled.
    pub fn find_on(&self, job: &Job, number: u32, bits: u32) -> Found {
        let mut extranonce2 = number.to_be_bytes().to_vec();
        extranonce2.resize(self.extranonce2_size, 0);
        self.find_with(job, &extranonce2, bits)
    }

    /// A share on a job with this extranonce2.
    pub fn find_with(&self, job: &Job, extranonce2: &[u8], bits: u32) -> Found {
        let coinbase =
            [job.coinbase1.as_slice(), &job.extranonce1, extranonce2, &job.coinbase2].concat();
        let root = job
            .branches
            .iter()
            .fold(double(&coinbase), |root, branch| double(&[root.as_slice(), branch].concat()));
        let (version, ntime) = ((job.version | bits).to_le_bytes(), job.ntime.to_le_bytes());
        let nbits = job.nbits.to_le_bytes();
        let header = |nonce: u32| {
            [&version[..], &job.prevhash, &root, &ntime, &nbits, &nonce.to_le_bytes()].concat()
        };
        let good = |nonce: &u32| difficulty_of(&double(&header(*nonce))) >= job.difficulty;
        let nonce = (0..=u32::MAX).find(good).expect("a share within all nonces");
        Found {
            job: job.id.clone(),
            extranonce2: hex::encode(extranonce2),
            ntime: format!("{:08x}", job.ntime),
            nonce,
            bits,
        }
    }
}

/// The difficulty of a hash: `0xFFFF · 2^208` divided by it.
fn difficulty_of(hash: &[u8]) -> f64 {
    let number = hash.iter().rev().fold(0.0_f64, |number, byte| number * 256.0 + f64::from(*byte));
    65_535.0 * 208.0_f64.exp2() / number
}
