//! A partition of a work queue, read by one instance at a time, in order.

use super::{
    Bus, Delivery, ReadError,
    consumer::{Breaks, ConsumerConfig, ConsumerInfo, Puller},
    ordered::Opening,
};
use crate::metric::Name;
use async_nats::client::RequestErrorKind;
use rand::Rng;
use std::{fmt, time::Duration};

/// How long each confirmation is awaited before the consumer is made anew instead. The first may
/// go with a server that was told to end.
const SETTLE_WAITS: [Duration; 4] = [
    Duration::from_millis(500),
    Duration::from_millis(1_000),
    Duration::from_millis(2_000),
    Duration::from_millis(2_000),
];

/// Pause before a consumer that could not be made is tried again.
const PAUSE: Duration = Duration::from_millis(250);

/// A filtered durable consumer on a work queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueConfig {
    /// The stream, with work-queue retention.
    pub stream: String,
    /// The durable consumer's name.
    pub consumer: String,
    /// The subjects of this partition, as the stream stores them.
    pub filter: String,
    /// How long a delivery may stay unsettled before it is delivered again.
    pub ack_wait: Duration,
}

/// A delivery could not be settled here and will be delivered again, to whoever reads then.
#[derive(Debug, thiserror::Error)]
pub enum SettleError {
    /// Another instance has taken over.
    #[error(transparent)]
    TakenOver(ReadError),
    /// The consumer had to be made anew; the delivery comes again.
    #[error("the settlement was not confirmed; the delivery comes again")]
    Unconfirmed,
}

/// The reader of one partition.
///
/// One message is in hand at a time: the server delivers the next one only when this one is
/// settled. So a lost delivery can never be overtaken by a later one.
pub struct WorkQueue {
    bus: Bus,
    config: QueueConfig,
    /// Stands in our consumer's description: tells it from one that another instance made since.
    holder: String,
    puller: Option<Puller>,
    breaks: Breaks,
}

impl fmt::Debug for WorkQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkQueue").field("config", &self.config).finish_non_exhaustive()
    }
}

impl WorkQueue {
    pub(super) async fn take_over(bus: Bus, config: QueueConfig) -> Result<Self, ReadError> {
        let holder = format!("{}-{:08x}", bus.inner.shell.instance, rand::random::<u32>());
        let mut queue = Self { bus, config, holder, puller: None, breaks: Breaks::default() };
        queue.opened(Ownership::Take).await?;
        Ok(queue)
    }

    /// The partition that is read.
    pub const fn config(&self) -> &QueueConfig {
        &self.config
    }

    /// The oldest message that nobody settled. May be cancelled.
    pub async fn next(&mut self) -> Result<Delivery, ReadError> {
        loop {
            self.opened(Ownership::Keep).await?;
            let Some(puller) = &mut self.puller else { continue };
            let halt = self.bus.inner.shell.halt.clone();
            let delivered = tokio::select! {
                delivered = puller.next() => delivered,
                () = halt.cancelled() => return Err(ReadError::Stopped),
            };
            match delivered {
                Ok(delivery) => {
                    self.breaks.was_of_use();
                    return Ok(delivery);
                }
                Err(broken) => {
                    self.restart(broken);
                    let pause = self.breaks.broken();
                    tokio::select! {
                        () = tokio::time::sleep(pause) => {}
                        () = halt.cancelled() => return Err(ReadError::Stopped),
                    }
                }
            }
        }
    }

    /// Settles a delivery and waits until the server has confirmed it.
    ///
    /// A reply of "no responders" is not a confirmation: it means that the consumer is gone.
    pub async fn settle(&mut self, delivery: &Delivery) -> Result<(), SettleError> {
        let Some(reply) = &delivery.reply else { return Ok(()) };
        for wait in SETTLE_WAITS {
            let request = async_nats::Request::new().payload("+ACK".into()).timeout(Some(wait));
            match self.bus.inner.client.send_request(reply.clone(), request).await {
                // A status of any kind is somebody else's answer.
                Ok(answer) if answer.status.is_none() => return Ok(()),
                Ok(_) => break,
                Err(error) if error.kind() == RequestErrorKind::NoResponders => {
                    if !self.is_still_ours().await {
                        return Err(SettleError::TakenOver(self.taken_over()));
                    }
                    self.pause().await;
                }
                Err(_) => {
                    self.bus.inner.link.up().await;
                }
            }
        }
        self.restart("unconfirmed");
        Err(SettleError::Unconfirmed)
    }

    /// Tells the server that a delivery is still being worked on, so that it is not delivered
    /// again meanwhile.
    pub async fn working(&self, delivery: &Delivery) {
        if let Some(reply) = &delivery.reply {
            let sent = self.bus.inner.client.publish(reply.clone(), "+WPI".into()).await;
            if let Err(error) = sent {
                tracing::debug!(%error, "cannot say that a delivery is being worked on");
            }
        }
    }

    async fn is_still_ours(&self) -> bool {
        let QueueConfig { stream, consumer, .. } = &self.config;
        match self.bus.consumer_info(stream, consumer).await {
            Ok(Some(info)) => info.config.description == self.holder,
            Ok(None) => false,
            // Nobody could say; asking goes on.
            Err(_) => true,
        }
    }

    fn restart(&mut self, broken: &'static str) {
        let labels = [("stream", self.config.stream.as_str()), ("reason", broken)];
        let metrics = &self.bus.inner.shell.metrics;
        metrics.counter_with(Name::StreamReaderRestartsTotal, &labels).inc();
        self.puller = None;
    }

    async fn opened(&mut self, ownership: Ownership) -> Result<(), ReadError> {
        while self.puller.is_none() {
            match self.open(ownership).await {
                Ok(()) => {}
                Err(Opening::Never(error)) => return Err(error),
                Err(Opening::Later(error)) => {
                    tracing::warn!(consumer = self.config.consumer, %error, "cannot read the queue yet");
                    tokio::select! {
                        () = self.pause() => {}
                        () = self.bus.inner.shell.halt.cancelled() => return Err(ReadError::Stopped),
                    }
                }
            }
        }
        Ok(())
    }

    /// Makes the consumer anew, so that delivery begins with the oldest unsettled message.
    async fn open(&mut self, ownership: Ownership) -> Result<(), Opening> {
        let QueueConfig { stream, consumer, filter, ack_wait } = &self.config;
        let opening = Opening::of(stream);
        let info = self.bus.stream_info(stream).await.map_err(&opening)?;
        let there = self.bus.consumer_info(stream, consumer).await.map_err(&opening)?;
        if ownership == Ownership::Keep && !self.may_replace(there.as_ref()) {
            return Err(Opening::Never(self.taken_over()));
        }
        self.bus.delete_consumer(stream, consumer).await.map_err(&opening)?;
        let config = ConsumerConfig::work_queue(consumer, &self.holder, filter, *ack_wait);
        self.bus.create_consumer(stream, &config).await.map_err(&opening)?;
        let puller = Puller::open(&self.bus, stream, info.created, consumer).await;
        let puller = puller.map_err(&opening)?;
        self.breaks.opened();
        self.puller = Some(puller);
        Ok(())
    }

    /// Our own consumer may be replaced, also after it vanished; another's may not.
    fn may_replace(&self, there: Option<&ConsumerInfo>) -> bool {
        there.is_none_or(|info| info.config.description == self.holder)
    }

    fn taken_over(&self) -> ReadError {
        ReadError::TakenOver {
            stream: self.config.stream.clone(),
            consumer: self.config.consumer.clone(),
        }
    }

    async fn pause(&self) {
        let pause = rand::thread_rng().gen_range(PAUSE / 2..=PAUSE);
        tokio::time::sleep(pause).await;
    }
}

/// Whether a consumer that another instance made may be replaced.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ownership {
    /// The lease says that it is ours now.
    Take,
    /// We only lost our own.
    Keep,
}
