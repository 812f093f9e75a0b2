//! What is neither protocol, and what is too long or too deep for one.

use super::{super::siege::Aim, peer};
use rand::{Rng as _, RngCore as _, rngs::StdRng};
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::timeout,
};

/// As many as there are of all kinds together.
const PEERS: usize = 96;
/// Kinds of garbage.
const KINDS: usize = 12;
/// Most bytes of chance at a time.
const MAX_CHANCE: usize = 4_096;
/// Longer than any line or frame may be.
const TOO_LONG: usize = 65_536;
/// Deeper than a stack is high.
const DEEP: usize = 2_000;
/// How long a peer waits for the door before it goes by itself.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) async fn crowd(aim: Aim) -> anyhow::Result<()> {
    peer::crowd(aim, PEERS, peer::ONE_BY_ONE, |aim, number| async move {
        let mut chance = aim.chance(number);
        if number % KINDS == KINDS - 1 {
            return frame(&aim, number, &mut chance).await;
        }
        let bytes = garbage(number % KINDS, &mut chance);
        let Some(mut stream) = aim.connect(number).await else { return };
        // The door may be shown before all of it is out.
        drop(stream.write_all(&bytes).await);
        aim.sent();
        let mut answer = [0; 1_024];
        let shown = async { while stream.read(&mut answer).await.is_ok_and(|bytes| bytes > 0) {} };
        if timeout(PATIENCE, shown).await.is_ok() {
            aim.was_closed();
        }
    })
    .await
}

fn garbage(kind: usize, chance: &mut StdRng) -> Vec<u8> {
    let line = |text: &str| format!("{text}\n").into_bytes();
    match kind {
        0 => b"GET / HTTP/1.1\r\nHost: pool\r\nUser-Agent: curl/8.5.0\r\n\r\n".to_vec(),
        1 => b"POST /api HTTP/1.0\r\nContent-Length: 2\r\n\r\n{}".to_vec(),
        2 => b"SSH-2.0-OpenSSH_9.6\r\n".to_vec(),
        3 => b"PROXY TCP4 192.0.2.1 192.0.2.2 56324 3333\r\n".to_vec(),
        // A hello of TLS that is none.
        4 => [0x16, 3, 1, 0, 200, 1, 0, 0, 196, 3, 3].into_iter().chain([0xff; 194]).collect(),
        5 => vec![b'a'; TOO_LONG],
        6 => line(&"[".repeat(DEEP)),
        7 => line(&format!("{{\"id\":1,\"method\":\"x\",\"params\":{}", "{\"a\":".repeat(DEEP))),
        8 => line("{}").repeat(16),
        9 => line("hello"),
        _ => {
            let mut bytes = vec![0; chance.gen_range(1..=MAX_CHANCE)];
            chance.fill_bytes(&mut bytes);
            bytes
        }
    }
}

/// Frames of chance after a handshake: what is sealed is not what is meant.
async fn frame(aim: &Aim, number: usize, chance: &mut StdRng) {
    let Some(mut link) = aim.guest(number).await else { return };
    let mut bytes = vec![0; chance.gen_range(6..=MAX_CHANCE)];
    chance.fill_bytes(&mut bytes);
    if link.seal(&bytes).is_ok() && link.flush().await.is_ok() {
        aim.sent();
    }
    let shown = async {
        while link.receive().is_ok() {
            link.readable().await;
        }
    };
    if timeout(PATIENCE, shown).await.is_ok() {
        aim.was_closed();
    }
}
