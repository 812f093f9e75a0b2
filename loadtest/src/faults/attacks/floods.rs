//! Connections and handshakes, as fast as they go.

use super::{super::siege::Aim, peer};
use rand::RngCore as _;
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::{sleep, timeout},
};

/// Connections that stay, more than an address may have.
const STAYING: usize = 450;
/// Peers that connect and leave.
const LEAVING: usize = 48;
/// Connections of each: beyond, their ports could not be used again for a minute.
const MOST: usize = 2_000;
/// Peers that begin handshakes.
const SHAKING: usize = 64;
/// How long an answer may take before it is given up.
const PATIENCE: Duration = Duration::from_secs(2);
/// Before a connection that was turned away is tried again.
const PAUSE: Duration = Duration::from_millis(100);

/// A `ClientHello` of TLS 1.2 and its version, cipher suites that need a signature, X25519, and
/// usual ways to sign.
const HELLO: &[u8] = &[
    0x16, 3, 1, 0, 82, 1, 0, 0, 78, 3, 3, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 0, 0, 8, 0xc0, 0x2b, 0xc0, 0x2f, 0xcc, 0xa9, 0xcc, 0xa8,
    1, 0, 0, 29, 0, 10, 0, 4, 0, 2, 0, 29, 0, 11, 0, 2, 1, 0, 0, 13, 0, 8, 0, 6, 4, 3, 8, 4, 4, 1,
    0, 23, 0,
];

/// Some stay for as long as they may, and fill their address; others connect and leave.
pub(super) async fn connections(aim: Aim) -> anyhow::Result<()> {
    peer::crowd(aim, STAYING + LEAVING, Duration::ZERO, |aim, number| async move {
        if number < STAYING {
            // All from the address of honest miners.
            if let Some(mut stream) = aim.connect(0).await {
                aim.until_closed(&mut stream).await;
            }
            return sleep(PAUSE).await; // time itself: it is another attempt
        }
        for more in 0..MOST {
            drop(aim.connect(number + 3 * more).await);
            tokio::task::yield_now().await;
        }
    })
    .await
}

/// First acts of Noise and hellos of TLS, whose answers nobody wants.
pub(super) async fn handshakes(aim: Aim) -> anyhow::Result<()> {
    peer::crowd(aim, SHAKING, Duration::ZERO, |aim, number| async move {
        let mut chance = aim.chance(number);
        for more in 0..MOST {
            let Some(mut stream) = aim.connect(number + more).await else { continue };
            let mut key = [0; 64];
            chance.fill_bytes(&mut key);
            let first = if more % 2 == 0 { key.as_slice() } else { HELLO };
            if stream.write_all(first).await.is_ok() {
                aim.sent();
                let mut answer = [0; 256];
                let answered = timeout(PATIENCE, stream.read(&mut answer)).await;
                if matches!(answered, Ok(Ok(0) | Err(_))) {
                    aim.was_closed();
                }
            }
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hello_is_as_long_as_it_says() {
        assert_eq!(HELLO.len(), 5 + usize::from(HELLO[4]));
        assert_eq!(HELLO.len(), 9 + usize::from(HELLO[8]));
    }
}
