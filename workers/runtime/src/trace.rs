//! W3C Trace Context: which trace a piece of work belongs to, across workers and over the bus.
//!
//! A trace begins at a source (a template, a share) and travels in the `traceparent` header of
//! every message that follows from it. Logs carry `trace_id`, so one share can be followed.

use rand::RngCore;
use std::{fmt, future::Future, str::FromStr};
use tracing::{Instrument, info_span};

/// A position in a trace (<https://www.w3.org/TR/trace-context/>, version 00).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceParent {
    trace_id: [u8; 16],
    span_id: [u8; 8],
    sampled: bool,
}

/// The text is not a `traceparent` of version 00.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a traceparent of version 00")]
pub struct InvalidTraceParent;

tokio::task_local! {
    static CURRENT: TraceParent;
}

impl TraceParent {
    /// Begins a new trace.
    pub fn root() -> Self {
        let mut trace_id = [0; 16];
        let mut span_id = [0; 8];
        let mut random = rand::thread_rng();
        random.fill_bytes(&mut trace_id);
        random.fill_bytes(&mut span_id);
        Self { trace_id, span_id, sampled: true }
    }

    /// A new span of the same trace.
    #[must_use]
    pub fn child(self) -> Self {
        let mut span_id = [0; 8];
        rand::thread_rng().fill_bytes(&mut span_id);
        Self { span_id, ..self }
    }

    /// The trace that the current task works for, if any.
    pub fn current() -> Option<Self> {
        CURRENT.try_with(|current| *current).ok()
    }

    /// The 32 hexadecimal digits that find this trace in the logs.
    pub fn trace_id(&self) -> String {
        hex::encode(self.trace_id)
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { trace_id, span_id, sampled } = self;
        write!(
            f,
            "00-{}-{}-{:02x}",
            hex::encode(trace_id),
            hex::encode(span_id),
            u8::from(*sampled)
        )
    }
}

impl FromStr for TraceParent {
    type Err = InvalidTraceParent;

    fn from_str(text: &str) -> Result<Self, InvalidTraceParent> {
        let mut parts = text.split('-');
        let mut next = || parts.next().ok_or(InvalidTraceParent);
        let (version, trace, span, flags) = (next()?, next()?, next()?, next()?);
        let lower = !text.bytes().any(|byte| byte.is_ascii_uppercase());
        if version != "00" || !lower || flags.len() != 2 || parts.next().is_some() {
            return Err(InvalidTraceParent);
        }
        let mut trace_id = [0; 16];
        let mut span_id = [0; 8];
        hex::decode_to_slice(trace, &mut trace_id).map_err(|_| InvalidTraceParent)?;
        hex::decode_to_slice(span, &mut span_id).map_err(|_| InvalidTraceParent)?;
        let flags = u8::from_str_radix(flags, 16).map_err(|_| InvalidTraceParent)?;
        if trace_id == [0; 16] || span_id == [0; 8] {
            return Err(InvalidTraceParent);
        }
        Ok(Self { trace_id, span_id, sampled: flags & 1 == 1 })
    }
}

/// Does a piece of work as part of a trace: what it publishes and logs carries `parent`.
pub async fn within<F: Future>(parent: TraceParent, work: F) -> F::Output {
    let span = info_span!("work", trace_id = %parent.trace_id());
    CURRENT.scope(parent, work.instrument(span)).await
}

/// The position to continue from: a new span of the trace in a message's header, or a new trace
/// where the header is absent or unreadable.
pub fn follow(header: Option<&str>) -> TraceParent {
    header.and_then(|text| text.parse().ok()).map_or_else(TraceParent::root, TraceParent::child)
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn the_example_of_the_standard_reads_back() {
        let parent: TraceParent = EXAMPLE.parse().unwrap();
        assert_eq!(parent.to_string(), EXAMPLE);
        assert_eq!(parent.trace_id(), "4bf92f3577b34da6a3ce929d0e0e4736");
    }

    #[test]
    fn what_the_standard_forbids_is_refused() {
        for text in [
            "",
            "00",
            "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1",
        ] {
            assert_eq!(text.parse::<TraceParent>(), Err(InvalidTraceParent), "{text}");
        }
    }

    #[tokio::test]
    async fn a_child_stays_in_its_trace_and_is_current_within() {
        let child = follow(Some(EXAMPLE));
        assert_eq!(child.trace_id(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_ne!(child.to_string(), EXAMPLE);
        assert_eq!(TraceParent::current(), None);
        assert_eq!(within(child, async { TraceParent::current() }).await, Some(child));
        assert_ne!(follow(None).trace_id(), follow(Some("junk")).trace_id());
    }
}
