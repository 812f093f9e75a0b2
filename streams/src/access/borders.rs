//! What crosses the borders between accounts, each crossing exported to one account by name.

use crate::{
    Account,
    declared::{Feed, Via, border_feeds},
    names,
};

/// One private export and its import.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Border {
    /// Whose it is.
    pub from: Account,
    /// Who gets it.
    pub to: Account,
    /// Whether it is asked or heard.
    pub kind: Kind,
    /// The subject in the exporting account.
    pub subject: String,
    /// The subject in the importing account, with `$1`… for wildcards.
    pub local: String,
}

/// What an export is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Requests that the exporting account answers.
    Service,
    /// Messages that the importing account hears.
    Stream,
}

impl Kind {
    /// As claims write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Stream => "stream",
        }
    }
}

/// Everything that crosses a border, in the order in which a share meets it.
pub fn borders() -> Vec<Border> {
    let mut borders: Vec<_> = border_feeds().iter().flat_map(of_feed).collect();
    // Road 1: the ingress of a node asks the submitter in Core at once.
    borders.push(Border {
        from: Account::Core,
        to: Account::Nodes,
        kind: Kind::Service,
        subject: names::BLOCK_SUBMIT.to_owned(),
        local: "block.submit.$1".to_owned(),
    });
    borders
}

/// A reader asks for a consumer or for its position, hears the messages and confirms them.
fn of_feed(feed: &Feed) -> Vec<Border> {
    let Via::Border { from, to } = feed.via else {
        return Vec::new();
    };
    let origin = feed.origin;
    let (ask, deliver, confirm) = match &feed.consumer {
        Some(consumer) => (
            format!("CONSUMER.RESET.{origin}.{consumer}"),
            feed.deliver.clone(),
            format!("$JS.FC.{origin}.{consumer}.*"),
        ),
        None => (
            // A filter stands in the request's subject, so that no other can be asked for.
            feed.filter.map_or_else(
                || format!("CONSUMER.CREATE.{origin}"),
                |filter| format!("CONSUMER.CREATE.{origin}.*.{filter}"),
            ),
            format!("{}.>", feed.deliver),
            format!("$JS.FC.{origin}.*.*"),
        ),
    };
    let service = |subject: String, local: &str| Border {
        from,
        to,
        kind: Kind::Service,
        local: numbered(local),
        subject,
    };
    vec![
        service(format!("$JS.API.{ask}"), &format!("{}.{ask}", feed.api())),
        Border { from, to, kind: Kind::Stream, local: numbered(&deliver), subject: deliver },
        service(confirm.clone(), &confirm),
    ]
}

/// Wildcards of an import's local subject are references to those of the exported one.
fn numbered(subject: &str) -> String {
    let mut count = 0;
    let token = |token: &str| match token {
        "*" => {
            count += 1;
            format!("${count}")
        }
        literal => literal.to_owned(),
    };
    let tokens: Vec<_> = subject.split('.').map(token).collect();
    tokens.join(".")
}
