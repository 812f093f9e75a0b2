//! What pools say, and how they judge: with nothing of the translator's.

use mining::Target;
use sha2::{Digest, Sha256};
use stratum_core::{
    binary_sv2::Sv2OptionOwned,
    mining_sv2::{
        CloseChannelOwned, NewExtendedMiningJobOwned, OpenExtendedMiningChannelOwned,
        OpenExtendedMiningChannelSuccessOwned, OpenMiningChannelErrorOwned, SetNewPrevHashOwned,
        SetTargetOwned, SubmitSharesErrorOwned, SubmitSharesExtendedOwned, SubmitSharesSuccess,
    },
    parsers_sv2::MiningOwned,
};

/// Where the pool's time starts.
pub const NTIME: u32 = 1_700_000_000;
/// A block that nobody here finds.
pub const HARD: u32 = 0x1700_ffff;
/// The version of jobs, with bits that miners may roll.
pub const VERSION: u32 = 0x2000_6000;

/// One share in `odds`, for `odds` that need not be a power of two.
pub fn target(odds: u32) -> Target {
    let mut bytes = [0xff; 32];
    let top = (u64::MAX / u64::from(odds)).to_le_bytes();
    bytes[24..].copy_from_slice(&top);
    Target::from_le_bytes(bytes)
}

/// What a pool gives with a channel.
#[derive(Clone, Debug)]
pub struct Offer {
    pub channel: u32,
    pub group: u32,
    pub prefix: Vec<u8>,
    pub rolled: u16,
    pub target: Target,
}

impl Offer {
    pub fn new(channel: u32) -> Self {
        let prefix = [vec![0xaa; 3], channel.to_be_bytes().to_vec()].concat();
        Self { channel, group: 1, prefix, rolled: 13, target: target(3) }
    }

    pub fn opened(&self, open: &OpenExtendedMiningChannelOwned) -> MiningOwned {
        MiningOwned::OpenExtendedMiningChannelSuccess(OpenExtendedMiningChannelSuccessOwned {
            request_id: open.request_id,
            channel_id: self.channel,
            target: self.target.to_le_bytes().into(),
            extranonce_size: self.rolled,
            extranonce_prefix: self.prefix.clone().try_into().unwrap(),
            group_channel_id: self.group,
        })
    }

    /// The hash of a share of this channel, made of what the pool knows.
    pub fn hash(&self, share: &SubmitSharesExtendedOwned, tip: u8) -> [u8; 32] {
        let (before, after) = coinbase(share.job_id);
        let rolled = share.extranonce.as_bytes();
        assert_eq!(rolled.len(), usize::from(self.rolled), "all that is rolled is sent");
        let mut root = double(&[&before[..], &self.prefix, rolled, &after].concat());
        for node in path() {
            root = double(&[root, node].concat());
        }
        let header = [
            &share.version.to_le_bytes()[..],
            &[tip; 32],
            &root,
            &share.ntime.to_le_bytes(),
            &HARD.to_le_bytes(),
            &share.nonce.to_le_bytes(),
        ];
        double(&header.concat())
    }
}

fn double(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(Sha256::digest(bytes)).into()
}

fn path() -> [[u8; 32]; 2] {
    [[8; 32], [9; 32]]
}

/// A job's coinbase around its extranonce.
fn coinbase(job: u32) -> (Vec<u8>, Vec<u8>) {
    ([vec![1; 40], job.to_le_bytes().to_vec()].concat(), vec![2; 60])
}

/// A job, to be mined at once or to wait for its tip.
pub fn job(channel_id: u32, job_id: u32, min_ntime: Option<u32>) -> MiningOwned {
    let (before, after) = coinbase(job_id);
    let path: Vec<_> = path().into_iter().map(Into::into).collect();
    MiningOwned::NewExtendedMiningJob(NewExtendedMiningJobOwned {
        channel_id,
        job_id,
        min_ntime: Sv2OptionOwned::new(min_ntime),
        version: VERSION,
        version_rolling_allowed: true,
        merkle_path: path.try_into().unwrap(),
        coinbase_tx_prefix: before.try_into().unwrap(),
        coinbase_tx_suffix: after.try_into().unwrap(),
    })
}

/// The same without version rolling.
pub fn fixed_job(channel: u32, id: u32, min_ntime: Option<u32>) -> MiningOwned {
    let MiningOwned::NewExtendedMiningJob(job) = job(channel, id, min_ntime) else {
        panic!("a job is a job")
    };
    let job = NewExtendedMiningJobOwned { version_rolling_allowed: false, ..job };
    MiningOwned::NewExtendedMiningJob(job)
}

pub fn tip(channel_id: u32, job_id: u32, prevhash: u8) -> MiningOwned {
    MiningOwned::SetNewPrevHash(SetNewPrevHashOwned {
        channel_id,
        job_id,
        prev_hash: [prevhash; 32].into(),
        min_ntime: NTIME,
        nbits: HARD,
    })
}

pub fn set_target(channel_id: u32, target: Target) -> MiningOwned {
    let maximum_target = target.to_le_bytes().into();
    MiningOwned::SetTarget(SetTargetOwned { channel_id, maximum_target })
}

pub fn stored(channel_id: u32, last: u32, count: u32) -> MiningOwned {
    MiningOwned::SubmitSharesSuccess(SubmitSharesSuccess {
        channel_id,
        last_sequence_number: last,
        new_submits_accepted_count: count,
        new_shares_sum: 0,
    })
}

pub fn refused(channel_id: u32, sequence_number: u32, code: &str) -> MiningOwned {
    let error_code = code.to_owned().try_into().unwrap();
    MiningOwned::SubmitSharesError(SubmitSharesErrorOwned {
        channel_id,
        sequence_number,
        error_code,
    })
}

pub fn not_opened(open: &OpenExtendedMiningChannelOwned, code: &str) -> MiningOwned {
    MiningOwned::OpenMiningChannelError(OpenMiningChannelErrorOwned {
        request_id: open.request_id,
        error_code: code.to_owned().try_into().unwrap(),
    })
}

pub fn closed(channel_id: u32, code: &str) -> MiningOwned {
    let reason_code = code.to_owned().try_into().unwrap();
    MiningOwned::CloseChannel(CloseChannelOwned { channel_id, reason_code })
}
