//! What may cross the link of a leaf: exactly what its feeds need, and road 1 of a solved block.

use super::Permissions;
use crate::{
    declared::{Feed, HUB_DOMAIN, Via, link_feeds},
    names,
};

/// The permissions of the link of `node`, as the hub enforces them: what the node may publish to
/// the hub, and what it may hear from the hub.
///
/// `node` may be the template `{{name()}}`, which the server replaces by the user's name.
pub fn link_permissions(node: &str) -> Permissions {
    let mut permissions = Permissions::default();
    for feed in link_feeds(node) {
        add(&mut permissions, &feed, node);
    }
    permissions.publish.insert(names::BLOCK_SUBMIT.to_owned());
    permissions.subscribe.insert(format!("_INBOX_{node}.>"));
    permissions
}

fn add(permissions: &mut Permissions, feed: &Feed, node: &str) {
    let (origin, api) = (feed.origin, feed.api());
    let consumer = feed.consumer.as_deref().unwrap_or("*");
    // The reader asks for its position, the origin answers and delivers, the reader confirms.
    let ask = format!("{api}.CONSUMER.RESET.{origin}.{consumer}");
    let confirm = format!("$JS.FC.{origin}.{consumer}.*");
    let (to_origin, to_reader, domain) = match feed.via {
        Via::Up(_) => (&mut permissions.subscribe, &mut permissions.publish, node),
        Via::Down(_) | Via::Border { .. } => {
            (&mut permissions.publish, &mut permissions.subscribe, HUB_DOMAIN)
        }
    };
    to_origin.extend([ask, confirm]);
    // `js_api_reply_v2`: domain and stream stand in the subject of the answer.
    let answer = format!("$JSC.R.{domain}.*.{origin}.{consumer}.*");
    to_reader.extend([answer, feed.deliver.clone()]);
}
