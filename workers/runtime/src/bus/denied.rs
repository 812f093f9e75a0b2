//! Rights that turned out to be missing.
//!
//! A server answers nothing to what a user may not ask; it complains on the side, naming the
//! subject. Whoever asked learns it from here, at once instead of after a timeout.

use std::sync::Arc;
use tokio::sync::broadcast;

/// Complaints that may wait for a slow listener; one that misses some runs into its timeout.
const BUFFER: usize = 64;

/// What nats-server says, with the subject in quotes behind it.
const COMPLAINT: &str = "permissions violation for publish to ";

/// Subjects of one connection that the server refused, as it complains of them.
#[derive(Clone)]
pub(super) struct Denials {
    told: broadcast::Sender<Arc<str>>,
}

/// Waits for complaints from when it was made.
pub(super) struct Listener {
    told: broadcast::Receiver<Arc<str>>,
}

impl Denials {
    pub(super) fn new() -> Self {
        Self { told: broadcast::Sender::new(BUFFER) }
    }

    /// Hears something that the server complains of.
    pub(super) fn hear(&self, complaint: &str) {
        if let Some(subject) = subject_of(complaint) {
            // Nobody may be listening.
            drop(self.told.send(subject.into()));
        }
    }

    pub(super) fn listen(&self) -> Listener {
        Listener { told: self.told.subscribe() }
    }
}

impl Listener {
    /// Waits until the server complains of this subject; for ever if it never does.
    pub(super) async fn denied(&mut self, subject: &str) {
        loop {
            match self.told.recv().await {
                Ok(told) if *told == *subject => return,
                Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
            }
        }
    }
}

fn subject_of(complaint: &str) -> Option<&str> {
    let begin = complaint.to_ascii_lowercase().find(COMPLAINT)?.checked_add(COMPLAINT.len())?;
    let quoted = complaint.get(begin..)?.strip_prefix('"')?;
    quoted.split('"').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_complaint_reaches_who_asked() {
        let denials = Denials::new();
        let mut listener = denials.listen();
        denials.hear("Slow Consumer");
        denials.hear("Permissions Violation for Publish to \"Other\"");
        denials.hear("Permissions Violation for Publish to \"$JS.API.STREAM.INFO.AUDIT\"");
        listener.denied("$JS.API.STREAM.INFO.AUDIT").await;
        assert_eq!(subject_of("Permissions Violation for Subscription to \"a\""), None);
    }
}
