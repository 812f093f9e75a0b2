//! The users: one per worker and account, in the order in which a share meets them.

use super::{Permissions, Right};
use crate::{Account, names};
use subjects::{NodeId, Payload, blocks, parked, payouts, rounds, sessions, shares, templates};

/// A user of one account, or of a leaf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Its name: the worker's.
    pub name: &'static str,
    /// Its account; on a leaf the one that the leaf's link is bound to.
    pub account: Account,
    /// Name of its credentials file, without the extension.
    pub file: &'static str,
    /// Where its answers arrive: the prefix of its inboxes.
    pub inbox: String,
    /// What it may do.
    pub rights: Vec<Right>,
}

impl User {
    fn new(name: &'static str, account: Account, rights: Vec<Right>) -> Self {
        Self { name, account, file: name, inbox: format!("_INBOX_{name}"), rights }
    }

    /// The subjects that this takes.
    pub fn permissions(&self) -> Permissions {
        Right::permissions(&self.rights, &self.inbox)
    }
}

/// The users of the hub; nodes have a template instead, [`super::link_permissions`].
pub fn users() -> Vec<User> {
    let mut users = vec![template_publisher()];
    users.extend(ingresses(&NodeId::core()));
    users.extend(leaf_reader());
    users.push(share_verifier());
    users.extend(share_recorder());
    users.extend([block_submitter(), round_tracker()]);
    users.extend(payout_calculator());
    users.push(data_reader());
    users.extend(operators());
    users
}

/// The users of the leaf of `node`, who are nkey users of its own configuration.
pub fn leaf_users(node: &NodeId) -> Vec<User> {
    let of_leaf = |user: User| User {
        account: Account::Nodes,
        // The hub lets answers to a node through under one prefix, which all its users share.
        inbox: format!("_INBOX_{node}.{}", user.name),
        ..user
    };
    let operator = User::new("operator", Account::Nodes, vec![Right::Declare]);
    ingresses(node).into_iter().chain([operator]).map(of_leaf).collect()
}

fn publish(filter: &str) -> Right {
    Right::Publish(filter.to_owned())
}

/// A worker's own key in LEASES, and those below it.
fn leases(worker: &'static str) -> Right {
    Right::WriteBucket(names::LEASES, format!("{worker}.>"))
}

fn park(worker: &str) -> Right {
    Right::Publish(parked::Parked::FILTER.replace('*', worker))
}

fn template_publisher() -> User {
    let name = "template-publisher";
    let rights = vec![
        publish(templates::New::FILTER),
        publish(templates::Tip::FILTER),
        publish(templates::Health::FILTER),
        Right::WriteObjects(names::TEMPLATE_TXS),
        // It goes on where its predecessor stopped.
        Right::Read(names::TEMPLATES),
        leases(name),
    ];
    User::new(name, Account::Core, rights)
}

/// One for each protocol of miners; on the bus they say the same.
fn ingresses(node: &NodeId) -> [User; 2] {
    ["ingress-sv2", "ingress-sv1"].map(|name| ingress(name, node))
}

fn ingress(name: &'static str, node: &NodeId) -> User {
    let own = |filter: &str| Right::Publish(filter.replacen('*', node.as_str(), 1));
    let rights = vec![
        Right::Read(names::TEMPLATES),
        Right::WriteBucket(names::LANES, "*".to_owned()),
        Right::WriteBucket(names::BOOT_EPOCHS, "*".to_owned()),
        own(sessions::Changed::FILTER),
        own(shares::Submitted::FILTER),
        own(shares::Rejected::FILTER),
        own(blocks::Claimed::FILTER),
        Right::Request(names::BLOCK_SUBMIT),
    ];
    User::new(name, Account::Core, rights)
}

/// Who reads the leaves; its inboxes carry the name.
pub(crate) const LEAF_READER: &str = "leaf-reader";

fn leaf_reader() -> [User; 2] {
    let mut core: Vec<_> = names::UPLINK.iter().map(|said| publish(said.filter)).collect();
    core.extend([
        Right::ReadBucket(names::LEAVES),
        Right::WriteBucket(names::LEAF_POSITIONS, ">".to_owned()),
        leases(LEAF_READER),
    ]);
    let nodes = [names::OUT_SHARES, names::OUT_FACTS].map(Right::ReadLeaves).into();
    [
        User::new(LEAF_READER, Account::Core, core),
        User { file: "leaf-reader-nodes", ..User::new(LEAF_READER, Account::Nodes, nodes) },
    ]
}

fn share_verifier() -> User {
    let name = "share-verifier";
    let rights = vec![
        Right::Work(names::SHARES_SUBMITTED, names::ANY_PARTITION),
        Right::Read(names::TEMPLATES),
        Right::ReadBucket(names::LANE_OWNERS),
        leases(name),
        publish(shares::Accepted::FILTER),
        // A lane's past: it never credits a proof twice.
        Right::Read(names::SHARES),
        publish(shares::Refused::FILTER),
        Right::Read(names::SHARES_REFUSED),
        publish(blocks::Solved::FILTER),
        // A fact that exists once is compared with what is there.
        Right::Read(names::BLOCKS),
        park(name),
    ];
    User::new(name, Account::Core, rights)
}

fn share_recorder() -> [User; 2] {
    let name = "share-recorder";
    let core = vec![
        Right::Read(names::SHARES),
        Right::Read(names::SHARES_REFUSED),
        Right::Read(names::NODE_TELEMETRY),
        Right::Read(names::BLOCKS),
        Right::Read(names::ROUNDS),
        leases(name),
        park(name),
    ];
    let money = vec![Right::ReadSome(names::PAYOUTS, payouts::Statement::FILTER)];
    [
        User::new(name, Account::Core, core),
        User { file: "share-recorder-money", ..User::new(name, Account::Money, money) },
    ]
}

fn block_submitter() -> User {
    let name = "block-submitter";
    let rights = vec![
        Right::Serve(names::BLOCK_SUBMIT),
        Right::Read(names::BLOCK_CLAIMS),
        Right::Read(names::TEMPLATES),
        Right::ReadObjects(names::TEMPLATE_TXS),
        Right::Read(names::BLOCKS),
        publish(blocks::Solved::FILTER),
        publish(blocks::Submitted::FILTER),
        publish(blocks::Outcome::FILTER),
        leases(name),
        park(name),
    ];
    User::new(name, Account::Core, rights)
}

fn round_tracker() -> User {
    let name = "round-tracker";
    let rights = vec![
        Right::Read(names::SHARES),
        publish(rounds::SliceLines::FILTER),
        publish(rounds::SliceClosed::FILTER),
        publish(rounds::Closed::FILTER),
        publish(rounds::Progress::FILTER),
        // Each closed slice is its checkpoint.
        Right::Read(names::ROUNDS),
        leases(name),
        park(name),
    ];
    User::new(name, Account::Core, rights)
}

fn payout_calculator() -> [User; 2] {
    let name = "payout-calculator";
    let core =
        vec![Right::Read(names::BLOCKS), Right::Read(names::ROUNDS), leases(name), park(name)];
    let money = vec![publish(payouts::Statement::FILTER), Right::Read(names::PAYOUTS)];
    [
        User::new(name, Account::Core, core),
        User { file: "payout-calculator-money", ..User::new(name, Account::Money, money) },
    ]
}

fn data_reader() -> User {
    let streams = [names::TEMPLATES, names::SHARES, names::BLOCKS, names::ROUNDS, names::PAYOUTS];
    let mut rights: Vec<_> = streams.into_iter().map(Right::ReadOnly).collect();
    rights.push(Right::Publish("$JS.API.STREAM.NAMES".to_owned()));
    User::new("data-reader", Account::Data, rights)
}

fn operators() -> Vec<User> {
    let operator = |account, file, rights| {
        let operator = User::new("operator", account, rights);
        User { file, ..operator }
    };
    let mut core = vec![
        Right::Declare,
        // Nodes are entered and given their lanes at registration.
        Right::WriteBucket(names::LEAVES, "*".to_owned()),
        Right::WriteBucket(names::LANE_OWNERS, "*".to_owned()),
    ];
    // What operators see: everything that is kept for more than one reader, so that they can look
    // into what was refused or parked and take an audit. A work queue has one reader.
    let kept = [
        names::TEMPLATES,
        names::SHARES,
        names::SHARES_REFUSED,
        names::BLOCK_CLAIMS,
        names::BLOCKS,
        names::ROUNDS,
        names::NODE_VERDICTS,
        names::NODE_TELEMETRY,
        names::NODE_EVENTS,
        names::PARKED,
    ];
    core.extend(kept.map(Right::ReadOnly));
    let mut money = vec![Right::Declare];
    money.extend([names::PAYOUTS, names::AUDIT].map(Right::ReadOnly));
    vec![
        operator(Account::Nodes, "operator-nodes", vec![Right::Declare]),
        operator(Account::Core, "operator", core),
        operator(Account::Money, "operator-money", money),
        operator(Account::Data, "operator-data", vec![Right::Declare]),
        operator(Account::Sys, "sys", vec![Right::PushClaims]),
    ]
}
