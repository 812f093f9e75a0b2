//! Buckets of large objects (ADR-20), used content-addressed.

use super::Bus;
use async_nats::jetstream::{
    context::ContextBuilder,
    object_store::{GetErrorKind, InfoErrorKind, ObjectStore},
};
use bytes::Bytes;
use std::{fmt::Display, time::Duration};
use tokio::{io::AsyncReadExt, time::timeout};

/// Longest object that is read, in bytes: a block's transactions have at most 4 MB.
const MAX_LENGTH: u64 = 16 * 1024 * 1024;

/// How long one object may take.
const DEADLINE: Duration = Duration::from_secs(30);

/// A bucket of objects, named by what they contain.
#[derive(Clone, Debug)]
pub struct Objects {
    bus: Bus,
    bucket: String,
}

/// An object could not be stored or read.
#[derive(Debug, thiserror::Error)]
pub enum ObjectsError {
    /// The bucket cannot be used.
    #[error("cannot use the object bucket `{bucket}`: {reason}")]
    Bucket {
        /// The bucket.
        bucket: String,
        /// Why.
        reason: String,
    },
    /// The object could not be stored or read.
    #[error("object `{name}` of `{bucket}`: {reason}")]
    Object {
        /// The bucket.
        bucket: String,
        /// The object.
        name: String,
        /// Why.
        reason: String,
    },
}

impl Objects {
    pub(super) fn new(bus: Bus, bucket: &str) -> Self {
        Self { bus, bucket: bucket.to_owned() }
    }

    /// Stores an object. One that exists is kept: its name says what it contains.
    pub async fn put(&self, name: &str, content: &[u8]) -> Result<(), ObjectsError> {
        self.in_time(name, async {
            let store = self.store().await?;
            match store.info(name).await {
                Ok(info) if !info.deleted => return Ok(()),
                Ok(_) => {}
                Err(error) if error.kind() == InfoErrorKind::NotFound => {}
                Err(error) => return Err(self.failed(name, &error)),
            }
            let mut content = content;
            store.put(name, &mut content).await.map_err(|error| self.failed(name, &error))?;
            Ok(())
        })
        .await
    }

    /// Reads an object; `None` if there is none.
    pub async fn get(&self, name: &str) -> Result<Option<Bytes>, ObjectsError> {
        self.in_time(name, async {
            let object = match self.store().await?.get(name).await {
                Ok(object) => object,
                Err(error) if error.kind() == GetErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(self.failed(name, &error)),
            };
            let mut content = Vec::new();
            let mut object = object.take(MAX_LENGTH + 1);
            object.read_to_end(&mut content).await.map_err(|error| self.failed(name, &error))?;
            if u64::try_from(content.len()).unwrap_or(u64::MAX) > MAX_LENGTH {
                return Err(self.failed(name, &"longer than 16 MiB"));
            }
            Ok(Some(content.into()))
        })
        .await
    }

    async fn store(&self) -> Result<ObjectStore, ObjectsError> {
        let inner = &self.bus.inner;
        let context = ContextBuilder::new()
            .api_prefix(inner.api.prefix())
            .timeout(inner.publisher.ack_timeout)
            .build(inner.client.clone());
        context.get_object_store(&self.bucket).await.map_err(|error| ObjectsError::Bucket {
            bucket: self.bucket.clone(),
            reason: error.to_string(),
        })
    }

    async fn in_time<T>(
        &self,
        name: &str,
        work: impl Future<Output = Result<T, ObjectsError>>,
    ) -> Result<T, ObjectsError> {
        timeout(DEADLINE, work).await.unwrap_or_else(|_| Err(self.failed(name, &"no answer")))
    }

    fn failed(&self, name: &str, reason: &dyn Display) -> ObjectsError {
        ObjectsError::Object {
            bucket: self.bucket.clone(),
            name: name.to_owned(),
            reason: reason.to_string(),
        }
    }
}
