//! The live view: one page of plain text, drawn again whenever the status changes.

use super::narrator::Event;
use crate::status::{Block, Health, Process, Stage, State, Statement, Status};
use crossterm::{
    cursor, execute, queue,
    style::Print,
    terminal::{self, ClearType},
};
use std::{
    collections::BTreeMap,
    io::{self, Write as _},
};
use subjects::{BlockHash, Sats, Timestamp};

/// What else is drawn, beside the status.
#[derive(Clone, Debug, Default)]
pub struct Extra {
    /// The latest blocks, newest first.
    pub blocks: Vec<Block>,
    /// What happened last, oldest first.
    pub events: Vec<Event>,
}

/// Blocks that are shown.
const BLOCKS: usize = 4;
/// Events that are shown at least, where there is room.
const EVENTS: usize = 6;

/// A page on the terminal; the terminal is as it was when this is dropped.
#[derive(Debug)]
pub struct Page(());

impl Page {
    /// Takes the terminal.
    ///
    /// # Errors
    ///
    /// When the terminal does not take it.
    pub fn open() -> io::Result<Self> {
        execute!(io::stdout(), terminal::EnterAlternateScreen, cursor::Hide)?;
        Ok(Self(()))
    }

    /// Draws the page over the one before.
    ///
    /// # Errors
    ///
    /// When the terminal is gone.
    pub fn draw(&self, status: &Status, extra: &Extra) -> io::Result<()> {
        let (width, height) = terminal::size().unwrap_or((100, 40));
        let (width, height) = (usize::from(width), usize::from(height));
        let mut out = io::stdout().lock();
        queue!(out, cursor::MoveTo(0, 0))?;
        for line in lines(status, extra, height).iter().take(height.saturating_sub(1)) {
            let line: String = line.chars().take(width).collect();
            queue!(out, Print(line), terminal::Clear(ClearType::UntilNewLine), Print("\r\n"))?;
        }
        queue!(out, terminal::Clear(ClearType::FromCursorDown))?;
        out.flush()
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // Nothing can be told to a terminal that is gone.
        drop(execute!(io::stdout(), cursor::Show, terminal::LeaveAlternateScreen));
    }
}

/// One line that says how the network does.
pub fn summary(status: &Status) -> String {
    let Status { shares, blocks, statements, .. } = status;
    let tip = status.tip.map_or_else(|| "no tip".into(), |tip| format!("tip {}", tip.height));
    format!(
        "{} · {tip} · {} · shares {} accepted, {} recorded · blocks {} solved, {} confirmed · \
         statements {}",
        word(status.state),
        hashrate(status.hashrate),
        grouped(shares.accepted),
        grouped(shares.recorded),
        blocks.solved,
        blocks.confirmed,
        statements.count,
    )
}

/// The page as text, for those who look once.
pub fn text(status: &Status) -> String {
    let blocks = status.blocks.last.clone().into_iter().collect();
    lines(status, &Extra { blocks, events: Vec::new() }, 0).join("\n").trim_end().to_owned()
}

/// The page, at most about `height` lines.
fn lines(status: &Status, extra: &Extra, height: usize) -> Vec<String> {
    let mut page = head(status);
    page.extend(counts(status));
    page.extend(latest(status, &extra.blocks));
    page.push(String::new());
    page.extend(stages(&status.stages));
    page.push(String::new());
    page.extend(processes(status));
    page.push(String::new());
    page.extend(instructions(status));
    page.push(String::new());
    let room = height.saturating_sub(page.len()).saturating_sub(1).max(EVENTS);
    let skipped = extra.events.len().saturating_sub(room);
    page.extend(extra.events.iter().skip(skipped).map(Event::to_string));
    page
}

fn head(status: &Status) -> Vec<String> {
    let tip = status.tip.map_or_else(
        || "no tip yet".to_owned(),
        |tip| {
            let age = seconds(tip.at, status.at);
            format!("tip {} {} ({age})", tip.height, short(tip.hash))
        },
    );
    let state = word(status.state);
    let rate = hashrate(status.hashrate);
    let mut lines = vec![format!("Hyper Hash dev network · {state} · {tip} · {rate}")];
    lines.extend(status.problems.iter().map(|problem| format!("  ! {problem}")));
    lines.push(String::new());
    lines
}

fn counts(status: &Status) -> Vec<String> {
    let Status { shares, blocks, rounds, statements, .. } = status;
    let reasons: Vec<_> =
        shares.refused.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    let refused = if reasons.is_empty() { "none".to_owned() } else { reasons.join(", ") };
    vec![
        format!(
            "shares      {} submitted   {} accepted   {} recorded   refused: {refused}",
            grouped(shares.submitted),
            grouped(shares.accepted),
            grouped(shares.recorded),
        ),
        format!(
            "blocks      {} solved   {} confirmed   {} orphaned   in {} rounds, {} slices",
            blocks.solved, blocks.confirmed, blocks.orphaned, rounds.closed, rounds.slices,
        ),
        format!("statements  {}", statements.count),
    ]
}

fn latest(status: &Status, blocks: &[Block]) -> Vec<String> {
    let block = |block: &Block| {
        format!(
            "  block {:<6} {}  fees {:<14} {:<10} {}",
            block.height,
            short(block.hash),
            bitcoin(block.fees),
            block.outcome.as_deref().unwrap_or("maturing"),
            seconds(block.at, status.at),
        )
    };
    let statement = |statement: &Statement| {
        format!(
            "  {}: {} = treasury {} + nodes {} + miners {} ({} payees); fees {} to the finder",
            statement.id,
            bitcoin(statement.subsidy),
            bitcoin(statement.treasury),
            bitcoin(statement.nodes),
            bitcoin(statement.miners),
            statement.payees,
            bitcoin(statement.fees),
        )
    };
    let mut lines: Vec<_> = status.statements.last.iter().map(statement).collect();
    lines.extend(blocks.iter().take(BLOCKS).map(block));
    lines
}

fn stages(stages: &BTreeMap<String, Stage>) -> Vec<String> {
    let milliseconds = |value: Option<f64>| match value {
        Some(value) if value < 10.0 => format!("{value:.1} ms"),
        Some(value) => format!("{value:.0} ms"),
        None => "-".to_owned(),
    };
    let mut lines = vec![format!("{:<12} {:>10} {:>10} {:>8}", "stage", "p50", "p99", "waiting")];
    // In the order of a share's way, not of the alphabet.
    for name in super::observe::figures::stages() {
        let Some(Stage { p50_ms, p99_ms, lag }) = stages.get(name) else { continue };
        let (p50, p99) = (milliseconds(*p50_ms), milliseconds(*p99_ms));
        let lag = lag.map_or_else(|| "-".to_owned(), |lag| lag.to_string());
        lines.push(format!("{name:<12} {p50:>10} {p99:>10} {lag:>8}"));
    }
    lines
}

fn processes(status: &Status) -> Vec<String> {
    let group = |title: &str, group: &BTreeMap<String, Process>| {
        let each = group.iter().map(|(name, process)| {
            let mark = match process.health {
                Health::Ready => "",
                Health::Unready => " (not ready)",
                Health::Down => " (DOWN)",
            };
            format!("{name}{mark}")
        });
        format!("{title:<9} {}", each.collect::<Vec<_>>().join("  "))
    };
    vec![
        group("servers", &status.servers),
        group("workers", &status.workers),
        group("miners", &status.miners),
    ]
}

fn instructions(status: &Status) -> Vec<String> {
    let Some(endpoints) = &status.endpoints else { return Vec::new() };
    vec![
        format!("point a miner at   {}", endpoints.miners.sv2),
        format!("        or, on V1, {}", endpoints.miners.sv1),
        "  as               <a tb1… address>[.<worker>]".to_owned(),
        "watch the shares   hyperhash tap 'shares.accepted.>' --json".to_owned(),
        "see everything     hyperhash dev status --json".to_owned(),
        "stop               Ctrl-C, or hyperhash dev down".to_owned(),
    ]
}

const fn word(state: State) -> &'static str {
    match state {
        State::Starting => "starting",
        State::Ready => "ready",
        State::Degraded => "DEGRADED",
        State::Stopping => "stopping",
        State::Down => "down",
    }
}

fn hashrate(per_second: u64) -> String {
    match per_second {
        0..1_000 => format!("{per_second} H/s"),
        1_000..1_000_000 => format!("{} kH/s", per_second / 1_000),
        1_000_000.. => format!("{}.{} MH/s", per_second / 1_000_000, per_second / 100_000 % 10),
    }
}

fn bitcoin(sats: Sats) -> String {
    let sats = sats.to_u64();
    format!("{}.{:08}", sats / 100_000_000, sats % 100_000_000)
}

/// The first and last digits of a hash; the first are zeros and tell little.
fn short(hash: BlockHash) -> String {
    let text = hash.to_string();
    let tail = text.get(text.len().saturating_sub(8)..).unwrap_or(&text);
    format!("…{tail}")
}

fn seconds(at: Timestamp, now: Timestamp) -> String {
    let seconds = now.millis_since(at) / 1_000;
    if seconds < 120 { format!("{seconds} s ago") } else { format!("{} min ago", seconds / 60) }
}

fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len().saturating_mul(2));
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::{Blocks, Rounds, Shares, Statements, Tip};

    const NOW: Timestamp = Timestamp(1_800_000_000_000);

    fn sats(amount: u64) -> Sats {
        Sats::new(amount).unwrap()
    }

    fn block(height: u32, outcome: Option<&str>) -> Block {
        Block {
            height,
            hash: BlockHash([u8::try_from(height).unwrap(); 32]),
            subsidy: sats(5_000_000_000),
            fees: sats(11_280),
            at: Timestamp(NOW.0 - 12_000),
            outcome: outcome.map(Into::into),
        }
    }

    fn status() -> Status {
        let process = |health| Process { pid: Some(7), health, why: None };
        let stage = Stage { p50_ms: Some(0.84), p99_ms: Some(31.2), lag: Some(2) };
        Status {
            state: State::Degraded,
            problems: vec!["share-verifier is being started again: killed".into()],
            at: NOW,
            tip: Some(Tip {
                height: 145,
                hash: BlockHash([9; 32]),
                at: Timestamp(NOW.0 - 125_000),
            }),
            hashrate: 402_113,
            shares: Shares {
                submitted: 1_234_567,
                accepted: 1_234_500,
                refused: [("stale-share".to_owned(), 3)].into(),
                recorded: 999,
            },
            blocks: Blocks { solved: 12, confirmed: 6, ..Blocks::default() },
            rounds: Rounds { closed: 12, slices: 40, last: None },
            statements: Statements {
                count: 6,
                last: Some(Statement {
                    id: "block-139.0".parse().unwrap(),
                    block_hash: BlockHash([1; 32]),
                    subsidy: sats(5_000_000_000),
                    fees: sats(8_460),
                    treasury: sats(25_000_000),
                    nodes: sats(25_000_000),
                    miners: sats(4_950_000_000),
                    payees: 2,
                }),
            },
            stages: [("verify".to_owned(), stage), ("tip".to_owned(), Stage::default())].into(),
            workers: [
                ("ingress-sv2".to_owned(), process(Health::Ready)),
                ("share-verifier".to_owned(), process(Health::Down)),
            ]
            .into(),
            ..Status::default()
        }
    }

    #[test]
    fn the_page() {
        let event =
            |text: &str| Event { at: NOW, urgent: false, about: "hub".into(), text: text.into() };
        let extra = Extra {
            blocks: vec![block(145, None), block(144, Some("confirmed"))],
            events: vec![event("starting"), event("ready")],
        };
        insta::assert_snapshot!(lines(&status(), &extra, 40).join("\n"));
    }

    #[test]
    fn the_summary() {
        insta::assert_snapshot!(summary(&status()));
    }

    #[test]
    fn numbers_are_readable() {
        assert_eq!(["0", "999", "1 000", "12 345 678"], [0, 999, 1_000, 12_345_678].map(grouped));
        assert_eq!(hashrate(999), "999 H/s");
        assert_eq!(hashrate(2_350_000), "2.3 MH/s");
        assert_eq!(bitcoin(sats(5_000_000_001)), "50.00000001");
    }
}
