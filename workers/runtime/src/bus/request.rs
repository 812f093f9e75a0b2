//! Core NATS: things said, asked and answered without a stream.

use super::{Bus, BusError};
use async_nats::Subscriber;
use bytes::Bytes;
use futures_util::StreamExt;
use std::{fmt, time::Duration};

/// Requests that arrive on a subject.
pub struct Served {
    bus: Bus,
    subscriber: Subscriber,
}

/// One request.
pub struct Request {
    bus: Bus,
    reply: Option<async_nats::Subject>,
    /// The subject that was asked.
    pub subject: String,
    /// What was asked.
    pub payload: Bytes,
}

impl fmt::Debug for Served {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Served").finish_non_exhaustive()
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { subject, payload, .. } = self;
        f.debug_struct("Request").field("subject", subject).field("bytes", &payload.len()).finish()
    }
}

impl Served {
    pub(super) async fn listen(bus: &Bus, subject: &str) -> Result<Self, BusError> {
        let subscriber = bus
            .inner
            .client
            .subscribe(subject.to_owned())
            .await
            .map_err(|error| client_error(subject, &error))?;
        Ok(Self { bus: bus.clone(), subscriber })
    }

    /// The next request; `None` when the connection is closed for good. May be cancelled.
    pub async fn next(&mut self) -> Option<Request> {
        let message = self.subscriber.next().await?;
        Some(Request {
            bus: self.bus.clone(),
            reply: message.reply,
            subject: message.subject.to_string(),
            payload: message.payload,
        })
    }
}

impl Request {
    /// Answers. A request that does not want an answer gets none.
    pub async fn reply(self, payload: Bytes) -> Result<(), BusError> {
        let Some(reply) = self.reply else { return Ok(()) };
        emit(&self.bus, &reply, payload).await
    }
}

pub(super) async fn emit(bus: &Bus, subject: &str, payload: Bytes) -> Result<(), BusError> {
    let sent = bus.inner.client.publish(subject.to_owned(), payload).await;
    sent.map_err(|error| client_error(subject, &error))
}

pub(super) async fn ask(
    bus: &Bus,
    subject: &str,
    payload: Bytes,
    timeout: Duration,
) -> Result<Bytes, BusError> {
    tokio::select! {
        answer = bus.inner.api.ask(subject, payload, timeout) => answer,
        () = bus.inner.shell.halt.cancelled() => Err(BusError::Stopped),
    }
}

fn client_error(subject: &str, error: &impl fmt::Display) -> BusError {
    BusError::Client { subject: subject.to_owned(), reason: error.to_string() }
}
