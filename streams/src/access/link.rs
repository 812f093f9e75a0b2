//! What may cross the link of a leaf: exactly what its feeds need, and road 1 of a solved block.

use super::{LEAF_READER, Permissions, Right};
use crate::{
    declared::{Feed, HUB_DOMAIN, templates_to_leaf},
    names,
};

/// The permissions of the link of `node`, as the hub enforces them: what the node may publish to
/// the hub, and what it may hear from the hub.
///
/// `node` may be the template `{{name()}}`, which the server replaces by the user's name.
pub fn link_permissions(node: &str) -> Permissions {
    let mut permissions = Permissions::default();
    for stream in [names::OUT_SHARES, names::OUT_FACTS] {
        permissions.subscribe.extend(Right::read_leaf(node, stream));
    }
    // What the node answers Core's reader. Each node has an inbox of its own there, so that none
    // answers in another's name.
    permissions.publish.insert(format!("_INBOX_{LEAF_READER}.{node}.>"));
    take(&mut permissions, &templates_to_leaf(node));
    permissions.publish.insert(names::BLOCK_SUBMIT.to_owned());
    permissions.subscribe.insert(format!("_INBOX_{node}.>"));
    permissions
}

/// What the leaf needs to take a feed from the hub: it asks for its position and confirms; the hub
/// answers and delivers.
fn take(permissions: &mut Permissions, feed: &Feed) {
    let origin = feed.origin;
    let consumer = feed.consumer.as_deref().unwrap_or("*");
    let ask = format!("{}.CONSUMER.RESET.{origin}.{consumer}", feed.api());
    permissions.publish.extend([ask, format!("$JS.FC.{origin}.{consumer}.*")]);
    // `js_api_reply_v2`: domain and stream stand in the subject of the answer.
    let answer = format!("$JSC.R.{HUB_DOMAIN}.*.{origin}.{consumer}.*");
    permissions.subscribe.extend([answer, feed.deliver.clone()]);
}
