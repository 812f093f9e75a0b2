//! Asks who a peer is that is not who it should be.

use crate::{judge::Stranger, reach::connect};
use std::{net::SocketAddr, time::Duration};
use stratum_v2::{TransportError, handshake_at};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::timeout,
};

/// A line that every V1 pool answers, and after the empty line every web server.
const HELLO: &[u8] =
    b"{\"id\":1,\"method\":\"mining.subscribe\",\"params\":[\"hyperhash-ping\"]}\n\r\n\r\n";
/// The x coordinate of secp256k1's generator: a key whose certificates nobody shows.
const NOBODY: [u8; 32] = [
    0x79, 0xbe, 0x66, 0x7e, 0xf9, 0xdc, 0xbb, 0xac, 0x55, 0xa0, 0x62, 0x95, 0xce, 0x87, 0x0b, 0x07,
    0x02, 0x9b, 0xfc, 0xdb, 0x2d, 0xce, 0x28, 0xd9, 0x59, 0xf2, 0x81, 0x5b, 0x16, 0xf8, 0x17, 0x98,
];
/// Bytes of an answer that are read.
const ANSWER: usize = 64;

/// Who answers a V1 greeting at this address.
pub(crate) async fn to_lines(address: SocketAddr, limit: Duration) -> Stranger {
    let said = async {
        let mut stream = connect(address, limit).await.ok()?;
        stream.write_all(HELLO).await.ok()?;
        let mut answer = vec![0; ANSWER];
        let read = stream.read(&mut answer).await.ok()?;
        answer.truncate(read);
        Some(answer)
    };
    let said = timeout(limit, said).await.ok().flatten().unwrap_or_default();
    Stranger::of(&said)
}

/// Whether a Noise handshake is answered at this address, whoever the answer is signed by.
pub(crate) async fn to_noise(address: SocketAddr, limit: Duration) -> bool {
    let answered = async {
        let stream = connect(address, limit).await.ok()?;
        let (reader, writer) = stream.into_split();
        match handshake_at(reader, writer, NOBODY, 0).await {
            Ok(_) | Err(TransportError::Certificate(_)) => Some(()),
            Err(_) => None,
        }
    };
    timeout(limit, answered).await.ok().flatten().is_some()
}
