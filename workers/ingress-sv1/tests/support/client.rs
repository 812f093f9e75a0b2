//! A miner on a socket, plain or with TLS.

use super::{json, miner};
use ingress::{
    port::fake::Fake,
    testing::pool::{Bounds, PATIENCE, Pool},
};
use ingress_sv1::{
    domain::connection::{Extranonce1, Extranonce2},
    session::StratumV1,
};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::{
    ClientConfig, ProtocolVersion, RootCertStore, ServerConfig, SupportedProtocolVersion,
    crypto::ring,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer, ServerName},
};
use std::{net::Ipv4Addr, sync::Arc};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// A certificate, and who trusts it.
pub struct Trust {
    acceptor: TlsAcceptor,
    roots: RootCertStore,
}

impl Trust {
    pub fn new() -> Self {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["pool.example".to_owned()]).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(signing_key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(cert.der().clone()).unwrap();
        Self { acceptor: TlsAcceptor::from(Arc::new(config)), roots }
    }

    /// A client that speaks this version of TLS.
    pub fn connector(&self, version: &'static SupportedProtocolVersion) -> TlsConnector {
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(self.roots.clone())
            .with_no_client_auth();
        TlsConnector::from(Arc::new(config))
    }
}

/// Starts an ingress; with TLS if somebody is trusted.
pub async fn start(bus: Fake, nbits: u32, bounds: Bounds, trust: Option<&Trust>) -> Pool {
    let protocol = StratumV1 {
        listen: (Ipv4Addr::LOCALHOST, 0).into(),
        rented: None,
        extranonce1: Extranonce1::default(),
        extranonce2: Extranonce2::default(),
        tls: trust.map(|trust| trust.acceptor.clone()),
    };
    Pool::start(bus, nbits, bounds, protocol).await
}

/// A miner.
pub struct Client<S> {
    pub stream: BufReader<S>,
    pub miner: miner::Miner,
}

pub type Plain = Client<TcpStream>;

impl Plain {
    pub async fn of(pool: &Pool) -> Self {
        Self::new(pool.connect().await)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    pub fn new(stream: S) -> Self {
        Self { stream: BufReader::new(stream), miner: miner::Miner::default() }
    }

    pub async fn say(&mut self, line: &str) {
        self.stream.write_all(format!("{line}\n").as_bytes()).await.unwrap();
    }

    /// The next line; `None` when the ingress has closed the connection.
    pub async fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let read = timeout(PATIENCE, self.stream.read_line(&mut line)).await.expect("in time");
        if read.unwrap_or(0) == 0 {
            return None;
        }
        let line = line.trim_end().to_owned();
        self.miner.hear(&line);
        Some(line)
    }

    /// The next answer; notifications before it are heard.
    pub async fn answer(&mut self) -> serde_json::Value {
        loop {
            let line = json(&self.line().await.expect("the connection is open"));
            if line.get("method").is_none() {
                return line;
            }
        }
    }

    /// The next notification of this method.
    pub async fn until(&mut self, method: &str) -> serde_json::Value {
        loop {
            let line = json(&self.line().await.expect("the connection is open"));
            if line["method"] == method {
                return line;
            }
        }
    }

    /// Subscribes, authorizes and waits for a job.
    pub async fn open(&mut self, user: &str) {
        self.say(r#"{"id":1,"method":"mining.subscribe","params":["test/1"]}"#).await;
        self.say(&format!(r#"{{"id":2,"method":"mining.authorize","params":["{user}","x"]}}"#))
            .await;
        self.until("mining.notify").await;
    }

    /// Sends the `number`th share on the current job.
    pub async fn submit(&mut self, number: u32, user: &str) {
        let found = self.miner.find(number);
        self.say(&found.submit(&number.to_string(), user)).await;
    }

    /// Reads until the ingress closes the connection; what it said.
    pub async fn until_closed(&mut self) -> Vec<String> {
        let mut said = Vec::new();
        while let Some(line) = self.line().await {
            said.push(line);
        }
        said
    }
}

/// The version of TLS that was agreed on.
pub fn version(stream: &tokio_rustls::client::TlsStream<TcpStream>) -> ProtocolVersion {
    stream.get_ref().1.protocol_version().unwrap()
}

/// The name that the certificate is for.
pub fn host() -> ServerName<'static> {
    ServerName::try_from("pool.example").unwrap()
}
