//! Who we are, over which wire, and what is said when that is not enough.

use crate::support::{DEADLINE, link};
use nkeys::KeyPair;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair as TlsKey};
use serde_json::json;
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::time::timeout;
use worker_runtime::{
    BusConfig, Context, Publication, TlsConfig,
    bus::{BusError, ConnectError},
    testing::{nats::Server, until},
};

fn write_secret(path: &Path, text: &str) -> PathBuf {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    path.to_owned()
}

/// An authority, a server certificate and a client certificate in `folder`.
fn write_certificates(folder: &Path) {
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, TlsKey::generate().unwrap()).unwrap();
    fs::write(folder.join("ca.pem"), authority.pem()).unwrap();
    for (name, host) in [("server", "127.0.0.1"), ("client", "toy")] {
        let key = TlsKey::generate().unwrap();
        let parameters = CertificateParams::new(vec![host.to_owned()]).unwrap();
        let certificate = parameters.signed_by(&key, &authority).unwrap();
        fs::write(folder.join(format!("{name}.pem")), certificate.pem()).unwrap();
        write_secret(&folder.join(format!("{name}.key")), &key.serialize_pem());
    }
}

/// A server that asks for a client certificate and knows one user, who may publish one subject.
async fn strict_server(folder: &Path, user: &KeyPair) -> Server {
    write_certificates(folder);
    let folder = folder.display();
    let key = user.public_key();
    Server::start_with(&format!(
        r#"
        tls {{
          cert_file: "{folder}/server.pem", key_file: "{folder}/server.key"
          ca_file: "{folder}/ca.pem", verify: true, handshake_first: true
        }}
        authorization {{ users: [ {{ nkey: {key}, permissions: {{
          publish: [ "shares.rejected.core.1", "$JS.API.>" ], subscribe: [ "_INBOX_toy.>" ]
        }} }} ] }}
        "#
    ))
    .await
    .unwrap()
}

fn config(server: &Server, folder: &Path, user: &KeyPair) -> BusConfig {
    let mut config = BusConfig::new(server.url().replace("nats://", "tls://"));
    config.ack_timeout_ms = 200;
    config.nkey_seed_file = Some(write_secret(&folder.join("toy.nk"), &user.seed().unwrap()));
    config.tls = Some(TlsConfig {
        ca_file: Some(folder.join("ca.pem")),
        cert_file: Some(folder.join("client.pem")),
        key_file: Some(folder.join("client.key")),
        first: true,
    });
    config
}

#[tokio::test]
async fn a_certificate_and_a_key_open_the_bus_and_rights_bound_it() {
    let folder = tempfile::tempdir().unwrap();
    let user = KeyPair::new_user();
    let server = strict_server(folder.path(), &user).await;
    let context = worker_runtime::testing::context("toy");
    let bus = context.connect(&config(&server, folder.path(), &user)).await.unwrap();
    assert!(context.is_ready() && bus.connected());

    // Replies come to the worker's own inbox: any other would be refused.
    let created = bus.request(
        "$JS.API.STREAM.CREATE.FACTS",
        json!({ "name": "FACTS", "subjects": ["shares.rejected.>"] }).to_string().into(),
        DEADLINE,
    );
    assert!(String::from_utf8_lossy(&created.await.unwrap()).contains("did_create"));
    assert_eq!(bus.publish(Publication::any(&link(1, 0))).await.unwrap().sequence, 1);

    // What may not be asked is refused by name, where silence would be a timeout.
    let denied = bus.request("others.service", "{}".into(), DEADLINE).await.unwrap_err();
    assert!(matches!(&denied, BusError::Denied(subject) if subject == "others.service"));

    // A right that is missing is logged, counted and shown; the message is kept.
    let forbidden = bus.publish(Publication::any(&link(2, 0)));
    assert!(timeout(Duration::from_secs(2), forbidden).await.is_err());
    let figures = context.metrics().encode().unwrap();
    assert!(figures.contains("bus_events_total{event=\"server-error\"}"), "{figures}");
    assert!(!context.is_ready());
}

#[tokio::test]
async fn who_is_not_let_in_keeps_trying_and_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let user = KeyPair::new_user();
    let server = strict_server(folder.path(), &user).await;
    let context = worker_runtime::testing::context("toy");
    let stranger = config(&server, folder.path(), &KeyPair::new_user());
    let connecting = context.connect(&stranger);
    let watching = async {
        let told = async || context.failing_checks().concat().contains("authorization violation");
        until("the refusal is told", DEADLINE, told).await.unwrap();
        context.stop.cancel();
    };
    let (refused, ()) = tokio::join!(connecting, watching);
    assert!(matches!(refused.unwrap_err(), ConnectError::Stopped));
}

#[tokio::test]
async fn what_trying_again_cannot_help_is_an_error_at_once() {
    let context: Context<()> = worker_runtime::testing::context("toy");
    let error = |config: BusConfig| {
        let context = context.clone();
        async move { context.connect(&config).await.unwrap_err() }
    };
    assert!(matches!(error(BusConfig::new("::")).await, ConnectError::Url(_)));
    let mut two = BusConfig::new("nats://127.0.0.1:1");
    two.creds_file = Some("/a".into());
    two.nkey_seed_file = Some("/b".into());
    assert!(matches!(error(two).await, ConnectError::TwoIdentities));
    let mut missing = BusConfig::new("nats://127.0.0.1:1");
    missing.creds_file = Some("/no/such.creds".into());
    let words = format!("{:#}", anyhow::Error::from(error(missing).await));
    assert!(words.contains("/no/such.creds"), "{words}");
    let mut half = BusConfig::new("tls://127.0.0.1:1");
    half.tls = Some(TlsConfig { cert_file: Some("/a".into()), ..TlsConfig::default() });
    assert!(matches!(error(half).await, ConnectError::HalfCertificate));
}

#[tokio::test]
async fn a_worker_that_starts_before_the_bus_waits_for_it() {
    let mut server = Server::start().await.unwrap();
    server.kill9();
    let context = worker_runtime::testing::context("toy");
    let config = BusConfig::new(server.url());
    let connecting = context.connect(&config);
    let starting = async {
        let told = async || context.failing_checks().concat().contains("Connection refused");
        until("it is tried in vain", DEADLINE, told).await.unwrap();
        server.restart().await.unwrap();
    };
    let (bus, ()) = tokio::join!(connecting, starting);
    assert!(bus.unwrap().connected() && context.is_ready());
}

#[tokio::test]
async fn a_domain_is_asked_by_its_name() {
    let server = Server::start_in_domain("n1", "").await.unwrap();
    server.stream("FACTS", &["shares.rejected.>"], json!({})).await.unwrap();
    server.bucket("LANES", Some(Duration::from_secs(9))).await.unwrap();
    let context = worker_runtime::testing::context("toy");
    let mut config = BusConfig::new(server.url());
    config.domain = Some("n1".to_owned());
    let bus = context.connect(&config).await.unwrap().route("shares.rejected.>", "FACTS");
    assert_eq!(bus.publish(Publication::chained(&link(1, 0))).await.unwrap().sequence, 1);
    let mut reader = bus.ordered("FACTS", vec![], worker_runtime::transform::Start::First);
    assert_eq!(reader.next().await.unwrap().position.sequence, 1);
    let lanes = bus.bucket("LANES");
    let revision = lanes.create("300", b"toy").await.unwrap();
    assert_eq!(lanes.get("300").await.unwrap().unwrap().revision, revision);
    assert_eq!(lanes.max_age().await.unwrap(), Duration::from_secs(9));
    let mut elsewhere = config;
    elsewhere.domain = Some("elsewhere".to_owned());
    let stranger = context.connect(&elsewhere).await.unwrap();
    assert!(stranger.stream_info("FACTS").await.is_err());
}
