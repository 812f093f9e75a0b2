//! Servers that say what they are told to.
#![expect(unreachable_pub, reason = "a part of one test program")]

use probe::Trust;
use rand::rngs::OsRng;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};
use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};
use stratum_core::noise_sv2::Responder;
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;

const SECRET: &str = "mkDLTBBRxdBv998612qipDYoTK3YUrqLe8uWw7gu3iXbSrn2n";
pub const PUBLIC: &str = "9auqWEzQDVyd2oe1JVGFLMLHZtCo2FFqZwtKA5gd9xbuEu7PH72";

/// A port on which nobody listens.
pub async fn nothing() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap().local_addr().unwrap()
}

/// Serves every connection until the test ends.
#[expect(clippy::disallowed_methods, reason = "ends with the test's runtime")]
async fn serve<F: Future<Output = ()> + Send + 'static>(
    talk: impl Fn(TcpStream) -> F + Send + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(talk(stream));
        }
    });
    address
}

/// Says this to the first bytes that come, then nothing.
pub async fn says(answer: &'static [u8]) -> SocketAddr {
    serve(move |mut stream| async move {
        let mut asked = [0; 1];
        drop(stream.read(&mut asked).await);
        drop(stream.write_all(answer).await);
        drop(stream.read_to_end(&mut Vec::new()).await);
    })
    .await
}

/// A V1 pool: each line is answered by the next of these, an empty one by nothing; without any, each
/// by an error.
pub async fn lines(answers: Vec<String>) -> SocketAddr {
    serve(move |stream| answer(stream, answers.clone())).await
}

async fn answer(stream: impl AsyncRead + AsyncWrite + Unpin, answers: Vec<String>) {
    let mut stream = BufReader::new(stream);
    let refusal = r#"{"id":null,"result":null,"error":[20,"Not supported.",null]}"#.to_owned();
    let mut answers = if answers.is_empty() { vec![refusal; 9] } else { answers }.into_iter();
    let mut line = Vec::new();
    while stream.read_until(b'\n', &mut line).await.unwrap_or(0) > 0 && line.ends_with(b"\n") {
        line.clear();
        if let Some(answer) = answers.next().filter(|answer| !answer.is_empty()) {
            drop(stream.write_all(format!("{answer}\n").as_bytes()).await);
        }
    }
}

/// When certificates hold.
#[derive(Clone, Copy)]
pub struct Certified {
    pub from: u32,
    pub until: u32,
}

/// A V2 pool that shakes hands and says nothing else.
pub async fn noise(when: Certified) -> SocketAddr {
    let secret: key_utils::Secp256k1SecretKey = SECRET.parse().unwrap();
    let public: key_utils::Secp256k1PublicKey = PUBLIC.parse().unwrap();
    serve(move |mut stream| async move {
        let mut first = [0; 64];
        if stream.read_exact(&mut first).await.is_err() {
            return;
        }
        let validity = Duration::from_secs((when.until - when.from).into());
        let mut responder = Responder::from_authority_kp_with_rng(
            &public.into_bytes(),
            &secret.into_bytes(),
            validity,
            &mut OsRng,
        )
        .unwrap();
        let (second, _) = responder.step_1_with_now_rng(first, when.from, &mut OsRng).unwrap();
        drop(stream.write_all(&second).await);
        drop(stream.read_to_end(&mut Vec::new()).await);
    })
    .await
}

/// A V1 pool with TLS.
pub struct Tls {
    acceptor: TlsAcceptor,
    pem: String,
}

impl Tls {
    /// With a certificate of its own for this name.
    pub fn new(name: &str) -> Self {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed([name.to_owned()]).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(signing_key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .unwrap();
        Self { acceptor: TlsAcceptor::from(Arc::new(config)), pem: cert.pem() }
    }

    /// Who trusts it.
    pub fn trust(&self) -> Trust {
        Trust::private(self.pem.as_bytes()).unwrap()
    }

    pub async fn serve(&self, answers: Vec<String>) -> SocketAddr {
        let acceptor = self.acceptor.clone();
        serve(move |stream| {
            let (acceptor, answers) = (acceptor.clone(), answers.clone());
            async move {
                if let Ok(stream) = acceptor.accept(stream).await {
                    answer(stream, answers).await;
                }
            }
        })
        .await
    }
}
