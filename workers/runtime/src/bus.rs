//! One connection to the bus, and everything that may be done with it.

mod api;
mod bucket;
mod config;
mod connection;
mod consumer;
mod delivery;
mod denied;
mod objects;
mod ordered;
mod publish;
mod queue;
mod request;
pub(crate) mod subject;
mod time;

pub use bucket::{Bucket, BucketError, Change, Entry, Watch};
pub use config::{BusConfig, TlsConfig};
pub use connection::ConnectError;
pub use delivery::Delivery;
pub use objects::{Objects, ObjectsError};
pub use ordered::{Ordered, ReadError};
pub use publish::{PublishError, Stored, Traced};
pub use queue::{QueueConfig, SettleError, WorkQueue};
pub use request::{Request, Served};
pub use subject::matches;

pub(crate) use ordered::Tail;
pub(crate) use publish::{Chains, Heard};

pub use crate::outcome::Publication;

use crate::{context::Shell, transform::Start};
use api::Api;
use bytes::Bytes;
use connection::Link;
use publish::Publisher;
use std::{fmt, sync::Arc, time::Duration};
use subjects::Timestamp;

/// One connection to the bus. A cheap handle.
///
/// Each worker has its own connection with its own rights; one that joins two accounts has two.
#[derive(Clone)]
pub struct Bus {
    inner: Arc<Inner>,
}

struct Inner {
    shell: Arc<Shell>,
    client: async_nats::Client,
    api: Api,
    link: Link,
    /// Begin of the subjects where answers arrive.
    inbox: String,
    publisher: Arc<Publisher>,
}

/// Something that was asked of the bus did not happen.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    /// Nobody answers there: no such stream or service, no leader, or a link is down.
    #[error("nobody answers at `{0}`")]
    NoResponders(String),
    /// No answer in time.
    #[error("no answer from `{0}` in time")]
    TimedOut(String),
    /// The user has no right to ask it.
    #[error(
        "this user may not ask `{0}`: use a credential that may, or change the declared rights"
    )]
    Denied(String),
    /// The stream does not exist.
    #[error("there is no stream `{0}`: run `hyperhash streams apply`")]
    NoSuchStream(String),
    /// The server refused.
    #[error("the server refuses `{subject}`: {description} (code {code})")]
    Refused {
        /// What was asked.
        subject: String,
        /// JetStream's own error code.
        code: u64,
        /// Its words.
        description: String,
    },
    /// The answer cannot be read.
    #[error("the answer of `{subject}` cannot be read: {reason}")]
    Unreadable {
        /// What was asked.
        subject: String,
        /// Why not.
        reason: String,
    },
    /// The client could not send.
    #[error("cannot ask `{subject}`: {reason}")]
    Client {
        /// What was asked.
        subject: String,
        /// Why not.
        reason: String,
    },
    /// The process ended first.
    #[error("the process is ending")]
    Stopped,
}

/// A stream's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamInfo {
    /// Its name.
    pub name: String,
    /// Its incarnation: when it was created, in milliseconds since 1970.
    pub created: u64,
    /// Sequence of the first message that it holds; one past the last when it holds none.
    pub first_sequence: u64,
    /// Sequence of the last message that it ever stored, 0 if none.
    pub last_sequence: u64,
    /// Messages that it holds.
    pub messages: u64,
    /// Bytes that it holds.
    pub bytes: u64,
    /// How long it keeps a message; zero means for ever.
    pub max_age: Duration,
    /// The server that leads it, where several keep it and have agreed on one.
    pub leader: Option<String>,
    /// When the server said so, by its clock.
    pub as_of: Timestamp,
}

impl fmt::Debug for Bus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bus").field("shell", &self.inner.shell).finish_non_exhaustive()
    }
}

impl Bus {
    pub(crate) fn shell(&self) -> &Arc<Shell> {
        &self.inner.shell
    }

    /// The chains that this connection writes.
    pub(crate) fn chains(&self) -> &Chains {
        &self.inner.publisher.chains
    }

    /// Forgets the last link of a chain, e.g. when a lease came back: the next link goes behind
    /// whatever is there then.
    pub async fn forget_chain(&self, subject: &str) {
        self.inner.publisher.chains.forget(subject).await;
    }

    /// Whether a route leads to this stream.
    pub(crate) fn keeps(&self, stream: &str) -> bool {
        self.inner.publisher.keeps(stream)
    }

    /// Says which stream must take the messages of a subject filter. A message of it that meets
    /// any other stream is refused and tried again, so a wrong set-up shows instead of spreading.
    /// `Once` and `Chained` publications need it.
    #[must_use]
    pub fn route(self, filter: &str, stream: &str) -> Self {
        self.inner.publisher.route(filter, stream);
        self
    }

    /// The same of many filters, such as all of a network.
    #[must_use]
    pub fn routes<F, S>(self, routes: impl IntoIterator<Item = (F, S)>) -> Self
    where
        F: AsRef<str>,
        S: AsRef<str>,
    {
        routes.into_iter().fold(self, |bus, (filter, to)| bus.route(filter.as_ref(), to.as_ref()))
    }

    /// JetStream of another domain, as this connection reaches it. Its answers arrive below an
    /// inbox of its own, `<inbox prefix>.<domain>`, so that rights can keep domains apart.
    #[must_use]
    pub fn in_domain(&self, domain: &str) -> Self {
        let Inner { shell, client, api, link, inbox, publisher } = &*self.inner;
        let inbox = format!("{inbox}.{domain}");
        let inner = Inner {
            shell: Arc::clone(shell),
            client: client.clone(),
            api: api.of_domain(domain, &inbox),
            link: link.clone(),
            inbox,
            publisher: Arc::clone(publisher),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Whether the connection is up.
    pub fn connected(&self) -> bool {
        self.inner.link.is_up()
    }

    /// A stream's state, from its leader.
    pub async fn stream_info(&self, stream: &str) -> Result<StreamInfo, BusError> {
        self.inner.api.stream_info(stream).await
    }

    /// The last message of a subject, from the stream's leader.
    pub async fn last(&self, stream: &str, subject: &str) -> Result<Option<Delivery>, BusError> {
        self.inner.api.last(stream, subject).await
    }

    /// The message with this sequence, from the stream's leader.
    pub async fn get(&self, stream: &str, sequence: u64) -> Result<Option<Delivery>, BusError> {
        self.inner.api.get(stream, sequence).await
    }

    /// Publishes a fact and waits until its stream has stored it, however long that takes.
    ///
    /// The same id is sent again until the stream answers, so nothing is lost and nothing is
    /// doubled. Waits for room when too many publications are in flight.
    pub async fn publish(&self, publication: Publication) -> Result<Stored, PublishError> {
        publish::publish(self, &publication).await
    }

    /// Publishes facts of one stream in their order, and waits until it has stored them all: in one
    /// synced write where the stream takes batches (NATS ADR-50). A crash or a lost answer may have
    /// them stored again, in the same order behind themselves.
    ///
    /// # Errors
    /// When the stream will never take one of them, or the process ends first.
    pub async fn publish_in_order(&self, facts: &[Traced]) -> Result<(), PublishError> {
        publish::in_order(self, facts).await
    }

    /// Reads a part of a stream in order, from a position on, without acknowledgements.
    pub fn ordered(&self, stream: &str, filters: Vec<String>, start: Start) -> Ordered {
        Ordered::new(self.clone(), stream, filters, start)
    }

    /// Takes over a filtered durable consumer of a work queue: it is made anew, so delivery
    /// begins with the oldest message that nobody settled, and goes on in order.
    pub async fn partition(&self, queue: &QueueConfig) -> Result<WorkQueue, ReadError> {
        WorkQueue::take_over(self.clone(), queue.clone()).await
    }

    /// A bucket of keys and values.
    pub fn bucket(&self, name: &str) -> Bucket {
        Bucket::new(self.clone(), name)
    }

    /// A bucket of large objects.
    pub fn objects(&self, bucket: &str) -> Objects {
        Objects::new(self.clone(), bucket)
    }

    /// Says something that nobody keeps. It may be lost.
    pub async fn emit(&self, subject: &str, payload: Bytes) -> Result<(), BusError> {
        request::emit(self, subject, payload).await
    }

    /// Asks a service and waits for its answer.
    pub async fn request(
        &self,
        subject: &str,
        payload: Bytes,
        timeout: Duration,
    ) -> Result<Bytes, BusError> {
        request::ask(self, subject, payload, timeout).await
    }

    /// Answers requests on a subject.
    pub async fn serve(&self, subject: &str) -> Result<Served, BusError> {
        Served::listen(self, subject).await
    }
}

impl BusError {
    /// Whether asking again later may help.
    pub const fn is_transient(&self) -> bool {
        match self {
            // A right that is missing may be given while the process runs.
            Self::NoResponders(_) | Self::TimedOut(_) | Self::Denied(_) | Self::Client { .. } => {
                true
            }
            // "JetStream system temporarily unavailable", and a stream or a consumer whose server
            // is on its way down.
            Self::Refused { code, .. } => matches!(*code, 10_008 | 10_118 | 10_119),
            Self::NoSuchStream(_) | Self::Unreadable { .. } | Self::Stopped => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_on_its_way_down_is_asked_again() {
        let refused = |code| {
            let (subject, description) = ("$JS.API.X".to_owned(), "words".to_owned());
            BusError::Refused { subject, code, description }.is_transient()
        };
        assert!([10_008, 10_118, 10_119].into_iter().all(refused));
        // A request that no server takes.
        assert!(!refused(10_025));
    }
}
