//! The client against a server that answers as bitcoind does, and as it must not.

#![expect(clippy::unwrap_used, reason = "the server below is a test's, but not a test function")]

use bitcoind_rpc::{Rpc, RpcConfig, RpcError};
use serde_json::{Value, json};
use std::{fs, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

const TIP: &str = "0000031bab0ba609dae398714c17486ebbdede0edcb80db5cd7d4b75696c3f05";
const OTHER: &str = "00000008819873e925422c1ff0f99f7cc9bbb232af63a077a480a3633bee1ef6";

/// Answers with a status and a body, given the `Authorization` header and the request's body.
type Answer = dyn Fn(&str, &Value) -> (u16, String) + Send + Sync;

struct Server {
    url: String,
    cookie: tempfile::NamedTempFile,
    _tasks: JoinSet<()>,
}

impl Server {
    async fn start(answer: impl Fn(&str, &Value) -> (u16, String) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let answer: Arc<Answer> = Arc::new(answer);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                connections.spawn(serve(socket, Arc::clone(&answer)));
            }
        });
        let cookie = tempfile::NamedTempFile::new().unwrap();
        fs::write(cookie.path(), "__cookie__:first").unwrap();
        Self { url, cookie, _tasks: tasks }
    }

    fn client(&self) -> Rpc {
        Rpc::new(RpcConfig::new(&self.url, self.cookie.path())).unwrap()
    }
}

async fn serve(socket: TcpStream, answer: Arc<Answer>) {
    let mut socket = BufReader::new(socket);
    loop {
        let (mut length, mut authorization) = (0, String::new());
        loop {
            let mut line = String::new();
            if socket.read_line(&mut line).await.unwrap_or(0) == 0 {
                return;
            }
            let Some((name, value)) = line.trim_end().split_once(": ") else {
                if line == "\r\n" {
                    break;
                }
                continue;
            };
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.parse().unwrap(),
                "authorization" => value.clone_into(&mut authorization),
                _ => {}
            }
        }
        let mut body = vec![0; length];
        socket.read_exact(&mut body).await.unwrap();
        let (status, body) = answer(&authorization, &serde_json::from_slice(&body).unwrap());
        let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n", body.len());
        if socket.write_all((head + &body).as_bytes()).await.is_err() {
            return;
        }
    }
}

fn result(value: Value) -> (u16, String) {
    (200, json!({ "jsonrpc": "2.0", "id": 0, "result": value }).to_string())
}

fn error(code: i64, message: &str) -> (u16, String) {
    let error = json!({ "code": code, "message": message });
    (200, json!({ "jsonrpc": "2.0", "id": 0, "error": error }).to_string())
}

fn batch(before: &str, next_height: u32, after: &str) -> (u16, String) {
    let chain = json!({
        "chain": "signet", "blocks": 104, "headers": 105, "bestblockhash": before,
        "time": 1_795_265_547, "mediantime": 1_795_265_540, "initialblockdownload": false,
        "signet_challenge": "51", "warnings": [],
    });
    let mining = json!({ "pooledtx": 5, "next": { "height": next_height, "bits": "1e0377ae" } });
    let answers = [chain, mining, json!(after)].map(|result| json!({ "result": result }));
    (200, json!(answers).to_string())
}

#[tokio::test]
async fn the_state_belongs_to_one_tip() {
    let asked = std::sync::atomic::AtomicU32::new(0);
    let server =
        Server::start(move |_, _| match asked.fetch_add(1, std::sync::atomic::Ordering::SeqCst) {
            0 => batch(OTHER, 105, TIP),
            1 => batch(TIP, 106, TIP),
            _ => batch(TIP, 105, TIP),
        })
        .await;
    let state = server.client().state().await.unwrap();
    assert_eq!(state.best.to_string(), TIP);
    assert_eq!((state.blocks, state.headers, state.next_height()), (104, 105, 105));
    assert_eq!((state.next_nbits, state.mempool_transactions), (0x1e03_77ae, 5));
    assert_eq!(state.signet_challenge.unwrap().0, [0x51]);
}

#[tokio::test]
async fn a_tip_that_never_rests_is_an_error() {
    let server = Server::start(|_, _| batch(OTHER, 105, TIP)).await;
    let error = server.client().state().await.unwrap_err();
    assert!(matches!(error, RpcError::Unsettled { attempts: 5, .. }), "{error}");
}

#[tokio::test]
async fn a_node_without_the_next_target_is_too_old() {
    let server = Server::start(|_, _| {
        let (status, body) = batch(TIP, 105, TIP);
        (status, body.replace("\"next\"", "\"later\""))
    })
    .await;
    let error = server.client().state().await.unwrap_err();
    assert!(error.to_string().contains("version 29 or later"), "{error}");
}

#[tokio::test]
async fn a_renewed_cookie_is_read_again() {
    // "__cookie__:second" in base64.
    let server = Server::start(|authorization, _| match authorization {
        "Basic X19jb29raWVfXzpzZWNvbmQ=" => result(json!(TIP)),
        _ => (401, String::new()),
    })
    .await;
    let client = server.client();
    let refused = client.block_hash(104).await.unwrap_err();
    assert!(matches!(refused, RpcError::Refused { .. }));
    let words = refused.to_string();
    assert!(words.contains("refused the cookie") && words.contains("check that"), "{words}");
    fs::write(server.cookie.path(), "__cookie__:second\n").unwrap();
    assert_eq!(client.block_hash(104).await.unwrap().unwrap().to_string(), TIP);
}

#[tokio::test]
async fn a_cookie_that_is_missing_or_malformed_is_named() {
    let missing = Rpc::new(RpcConfig::new("http://127.0.0.1:1", "/nonexistent/.cookie")).unwrap();
    let error = missing.block_hash(0).await.unwrap_err();
    assert!(error.to_string().contains("/nonexistent/.cookie"), "{error}");
    let server = Server::start(|_, _| result(json!(TIP))).await;
    for malformed in ["", "no colon", "a:b\nc:d"] {
        fs::write(server.cookie.path(), malformed).unwrap();
        let error = server.client().block_hash(0).await.unwrap_err();
        assert!(matches!(error, RpcError::CookieForm { .. }), "{error}");
    }
}

#[tokio::test]
async fn nobody_listening_says_what_to_check() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let cookie = tempfile::NamedTempFile::new().unwrap();
    fs::write(cookie.path(), "a:b").unwrap();
    let client = Rpc::new(RpcConfig::new(&url, cookie.path())).unwrap();
    let error = client.block_hash(0).await.unwrap_err();
    assert!(matches!(error, RpcError::Unreachable { .. }), "{error:?}");
    assert!(error.to_string().contains("`rpcport`"), "{error}");
}

#[tokio::test]
async fn a_server_that_never_answers_runs_into_the_deadline() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let cookie = tempfile::NamedTempFile::new().unwrap();
    fs::write(cookie.path(), "a:b").unwrap();
    let mut config = RpcConfig::new(&url, cookie.path());
    config.deadline_ms = 50;
    let error = Rpc::new(config).unwrap().block_hash(0).await.unwrap_err();
    assert!(matches!(error, RpcError::Deadline { deadline_ms: 50, .. }), "{error:?}");
}

#[tokio::test]
async fn errors_are_told_apart() {
    for (answer, reason) in [
        ((403, String::new()), "forbidden"),
        ((503, "Work queue depth exceeded".to_owned()), "overloaded"),
        (error(-28, "Verifying blocks…"), "starting"),
        ((500, error(-1, "no").1), "answer"),
        ((200, "<html>".to_owned()), "garbled"),
        (result(Value::Null), "garbled"),
        (result(json!("not a hash")), "garbled"),
    ] {
        let server = Server::start(move |_, _| answer.clone()).await;
        let error = server.client().block_hash(0).await.unwrap_err();
        assert_eq!(error.reason(), reason, "{error:?}");
        let state = server.client().state().await.unwrap_err();
        assert!(["garbled", reason].contains(&state.reason()), "{state:?}");
    }
}

#[tokio::test]
async fn what_does_not_exist_is_none() {
    let server = Server::start(|_, request| match request["method"].as_str() {
        Some("getblockhash") => error(-8, "Block height out of range"),
        _ => error(-5, "Block not found"),
    })
    .await;
    assert_eq!(server.client().block_hash(9).await.unwrap(), None);
    assert_eq!(server.client().header(TIP.parse().unwrap()).await.unwrap(), None);
}

#[tokio::test]
async fn a_submitted_block_gets_bitcoinds_own_words() {
    let server = Server::start(|_, request| match request["params"][0].as_str() {
        Some("00") => result(Value::Null),
        Some("01") => result(json!("duplicate")),
        _ => error(-22, "Block decode failed"),
    })
    .await;
    let client = server.client();
    assert_eq!(client.submit_block(&[0]).await.unwrap().0, None);
    assert_eq!(client.submit_block(&[1]).await.unwrap().0.as_deref(), Some("duplicate"));
    let undecodable = client.submit_block(&[2]).await.unwrap().0;
    assert_eq!(undecodable.as_deref(), Some("Block decode failed"));
}

#[tokio::test]
async fn an_endless_answer_is_cut_off() {
    let server = Server::start(|_, _| (200, " ".repeat(65 << 20))).await;
    let client = server.client();
    let answer = client.call::<Value>("getblock", json!([]), Duration::from_secs(30)).await;
    assert!(matches!(answer, Err(RpcError::TooLarge { .. })), "{answer:?}");
}
