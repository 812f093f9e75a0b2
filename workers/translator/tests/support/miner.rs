//! A miner on a socket.

use super::pool::DEADLINE;
use serde_json::Value;
use std::net::SocketAddr;
use stratum_v1::testing;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
    time::timeout,
};

/// A miner.
pub struct Miner {
    stream: BufReader<TcpStream>,
    pub mind: testing::Miner,
}

impl Miner {
    pub async fn connect(address: SocketAddr) -> Self {
        let stream = BufReader::new(TcpStream::connect(address).await.unwrap());
        Self { stream, mind: testing::Miner::default() }
    }

    pub async fn say(&mut self, line: &str) {
        self.stream.write_all(format!("{line}\n").as_bytes()).await.unwrap();
    }

    /// The next line; `None` when the translator has closed the connection.
    pub async fn line(&mut self) -> Option<Value> {
        let mut line = String::new();
        let read = timeout(DEADLINE, self.stream.read_line(&mut line)).await.expect("in time");
        if read.unwrap_or(0) == 0 {
            return None;
        }
        self.mind.hear(line.trim_end());
        Some(serde_json::from_str(&line).unwrap())
    }

    /// The next answer; notifications before it are heard.
    pub async fn answer(&mut self) -> Value {
        loop {
            let line = self.line().await.expect("the connection is open");
            if line.get("method").is_none() {
                return line;
            }
        }
    }

    /// The next notification of this method.
    pub async fn until(&mut self, method: &str) -> Value {
        loop {
            let line = self.line().await.expect("the connection is open");
            if line["method"] == method {
                return line;
            }
        }
    }

    /// Subscribes and waits for the answer, as much firmware does; then authorizes.
    pub async fn greet(&mut self, user: &str) {
        self.say(r#"{"id":1,"method":"mining.subscribe","params":["test/1"]}"#).await;
        assert_eq!(self.line().await.unwrap()["id"], 1, "the next line is the answer");
        self.authorize(user).await;
    }

    pub async fn authorize(&mut self, user: &str) {
        self.say(&format!(r#"{{"id":2,"method":"mining.authorize","params":["{user}","x"]}}"#))
            .await;
    }

    /// Sends the `number`th share on the current job.
    pub async fn submit(&mut self, number: u32, user: &str) {
        let found = self.mind.find(number);
        self.say(&found.submit(&number.to_string(), user)).await;
    }
}
