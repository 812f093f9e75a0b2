//! Machines that send nothing but bad shares.

use super::{super::siege::Aim, peer};
use serde_json::Value;
use std::time::Duration;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    time::{MissedTickBehavior, interval},
};

/// One for each way to be bad, and from each address that attackers have.
const PEERS: usize = 12;
/// Between two bad shares: 200 a second of each machine.
const BETWEEN: Duration = Duration::from_millis(5);
/// The hardest work that may be asked for: no hash of ours meets it.
const HARD: &str = "md=1";
/// The easiest: the first share is good, and all others are the same.
const EASY: &str = "fd=0.00000000023283064365386962890625";

pub(super) async fn flood(aim: Aim) -> anyhow::Result<()> {
    peer::crowd(
        aim,
        PEERS,
        peer::ONE_BY_ONE,
        |aim, number| async move { machine(&aim, number).await },
    )
    .await
}

/// Works until the ingress ends the connection.
async fn machine(aim: &Aim, number: usize) {
    let bad = number % 3;
    let password = if bad == 0 { EASY } else { HARD };
    let Some(stream) = aim.line_guest(number, password).await else { return };
    let (reader, mut writer) = stream.into_split();
    let mut lines = BufReader::new(reader).lines();
    let (mut job, mut shares) = (None, 0_u32);
    let mut due = interval(BETWEEN);
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            line = lines.next_line() => match line {
                Ok(Some(line)) => job = job_of(&line).or(job),
                Ok(None) | Err(_) => return aim.was_closed(),
            },
            _ = due.tick() => {
                let Some((id, ntime)) = &job else { continue };
                shares += 1;
                let (id, nonce) = match bad {
                    0 => (id.as_str(), 0),
                    1 => (id.as_str(), shares),
                    _ => ("fffffff0", shares),
                };
                let user = format!("{}.{number}", super::super::outpost::IDENTITY);
                let share = format!(
                    "{{\"id\":{shares},\"method\":\"mining.submit\",\"params\":[\"{user}\",\
                     \"{id}\",\"0000000000000000\",\"{ntime}\",\"{nonce:08x}\"]}}\n"
                );
                if writer.write_all(share.as_bytes()).await.is_err() {
                    return aim.was_closed();
                }
                aim.sent();
            }
        }
    }
}

/// The id and time of a job, if the line is one.
fn job_of(line: &str) -> Option<(String, String)> {
    if !line.contains("mining.notify\",\"params\":[\"") {
        return None;
    }
    let line: Value = serde_json::from_str(line).ok()?;
    let text = |path: &str| Some(line.pointer(path)?.as_str()?.to_owned());
    Some((text("/params/0")?, text("/params/7")?))
}
