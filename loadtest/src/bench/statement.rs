//! The statement of a block whose round had very many miners.

use super::{
    Bench, Setting,
    figure::{Figure, Goal},
    meter::{float, forget_peak, memory},
    verify::own_time,
};
use anyhow::{Context as _, ensure};
use bitcoin::{
    Amount, ScriptBuf, Transaction, TxIn, TxOut, absolute::LockTime, consensus,
    transaction::Version,
};
use futures_util::FutureExt as _;
use payout_calculator::{
    domain::{Calculator, Settings},
    signature::StatementKey,
};
use sha2::{Digest as _, Sha256};
use subjects::{
    BlockHash, HexBytes, MinerId, Payload as _, Sats, TemplateId, Timestamp, Work,
    blocks::{BlockResult, Outcome, Solved},
    payouts::RewardRule,
    rounds::{Line, MAX_LINES, SliceClosed, SliceLines, SolvingShare},
};

/// A statement's time and memory.
pub(super) const BENCH: Bench = Bench {
    name: "statement",
    what: "Time and memory of the statement of a round with a million miners.",
    measure: |setting| std::future::ready(measure(setting)).boxed(),
};

/// Most bytes that a statement may have by default (`max_message_bytes` of the calculator).
const MESSAGE_BYTES: u32 = 8_000_000;
const HEIGHT: u32 = 900_000;
const SUBSIDY: u64 = 312_500_000;
const FEES: u64 = 4_321_987;
const HASH: BlockHash = BlockHash([7; 32]);

fn measure(setting: &Setting) -> anyhow::Result<Vec<Figure>> {
    let miners = setting.times(50_000, 1_000_000);
    let (slice, parts) = slice(miners)?;
    let (mut seconds, mut peaks, mut bytes) = (Vec::new(), Vec::new(), 0);
    for _ in 0..setting.times(1, 5) {
        let run = state(&slice, &parts)?;
        seconds.push(run.seconds);
        peaks.push(run.peak_mib);
        bytes = run.bytes;
    }
    let of = format!("{miners} miners, lines read as JSON, signed and encoded");
    let each = float(u64::try_from(bytes)?) / f64::from(miners);
    let fit = f64::from(MESSAGE_BYTES) / each;
    Ok(vec![
        Figure::median("statement: processor time", "s", Goal::AtMost(2.0), &seconds).with(of),
        Figure::median("statement: memory while it is made", "MiB", Goal::AtMost(2_048.0), &peaks)
            .with("most resident, less what was there before"),
        Figure::median("statement: size", "B/miner", Goal::None, &[each]),
        Figure::median("statement: miners of one message", "miners", Goal::None, &[fit])
            .with(format!("of {MESSAGE_BYTES} bytes")),
    ])
}

struct Run {
    seconds: f64,
    peak_mib: f64,
    bytes: usize,
}

/// Makes the statement out of facts as the bus holds them.
fn state(slice: &SliceClosed, parts: &[Vec<u8>]) -> anyhow::Result<Run> {
    let key = StatementKey::parse(&"42".repeat(32).into())?;
    let rule = RewardRule::Round;
    let settings = Settings { rule, key, valid_days: 30, max_message_bytes: usize::MAX };
    let mut calculator = Calculator::new(settings);
    let outcome = Outcome { hash: HASH, height: HEIGHT, result: BlockResult::Confirmed };
    let me = u64::from(std::process::id());
    forget_peak(me)?;
    let (before, began) = (memory(me)?.resident, own_time()?);
    calculator.slice(slice, u64::try_from(parts.len())? + 1)?;
    calculator.solved(&solved()?)?;
    let wants = calculator.outcome(&outcome, Timestamp(0))?;
    ensure!(wants.unfinished, "the lines are not asked for");
    for part in parts {
        calculator.lines(SliceLines::decode(part)?)?;
    }
    calculator.end_of_lines()?;
    let answer = calculator.outcome(&outcome, Timestamp(0))?;
    let statement = answer.statements.first().context("nothing is stated")?;
    let bytes = statement.encode().len();
    let peak = memory(me)?.peak.saturating_sub(before);
    Ok(Run { seconds: own_time()? - began, peak_mib: float(peak >> 10) / 1_024.0, bytes })
}

fn miner(number: u32) -> anyhow::Result<MinerId> {
    let digest = Sha256::digest(number.to_be_bytes());
    let hash = digest.get(..20).context("a digest has 32 bytes")?;
    MinerId::new([&[0, 20], hash].concat()).context("a script of 22 bytes")
}

/// A slice that ends its round, and its lines as ROUNDS holds them.
fn slice(miners: u32) -> anyhow::Result<(SliceClosed, Vec<Vec<u8>>)> {
    let line = |number: u32| {
        let work = Work::new(u128::from(number % 9_973 + 1) << 40);
        anyhow::Ok(Line { miner: miner(number)?, work, shares: 1_000 })
    };
    let mut lines: Vec<Line> = (0..miners).map(line).collect::<Result<_, _>>()?;
    lines.sort_unstable_by(|one, other| one.miner.cmp(&other.miner));
    let work = lines.iter().map(|line| line.work.to_u128()).sum();
    let parts = (0..).zip(lines.chunks(MAX_LINES));
    let part = |(part, lines): (u32, &[Line])| {
        SliceLines { slice: 1, part, lines: lines.to_vec() }.encode()
    };
    let parts: Vec<_> = parts.map(part).collect();
    let slice = SliceClosed {
        slice: 1,
        round: 1,
        incarnation: 1,
        first_sequence: 1,
        last_sequence: 1_000_000,
        chain_start: HexBytes(vec![0; 32]),
        chain_end: HexBytes(vec![1; 32]),
        shares: u64::from(miners) * 1_000,
        work: Work::new(work),
        network_work: Work::new(work),
        miners: miners.into(),
        parts: u32::try_from(parts.len())?,
        lines_root: HexBytes(vec![2; 32]),
        last_ntime: 1_700_000_000,
        block: Some(SolvingShare {
            hash: HASH,
            height: HEIGHT,
            finder: miner(0)?,
            identity: "finder".to_owned(),
            worker: String::new(),
        }),
    };
    Ok((slice, parts))
}

fn solved() -> anyhow::Result<Solved> {
    let sats = |amount| Sats::new(amount).context("more than the supply");
    let output = |value, script: Vec<u8>| TxOut {
        value: Amount::from_sat(value),
        script_pubkey: ScriptBuf::from_bytes(script),
    };
    let finder = miner(0)?.as_bytes().to_vec();
    let coinbase = Transaction {
        version: Version::TWO,
        lock_time: LockTime::ZERO,
        input: vec![TxIn::default()],
        output: vec![output(SUBSIDY, vec![0x51]), output(FEES, finder), output(0, vec![0x6a])],
    };
    Ok(Solved {
        hash: HASH,
        height: HEIGHT,
        header: HexBytes(vec![0; 80]),
        coinbase: HexBytes(consensus::serialize(&coinbase)),
        template: TemplateId([1; 16]),
        provider: "bench".parse()?,
        subsidy: sats(SUBSIDY)?,
        fees: sats(FEES)?,
    })
}
