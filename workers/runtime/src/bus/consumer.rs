//! Consumers: making them, pulling from them, and noticing when something went missing.

use super::{
    Bus, BusError, Delivery,
    api::{CODE_NO_CONSUMER, below},
};
use async_nats::{StatusCode, Subscriber};
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::time::Duration;
use tokio::time::Instant;

/// Messages asked for at once. Asked again when half have come, so that delivery never pauses.
const BATCH: u64 = 256;

/// How long the server keeps one request for messages.
const EXPIRES: Duration = Duration::from_secs(30);

/// How often the server says that it is there while it has nothing to deliver.
const HEARTBEAT: Duration = Duration::from_secs(2);

/// Silence after which the consumer is taken for gone: two heartbeats and a half.
const SILENCE: Duration = Duration::from_secs(5);

/// How long the server keeps an ordered reader's consumer that nobody pulls from.
const INACTIVE: Duration = Duration::from_secs(30);

/// A consumer to be made (ADR-37 and the server's `ConsumerConfig`).
#[derive(Clone, Debug, Serialize)]
pub(super) struct ConsumerConfig {
    pub(super) name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) durable_name: Option<String>,
    pub(super) deliver_policy: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) opt_start_seq: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) opt_start_time: Option<String>,
    pub(super) ack_policy: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ack_wait: Option<u128>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) max_ack_pending: Option<u32>,
    pub(super) replay_policy: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) filter_subject: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) filter_subjects: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) inactive_threshold: Option<u128>,
    pub(super) mem_storage: bool,
    pub(super) num_replicas: u8,
}

/// A consumer's state.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct ConsumerInfo {
    pub(super) config: MadeConfig,
    pub(super) num_pending: u64,
    pub(super) delivered: Delivered,
}

/// How far a consumer has delivered.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(super) struct Delivered {
    pub(super) consumer_seq: u64,
}

/// The part of a consumer's configuration that tells it from another of the same name.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct MadeConfig {
    #[serde(default)]
    pub(super) description: String,
}

impl ConsumerConfig {
    /// An ephemeral reader without acknowledgements.
    pub(super) fn ordered(name: String, filters: &[String]) -> Self {
        let mut config = Self {
            name,
            description: None,
            durable_name: None,
            deliver_policy: "all",
            opt_start_seq: None,
            opt_start_time: None,
            ack_policy: "none",
            ack_wait: None,
            max_ack_pending: None,
            replay_policy: "instant",
            filter_subject: None,
            filter_subjects: Vec::new(),
            inactive_threshold: Some(INACTIVE.as_nanos()),
            mem_storage: true,
            num_replicas: 1,
        };
        config.filter(filters);
        config
    }

    /// A durable reader of a work queue that gets one message at a time.
    pub(super) fn work_queue(name: &str, holder: &str, filter: &str, ack_wait: Duration) -> Self {
        let mut config = Self::ordered(name.to_owned(), &[filter.to_owned()]);
        config.description = Some(holder.to_owned());
        config.durable_name = Some(name.to_owned());
        config.ack_policy = "explicit";
        config.ack_wait = Some(ack_wait.as_nanos());
        config.max_ack_pending = Some(1);
        config.inactive_threshold = None;
        config.mem_storage = false;
        config.num_replicas = 0;
        config
    }

    fn filter(&mut self, filters: &[String]) {
        match filters {
            [] => {}
            [one] => self.filter_subject = Some(one.clone()),
            many => self.filter_subjects = many.to_vec(),
        }
    }
}

impl Bus {
    pub(super) async fn create_consumer(
        &self,
        stream: &str,
        config: &ConsumerConfig,
    ) -> Result<ConsumerInfo, BusError> {
        let call = match &config.filter_subject {
            Some(filter) => format!("CONSUMER.CREATE.{stream}.{}.{filter}", config.name),
            None => format!("CONSUMER.CREATE.{stream}.{}", config.name),
        };
        let question = json!({ "stream_name": stream, "config": config, "action": "create" });
        self.inner.api.call(&call, &question).await
    }

    /// The consumer's state; `None` if there is none.
    pub(super) async fn consumer_info(
        &self,
        stream: &str,
        consumer: &str,
    ) -> Result<Option<ConsumerInfo>, BusError> {
        let call = format!("CONSUMER.INFO.{stream}.{consumer}");
        match self.inner.api.call(&call, &json!({})).await {
            Ok(info) => Ok(Some(info)),
            Err(BusError::Refused { code: CODE_NO_CONSUMER, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Asks the server to delete the consumer, without waiting for it.
    pub(super) async fn forget_consumer(&self, stream: &str, consumer: &str) {
        let subject = self.inner.api.subject(&format!("CONSUMER.DELETE.{stream}.{consumer}"));
        if let Err(error) = self.inner.client.publish(subject, "{}".into()).await {
            tracing::debug!(stream, %error, "the server will forget a consumer by itself");
        }
    }

    /// Deletes the consumer, if it is there.
    pub(super) async fn delete_consumer(
        &self,
        stream: &str,
        consumer: &str,
    ) -> Result<(), BusError> {
        let call = format!("CONSUMER.DELETE.{stream}.{consumer}");
        match self.inner.api.call::<serde_json::Value>(&call, &json!({})).await {
            Ok(_) | Err(BusError::Refused { code: CODE_NO_CONSUMER, .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// Pulls messages from one consumer, over one connection.
pub(super) struct Puller {
    bus: Bus,
    stream: String,
    incarnation: u64,
    subscriber: Subscriber,
    inbox: String,
    pull_subject: String,
    connection: u64,
    /// Messages that were asked for and have not come.
    outstanding: u64,
    next_consumer_sequence: u64,
    heard: Instant,
}

/// Why a consumer cannot be pulled from any longer. The label of a metric.
pub(super) type Broken = &'static str;

/// First pause of a reader whose consumer broke before it was of use.
const FIRST_PAUSE: Duration = Duration::from_millis(125);

/// Doublings of that pause: two seconds at most.
const MOST_DOUBLINGS: u32 = 4;

/// How often in a row a reader's consumers broke before they were of use.
///
/// While servers of a cluster come and go, a consumer may be made where nobody answers for it. A
/// reader that made the next one at once would make them by the thousand, until the server takes
/// no more.
#[derive(Debug, Default)]
pub(super) struct Breaks {
    opened: Option<Instant>,
    in_a_row: u32,
}

impl Breaks {
    /// A consumer was made.
    pub(super) fn opened(&mut self) {
        self.opened = Some(Instant::now());
    }

    /// It delivered.
    pub(super) const fn was_of_use(&mut self) {
        self.in_a_row = 0;
    }

    /// It broke; how long to wait before the next one. One that was quiet for longer than a
    /// silence is noticed did its work too.
    pub(super) fn broken(&mut self) -> Duration {
        let opened = self.opened.take();
        if opened.is_some_and(|opened| opened.elapsed() > SILENCE * 2) {
            self.in_a_row = 0;
        }
        let doublings = self.in_a_row.checked_sub(1).map(|more| more.min(MOST_DOUBLINGS));
        self.in_a_row = self.in_a_row.saturating_add(1);
        doublings.map_or(Duration::ZERO, |doublings| FIRST_PAUSE * (1 << doublings))
    }
}

impl Puller {
    pub(super) async fn open(
        bus: &Bus,
        stream: &str,
        incarnation: u64,
        consumer: &str,
    ) -> Result<Self, BusError> {
        let connection = bus.inner.link.up().await;
        let inbox = below(&bus.inner.inbox);
        let subscriber = bus.inner.client.subscribe(inbox.clone()).await.map_err(|error| {
            BusError::Client { subject: inbox.clone(), reason: error.to_string() }
        })?;
        let pull_subject = bus.inner.api.subject(&format!("CONSUMER.MSG.NEXT.{stream}.{consumer}"));
        Ok(Self {
            bus: bus.clone(),
            stream: stream.to_owned(),
            incarnation,
            subscriber,
            inbox,
            pull_subject,
            connection,
            outstanding: 0,
            next_consumer_sequence: 1,
            heard: Instant::now(),
        })
    }

    /// Deliveries received so far.
    pub(super) const fn received(&self) -> u64 {
        self.next_consumer_sequence - 1
    }

    /// The next delivery. May be cancelled.
    pub(super) async fn next(&mut self) -> Result<Delivery, Broken> {
        loop {
            if self.outstanding <= BATCH / 2 {
                self.pull().await?;
            }
            let silence = self.heard + SILENCE;
            let message = tokio::select! {
                biased;
                message = self.subscriber.next() => message.ok_or("closed")?,
                () = self.bus.inner.link.gone(self.connection) => return Err("disconnected"),
                () = tokio::time::sleep_until(silence) => return Err("silence"),
            };
            self.heard = Instant::now();
            if let Some(status) = message.status {
                self.note(status, &message)?;
                continue;
            }
            self.outstanding = self.outstanding.saturating_sub(1);
            let delivery = Delivery::of_consumer(message, &self.stream, self.incarnation);
            let delivery = delivery.ok_or("foreign-message")?;
            if delivery.consumer_sequence != self.next_consumer_sequence {
                return Err("gap");
            }
            self.next_consumer_sequence += 1;
            return Ok(delivery);
        }
    }

    async fn pull(&mut self) -> Result<(), Broken> {
        let question = json!({
            "batch": BATCH,
            "expires": EXPIRES.as_nanos(),
            "idle_heartbeat": HEARTBEAT.as_nanos(),
        });
        let (subject, inbox) = (self.pull_subject.clone(), self.inbox.clone());
        let payload = question.to_string().into();
        let sent = self.bus.inner.client.publish_with_reply(subject, inbox, payload).await;
        sent.map_err(|_| "closed")?;
        self.outstanding += BATCH;
        Ok(())
    }

    /// Reads a status message of the pull protocol (ADR-37).
    fn note(&mut self, status: StatusCode, message: &async_nats::Message) -> Result<(), Broken> {
        match status {
            StatusCode::IDLE_HEARTBEAT => Ok(()),
            StatusCode::TIMEOUT | StatusCode::NOT_FOUND => {
                let unused = message
                    .headers
                    .as_ref()
                    .and_then(|headers| headers.get("Nats-Pending-Messages"))
                    .and_then(|text| text.as_str().parse().ok());
                self.outstanding = self.outstanding.saturating_sub(unused.unwrap_or(BATCH));
                Ok(())
            }
            StatusCode::NO_RESPONDERS => Err("no-consumer"),
            StatusCode::REQUEST_TERMINATED => Err("terminated"),
            _ => Err("status"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_breaks_again_and_again_waits_ever_longer() {
        let mut breaks = Breaks::default();
        let mut pauses = Vec::new();
        for _ in 0..8 {
            breaks.opened();
            pauses.push(breaks.broken().as_millis());
        }
        assert_eq!(pauses, [0, 125, 250, 500, 1_000, 2_000, 2_000, 2_000]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_consumer_that_delivered_or_was_quiet_for_long_is_replaced_at_once() {
        let mut breaks = Breaks::default();
        for _ in 0..3 {
            breaks.opened();
            breaks.broken();
        }
        breaks.opened();
        breaks.was_of_use();
        assert_eq!(breaks.broken(), Duration::ZERO);
        assert_eq!(breaks.broken(), FIRST_PAUSE);
        breaks.opened();
        tokio::time::sleep(SILENCE * 3).await;
        assert_eq!(breaks.broken(), Duration::ZERO);
    }
}
