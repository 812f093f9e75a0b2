//! What the verifier hears.

use mining::{TipWork, WorkTemplate};
use std::sync::Arc;
use subjects::{
    DecodeError, Lane, NodeId, Payload as _, ProviderId, TemplateId, shares,
    templates::{New, Tip},
};

/// Subjects of the bucket of lane owners.
const OWNERS_PREFIX: &str = "$KV.LANE_OWNERS.";

/// One message of any stream that the verifier reads.
#[derive(Clone, Debug)]
pub enum Input {
    /// A template was published.
    Template(Arc<WorkTemplate>),
    /// A tip was published.
    Tip(Announced),
    /// A lane has an owner, or none any more.
    Owner {
        /// The lane.
        lane: Lane,
        /// The node, if it has one.
        owner: Option<NodeId>,
    },
    /// Shares that one ingress judged good.
    Submitted(Arc<Submission>),
    /// Shares of a lane's past that were credited.
    Accepted(Arc<shares::Accepted>),
    /// Shares of a lane's past that were refused.
    Refused(Arc<shares::Refused>),
}

/// A tip, as one provider announced it.
#[derive(Clone, Debug)]
pub struct Announced {
    /// Who.
    pub provider: ProviderId,
    /// The tip.
    pub tip: TipWork,
    /// The template that it activates.
    pub template: TemplateId,
}

/// A batch, and the subject it came on.
#[derive(Clone, Debug)]
pub struct Submission {
    /// The node that the bus says sent it.
    pub node: NodeId,
    /// The lane of the subject.
    pub lane: Lane,
    /// What it says.
    pub batch: shares::Submitted,
}

impl Submission {
    /// Whether the batch names the node and lane on whose subject it came.
    pub(super) fn is_of_its_subject(&self) -> bool {
        (&self.node, self.lane) == (&self.batch.node, self.batch.lane)
    }
}

impl Input {
    /// Reads one message.
    ///
    /// # Errors
    ///
    /// When it is of no type that the verifier knows, or not what its type says.
    pub fn read(subject: &str, kind: &str, body: &[u8]) -> Result<Self, DecodeError> {
        if let Some(lane) = subject.strip_prefix(OWNERS_PREFIX) {
            return owner(lane, body);
        }
        match kind {
            New::TYPE => template(body),
            Tip::TYPE => tip(&Tip::decode(body)?),
            shares::Submitted::TYPE => submission(subject, body),
            shares::Accepted::TYPE => Ok(Self::Accepted(Arc::new(shares::Accepted::decode(body)?))),
            shares::Refused::TYPE => Ok(Self::Refused(Arc::new(shares::Refused::decode(body)?))),
            other => Err(DecodeError::field("type", format!("`{other}` is not for the verifier"))),
        }
    }
}

fn template(body: &[u8]) -> Result<Input, DecodeError> {
    let work = WorkTemplate::new(TemplateId::of_payload(body), &New::decode(body)?)
        .map_err(|error| DecodeError::field("template", error))?;
    Ok(Input::Template(Arc::new(work)))
}

fn tip(tip: &Tip) -> Result<Input, DecodeError> {
    let work = TipWork::new(tip).map_err(|error| DecodeError::field("nbits", error))?;
    let provider = tip.provider.clone();
    Ok(Input::Tip(Announced { provider, tip: work, template: tip.template }))
}

fn owner(lane: &str, body: &[u8]) -> Result<Input, DecodeError> {
    let lane = lane.parse().map_err(|error| DecodeError::field("lane", error))?;
    let text = std::str::from_utf8(body).map_err(|error| DecodeError::field("owner", error))?;
    let owner = match text {
        "" => None,
        node => Some(node.parse().map_err(|error| DecodeError::field("owner", error))?),
    };
    Ok(Input::Owner { lane, owner })
}

/// The subject is that of the stream, which names the partition; a bus without partitions keeps
/// the subject as it was said.
fn submission(subject: &str, body: &[u8]) -> Result<Input, DecodeError> {
    let (node, lane) = streams::parse_submitted(subject)
        .or_else(|_| shares::Submitted::parse_subject(subject))
        .map_err(|error| DecodeError::field("subject", error))?;
    let batch = shares::Submitted::decode(body)?;
    Ok(Input::Submitted(Arc::new(Submission { node, lane, batch })))
}
