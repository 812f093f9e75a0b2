//! A leaf link spoken by hand: what a hostile operator can say with a node's own credentials.

use crate::world::World;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, pki_types::ServerName};
use serde_json::{Value, json};
use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    sync::Arc,
};

pub(crate) struct RawLink {
    stream: BufReader<StreamOwned<ClientConnection, TcpStream>>,
}

/// Something that the hub said.
#[derive(Debug)]
pub(crate) enum Heard {
    /// A message of a subject, with where an answer goes.
    Message { subject: String, reply: String },
    /// Any other line.
    Line(String),
    /// The hub hung up.
    End,
}

impl RawLink {
    /// Logs in as `node`, with its certificate and its credentials.
    pub(crate) fn open(world: &World, node: &str) -> Self {
        let mut link = Self::connect(world, Some(node));
        let Heard::Line(info) = link.hear() else { panic!("no INFO") };
        let info: Value = serde_json::from_str(info.strip_prefix("INFO ").unwrap()).unwrap();
        let creds = world.path(&format!("keys/nodes/{node}/link.creds"));
        let creds = fs::read_to_string(creds).unwrap();
        let seed = creds.lines().find(|line| line.starts_with("SU")).unwrap();
        let key = nkeys::KeyPair::from_seed(seed).unwrap();
        let nonce = info["nonce"].as_str().unwrap();
        let connect = json!({
            "version": "2.15.1", "name": "rogue", "server_id": "rogue", "domain": node,
            "headers": true, "jetstream": true, "protocol": 1, "tls_required": true,
            "jwt": creds.lines().nth(1).unwrap(),
            "sig": URL_SAFE_NO_PAD.encode(key.sign(nonce.as_bytes()).unwrap()),
        });
        link.say(&format!("CONNECT {connect}"));
        link.is_up();
        link
    }

    /// Speaks TLS to the leaf listener, with the certificate of `node` or with none.
    pub(crate) fn connect(world: &World, node: Option<&str>) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(world.path("ca.pem")).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let config = match node {
            Some(node) => {
                let certificate = CertificateDer::from_pem_file(world.path(&format!("{node}.pem")));
                let key = PrivateKeyDer::from_pem_file(world.path(&format!("{node}.key")));
                config.with_client_auth_cert(vec![certificate.unwrap()], key.unwrap()).unwrap()
            }
            None => config.with_no_client_auth(),
        };
        let socket = TcpStream::connect(world.leaf_listener()).unwrap();
        socket.set_read_timeout(Some(crate::world::PATIENCE)).unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let tls = ClientConnection::new(Arc::new(config), name).unwrap();
        Self { stream: BufReader::new(StreamOwned::new(tls, socket)) }
    }

    pub(crate) fn say(&mut self, line: &str) {
        let stream = self.stream.get_mut();
        // The hub may have hung up; what it said last is heard all the same.
        let _sent =
            stream.write_all(format!("{line}\r\n").as_bytes()).and_then(|()| stream.flush());
    }

    /// Publishes a message that claims `reply` as the place for answers.
    pub(crate) fn publish(
        &mut self,
        subject: &str,
        reply: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) {
        if headers.is_empty() {
            self.say(&format!("LMSG {subject} {reply} {}\r\n{body}", body.len()));
            return;
        }
        let lines: String =
            headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        self.publish_with_head(subject, reply, &format!("NATS/1.0\r\n{lines}\r\n"), body);
    }

    /// The same with any head, e.g. one that says how a server answers.
    pub(crate) fn publish_with_head(&mut self, subject: &str, reply: &str, head: &str, body: &str) {
        let (head_length, length) = (head.len(), head.len() + body.len());
        self.say(&format!("HMSG {subject} {reply} {head_length} {length}\r\n{head}{body}"));
    }

    pub(crate) fn hear(&mut self) -> Heard {
        let mut line = String::new();
        match self.stream.read_line(&mut line) {
            Ok(0) | Err(_) => return Heard::End,
            Ok(_) => {}
        }
        let line = line.trim_end().to_owned();
        let words: Vec<_> = line.split_whitespace().collect();
        if !matches!(words[0], "LMSG" | "HMSG") {
            return Heard::Line(line);
        }
        let length: usize = words[words.len() - 1].parse().unwrap();
        let mut body = vec![0; length + 2];
        self.stream.read_exact(&mut body).unwrap();
        Heard::Message { subject: words[1].to_owned(), reply: words[2].to_owned() }
    }

    /// Waits until the hub has done all that was said before, and tells the subjects of the
    /// messages that came meanwhile; or how the hub refused.
    pub(crate) fn heard(&mut self) -> Result<Vec<String>, String> {
        self.say("PING");
        let mut subjects = Vec::new();
        loop {
            match self.hear() {
                Heard::Line(line) if line == "PONG" => return Ok(subjects),
                Heard::Line(line) if line.starts_with("-ERR") => return Err(line),
                Heard::Line(_) => {}
                Heard::Message { subject, .. } => subjects.push(subject),
                Heard::End => panic!("the hub hung up without a word"),
            }
        }
    }

    /// Waits until the hub has done all that was said before.
    pub(crate) fn is_up(&mut self) {
        self.heard().unwrap();
    }

    /// Waits for a message of a subject, and hands back where its answer goes.
    pub(crate) fn request(&mut self, wanted: &str) -> String {
        self.one_of(&[wanted]).1
    }

    /// Waits for a message whose subject begins in one of these ways: in which one, and where its
    /// answer goes.
    pub(crate) fn one_of(&mut self, wanted: &[&str]) -> (usize, String) {
        // The hub pings every 20 seconds; what has not come after three pings does not come.
        let mut pings = 0;
        while pings < 3 {
            match self.hear() {
                Heard::Message { subject, reply } => {
                    let found = wanted.iter().position(|begin| subject.starts_with(begin));
                    if let Some(place) = found {
                        return (place, reply);
                    }
                }
                Heard::Line(line) => {
                    assert!(!line.starts_with("-ERR"), "{line}");
                    if line == "PING" {
                        pings += 1;
                        self.say("PONG");
                    }
                }
                Heard::End => panic!("the hub hung up"),
            }
        }
        panic!("waited in vain for {wanted:?}");
    }
}
