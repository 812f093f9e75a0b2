//! A bitcoind on a chain of its own.

use super::{START_DEADLINE, end, free_port, root, until};
use anyhow::Context as _;
use rustix::process::Signal;
use serde_json::{Value, json};
use std::{
    fs,
    path::PathBuf,
    process::{Child, Stdio},
    time::Duration,
};
use tempfile::TempDir;

/// How long a polite end may take: it writes its caches.
const GRACE: Duration = Duration::from_secs(20);

/// How long one call may take. Mining a block takes about 1.3 s of one core.
const CALL_TIMEOUT: Duration = Duration::from_secs(120);

/// A running node. It ends when this is dropped, and its data is removed.
#[derive(Debug)]
pub struct Node {
    folder: TempDir,
    root: PathBuf,
    rpc_port: u16,
    zmq_sequence_port: u16,
    zmq_hashblock_port: u16,
    chain: Chain,
    extra: Vec<String>,
    child: Option<Child>,
    http: reqwest::Client,
}

/// Which chain a node makes for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Chain {
    /// A signet whose challenge `OP_TRUE` anybody can solve; blocks have the proof of work of one.
    Signet,
    Regtest,
}

impl Chain {
    /// Its name to bitcoind, which is also the name of its folder.
    const fn folder(self) -> &'static str {
        match self {
            Self::Signet => "signet",
            Self::Regtest => "regtest",
        }
    }
}

impl Node {
    /// Starts a node with an empty chain. Needs root, for the private root.
    pub async fn start() -> anyhow::Result<Self> {
        Self::launch(Chain::Signet, &[]).await
    }

    /// The same with more options, e.g. `-blockmaxweight=…`.
    pub async fn start_with(extra: &[&str]) -> anyhow::Result<Self> {
        Self::launch(Chain::Signet, extra).await
    }

    /// Starts a node on a regtest chain, where a block costs no time.
    pub async fn regtest() -> anyhow::Result<Self> {
        Self::launch(Chain::Regtest, &[]).await
    }

    async fn launch(chain: Chain, extra: &[&str]) -> anyhow::Result<Self> {
        crate::process::install_crypto();
        let mut node = Self {
            folder: tempfile::Builder::new().prefix("hyperhash-bitcoind-").tempdir()?,
            root: root::required_root()?,
            rpc_port: free_port()?,
            zmq_sequence_port: free_port()?,
            zmq_hashblock_port: free_port()?,
            chain,
            extra: extra.iter().map(|option| (*option).to_owned()).collect(),
            child: None,
            http: reqwest::Client::builder().timeout(CALL_TIMEOUT).build()?,
        };
        node.restart().await?;
        Ok(node)
    }

    /// Where JSON-RPC answers.
    pub fn rpc_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.rpc_port)
    }

    /// The file with the RPC user and password; made anew at each start.
    pub fn cookie_file(&self) -> PathBuf {
        self.folder.path().join(self.chain.folder()).join(".cookie")
    }

    /// The ZMQ endpoint of `pubsequence`.
    pub fn zmq_sequence(&self) -> String {
        format!("tcp://127.0.0.1:{}", self.zmq_sequence_port)
    }

    /// The ZMQ endpoint of `pubhashblock`.
    pub fn zmq_hashblock(&self) -> String {
        format!("tcp://127.0.0.1:{}", self.zmq_hashblock_port)
    }

    /// Starts the node again on the same ports and data, after [`Self::kill9`] or [`Self::stop`].
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        self.stop();
        // A cookie of a killed node would be taken for the new one's.
        if let Err(error) = fs::remove_file(self.cookie_file())
            && error.kind() != std::io::ErrorKind::NotFound
        {
            return Err(error.into());
        }
        self.spawn()?;
        let node = &*self;
        let started = until("bitcoind answers", START_DEADLINE, async || {
            node.call("getblockchaininfo", json!([])).await.is_ok()
        });
        started.await.with_context(|| self.log())
    }

    /// Kills the node as a crash does.
    pub fn kill9(&mut self) {
        if let Some(mut child) = self.child.take() {
            // Both fail only if the node ended by itself.
            drop(child.kill());
            drop(child.wait());
        }
    }

    /// Ends the node politely.
    pub fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            end(&mut child, Signal::TERM, GRACE);
        }
    }

    /// Mines blocks; returns their hashes.
    pub async fn mine(&self, blocks: u32) -> anyhow::Result<Vec<String>> {
        // Anybody may spend what an `OP_TRUE` behind a hash receives: nobody here wants it.
        let script = self.call("decodescript", json!(["51"])).await?;
        let address = script.pointer("/segwit/address").context("no address for a script")?;
        let mut hashes = Vec::new();
        for _ in 0..blocks {
            let mined = self.call("generatetoaddress", json!([1, address, 100_000_000])).await?;
            let mined: Vec<String> = serde_json::from_value(mined)?;
            anyhow::ensure!(mined.len() == 1, "no block within 100 million tries");
            hashes.extend(mined);
        }
        Ok(hashes)
    }

    /// Calls JSON-RPC.
    pub async fn call(&self, method: &str, parameters: Value) -> anyhow::Result<Value> {
        let cookie = fs::read_to_string(self.cookie_file()).context("no cookie yet")?;
        let (user, password) = cookie.split_once(':').context("not a cookie")?;
        let question = json!({ "id": 0, "method": method, "params": parameters });
        let request = self.http.post(self.rpc_url()).basic_auth(user, Some(password));
        let answer: Value = request.json(&question).send().await?.json().await?;
        match answer.get("error") {
            None | Some(Value::Null) => Ok(answer.get("result").cloned().unwrap_or_default()),
            Some(error) => anyhow::bail!("{method}: {error}"),
        }
    }

    /// What the node logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("bitcoind.log")).unwrap_or_default()
    }

    fn spawn(&mut self) -> anyhow::Result<()> {
        let mut arguments = vec![
            "-datadir=/mnt".to_owned(),
            format!("-chain={}", self.chain.folder()),
            "-server".to_owned(),
            "-listen=0".to_owned(),
            "-dnsseed=0".to_owned(),
            "-fixedseeds=0".to_owned(),
            "-fallbackfee=0.0001".to_owned(),
            "-rpcbind=127.0.0.1".to_owned(),
            "-rpcallowip=127.0.0.1".to_owned(),
            format!("-rpcport={}", self.rpc_port),
            format!("-zmqpubsequence={}", self.zmq_sequence()),
            format!("-zmqpubhashblock={}", self.zmq_hashblock()),
        ];
        if self.chain == Chain::Signet {
            arguments.push("-signetchallenge=51".to_owned());
        }
        arguments.extend(self.extra.iter().cloned());
        let log = self.folder.path().join("bitcoind.log");
        let log = fs::File::options().create(true).append(true).open(log)?;
        let data = self.folder.path();
        let child = root::chrooted(&self.root, data, "root:root", "/usr/bin/bitcoind", &arguments)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("cannot start bitcoind")?;
        self.child = Some(child);
        Ok(())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.stop();
    }
}
