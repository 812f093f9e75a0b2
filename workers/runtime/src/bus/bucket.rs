//! Buckets of keys and values (ADR-8), with revisions to compare and set by.

use super::{
    Bus, BusError, Delivery, Ordered, ReadError,
    publish::{Attempt, Verdict},
};
use crate::transform::Start;
use bytes::Bytes;
use std::time::Duration;
use subjects::Timestamp;
use tokio::time::timeout;

/// How long one change of a key is tried.
const CHANGE_DEADLINE: Duration = Duration::from_secs(10);

/// What a bucket writes to say that a key is gone.
const OPERATION_DELETE: &str = "DEL";

/// A bucket.
#[derive(Clone, Debug)]
pub struct Bucket {
    bus: Bus,
    name: String,
}

/// A key's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// The value.
    pub value: Bytes,
    /// Grows with every change of any key in the bucket.
    pub revision: u64,
    /// When it was set, by the server's clock.
    pub created_at: Timestamp,
}

/// A change seen by a [`Watch`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The key has this value.
    Put(Entry),
    /// The key is gone. Keys that only aged out of a bucket without markers are not reported.
    Removed {
        /// The key.
        key: String,
        /// The revision of the removal.
        revision: u64,
    },
}

/// A change that was not made.
#[derive(Debug, thiserror::Error)]
pub enum BucketError {
    /// The key exists.
    #[error("the key `{0}` exists")]
    Exists(String),
    /// The key has another revision than the caller thinks.
    #[error("the key `{key}` has changed: it is at revision {revision}")]
    Stale {
        /// The key.
        key: String,
        /// Its revision; 0 if it has none.
        revision: u64,
    },
    /// The server will never take this change.
    #[error("the bucket refuses the key `{key}`: {reason}")]
    Refused {
        /// The key.
        key: String,
        /// Why.
        reason: String,
    },
    /// No answer in time. The change may have been made.
    #[error("the bucket does not answer; the change of `{0}` may have been made")]
    Unanswered(String),
    /// The question failed.
    #[error("cannot ask the bucket")]
    Bus(#[from] BusError),
}

impl Bucket {
    pub(super) fn new(bus: Bus, name: &str) -> Self {
        Self { bus, name: name.to_owned() }
    }

    /// The bucket's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How long a key lives after it was set; zero means for ever.
    pub async fn max_age(&self) -> Result<Duration, BucketError> {
        Ok(self.bus.stream_info(&self.stream()).await?.max_age)
    }

    /// What time it is by the server's clock, from which the entries have theirs.
    pub async fn now(&self) -> Result<Timestamp, BucketError> {
        Ok(self.bus.stream_info(&self.stream()).await?.as_of)
    }

    /// The value of a key, from the stream's leader.
    pub async fn get(&self, key: &str) -> Result<Option<Entry>, BucketError> {
        Ok(self.last(key).await?.and_then(|last| self.entry(last)))
    }

    /// Sets a key that does not exist; returns its revision.
    pub async fn create(&self, key: &str, value: &[u8]) -> Result<u64, BucketError> {
        match self.change(key, value, Some(0), None).await {
            Err(BucketError::Stale { .. }) => {}
            made => return made,
        }
        // The key has a last message. If that says "removed", the key may be created over it.
        let over = match self.last(key).await? {
            None => 0,
            Some(last) if last.operation.is_some() => last.position.sequence,
            Some(_) => return Err(BucketError::Exists(key.to_owned())),
        };
        match self.change(key, value, Some(over), None).await {
            Err(BucketError::Stale { .. }) => Err(BucketError::Exists(key.to_owned())),
            made => made,
        }
    }

    /// Sets a key whose revision is `revision`; returns the new one.
    pub async fn update(&self, key: &str, value: &[u8], revision: u64) -> Result<u64, BucketError> {
        self.change(key, value, Some(revision), None).await
    }

    /// Sets a key, whatever it was; returns its revision.
    pub async fn put(&self, key: &str, value: &[u8]) -> Result<u64, BucketError> {
        self.change(key, value, None, None).await
    }

    /// Removes a key whose revision is `revision`.
    pub async fn delete(&self, key: &str, revision: u64) -> Result<(), BucketError> {
        self.change(key, &[], Some(revision), Some(OPERATION_DELETE)).await.map(drop)
    }

    /// All keys that have a value.
    pub async fn keys(&self) -> Result<Vec<String>, ReadError> {
        let mut watch = self.watch(">");
        let mut keys = Vec::new();
        watch.opened().await?;
        while !watch.caught_up() {
            match watch.next().await? {
                Change::Put(entry) => keys.push(entry.key),
                Change::Removed { .. } => {}
            }
        }
        watch.close().await;
        Ok(keys)
    }

    /// The present values of all keys in `filter` (`>` for all), then every change.
    pub fn watch(&self, filter: &str) -> Watch {
        let filters = vec![self.subject(filter)];
        let changes = self.bus.ordered(&self.stream(), filters, Start::LastPerSubject);
        Watch { bucket: self.clone(), changes }
    }

    fn stream(&self) -> String {
        format!("KV_{}", self.name)
    }

    fn subject(&self, key: &str) -> String {
        format!("$KV.{}.{key}", self.name)
    }

    fn key_of(&self, subject: &str) -> String {
        let prefix = self.subject("");
        subject.strip_prefix(&prefix).unwrap_or(subject).to_owned()
    }

    async fn last(&self, key: &str) -> Result<Option<Delivery>, BusError> {
        self.bus.last(&self.stream(), &self.subject(key)).await
    }

    fn entry(&self, delivery: Delivery) -> Option<Entry> {
        if delivery.operation.is_some() {
            return None;
        }
        Some(Entry {
            key: self.key_of(&delivery.subject),
            value: delivery.body,
            revision: delivery.position.sequence,
            created_at: delivery.stored_at,
        })
    }

    async fn change(
        &self,
        key: &str,
        value: &[u8],
        expected: Option<u64>,
        operation: Option<&str>,
    ) -> Result<u64, BucketError> {
        let changing = self.change_until_answered(key, value, expected, operation);
        match timeout(CHANGE_DEADLINE, changing).await {
            Ok(changed) => changed,
            Err(_) => Err(BucketError::Unanswered(key.to_owned())),
        }
    }

    /// Sends one change, under one id, until the server answers.
    async fn change_until_answered(
        &self,
        key: &str,
        value: &[u8],
        expected: Option<u64>,
        operation: Option<&str>,
    ) -> Result<u64, BucketError> {
        let inner = &self.bus.inner;
        let id = format!("{}/{:032x}", inner.shell.instance, rand::random::<u128>());
        let (subject, body) = (self.subject(key), Bytes::copy_from_slice(value));
        let wait = inner.publisher.wait_for_one();
        let attempt = Attempt::of_key(subject, &id, operation, expected, body, wait);
        loop {
            let connection = inner.link.up().await;
            let epoch = inner.publisher.keys.pass().await;
            match attempt.send(&inner.client, &inner.link, connection).await {
                Verdict::Stored(stored) => {
                    inner.publisher.keys.succeed();
                    return Ok(stored.sequence);
                }
                Verdict::WrongSequence => {
                    let last = self.last(key).await?;
                    let revision = last.as_ref().map_or(0, |last| last.position.sequence);
                    // Our own change: only its acknowledgement was lost.
                    if last.is_some_and(|last| last.message_id == id) {
                        return Ok(revision);
                    }
                    return Err(BucketError::Stale { key: key.to_owned(), revision });
                }
                Verdict::Refused(reason) => {
                    return Err(BucketError::Refused { key: key.to_owned(), reason });
                }
                Verdict::Again(_) => {
                    inner.publisher.keys.fail(epoch).await;
                }
            }
        }
    }
}

/// Follows a bucket.
#[derive(Debug)]
pub struct Watch {
    bucket: Bucket,
    changes: Ordered,
}

impl Watch {
    /// The next change. May be cancelled.
    pub async fn next(&mut self) -> Result<Change, ReadError> {
        let delivery = self.changes.next().await?;
        let (key, revision) = (self.bucket.key_of(&delivery.subject), delivery.position.sequence);
        Ok(self.bucket.entry(delivery).map_or(Change::Removed { key, revision }, Change::Put))
    }

    /// Begins without waiting for a change.
    pub async fn opened(&mut self) -> Result<(), ReadError> {
        self.changes.opened().await
    }

    /// Whether all values that the bucket held at the start were handed out.
    pub const fn caught_up(&self) -> bool {
        self.changes.caught_up()
    }

    /// Ends the watch at once.
    pub async fn close(self) {
        self.changes.close().await;
    }
}
