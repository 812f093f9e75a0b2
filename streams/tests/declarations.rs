//! The declarations agree with one another, and with what others rely on.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use streams::{
    Account, Kind, Network, Node, Permissions, Pull, Reader, Source, Topology, borders, declared,
    leaf, leaf_users, link_permissions, users,
};
use subjects::{
    Lane, NodeId, Payload, blocks, parked, payouts, rounds, sessions, shares, templates,
};

fn n1() -> NodeId {
    "n1".parse().unwrap()
}

fn network() -> Network {
    let node = |id: &str, lane| Node { id: id.parse().unwrap(), lanes: vec![Lane(lane)] };
    Network::new(vec![node("n1", 256), node("n2", 257)]).unwrap()
}

fn places() -> Vec<(String, Topology)> {
    let hub = Account::ALL.into_iter();
    let hub = hub.map(|account| (account.to_string(), declared(account, &network())));
    let leaf = ("leaf n1".to_owned(), leaf(&n1()));
    std::iter::once(leaf).chain(hub).collect()
}

fn place(name: &str) -> Topology {
    places().into_iter().find(|(place, _)| place == name).unwrap().1
}

/// One line for each thing that a person would look up.
fn table() -> String {
    let mut lines = Vec::new();
    for (place, topology) in places() {
        lines.push(format!("== {place}"));
        for stream in &topology.streams {
            let hours = stream.max_age.map_or("ever".to_owned(), |age| {
                if age.as_secs() < 3600 {
                    format!("{} s", age.as_secs())
                } else {
                    format!("{} h", age.as_secs() / 3600)
                }
            });
            let bytes = stream
                .max_bytes
                .map_or("disk".to_owned(), |bytes| format!("{} MiB", bytes / (1024 * 1024)));
            lines.push(format!(
                "{} | {:?} | {hours} | {bytes} | {:?} | {:?} | {:?} | batches {:?} | {}",
                stream.name,
                stream.retention,
                stream.when_full,
                stream.erasure,
                stream.duplicates,
                stream.batches,
                stream.subjects.join(" ")
            ));
            if let Some(source) = &stream.mirror {
                let Source { api, stream, pull } = source;
                lines.push(format!("    mirror {api} {stream} {pull:?}"));
            }
        }
        for consumer in &topology.consumers {
            let reader = match &consumer.reader {
                Reader::Workers => "workers".to_owned(),
                Reader::Stream { deliver } => deliver.clone(),
            };
            let filters = consumer.filters.join(" ");
            lines.push(format!("{} < {} [{filters}] -> {reader}", consumer.stream, consumer.name));
        }
    }
    lines.join("\n")
}

#[test]
fn all_streams_and_consumers() {
    insta::assert_snapshot!(table());
}

fn listed(permissions: &Permissions) -> String {
    let line = |what: &str, subjects: &BTreeSet<String>| {
        subjects.iter().map(|subject| format!("  {what} {subject}\n")).collect::<String>()
    };
    let answers = if permissions.answers { "  answers what it hears\n" } else { "" };
    format!("{}{}{answers}", line("pub", &permissions.publish), line("sub", &permissions.subscribe))
}

#[test]
fn all_permissions_of_the_hub() {
    let user = |user: &streams::User| {
        format!(
            "{} {} ({}.creds)\n{}",
            user.account,
            user.name,
            user.file,
            listed(&user.permissions())
        )
    };
    insta::assert_snapshot!(users().iter().map(user).collect::<String>());
}

#[test]
fn all_permissions_of_a_node() {
    let mut text = format!("link\n{}", listed(&link_permissions("n1")));
    for user in leaf_users(&n1()) {
        text.push_str(&format!("user {}\n{}", user.name, listed(&user.permissions())));
    }
    insta::assert_snapshot!(text);
}

#[test]
fn all_borders() {
    let line = |border: &streams::Border| {
        let kind = match border.kind {
            Kind::Service => "asks",
            Kind::Stream => "hears",
        };
        format!("{} {kind} {}: {} as {}", border.to, border.from, border.subject, border.local)
    };
    insta::assert_snapshot!(borders().iter().map(line).collect::<Vec<_>>().join("\n"));
}

/// Who may publish a subject that a filter matches, over the hub's accounts and n1's leaf.
fn publishers(filter: &str) -> Vec<String> {
    let may = |permissions: &Permissions| {
        permissions.publish.iter().any(|subject| overlap(subject, filter))
    };
    let hub = users().into_iter().filter(|user| may(&user.permissions()));
    let mut found: Vec<_> = hub.map(|user| format!("{} {}", user.account, user.name)).collect();
    let leaf = leaf_users(&n1()).into_iter().filter(|user| may(&user.permissions()));
    found.extend(leaf.map(|user| format!("n1 {}", user.name)));
    if may(&link_permissions("n1")) {
        found.push("n1's link".to_owned());
    }
    found
}

fn overlap(left: &str, right: &str) -> bool {
    let (mut left, mut right) = (left.split('.'), right.split('.'));
    loop {
        match (left.next(), right.next()) {
            (None, None) | (Some(">"), Some(_)) | (Some(_), Some(">")) => return true,
            (Some(one), Some(other)) if one == other || one == "*" || other == "*" => {}
            _ => return false,
        }
    }
}

#[test]
fn every_fact_has_the_publishers_of_the_contract_and_no_others() {
    let ingresses = [
        "CORE ingress-sv2",
        "CORE ingress-sv1",
        "CORE leaf-reader",
        "n1 ingress-sv2",
        "n1 ingress-sv1",
    ];
    assert_eq!(publishers(templates::New::FILTER), ["CORE template-publisher"]);
    assert_eq!(publishers(templates::Tip::FILTER), ["CORE template-publisher"]);
    assert_eq!(publishers(templates::Health::FILTER), ["CORE template-publisher"]);
    assert_eq!(publishers(sessions::Changed::FILTER), ingresses);
    assert_eq!(publishers(shares::Submitted::FILTER), ingresses);
    assert_eq!(publishers(shares::Rejected::FILTER), ingresses);
    assert_eq!(publishers(blocks::Claimed::FILTER), ingresses);
    assert_eq!(publishers(shares::Accepted::FILTER), ["CORE share-verifier"]);
    assert_eq!(publishers(shares::Refused::FILTER), ["CORE share-verifier"]);
    assert_eq!(publishers(blocks::Solved::FILTER), ["CORE share-verifier", "CORE block-submitter"]);
    assert_eq!(publishers(blocks::Submitted::FILTER), ["CORE block-submitter"]);
    assert_eq!(publishers(blocks::Outcome::FILTER), ["CORE block-submitter"]);
    for filter in [
        rounds::SliceLines::FILTER,
        rounds::SliceClosed::FILTER,
        rounds::Closed::FILTER,
        rounds::Progress::FILTER,
    ] {
        assert_eq!(publishers(filter), ["CORE round-tracker"], "{filter}");
    }
    assert_eq!(publishers(payouts::Statement::FILTER), ["MONEY payout-calculator"]);
    assert_eq!(publishers("node.verdict.*"), [] as [&str; 0]);
    assert_eq!(publishers("node.command.*"), [] as [&str; 0]);
    // Road 1 of a block, whatever its miner speaks.
    let road_1 =
        ["CORE ingress-sv2", "CORE ingress-sv1", "n1 ingress-sv2", "n1 ingress-sv1", "n1's link"];
    assert_eq!(publishers("block.submit.*"), road_1);
    let parkers = publishers(parked::Parked::FILTER);
    assert!(parkers.iter().all(|name| name.starts_with("CORE ")), "{parkers:?}");
}

#[test]
fn a_node_speaks_under_its_own_name_only() {
    let link = link_permissions("n1");
    let strangers = link_permissions("n2");
    let allowed: BTreeSet<_> = link.publish.intersection(&strangers.publish).collect();
    assert_eq!(allowed, BTreeSet::from([&"block.submit.*".to_owned()]));
    assert_eq!(link.subscribe.intersection(&strangers.subscribe).count(), 0);
    assert!(!link.answers);
    for user in leaf_users(&n1()) {
        for subject in user.permissions().publish {
            let api = subject.starts_with("$JS") || subject.starts_with("$KV");
            assert!(api || subject == "block.submit.*" || subject.contains(".n1"), "{subject}");
        }
    }
}

#[test]
fn nobody_deletes_or_purges_what_is_not_a_bucket_of_objects() {
    for user in users().into_iter().chain(leaf_users(&n1())) {
        for subject in user.permissions().publish {
            let call = subject.strip_prefix("$JS.API.STREAM.").unwrap_or_default();
            let verb = call.split('.').next().unwrap_or_default();
            let purges_objects = subject == "$JS.API.STREAM.PURGE.OBJ_TEMPLATE_TXS";
            assert!(
                ["", "INFO", "MSG", "LIST", "NAMES", "CREATE", "UPDATE"].contains(&verb)
                    || purges_objects,
                "{} may {subject}",
                user.name
            );
            assert!(!subject.starts_with("$JS.API.STREAM.MSG.DELETE"), "{subject}");
            assert!(!subject.starts_with("$JS.API.>"), "{subject}");
        }
    }
}

#[test]
fn every_user_hears_its_own_inbox_only() {
    for user in users() {
        let inboxes: Vec<_> = user
            .permissions()
            .subscribe
            .into_iter()
            .filter(|subject| subject.starts_with("_INBOX"))
            .collect();
        assert_eq!(inboxes, [format!("_INBOX_{}.>", user.name)]);
    }
}

/// What a hostile leaf says must reach no consumer of the hub's own: a server answers flow control
/// wherever it is told to, with all the rights it has.
#[test]
fn the_hub_s_server_reads_nothing_that_a_node_may_write() {
    let link = link_permissions("n1");
    for (place, topology) in places().into_iter().filter(|(place, _)| !place.starts_with("leaf")) {
        for source in topology.streams.iter().filter_map(|one| one.mirror.as_ref()) {
            let (Pull::Durable { deliver, .. } | Pull::Ephemeral { deliver, .. }) = &source.pull;
            let heard = [deliver.clone(), format!("{deliver}.>")];
            let forged = link.publish.iter().find(|may| heard.iter().any(|one| overlap(may, one)));
            assert_eq!(forged, None, "{place}: {deliver}");
        }
    }
}

#[test]
fn every_durable_source_has_its_consumer_at_the_origin() {
    let origin = |source: &Source| match source.api.as_str() {
        "$JS.core.API" => "NODES".to_owned(),
        account => account.trim_start_matches("$JS.").trim_end_matches(".API").to_owned(),
    };
    let mut durable = 0;
    for (_, topology) in places() {
        for source in topology.streams.iter().filter_map(|one| one.mirror.as_ref()) {
            let Pull::Durable { consumer, deliver } = &source.pull else { continue };
            let there = place(&origin(source));
            let found = there
                .consumers
                .iter()
                .find(|one| one.stream == source.stream && one.name == *consumer)
                .unwrap_or_else(|| panic!("{source:?} has no consumer"));
            assert_eq!(found.reader, Reader::Stream { deliver: deliver.clone() });
            durable += 1;
        }
    }
    assert_eq!(durable, 2);
}

#[test]
fn no_two_streams_of_one_place_keep_the_same_subject() {
    for (place, topology) in places() {
        let subjects: Vec<_> = topology.streams.iter().flat_map(|one| &one.subjects).collect();
        for (position, subject) in subjects.iter().enumerate() {
            for other in subjects.iter().skip(position + 1) {
                assert!(!overlap(subject, other), "{place}: {subject} and {other}");
            }
        }
    }
}

#[test]
fn every_route_leads_to_a_stream_that_takes_the_subject() {
    let core = place("CORE");
    let money = place("MONEY");
    for (filter, name) in streams::routes() {
        let mut streams = core.streams.iter().chain(&money.streams);
        let stream = streams.find(|stream| stream.name == name).unwrap();
        let taken = stream.subjects.iter().any(|subject| overlap(subject, filter));
        assert!(taken, "{name} does not take {filter}");
    }
    let leaf = leaf(&n1());
    for (filter, name) in streams::leaf_routes(&n1()) {
        let stream = leaf.streams.iter().find(|stream| stream.name == name).unwrap();
        assert!(stream.subjects.contains(&filter), "{name} does not take {filter}");
    }
}

#[test]
fn everything_says_why_it_is_there() {
    for (_, topology) in places() {
        assert!(topology.streams.iter().all(|stream| stream.why.ends_with('.')));
        assert!(topology.consumers.iter().all(|consumer| consumer.why.ends_with('.')));
    }
}

#[test]
fn three_servers_keep_everything_of_the_hub() {
    let network = network().replicated(3);
    for account in Account::ALL {
        assert!(declared(account, &network).streams.iter().all(|stream| stream.replicas == 3));
    }
    assert!(leaf(&n1()).streams.iter().all(|stream| stream.replicas == 1));
}
