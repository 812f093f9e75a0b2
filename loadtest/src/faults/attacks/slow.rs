//! Peers that take their time.

use super::{super::siege::Aim, peer};
use crate::fleet::miner::open_channel;
use rand::RngCore as _;
use std::time::Duration;
use subjects::shares::JobKind;
use tokio::{io::AsyncWriteExt as _, net::TcpStream, time::sleep};

/// As many as there are of all kinds together.
const PEERS: usize = 400;
/// Between two bytes.
const BETWEEN: Duration = Duration::from_secs(1);
/// A line that takes minutes at this speed.
const LINE: &[u8] = br#"{"id":1,"method":"mining.subscribe","params":["slow/0.0.0"]}"#;
/// Extensions that nobody knows, each of which is answered for: as many as a line may have.
const EXTENSIONS: usize = 400;
/// Between two requests of who reads no answer: it is no flood, but fills what may wait.
const BETWEEN_REQUESTS: Duration = Duration::from_millis(100);

pub(super) async fn crowd(aim: Aim) -> anyhow::Result<()> {
    peer::crowd(aim, PEERS, peer::ONE_BY_ONE, |aim, number| async move {
        match number % 5 {
            0 => handshake(&aim, number).await,
            1 => line(&aim, number).await,
            2 => frame(&aim, number).await,
            3 => deaf_to_lines(&aim, number).await,
            _ => deaf_to_frames(&aim, number).await,
        }
    })
    .await
}

/// Sends these bytes one by one, for as long as the ingress bears it.
async fn drip(aim: &Aim, mut stream: TcpStream, bytes: &[u8]) {
    for byte in bytes {
        if stream.write_all(&[*byte]).await.is_err() {
            return aim.was_closed();
        }
        aim.sent();
        sleep(BETWEEN).await; // time itself: it is slow
    }
    aim.until_closed(&mut stream).await;
}

async fn handshake(aim: &Aim, number: usize) {
    let Some(stream) = aim.connect(number).await else { return };
    let mut key = [0; 64];
    aim.chance(number).fill_bytes(&mut key);
    drip(aim, stream, &key).await;
}

async fn line(aim: &Aim, number: usize) {
    let Some(stream) = aim.connect(number).await else { return };
    drip(aim, stream, LINE).await;
}

/// A frame whose bytes come one by one, after a handshake in good time.
async fn frame(aim: &Aim, number: usize) {
    let Some(mut link) = aim.guest(number).await else { return };
    let message = open_channel(JobKind::Extended, 1, super::super::outpost::IDENTITY);
    if message.is_ok_and(|message| link.say(message).is_ok()) {
        while link.unsent() > 0 {
            if link.drip(1).await.is_err() {
                break;
            }
            aim.sent();
            sleep(BETWEEN).await; // time itself: it is slow
        }
    }
    while link.receive().is_ok() {
        link.readable().await;
    }
    aim.was_closed();
}

/// Asks for long answers, and reads none.
async fn deaf_to_lines(aim: &Aim, number: usize) {
    let Some(mut stream) = aim.line_guest(number, "x").await else { return };
    let unknown = vec!["\"none\""; EXTENSIONS].join(",");
    let line =
        format!("{{\"id\":7,\"method\":\"mining.configure\",\"params\":[[{unknown}],{{}}]}}\n");
    while stream.write_all(line.as_bytes()).await.is_ok() {
        aim.sent();
        sleep(BETWEEN_REQUESTS).await; // time itself: it is slow
    }
    aim.was_closed();
}

/// The same on Stratum V2, with channels for somebody who is nobody.
async fn deaf_to_frames(aim: &Aim, number: usize) {
    let Some(mut link) = aim.guest(number).await else { return };
    for request in 0.. {
        let message = open_channel(JobKind::Extended, request, "nobody");
        if !message.is_ok_and(|message| link.say(message).is_ok()) || link.flush().await.is_err() {
            break;
        }
        aim.sent();
        sleep(BETWEEN_REQUESTS).await; // time itself: it is slow
    }
    aim.was_closed();
}
