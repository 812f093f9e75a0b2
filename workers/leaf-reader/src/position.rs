//! How far a stream of a leaf was read, as CORE keeps it.

use crate::domain::{MESSAGES_A_POSITION, POSITION_INTERVAL};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use subjects::NodeId;
use tokio::time::Instant;
use worker_runtime::{
    Bus,
    bus::{Bucket, BucketError},
    transform::{Position, Start},
};

/// A position in one incarnation of a leaf's stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Read {
    /// When the stream was created, in milliseconds since 1970: sequences restart with it.
    pub(crate) created: u64,
    /// Up to here CORE has all of it.
    pub(crate) sequence: u64,
}

/// A position that cannot be kept.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PositionError {
    /// Another reader goes on with this leaf.
    #[error("another reader has written the position")]
    TakenOver,
    /// What is there is no position.
    #[error(
        "the position `{key}` in `{bucket}` cannot be read: correct it, or delete the key to have \
         the leaf read from its beginning"
    )]
    Unreadable {
        /// The key.
        key: String,
        /// The bucket.
        bucket: &'static str,
        /// Why not.
        #[source]
        source: serde_json::Error,
    },
    /// The bucket does not work.
    #[error("cannot keep the position of a leaf")]
    Bucket(#[from] BucketError),
}

/// The position of one stream of one leaf.
#[derive(Debug)]
pub(crate) struct Bookmark {
    bucket: Bucket,
    key: String,
    read: Option<Read>,
    revision: u64,
    /// Messages since it was written down, and when it must be.
    unwritten: u64,
    due: Option<Instant>,
}

impl Bookmark {
    pub(crate) async fn open(
        core: &Bus,
        node: &NodeId,
        stream: &str,
    ) -> Result<Self, PositionError> {
        let bucket = core.bucket(streams::LEAF_POSITIONS);
        let key = format!("{node}.{stream}");
        let entry = bucket.get(&key).await?;
        let read = entry.as_ref().map(|entry| serde_json::from_slice(&entry.value)).transpose();
        let read = read.map_err(|source| PositionError::Unreadable {
            key: key.clone(),
            bucket: streams::LEAF_POSITIONS,
            source,
        })?;
        let revision = entry.map_or(0, |entry| entry.revision);
        Ok(Self { bucket, key, read, revision, unwritten: 0, due: None })
    }

    pub(crate) const fn read(&self) -> Option<Read> {
        self.read
    }

    /// Where reading goes on.
    pub(crate) const fn start(&self) -> Start {
        match self.read {
            Some(Read { sequence, .. }) => Start::Sequence(sequence.saturating_add(1)),
            None => Start::First,
        }
    }

    /// The leaf has another stream than before: it is read from its beginning.
    pub(crate) const fn forget(&mut self) {
        self.read = None;
    }

    /// Everything up to here is in CORE.
    pub(crate) fn note(&mut self, at: &Position, messages: u64) {
        self.read = Some(Read { created: at.incarnation, sequence: at.sequence });
        self.unwritten = self.unwritten.saturating_add(messages);
        let due = if self.unwritten >= MESSAGES_A_POSITION {
            Instant::now()
        } else {
            Instant::now() + POSITION_INTERVAL
        };
        self.due = Some(self.due.map_or(due, |before| before.min(due)));
    }

    /// When the position has to be written down, if there is anything to write.
    pub(crate) const fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Tries to write it down later.
    pub(crate) fn postpone(&mut self, pause: Duration) {
        self.due = self.due.map(|_| Instant::now() + pause);
    }

    /// Writes the position down. Fails when somebody else has since this reader began: then it is
    /// the one to stop.
    pub(crate) async fn write(&mut self) -> Result<(), PositionError> {
        let (Some(read), Some(_)) = (self.read, self.due) else { return Ok(()) };
        let value = serde_json::json!(read).to_string();
        let written = self.bucket.update(&self.key, value.as_bytes(), self.revision).await;
        self.revision = written.map_err(|error| match error {
            BucketError::Stale { .. } | BucketError::Exists(_) => PositionError::TakenOver,
            BucketError::Refused { .. } | BucketError::Unanswered(_) | BucketError::Bus(_) => {
                error.into()
            }
        })?;
        self.unwritten = 0;
        self.due = None;
        Ok(())
    }
}
