//! The library's channel state machines as an oracle: the same template, the same outputs, the
//! same shares must be taken, refused and found to be blocks alike.
//!
//! The library's scriptSig holds two pushes (its tag, the extranonce) and ours one, so the oracle
//! is given ours as a custom job: it then builds coinbase and job with its own code around it. It
//! cannot be asked about three things that are ours alone: it calls times out of bounds
//! `invalid-share`, knows no other masks than all or nothing, and takes a solving hash that misses
//! the share's own target.

use crate::fixtures::{any_payee, any_template, tip, work};
use mining::{
    Job, Payee, Prefix, ShareFields, Target, TipWork, VERSION_MASK, WorkTemplate, judge, solution,
};
use proptest::prelude::*;
use std::collections::BTreeSet;
use stratum_core::{
    bitcoin::{self, Amount, ScriptBuf, TxOut, consensus::serialize},
    channels_sv2::{
        extranonce_manager::ExtranonceAllocator,
        server::{
            extended::ExtendedChannel,
            jobs::{JobOrigin, extended::ExtendedJob, factory::JobFactory},
            share_accounting::{ShareValidationError, ShareValidationResult},
            standard::StandardChannel,
        },
    },
    mining_sv2::{SetCustomMiningJobOwned, SubmitSharesExtendedOwned, SubmitSharesStandardOwned},
    template_distribution_sv2::{NewTemplateOwned, SetNewPrevHashOwned},
};
use subjects::{
    BootEpoch, Exponent, Lane,
    shares::{JobKind, Reason},
    templates::New,
};

/// What a judge may say, in terms that both sides have.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Valid([u8; 32]),
    Block([u8; 32], Vec<u8>),
    Duplicate,
    TooEasy,
    BadSize,
    BadVersion,
    BadTime,
}

impl Verdict {
    /// Without the coinbase: what the library gives for a standard job is not what it hashed here.
    fn hash_only(self) -> Self {
        if let Self::Block(hash, _) = self { Self::Block(hash, Vec::new()) } else { self }
    }
}

/// A channel of ours with the set of proofs that its owner keeps.
struct Ours<'a> {
    work: &'a WorkTemplate,
    tip: &'a TipWork,
    job: Job<'a>,
    seen: BTreeSet<mining::Fingerprint>,
}

impl Ours<'_> {
    fn verdict(&mut self, share: &ShareFields<'_>) -> Verdict {
        match judge(self.work, self.tip, &self.job, share) {
            Ok(judged) if !self.seen.insert(judged.fingerprint()) => Verdict::Duplicate,
            Ok(judged) if judged.is_block => {
                let solution = solution(self.work, self.tip, &self.job, share).unwrap();
                assert_eq!(solution.hash, judged.hash);
                Verdict::Block(judged.hash.0, solution.coinbase)
            }
            Ok(judged) => Verdict::Valid(judged.hash.0),
            Err(Reason::DifficultyTooLow) => Verdict::TooEasy,
            Err(Reason::BadExtranonceSize) => Verdict::BadSize,
            Err(Reason::InvalidVersion) => Verdict::BadVersion,
            Err(Reason::InvalidNtime) => Verdict::BadTime,
            Err(other) => panic!("{other} is not for the judge to say here"),
        }
    }
}

fn theirs(result: Result<ShareValidationResult, ShareValidationError>) -> Verdict {
    use ShareValidationError as Error;
    match result {
        Ok(ShareValidationResult::Valid(hash)) => Verdict::Valid(*hash.as_ref()),
        Ok(ShareValidationResult::BlockFound(hash, _, coinbase)) => {
            Verdict::Block(*hash.as_ref(), coinbase)
        }
        Err(Error::DuplicateShare(_)) => Verdict::Duplicate,
        Err(Error::DoesNotMeetTarget(_)) => Verdict::TooEasy,
        Err(Error::BadExtranonceSize(_)) => Verdict::BadSize,
        Err(Error::VersionRollingNotAllowed(_)) => Verdict::BadVersion,
        Err(Error::Invalid("invalid-non-rollable-version-bit")) => Verdict::BadVersion,
        Err(Error::Invalid("invalid-share")) => Verdict::BadTime,
        Err(other) => panic!("the oracle said {other:?}"),
    }
}

/// The job in the words of `SetCustomMiningJob`: scriptSig up to the extranonce, outputs.
fn custom_job(
    new: &New,
    work: &WorkTemplate,
    tip: &TipWork,
    job: &Job<'_>,
) -> SetCustomMiningJobOwned {
    let tag = new.coinbase_rule.tag.as_bytes();
    let push = u8::try_from(tag.len() + 1 + 20).unwrap();
    let exponent = job.exponent.to_i8().to_be_bytes();
    let script_sig = [&new.coinbase_prefix.0, [push].as_slice(), tag, &exponent].concat();
    let path = work.merkle_path().iter().map(|node| (*node).into()).collect::<Vec<_>>();
    SetCustomMiningJobOwned {
        channel_id: 1,
        request_id: 1,
        token: vec![].try_into().unwrap(),
        version: work.version(),
        prev_hash: tip.prevhash().0.into(),
        min_ntime: tip.min_ntime(),
        nbits: tip.nbits(),
        coinbase_tx_version: new.tx_version,
        coinbase_prefix: script_sig.try_into().unwrap(),
        coinbase_tx_input_n_sequence: new.input_sequence,
        coinbase_tx_outputs: serialize(&outputs(new, job.payee)).try_into().unwrap(),
        coinbase_tx_locktime: new.locktime,
        merkle_path: path.try_into().unwrap(),
    }
}

fn outputs(new: &New, payee: &Payee) -> Vec<TxOut> {
    let output = |value: u64, script: &[u8]| TxOut {
        value: Amount::from_sat(value),
        script_pubkey: ScriptBuf::from(script.to_vec()),
    };
    let (subsidy, fees) = (new.subsidy.to_u64(), new.fees.to_u64());
    let (treasury, finder) =
        if payee.is_paid(new.fees) { (subsidy, fees) } else { (subsidy + fees, 0) };
    let ours = [
        output(treasury, new.coinbase_rule.treasury_script.as_slice()),
        output(finder, payee.script()),
    ];
    let theirs = new.coinbase_outputs.iter().map(|one| output(0, one.script.as_slice()));
    ours.into_iter().chain(theirs).collect()
}

fn target(exponent: Exponent) -> bitcoin::Target {
    bitcoin::Target::from_le_bytes(Target::of(exponent).to_le_bytes())
}

fn allocator(prefix: Prefix) -> ExtranonceAllocator {
    ExtranonceAllocator::new(prefix.to_sv2()[..4].to_vec(), 20, 1 << 24).unwrap()
}

fn extended_oracle(custom: SetCustomMiningJobOwned, job: &Job<'_>, own: Prefix) -> ExtendedChannel {
    let mut allocator = allocator(own);
    let held: Vec<_> = (0..own.channel).map(|_| allocator.allocate_extended(13).unwrap()).collect();
    let prefix = allocator.allocate_extended(13).unwrap();
    drop(held);
    let easiest = bitcoin::Target::from_le_bytes([0xff; 32]);
    let rolling = job.version_mask != 0;
    let mut channel = ExtendedChannel::new_for_pool(
        1,
        "miner".to_owned(),
        prefix,
        easiest,
        1.0,
        rolling,
        13,
        1,
        60.0,
        String::new(),
        None,
    )
    .unwrap();
    assert_eq!(channel.get_extranonce_prefix(), job.extranonce_prefix);
    channel.set_target(target(job.exponent)).unwrap();
    channel.on_set_custom_mining_job(custom).unwrap();
    channel
}

/// The oracle's standard channel takes group jobs that come from templates only: the custom job's
/// bytes are handed to it as such.
fn standard_oracle(custom: SetCustomMiningJobOwned, job: &Job<'_>, own: Prefix) -> StandardChannel {
    let mut allocator = allocator(own);
    let held: Vec<_> = (0..own.channel).map(|_| allocator.allocate_standard().unwrap()).collect();
    let prefix = allocator.allocate_standard().unwrap();
    drop(held);
    let easiest = bitcoin::Target::from_le_bytes([0xff; 32]);
    let mut channel = StandardChannel::new_for_pool(
        1,
        "miner".to_owned(),
        prefix,
        easiest,
        1.0,
        1,
        60.0,
        String::new(),
        None,
    )
    .unwrap();
    assert_eq!(channel.get_extranonce_prefix(), job.extranonce_prefix);
    channel.set_target(target(job.exponent)).unwrap();
    channel
        .on_set_new_prev_hash(SetNewPrevHashOwned {
            template_id: 1,
            prev_hash: custom.prev_hash.clone(),
            header_timestamp: custom.min_ntime,
            n_bits: custom.nbits,
            target: [0xff; 32].into(),
        })
        .unwrap();
    channel.on_group_channel_job(as_template_job(custom, job)).unwrap();
    channel
}

fn as_template_job(custom: SetCustomMiningJobOwned, job: &Job<'_>) -> ExtendedJob {
    let mut factory = JobFactory::new(true, None, None);
    let prefix = job.extranonce_prefix.to_vec();
    let built = factory.new_extended_job_from_custom_job(custom, prefix.clone(), 20).unwrap();
    let JobOrigin::SetCustomMiningJob(custom) = built.get_origin() else {
        panic!("a custom job comes from a custom job")
    };
    let template = NewTemplateOwned {
        template_id: 1,
        future_template: false,
        version: custom.version,
        coinbase_tx_version: custom.coinbase_tx_version,
        coinbase_prefix: vec![].try_into().unwrap(),
        coinbase_tx_input_sequence: custom.coinbase_tx_input_n_sequence,
        coinbase_tx_value_remaining: 0,
        coinbase_tx_outputs_count: 0,
        coinbase_tx_outputs: vec![].try_into().unwrap(),
        coinbase_tx_locktime: custom.coinbase_tx_locktime,
        merkle_path: custom.merkle_path.clone(),
    };
    ExtendedJob::from_template(
        template,
        prefix,
        built.get_coinbase_outputs().to_vec(),
        built.get_coinbase_tx_prefix_with_bip141(),
        built.get_coinbase_tx_suffix_with_bip141(),
        built.get_job_message().clone(),
    )
    .unwrap()
}

/// What a miner hands in: mostly right, sometimes wrong in one field, sometimes twice.
#[derive(Clone, Debug)]
struct Handed {
    extranonce: Vec<u8>,
    ntime: u32,
    nonce: u32,
    version_bits: u32,
    twice: bool,
}

fn any_handed() -> impl Strategy<Value = Handed> {
    let extranonce = prop_oneof![
        12 => prop::collection::vec(any::<u8>(), 13),
        1 => prop::collection::vec(any::<u8>(), 0..20),
    ];
    let ntime = prop_oneof![12 => 0..=7_200_u32, 1 => 7_195..7_206_u32, 1 => Just(u32::MAX)];
    let bits = prop_oneof![
        6 => Just(0),
        6 => any::<u32>().prop_map(|bits| bits & VERSION_MASK),
        1 => any::<u32>(),
    ];
    (extranonce, ntime, any::<u32>(), bits, prop::bool::weighted(0.2)).prop_map(
        |(extranonce, ntime, nonce, version_bits, twice)| Handed {
            extranonce,
            ntime,
            nonce,
            version_bits,
            twice,
        },
    )
}

/// Compact targets of blocks that need 2 to 4096 hashes.
fn any_nbits() -> impl Strategy<Value = u32> {
    prop_oneof![Just(0x207f_ffff), Just(0x2010_0000), Just(0x2001_2345), Just(0x1f10_0000)]
}

impl Handed {
    fn fields(&self, work: &WorkTemplate, tip: &TipWork, kind: JobKind) -> ShareFields<'_> {
        let extranonce = match kind {
            JobKind::Extended => self.extranonce.as_slice(),
            JobKind::Standard => &[],
        };
        ShareFields {
            extranonce,
            // One in a few is a second too early.
            ntime: tip.min_ntime().wrapping_add(self.ntime),
            nonce: self.nonce,
            version: work.version() ^ self.version_bits,
        }
    }
}

proptest! {
    #[test]
    fn extended_channels_agree(
        new in any_template(), payee in any_payee(), nbits in any_nbits(), harder in 0..3_i64,
        channel in 0..300_u32, rolls: bool, handed in prop::collection::vec(any_handed(), 1..24),
    ) {
        let (work, tip) = (work(&new), tip(&new, nbits));
        let own = Prefix::new(Lane(513), BootEpoch(772), channel).unwrap();
        let prefix = own.to_sv2();
        let hardest = i64::from(tip.hardest_exponent().to_i8());
        let job = Job {
            kind: JobKind::Extended,
            exponent: Exponent::clamped(hardest - harder),
            extranonce_prefix: &prefix,
            extranonce_length: 20,
            payee: &payee,
            version_mask: if rolls { VERSION_MASK } else { 0 },
        };
        let mut oracle = extended_oracle(custom_job(&new, &work, &tip, &job), &job, own);
        let mut ours = Ours { work: &work, tip: &tip, job, seen: BTreeSet::new() };
        for handed in &handed {
            let share = handed.fields(&work, &tip, JobKind::Extended);
            for _ in 0..=u8::from(handed.twice) {
                let submit = SubmitSharesExtendedOwned {
                    channel_id: 1,
                    sequence_number: 1,
                    job_id: 1,
                    nonce: share.nonce,
                    ntime: share.ntime,
                    version: share.version,
                    extranonce: share.extranonce.to_vec().try_into().unwrap(),
                };
                prop_assert_eq!(ours.verdict(&share), theirs(oracle.validate_share(submit)));
            }
        }
    }

    #[test]
    fn standard_channels_agree(
        new in any_template(), payee in any_payee(), nbits in any_nbits(), harder in 0..3_i64,
        channel in 0..300_u32, handed in prop::collection::vec(any_handed(), 1..24),
    ) {
        let (work, tip) = (work(&new), tip(&new, nbits));
        let own = Prefix::new(Lane(513), BootEpoch(772), channel).unwrap();
        let prefix = own.to_standard();
        let hardest = i64::from(tip.hardest_exponent().to_i8());
        let job = Job {
            kind: JobKind::Standard,
            exponent: Exponent::clamped(hardest - harder),
            extranonce_prefix: &prefix,
            extranonce_length: 20,
            payee: &payee,
            version_mask: VERSION_MASK,
        };
        let mut oracle = standard_oracle(custom_job(&new, &work, &tip, &job), &job, own);
        let mut ours = Ours { work: &work, tip: &tip, job, seen: BTreeSet::new() };
        for handed in &handed {
            let share = handed.fields(&work, &tip, JobKind::Standard);
            for _ in 0..=u8::from(handed.twice) {
                let submit = SubmitSharesStandardOwned {
                    channel_id: 1,
                    sequence_number: 1,
                    job_id: 1,
                    nonce: share.nonce,
                    ntime: share.ntime,
                    version: share.version,
                };
                let verdict = theirs(oracle.validate_share(submit));
                prop_assert_eq!(ours.verdict(&share).hash_only(), verdict.hash_only());
            }
        }
    }
}
