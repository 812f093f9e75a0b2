//! The bus, as far as an ingress speaks to it; and a fake that stores when it is told to.

use bytes::Bytes;
use std::{future::Future, time::Duration};
use worker_runtime::{Bus, Publication, PublishError, bus::BusError};

/// What an ingress says to the bus.
pub trait Port: Clone + Send + Sync + 'static {
    /// Publishes a fact and waits until its stream has stored it, however long that takes.
    fn publish(
        &self,
        publication: Publication,
    ) -> impl Future<Output = Result<(), PublishError>> + Send;

    /// Asks a service and waits for its answer, at most `timeout`.
    fn request(
        &self,
        subject: &str,
        payload: Bytes,
        timeout: Duration,
    ) -> impl Future<Output = Result<Bytes, BusError>> + Send;
}

impl Port for Bus {
    async fn publish(&self, publication: Publication) -> Result<(), PublishError> {
        Self::publish(self, publication).await.map(|_| ())
    }

    async fn request(
        &self,
        subject: &str,
        payload: Bytes,
        timeout: Duration,
    ) -> Result<Bytes, BusError> {
        Self::request(self, subject, payload, timeout).await
    }
}

pub mod fake {
    //! A bus in memory.

    use super::{BusError, Bytes, Duration, Port, Publication, PublishError};
    use std::sync::{Arc, Mutex, PoisonError};
    use subjects::{Message, Payload};
    use tokio::sync::watch;

    /// A bus in memory: messages pile up before a gate and are stored once it lets them.
    #[derive(Clone, Debug)]
    pub struct Fake {
        inner: Arc<Inner>,
    }

    #[derive(Debug)]
    struct Inner {
        /// Messages that were offered, and those of them that are stored.
        said: Mutex<Said>,
        changed: watch::Sender<u64>,
        /// How many messages of shares may be stored in all.
        allowed: watch::Sender<u64>,
        /// What has no end for now.
        stuck: watch::Sender<Stuck>,
    }

    /// What a bus does not get done.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub enum Stuck {
        /// It does all that it is asked.
        #[default]
        Nothing,
        /// Services do not answer.
        Requests,
        /// Nothing is stored.
        Streams,
    }

    #[derive(Debug, Default)]
    struct Said {
        offered: Vec<Message>,
        stored: Vec<Message>,
        asked: Vec<(String, Bytes)>,
        batches: u64,
    }

    impl Fake {
        /// Stores everything at once.
        pub fn open() -> Self {
            Self::letting(u64::MAX)
        }

        /// Stores no batch of shares before it is told to; everything else at once.
        pub fn closed() -> Self {
            Self::letting(0)
        }

        fn letting(batches: u64) -> Self {
            Self {
                inner: Arc::new(Inner {
                    said: Mutex::default(),
                    changed: watch::Sender::new(0),
                    allowed: watch::Sender::new(batches),
                    stuck: watch::Sender::default(),
                }),
            }
        }

        /// Lets so many more batches of shares be stored.
        pub fn let_batches(&self, more: u64) {
            self.inner.allowed.send_modify(|allowed| *allowed = allowed.saturating_add(more));
        }

        /// From now on something is stuck, or nothing any more.
        pub fn stick(&self, stuck: Stuck) {
            self.inner.stuck.send_replace(stuck);
        }

        /// What is stored, of one type.
        pub fn stored<P: Payload>(&self) -> Vec<P> {
            self.read(|said| decoded(&said.stored))
        }

        /// What was offered, stored or not, of one type.
        pub fn offered<P: Payload>(&self) -> Vec<P> {
            self.read(|said| decoded(&said.offered))
        }

        /// What was asked of services: subject and question.
        pub fn asked(&self) -> Vec<(String, Bytes)> {
            self.read(|said| said.asked.clone())
        }

        /// Waits until something holds of this bus.
        pub async fn until(&self, holds: impl Fn(&Self) -> bool) {
            let mut changed = self.inner.changed.subscribe();
            while !holds(self) {
                // The sender lives in `self`, so waiting cannot fail.
                drop(changed.changed().await);
            }
        }

        async fn unstuck(&self, what: Stuck) {
            let mut stuck = self.inner.stuck.subscribe();
            // The sender lives in `self`, so waiting cannot fail.
            drop(stuck.wait_for(|stuck| *stuck != what).await);
        }

        fn read<T>(&self, look: impl FnOnce(&Said) -> T) -> T {
            look(&self.inner.said.lock().unwrap_or_else(PoisonError::into_inner))
        }

        fn change<T>(&self, change: impl FnOnce(&mut Said) -> T) -> T {
            let mut said = self.inner.said.lock().unwrap_or_else(PoisonError::into_inner);
            let changed = change(&mut said);
            self.inner.changed.send_modify(|count| *count += 1);
            changed
        }
    }

    fn decoded<P: Payload>(messages: &[Message]) -> Vec<P> {
        let of_type = messages.iter().filter(|message| message.kind == P::TYPE);
        of_type.filter_map(|message| P::decode(&message.body).ok()).collect()
    }

    impl Port for Fake {
        async fn publish(&self, publication: Publication) -> Result<(), PublishError> {
            let message = publication.message;
            let is_batch = message.kind == subjects::shares::Submitted::TYPE;
            let batch = self.change(|said| {
                said.offered.push(message.clone());
                said.batches += u64::from(is_batch);
                said.batches
            });
            if is_batch {
                let mut allowed = self.inner.allowed.subscribe();
                // The sender lives in `self`, so waiting cannot fail.
                drop(allowed.wait_for(|allowed| *allowed >= batch).await);
            }
            self.unstuck(Stuck::Streams).await;
            self.change(|said| said.stored.push(message));
            Ok(())
        }

        async fn request(
            &self,
            subject: &str,
            payload: Bytes,
            _: Duration,
        ) -> Result<Bytes, BusError> {
            self.change(|said| said.asked.push((subject.to_owned(), payload)));
            self.unstuck(Stuck::Requests).await;
            Ok(Bytes::new())
        }
    }
}
