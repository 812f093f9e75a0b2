//! A template, made ready for work: what all channels on it share.

use crate::{
    MAX_SCRIPT_SIG_LENGTH, Payee, RULES_VERSION, Split, VERSION_MASK,
    coinbase::{EXTRANONCE_LENGTHS, Head, bip34_push},
};
use subjects::{
    BlockHash, ProviderId, Sats, TemplateId,
    templates::{MAX_MERKLE_PATH, MAX_TAG_LENGTH, New, Output},
};

/// Most outputs that a template may bring along: device firmware takes jobs of 2 KB and no more.
pub const MAX_TEMPLATE_OUTPUTS: usize = 16;
/// Longest script whose length is serialised as one byte.
pub const MAX_SCRIPT_LENGTH: usize = 252;
/// Sequence of an input that ignores the transaction's lock time.
const FINAL_SEQUENCE: u32 = 0xffff_ffff;
/// Lock times below this are heights (BIP 65).
const LOCKTIME_THRESHOLD: u32 = 500_000_000;
/// How a witness commitment's script begins (BIP 141): `OP_RETURN`, push of 36, `aa21a9ed`.
const WITNESS_COMMITMENT: [u8; 6] = [0x6a, 0x24, 0xaa, 0x21, 0xa9, 0xed];

/// What all jobs on one template share: built once, held in one `Arc`.
#[derive(Clone, Debug)]
pub struct WorkTemplate {
    id: TemplateId,
    provider: ProviderId,
    height: u32,
    prevhash: Option<BlockHash>,
    version: u32,
    version_mask: u32,
    subsidy: Sats,
    fees: Sats,
    paid: Split,
    unpaid: Split,
    /// By length of the extranonce, from the first of `EXTRANONCE_LENGTHS`.
    heads: Box<[Head]>,
    /// Input sequence to output 1's value, when output 1 is paid and when it is not.
    outputs_paid: Box<[u8]>,
    outputs_unpaid: Box<[u8]>,
    /// The template's own outputs and the lock time.
    rest: Box<[u8]>,
    merkle_path: Box<[[u8; 32]]>,
}

/// Nobody may mine on the template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// The rules are newer than this program.
    #[error("coinbase rules version {0} is not known; {RULES_VERSION} is")]
    UnknownRules(u16),
    /// `coinbase_prefix` is not the BIP 34 push of the height.
    #[error("the coinbase prefix is not the push of height {0}")]
    Height(u32),
    /// The scriptSig would exceed what consensus allows.
    #[error("the tag makes the scriptSig longer than {MAX_SCRIPT_SIG_LENGTH} bytes")]
    Tag,
    /// The mask has bits that BIP 323 does not give to miners.
    #[error("version mask {0:#010x} exceeds {VERSION_MASK:#010x}")]
    VersionMask(u32),
    /// Bits that miners roll are set in the template's version.
    #[error("version {0:#010x} has bits of the mask set")]
    Version(u32),
    /// The treasury's script is empty or too long.
    #[error("the treasury script has 1 to {MAX_SCRIPT_LENGTH} bytes")]
    TreasuryScript,
    /// The template's own outputs are too many, too long or carry value.
    #[error(
        "the template's own outputs are at most {MAX_TEMPLATE_OUTPUTS}, short and without value"
    )]
    Outputs,
    /// Not exactly one output is a witness commitment.
    #[error("a template has one witness commitment, this one has {0}")]
    WitnessCommitment(usize),
    /// More hashes than a block can need.
    #[error("the merkle path has more than {MAX_MERKLE_PATH} hashes")]
    MerklePath,
    /// Subsidy and fees exceed the supply.
    #[error("subsidy and fees exceed the supply")]
    Value,
    /// The coinbase would not be final at the template's height.
    #[error("lock time {0} is not final at the template's height")]
    Locktime(u32),
}

impl WorkTemplate {
    /// Makes a published template ready; `id` is its content id, [`TemplateId::of_payload`] of the
    /// bytes that were published.
    ///
    /// # Errors
    ///
    /// When the template contradicts itself or breaks the coinbase rule; see [`TemplateError`].
    pub fn new(id: TemplateId, template: &New) -> Result<Self, TemplateError> {
        check(template)?;
        let all = template.subsidy.checked_add(template.fees).ok_or(TemplateError::Value)?;
        let paid = Split::paid(template.subsidy, template.fees);
        let unpaid = Split::unpaid(all, template.fees);
        let heads = EXTRANONCE_LENGTHS.map(|length| head(template, length).map(Head::new));
        Ok(Self {
            id,
            provider: template.provider.clone(),
            height: template.height,
            prevhash: template.prevhash,
            version: template.version,
            version_mask: template.coinbase_rule.version_mask,
            subsidy: template.subsidy,
            fees: template.fees,
            outputs_paid: outputs(template, paid).into(),
            outputs_unpaid: outputs(template, unpaid).into(),
            paid,
            unpaid,
            heads: heads.collect::<Result<_, _>>()?,
            rest: rest(template).into(),
            merkle_path: template.merkle_path.iter().map(|node| node.0).collect(),
        })
    }

    /// What shares call the template by.
    pub const fn id(&self) -> TemplateId {
        self.id
    }

    /// Who made the template.
    pub const fn provider(&self) -> &ProviderId {
        &self.provider
    }

    /// Height of the block that it would become.
    pub const fn height(&self) -> u32 {
        self.height
    }

    /// The block that it builds on; `None` when it was prepared for a tip not yet known.
    pub const fn prevhash(&self) -> Option<BlockHash> {
        self.prevhash
    }

    /// The version of jobs: the mask's bits are clear.
    pub const fn version(&self) -> u32 {
        self.version
    }

    /// Version bits that miners may roll on this template.
    pub const fn version_mask(&self) -> u32 {
        self.version_mask
    }

    /// Subsidy `S`.
    pub const fn subsidy(&self) -> Sats {
        self.subsidy
    }

    /// Fees `F`.
    pub const fn fees(&self) -> Sats {
        self.fees
    }

    /// Hashes from the coinbase to the merkle root, lowest first.
    pub fn merkle_path(&self) -> &[[u8; 32]] {
        &self.merkle_path
    }

    /// What a coinbase on this template pays when `payee` finds the block.
    pub fn split(&self, payee: &Payee) -> Split {
        if payee.is_paid(self.fees) { self.paid } else { self.unpaid }
    }

    pub(crate) fn head(&self, extranonce_length: u8) -> Option<&Head> {
        let index = extranonce_length.checked_sub(*EXTRANONCE_LENGTHS.start())?;
        self.heads.get(usize::from(index))
    }

    /// What follows the extranonce: to output 1's value, its script, the rest.
    pub(crate) fn tail<'a>(&'a self, payee: &'a Payee) -> [&'a [u8]; 3] {
        let paid = payee.is_paid(self.fees);
        let outputs = if paid { &self.outputs_paid } else { &self.outputs_unpaid };
        [outputs, payee.wire(), &self.rest]
    }
}

impl WorkTemplate {
    /// Reads output 1's script from what follows the scriptSig of a coinbase.
    pub(crate) fn read_finder(&self, after_script_sig: &[u8]) -> Option<Payee> {
        // Both forms of the outputs before it have one length.
        let (length, after) = after_script_sig.get(self.outputs_paid.len()..)?.split_first()?;
        Payee::of_output(after.get(..usize::from(*length))?)
    }
}

fn check(template: &New) -> Result<(), TemplateError> {
    let rule = &template.coinbase_rule;
    if rule.rules_version != RULES_VERSION {
        return Err(TemplateError::UnknownRules(rule.rules_version));
    }
    if template.coinbase_prefix.as_slice() != bip34_push(template.height) {
        return Err(TemplateError::Height(template.height));
    }
    if rule.tag.len() > MAX_TAG_LENGTH {
        return Err(TemplateError::Tag);
    }
    if rule.version_mask & !VERSION_MASK != 0 {
        return Err(TemplateError::VersionMask(rule.version_mask));
    }
    if template.version & rule.version_mask != 0 {
        return Err(TemplateError::Version(template.version));
    }
    if !(1..=MAX_SCRIPT_LENGTH).contains(&rule.treasury_script.0.len()) {
        return Err(TemplateError::TreasuryScript);
    }
    if template.merkle_path.len() > MAX_MERKLE_PATH {
        return Err(TemplateError::MerklePath);
    }
    check_locktime(template)?;
    check_outputs(&template.coinbase_outputs)
}

/// Final by its sequence or at its height; a time cannot be judged without a clock.
fn check_locktime(template: &New) -> Result<(), TemplateError> {
    let locktime = template.locktime;
    let by_height = locktime < template.height && locktime < LOCKTIME_THRESHOLD;
    if template.input_sequence == FINAL_SEQUENCE || locktime == 0 || by_height {
        return Ok(());
    }
    Err(TemplateError::Locktime(locktime))
}

fn check_outputs(outputs: &[Output]) -> Result<(), TemplateError> {
    let fits =
        |output: &Output| output.value == Sats::ZERO && output.script.0.len() <= MAX_SCRIPT_LENGTH;
    if outputs.len() > MAX_TEMPLATE_OUTPUTS || !outputs.iter().all(fits) {
        return Err(TemplateError::Outputs);
    }
    let commits = |output: &&Output| output.script.0.starts_with(&WITNESS_COMMITMENT);
    match outputs.iter().filter(commits).count() {
        1 => Ok(()),
        count => Err(TemplateError::WitnessCommitment(count)),
    }
}

/// Version, the null outpoint and the scriptSig up to the exponent.
fn head(template: &New, extranonce_length: u8) -> Result<Vec<u8>, TemplateError> {
    let (height, tag) = (&template.coinbase_prefix.0, template.coinbase_rule.tag.as_bytes());
    let push = tag.len() + 1 + usize::from(extranonce_length);
    let script_sig = height.len() + 1 + push;
    if script_sig > MAX_SCRIPT_SIG_LENGTH {
        return Err(TemplateError::Tag);
    }
    let byte = |length: usize| u8::try_from(length).map_err(|_| TemplateError::Tag);
    let version = template.tx_version.to_le_bytes();
    let (script_sig, push) = ([byte(script_sig)?], [byte(push)?]);
    Ok([version.as_slice(), &NULL_INPUT, &script_sig, height, &push, tag].concat())
}

/// One input, whose outpoint is null: zero hash, index `0xffffffff`.
const NULL_INPUT: [u8; 37] = {
    let mut input = [0; 37];
    let [count, _, .., i0, i1, i2, i3] = &mut input;
    (*count, *i0, *i1, *i2, *i3) = (1, 0xff, 0xff, 0xff, 0xff);
    input
};

fn outputs(template: &New, split: Split) -> Vec<u8> {
    let mut bytes = template.input_sequence.to_le_bytes().to_vec();
    bytes.push(one_byte(2 + template.coinbase_outputs.len()));
    bytes.extend(split.treasury.to_u64().to_le_bytes());
    push_script(&mut bytes, &template.coinbase_rule.treasury_script.0);
    bytes.extend(split.finder.to_u64().to_le_bytes());
    bytes
}

fn rest(template: &New) -> Vec<u8> {
    let mut bytes = Vec::new();
    for output in &template.coinbase_outputs {
        bytes.extend(output.value.to_u64().to_le_bytes());
        push_script(&mut bytes, &output.script.0);
    }
    bytes.extend(template.locktime.to_le_bytes());
    bytes
}

fn push_script(bytes: &mut Vec<u8>, script: &[u8]) {
    bytes.push(one_byte(script.len()));
    bytes.extend_from_slice(script);
}

#[expect(clippy::expect_used, reason = "`check` bounds every count and script to 252")]
fn one_byte(length: usize) -> u8 {
    u8::try_from(length).expect("checked")
}
