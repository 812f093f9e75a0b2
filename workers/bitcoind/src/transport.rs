//! JSON-RPC 2.0 over HTTP, as bitcoind speaks it: credentials, deadlines, bounds.

use crate::{RpcConfig, RpcError};
use reqwest::StatusCode;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::sync::RwLock;

/// Most bytes of an answer: a template of 4 MB of transactions is 8 MB of hexadecimal text and as
/// much again of ids.
const MAX_ANSWER_BYTES: usize = 64 << 20;

/// Longest wait for a TCP connection.
const CONNECT_DEADLINE: Duration = Duration::from_secs(3);

/// `RPC_IN_WARMUP` of bitcoind's `rpc/protocol.h`.
const IN_WARMUP: i64 = -28;

/// One bitcoind's HTTP server. Exchanges may run at the same time; connections are kept.
#[derive(Debug)]
pub(crate) struct Transport {
    config: RpcConfig,
    http: reqwest::Client,
    /// `user:password` as last read from the cookie file.
    credentials: RwLock<Option<SecretString>>,
}

/// What one exchange is about: its name in errors, and how long it may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ask {
    pub(crate) method: &'static str,
    pub(crate) deadline: Duration,
}

/// One answer.
#[derive(Debug, Deserialize)]
pub(crate) struct Response<T> {
    #[serde(default = "nothing")]
    pub(crate) result: Option<T>,
    #[serde(default)]
    pub(crate) error: Option<ErrorObject>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct ErrorObject {
    code: i64,
    message: String,
}

const fn nothing<T>() -> Option<T> {
    None
}

/// One request.
pub(crate) fn request(id: u32, method: &str, params: &Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params })
}

impl Transport {
    pub(crate) fn new(config: RpcConfig) -> Result<Self, RpcError> {
        config.check()?;
        let http = reqwest::Client::builder()
            .no_proxy()
            .tcp_nodelay(true)
            .connect_timeout(CONNECT_DEADLINE)
            .build()
            .map_err(RpcError::Client)?;
        Ok(Self { config, http, credentials: RwLock::new(None) })
    }

    pub(crate) fn url(&self) -> String {
        self.config.url.clone()
    }

    pub(crate) const fn deadline(&self) -> Duration {
        Duration::from_millis(self.config.deadline_ms)
    }

    /// Sends a body; on refused credentials reads the cookie again and, if it changed, once more.
    pub(crate) async fn exchange(&self, ask: Ask, body: &Value) -> Result<Vec<u8>, RpcError> {
        let held = self.held_credentials().await?;
        match self.post(ask, body, &held).await {
            Err(RpcError::Refused { url, path }) => {
                let fresh = self.read_credentials().await?;
                if fresh.expose_secret() == held.expose_secret() {
                    return Err(RpcError::Refused { url, path });
                }
                self.post(ask, body, &fresh).await
            }
            other => other,
        }
    }

    /// The result, where `null` is none.
    pub(crate) fn result<T>(&self, ask: Ask, response: Response<T>) -> Result<Option<T>, RpcError> {
        match response.error {
            Some(error) => Err(self.answered(ask, error)),
            None => Ok(response.result),
        }
    }

    /// The result, where `null` is an error.
    pub(crate) fn present<T>(&self, ask: Ask, response: Response<T>) -> Result<T, RpcError> {
        let missing = || self.garbled(ask, serde::de::Error::custom("the result is null"));
        self.result(ask, response)?.ok_or_else(missing)
    }

    /// What a batch that could not be read means: one error may answer all of it, e.g. while
    /// bitcoind starts.
    pub(crate) fn batch_error(&self, ask: Ask, body: &[u8], source: serde_json::Error) -> RpcError {
        match serde_json::from_slice::<Response<Value>>(body) {
            Ok(Response { error: Some(error), .. }) => self.answered(ask, error),
            Ok(_) | Err(_) => self.garbled(ask, source),
        }
    }

    pub(crate) fn garbled(&self, ask: Ask, source: serde_json::Error) -> RpcError {
        RpcError::Garbled { url: self.url(), method: ask.method, source }
    }

    async fn held_credentials(&self) -> Result<SecretString, RpcError> {
        if let Some(held) = self.credentials.read().await.as_ref() {
            return Ok(held.clone());
        }
        self.read_credentials().await
    }

    async fn read_credentials(&self) -> Result<SecretString, RpcError> {
        let path = || self.config.cookie_file.clone();
        let text = tokio::fs::read_to_string(&self.config.cookie_file)
            .await
            .map_err(|source| RpcError::Cookie { url: self.url(), path: path(), source })?;
        let line = text.trim_end();
        if !line.contains(':') || line.contains('\n') {
            return Err(RpcError::CookieForm { url: self.url(), path: path() });
        }
        let fresh = SecretString::from(line);
        *self.credentials.write().await = Some(fresh.clone());
        Ok(fresh)
    }

    async fn post(
        &self,
        ask: Ask,
        body: &Value,
        credentials: &SecretString,
    ) -> Result<Vec<u8>, RpcError> {
        let (user, password) = credentials.expose_secret().split_once(':').unwrap_or_default();
        let request = self.http.post(&self.config.url).basic_auth(user, Some(password));
        let response = request
            .json(body)
            .timeout(ask.deadline)
            .send()
            .await
            .map_err(|source| self.broken(ask, source))?;
        self.admit(ask, response.status())?;
        self.read_body(ask, response).await
    }

    /// Errors of the HTTP layer; everything else carries JSON-RPC, also with status 500.
    fn admit(&self, ask: Ask, status: StatusCode) -> Result<(), RpcError> {
        match status {
            StatusCode::UNAUTHORIZED => {
                let path = self.config.cookie_file.clone();
                Err(RpcError::Refused { url: self.url(), path })
            }
            StatusCode::FORBIDDEN => {
                Err(RpcError::Forbidden { url: self.url(), method: ask.method })
            }
            StatusCode::SERVICE_UNAVAILABLE => Err(RpcError::Overloaded { url: self.url() }),
            _ => Ok(()),
        }
    }

    async fn read_body(
        &self,
        ask: Ask,
        mut response: reqwest::Response,
    ) -> Result<Vec<u8>, RpcError> {
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.broken(ask, error))? {
            if body.len().saturating_add(chunk.len()) > MAX_ANSWER_BYTES {
                let (url, method) = (self.url(), ask.method);
                return Err(RpcError::TooLarge { url, method, limit: MAX_ANSWER_BYTES });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    fn broken(&self, ask: Ask, source: reqwest::Error) -> RpcError {
        let (url, Ask { method, deadline }) = (self.url(), ask);
        if source.is_timeout() && !source.is_connect() {
            return RpcError::Deadline { url, method, deadline_ms: deadline.as_millis() };
        }
        RpcError::Unreachable { url, source: source.without_url() }
    }

    fn answered(&self, ask: Ask, error: ErrorObject) -> RpcError {
        let (url, ErrorObject { code, message }) = (self.url(), error);
        if code == IN_WARMUP {
            return RpcError::Starting { url, message };
        }
        RpcError::Answer { url, method: ask.method, code, message }
    }
}
