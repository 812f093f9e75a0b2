//! One connection to a server, for the few requests that reconciling takes.

use async_nats::{Client, ConnectOptions, HeaderMap};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// How long an answer may take: a synced create takes milliseconds, an election of a new leader
/// up to seven seconds.
const ANSWER: Duration = Duration::from_secs(10);

/// How a server is reached, and as whom.
#[derive(Clone, Debug)]
pub struct Access {
    /// `tls://host:port`, or `nats://host:port` on the loopback of a node; several servers of one
    /// hub are separated by commas.
    pub url: String,
    /// Who we are.
    pub credentials: Credentials,
    /// The authority that signed the server's certificate; the system's authorities if absent.
    pub ca_file: Option<PathBuf>,
    /// Prefix of the subjects where answers arrive, e.g. `_INBOX_operator`.
    pub inbox_prefix: String,
}

/// Who we are.
#[derive(Clone, Debug)]
pub enum Credentials {
    /// A user JWT and its seed: hub in operator mode.
    CredsFile(PathBuf),
    /// The seed of an nkey user: a node's own leaf server.
    NkeySeedFile(PathBuf),
    /// Nobody: a server without users, in tests.
    Anonymous,
}

/// A request that failed.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// No connection.
    #[error("cannot connect to {url}")]
    Connect {
        /// Where to.
        url: String,
        /// Why not.
        #[source]
        source: async_nats::ConnectError,
    },
    /// A file of the credentials cannot be read.
    #[error("cannot read {path}")]
    Credentials {
        /// Which file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// No answer.
    #[error("no answer to `{subject}`{hint}")]
    NoAnswer {
        /// What was asked.
        subject: String,
        /// What the server said meanwhile, e.g. that we may not ask.
        hint: String,
        /// The client's error.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The server refused.
    #[error("`{subject}` was refused: {description} (error {code})")]
    Refused {
        /// What was asked.
        subject: String,
        /// The server's words.
        description: String,
        /// JetStream's error code (`err_code`).
        code: u64,
    },
    /// An answer that is not one.
    #[error("the answer to `{subject}` cannot be read")]
    Unreadable {
        /// What was asked.
        subject: String,
        /// Why not.
        #[source]
        source: serde_json::Error,
    },
}

impl RequestError {
    /// JetStream's error code, if the server refused.
    pub(crate) fn code(&self) -> Option<u64> {
        match self {
            Self::Refused { code, .. } => Some(*code),
            Self::Connect { .. }
            | Self::Credentials { .. }
            | Self::NoAnswer { .. }
            | Self::Unreadable { .. } => None,
        }
    }
}

/// One connection.
#[derive(Clone, Debug)]
pub struct Connection {
    client: Client,
    /// The last thing that the server complained of.
    complaint: Arc<Mutex<Option<String>>>,
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// When a file is missing or the server does not let us in.
    pub async fn open(access: &Access) -> Result<Self, RequestError> {
        let complaint = Arc::new(Mutex::new(None));
        let options = options(access, Arc::clone(&complaint)).await?;
        let servers: Vec<&str> = access.url.split(',').map(str::trim).collect();
        let client = options
            .connect(servers)
            .await
            .map_err(|source| RequestError::Connect { url: access.url.clone(), source })?;
        Ok(Self { client, complaint })
    }

    /// The server's version, e.g. `2.15.1`.
    pub fn server_version(&self) -> String {
        self.client.server_info().version
    }

    /// The client below.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Asks, with a JSON body, and reads a JSON answer.
    pub(crate) async fn ask<T: DeserializeOwned>(
        &self,
        subject: String,
        body: &Value,
    ) -> Result<T, RequestError> {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.ask_with(subject, HeaderMap::new(), body.into_bytes()).await
    }

    /// Asks, with headers and any body, and reads a JSON answer.
    pub(crate) async fn ask_with<T: DeserializeOwned>(
        &self,
        subject: String,
        headers: HeaderMap,
        body: Vec<u8>,
    ) -> Result<T, RequestError> {
        let answer = self.ask_raw(subject.clone(), headers, body).await?;
        let unreadable = |source| RequestError::Unreadable { subject: subject.clone(), source };
        let value: Value = serde_json::from_slice(&answer).map_err(unreadable)?;
        if let Some(error) = value.get("error").filter(|error| !error.is_null()) {
            return Err(refusal(subject, error));
        }
        serde_json::from_value(value).map_err(unreadable)
    }

    /// Asks, and hands back the answer as it is.
    pub(crate) async fn ask_raw(
        &self,
        subject: String,
        headers: HeaderMap,
        body: Vec<u8>,
    ) -> Result<Vec<u8>, RequestError> {
        let mut request = async_nats::Request::new().payload(body.into()).timeout(Some(ANSWER));
        if !headers.is_empty() {
            request = request.headers(headers);
        }
        match self.client.send_request(subject.clone(), request).await {
            Ok(answer) => Ok(answer.payload.into()),
            Err(source) => {
                Err(RequestError::NoAnswer { subject, hint: self.hint(), source: source.into() })
            }
        }
    }

    fn hint(&self) -> String {
        let complaint = self.complaint.lock().unwrap_or_else(PoisonError::into_inner);
        complaint.as_ref().map(|words| format!("; the server says: {words}")).unwrap_or_default()
    }
}

async fn options(
    access: &Access,
    complaint: Arc<Mutex<Option<String>>>,
) -> Result<ConnectOptions, RequestError> {
    let unreadable = |path: &PathBuf| {
        let path = path.clone();
        move |source| RequestError::Credentials { path, source }
    };
    let options = match &access.credentials {
        Credentials::CredsFile(path) => {
            ConnectOptions::with_credentials_file(path).await.map_err(unreadable(path))?
        }
        Credentials::NkeySeedFile(path) => {
            let seed = std::fs::read_to_string(path).map_err(unreadable(path))?;
            ConnectOptions::with_nkey(seed.trim().to_owned())
        }
        Credentials::Anonymous => ConnectOptions::new(),
    };
    let options = match &access.ca_file {
        Some(path) => options.add_root_certificates(path.clone()),
        None => options,
    };
    let note = move |event: async_nats::Event| {
        let complaint = Arc::clone(&complaint);
        async move {
            if let async_nats::Event::ServerError(error) = event {
                let mut last = complaint.lock().unwrap_or_else(PoisonError::into_inner);
                *last = Some(error.to_string());
            }
        }
    };
    Ok(options
        .name("hyperhash streams")
        .custom_inbox_prefix(&access.inbox_prefix)
        .event_callback(note))
}

fn refusal(subject: String, error: &Value) -> RequestError {
    let description = error.get("description").and_then(Value::as_str).unwrap_or("no reason given");
    let code = error.get("err_code").and_then(Value::as_u64).unwrap_or_default();
    RequestError::Refused { subject, description: description.to_owned(), code }
}
