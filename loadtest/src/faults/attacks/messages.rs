//! Messages that may be sent and are of no use, as fast as they go.

use super::{
    super::{outpost::IDENTITY, siege::Aim},
    peer,
};
use crate::fleet::miner::open_channel;
use std::{fmt::Write as _, time::Duration};
use stratum_core::{
    mining_sv2::{CloseChannelOwned, UpdateChannelOwned},
    parsers_sv2::{AnyMessageOwned, MiningOwned},
};
use stratum_v2::client::{ClientError, text};
use subjects::shares::JobKind;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// As many as there are of both kinds together.
const PEERS: usize = 16;
/// Messages that travel at once.
const BURST: u32 = 16;
/// Workers that one connection names: more than it may have.
const WORKERS: u32 = 1_000;

pub(super) async fn flood(aim: Aim) -> anyhow::Result<()> {
    peer::crowd(aim, PEERS, Duration::ZERO, |aim, number| async move {
        if number % 2 == 0 { lines(&aim, number).await } else { frames(&aim, number).await }
    })
    .await
}

/// Useless lines, whose answers are read and forgotten.
async fn lines(aim: &Aim, number: usize) {
    let Some(stream) = aim.line_guest(number, "x").await else { return };
    let (mut reader, mut writer) = stream.into_split();
    let read = async {
        let mut answers = vec![0; 16_384];
        while reader.read(&mut answers).await.is_ok_and(|bytes| bytes > 0) {}
    };
    let write = async {
        for round in 0_u32.. {
            if writer.write_all(useless_lines(round).as_bytes()).await.is_err() {
                break;
            }
            for _ in 0..BURST {
                aim.sent();
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        () = read => {}
        () = write => {}
    }
    aim.was_closed();
}

fn useless_lines(round: u32) -> String {
    let mut lines = String::new();
    for place in 0..BURST {
        let number = round.wrapping_mul(BURST).wrapping_add(place);
        let worker = number % WORKERS;
        let call = match place % 4 {
            0 => r#""mining.ping","params":[]"#.to_owned(),
            1 => format!(r#""mining.suggest_difficulty","params":[{}]"#, 1 + round % 2 * 1_023),
            2 => r#""mining.subscribe","params":["flood"]"#.to_owned(),
            _ => format!(r#""mining.authorize","params":["{IDENTITY}.{worker}","x"]"#),
        };
        // Writing to a string cannot fail.
        let _written: std::fmt::Result = writeln!(lines, r#"{{"id":{number},"method":{call}}}"#);
    }
    lines
}

/// Channels that open, change and close.
async fn frames(aim: &Aim, number: usize) {
    let Some(mut link) = aim.guest(number).await else { return };
    for round in 0.. {
        for message in useless_messages(round).into_iter().flatten() {
            if link.say(message).is_err() {
                return;
            }
            aim.sent();
        }
        // What comes is forgotten; the sockets' buffers are all that waits.
        if link.flush().await.is_err() || link.receive().is_err() {
            break;
        }
        while matches!(link.next(), Ok(Some(_))) {}
        tokio::task::yield_now().await;
    }
    aim.was_closed();
}

/// Channels count from 1 on our own pool; what names another one is refused.
fn useless_messages(round: u32) -> Vec<Result<AnyMessageOwned, ClientError>> {
    let mining = |message| Ok(AnyMessageOwned::Mining(message));
    let worker = format!("{IDENTITY}.{}", round % WORKERS);
    let update = |channel_id| {
        mining(MiningOwned::UpdateChannel(UpdateChannelOwned {
            channel_id,
            nominal_hash_rate: if round.is_multiple_of(2) { 1.0 } else { 1e15 },
            maximum_target: [u8::MAX; 32].into(),
        }))
    };
    let close = |channel_id| {
        let reason_code = text("useless")?;
        mining(MiningOwned::CloseChannel(CloseChannelOwned { channel_id, reason_code }))
    };
    let before = round.saturating_sub(1);
    vec![
        open_channel(JobKind::Extended, round, &worker),
        update(round),
        update(before),
        close(before),
    ]
}
