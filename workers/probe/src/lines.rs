//! Lines of JSON, from the miner's side.

use crate::judge::{End, Stranger};
use bytes::BytesMut;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// Longest line that is read: a job with a large coinbase has a few kilobytes.
const MAX_LINE: usize = 65_536;
/// What one read asks the socket for.
const READ_BYTES: usize = 4_096;
/// Bytes of a line that is not understood that are shown.
const SHOWN: usize = 120;

/// A connection on which both sides say lines.
pub(crate) struct Lines<S> {
    stream: S,
    buffer: BytesMut,
    next_id: u64,
    /// Whether anything that could be understood ever came.
    pub(crate) heard: bool,
}

/// A line that came.
#[derive(Debug)]
pub(crate) enum Line {
    /// An answer to the request of this id.
    Answer {
        /// The request's.
        id: Option<u64>,
        /// What was asked for, or what is wrong.
        result: Result<Value, Value>,
    },
    /// A method of the pool's own.
    Told {
        /// Its name.
        method: String,
        /// Its parameters.
        params: Value,
    },
}

impl<S: AsyncRead + AsyncWrite + Unpin> Lines<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, buffer: BytesMut::with_capacity(READ_BYTES), next_id: 1, heard: false }
    }

    /// Sends a request; returns its id.
    pub(crate) async fn ask(&mut self, method: &str, params: &Value) -> Result<u64, End> {
        let id = self.next_id;
        self.next_id = self.next_id.saturating_add(1);
        let mut line = json!({ "id": id, "method": method, "params": params }).to_string();
        line.push('\n');
        let sent = self.stream.write_all(line.as_bytes()).await;
        sent.map_err(|error| End::Failed(error.to_string()))?;
        Ok(id)
    }

    /// The next line. May be cancelled; then nothing is lost.
    pub(crate) async fn next(&mut self) -> Result<Line, End> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line = self.buffer.split_to(end.saturating_add(1));
                return self.read(line.trim_ascii());
            }
            if self.buffer.len() > MAX_LINE {
                return Err(self.foreign());
            }
            self.buffer.reserve(READ_BYTES);
            match self.stream.read_buf(&mut self.buffer).await {
                Ok(0) if self.buffer.is_empty() => return Err(End::Closed),
                Ok(0) => return Err(self.foreign()),
                Ok(_) => {}
                Err(error) => return Err(End::Failed(error.to_string())),
            }
        }
    }

    /// What is in the buffer without being a line.
    pub(crate) fn foreign(&self) -> End {
        not_json(&self.buffer)
    }

    fn read(&mut self, line: &[u8]) -> Result<Line, End> {
        let Ok(Value::Object(mut line)) = serde_json::from_slice(line) else {
            return Err(not_json(line));
        };
        self.heard = true;
        let mut take = |field: &str| line.remove(field).unwrap_or_default();
        if let Value::String(method) = take("method") {
            return Ok(Line::Told { method, params: take("params") });
        }
        let (id, result, error) = (take("id").as_u64(), take("result"), take("error"));
        let refused = !error.is_null() || matches!(result, Value::Null | Value::Bool(false));
        let result = if refused { Err(error) } else { Ok(result) };
        Ok(Line::Answer { id, result })
    }
}

fn not_json(said: &[u8]) -> End {
    match Stranger::of(said) {
        Stranger::Mute => End::Silent,
        // A V1 pool that writes broken JSON is still one.
        Stranger::Lines => {
            let shown = said.get(..SHOWN.min(said.len())).unwrap_or_default();
            End::Nonsense(String::from_utf8_lossy(shown).into_owned())
        }
        stranger @ (Stranger::Http | Stranger::Tls | Stranger::Ssh | Stranger::Binary) => {
            End::Stranger(stranger)
        }
    }
}
