//! Faults as scenarios against a whole network, each of which ends in the audit.
//!
//! A scenario draws all its chances from a seed, so that what broke once can be broken again.

mod disk;

mod needs;

mod field;

mod instance;

mod post;

mod flow;

mod pulse;

mod workers;

mod verifiers;

mod ingresses;

mod recorders;

mod servers;

mod hub;

mod asleep;

mod database;

mod link;

mod uplink;

mod hearing;

mod clock;

mod power;

mod bitcoin;

mod blocks;

mod claims;

mod ledger;

mod messages;

mod repeats;

mod restored;

mod strangers;

mod outpost;

mod honest;

mod siege;

mod attacks;

mod mixed;

mod run;

mod campaign;

pub use campaign::{Campaign, Ended};
pub use disk::{Disk, Disks};
pub use field::{Field, Scale};
pub use needs::Needs;
pub use run::{Finding, run};

use futures_util::future::BoxFuture;

/// Something that goes wrong, and what is done about it by whom.
#[derive(Clone, Copy)]
pub struct Scenario {
    /// Its name on the command line.
    pub name: &'static str,
    /// What goes wrong, in one sentence.
    pub what: &'static str,
    /// Whether the short selection of every test run has it.
    pub in_short: bool,
    /// What its network must have.
    pub needs: Needs,
    act: for<'a, 'b> fn(&'a mut Field<'b>) -> BoxFuture<'a, anyhow::Result<()>>,
}

impl std::fmt::Debug for Scenario {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scenario").field("name", &self.name).finish_non_exhaustive()
    }
}

/// All scenarios, in the order in which `loadtest faults` runs them.
pub const ALL: &[Scenario] = &[
    Scenario {
        name: "workers-killed",
        what: "kill -9 of every worker, at random moments, in random order",
        in_short: true,
        needs: Needs::Nothing,
        act: |field| Box::pin(workers::killed(field)),
    },
    Scenario {
        name: "rolling-restart",
        what: "every worker is told to end under load, one after another",
        in_short: false,
        needs: Needs::Nothing,
        act: |field| Box::pin(workers::restarted(field)),
    },
    Scenario {
        name: "zombie-verifier",
        what: "a verifier sleeps longer than its lease while another works, then wakes",
        in_short: true,
        needs: Needs::Nothing,
        act: |field| Box::pin(workers::zombie_verifier(field)),
    },
    Scenario {
        name: "two-recorders",
        what: "a second recorder stands by; the active one is killed",
        in_short: false,
        needs: Needs::Nothing,
        act: |field| Box::pin(workers::two_recorders(field)),
    },
    Scenario {
        name: "scale-out-verifiers",
        what: "verifiers come, end and die under load, and partitions move between them",
        in_short: false,
        needs: Needs::Nothing,
        act: |field| Box::pin(verifiers::come_and_go(field)),
    },
    Scenario {
        name: "scale-out-ingresses",
        what: "ingresses come, end and die under load, and others take their lanes",
        in_short: false,
        needs: Needs::Nothing,
        act: |field| Box::pin(ingresses::come_and_go(field)),
    },
    Scenario {
        name: "standby-recorders",
        what: "recorders stand by; each of them ends and dies in turn",
        in_short: false,
        needs: Needs::Nothing,
        act: |field| Box::pin(recorders::come_and_go(field)),
    },
    Scenario {
        name: "link-cut",
        what: "the hub hangs longer than a leaf waits for its answer",
        in_short: true,
        needs: Needs::Nothing,
        act: |field| Box::pin(servers::hub_hangs(field)),
    },
    Scenario {
        name: "slow-link",
        what: "the node's link takes 200 ms each way and loses 1 % of its segments",
        in_short: false,
        needs: Needs::Nothing,
        act: |field| Box::pin(uplink::slow(field)),
    },
    Scenario {
        name: "link-gone",
        what: "the node has no link for an hour's shares, then it has",
        in_short: true,
        needs: Needs::Nothing,
        act: |field| Box::pin(uplink::gone(field)),
    },
    Scenario {
        name: "hub-killed",
        what: "kill -9 of the hub's nats-server, at random moments",
        in_short: true,
        needs: Needs::Nothing,
        act: |field| Box::pin(servers::hub_killed(field)),
    },
    Scenario {
        name: "leaf-killed",
        what: "kill -9 of the leaf's nats-server, at random moments",
        in_short: true,
        needs: Needs::Nothing,
        act: |field| Box::pin(servers::leaf_killed(field)),
    },
    Scenario {
        name: "database-killed",
        what: "kill -9 of PostgreSQL, at random moments",
        in_short: true,
        needs: Needs::Nothing,
        act: |field| Box::pin(servers::database_killed(field)),
    },
    Scenario {
        name: "database-hangs",
        what: "all of PostgreSQL stops answering for a while",
        in_short: false,
        needs: Needs::Nothing,
        act: |field| Box::pin(servers::database_hangs(field)),
    },
    Scenario {
        name: "database-down",
        what: "PostgreSQL is down for long",
        in_short: false,
        needs: Needs::Nothing,
        act: |field| Box::pin(database::down(field)),
    },
    Scenario {
        name: "database-full-up",
        what: "all connections of PostgreSQL are taken, the recorder's too",
        in_short: false,
        needs: Needs::Nothing,
        act: |field| Box::pin(database::full_up(field)),
    },
    Scenario {
        name: "hub-power-loss",
        what: "the hub's disk loses all that was not synced, and the hub with it",
        in_short: false,
        needs: Needs::Disks,
        act: |field| Box::pin(power::hub_lost(field)),
    },
    Scenario {
        name: "leaf-power-loss",
        what: "the leaf's disk loses all that was not synced, and the leaf with it",
        in_short: false,
        needs: Needs::Disks,
        act: |field| Box::pin(power::leaf_lost(field)),
    },
    Scenario {
        name: "hub-disk-full",
        what: "the hub's disk is full for a while",
        in_short: false,
        needs: Needs::Disks,
        act: |field| Box::pin(power::hub_full(field)),
    },
    Scenario {
        name: "leaf-disk-full",
        what: "the leaf's disk is full for a while",
        in_short: false,
        needs: Needs::Disks,
        act: |field| Box::pin(power::leaf_full(field)),
    },
    Scenario {
        name: "bitcoind-killed",
        what: "kill -9 of bitcoind, at random moments",
        in_short: false,
        needs: Needs::Nothing,
        act: |field| Box::pin(bitcoin::killed(field)),
    },
    Scenario {
        name: "reorganisations",
        what: "the chain loses its last 1, 2 and 6 blocks, and gets them back",
        in_short: false,
        needs: Needs::Nothing,
        act: |field| Box::pin(bitcoin::reorganised(field)),
    },
    Scenario {
        name: "r3-leader-killed",
        what: "of a hub of three servers the one that leads the shares dies, or ends",
        in_short: false,
        needs: Needs::ThreeHubServers,
        act: |field| Box::pin(hub::leader_killed(field)),
    },
    Scenario {
        name: "bitcoind-dead-at-block",
        what: "the preferred bitcoind is dead when a block is found; another one gets it, rebuilt",
        in_short: false,
        needs: Needs::TwoProviders,
        act: |field| Box::pin(blocks::bitcoind_dead(field)),
    },
    Scenario {
        name: "two-blocks-one-height",
        what: "two blocks of ours at one height, and the bitcoinds disagree on the better one",
        in_short: false,
        needs: Needs::TwoProviders,
        act: |field| Box::pin(blocks::one_height(field)),
    },
    Scenario {
        name: "refused-block",
        what: "the tip becomes invalid while a block is mined on it: every bitcoind refuses it",
        in_short: false,
        needs: Needs::Nothing,
        act: |field| Box::pin(blocks::refused(field)),
    },
    Scenario {
        name: "ingress-killed-at-block",
        what: "kill -9 of the ingress with a winning share stored, both roads of the block cut",
        in_short: false,
        needs: Needs::Nothing,
        act: |field| Box::pin(blocks::ingress_killed(field)),
    },
    Scenario {
        name: "clock-off",
        what: "the clock of the node's host, then of Core's, is 10 minutes wrong",
        in_short: false,
        needs: Needs::Nothing,
        act: |field| Box::pin(clock::off(field)),
    },
    Scenario {
        name: "poison-messages",
        what: "a node sends what nobody can read, and repeats what was counted",
        in_short: true,
        needs: Needs::Nothing,
        act: |field| Box::pin(messages::poison(field)),
    },
    Scenario {
        name: "replayed-messages",
        what: "credited batches come again: repeated, reordered, on other lanes",
        in_short: true,
        needs: Needs::Nothing,
        act: |field| Box::pin(repeats::replayed(field)),
    },
    Scenario {
        name: "stream-restored",
        what: "the accounting record is lost, and restored from a backup",
        in_short: false,
        needs: Needs::Nothing,
        act: |field| Box::pin(restored::record(field)),
    },
    Scenario {
        name: "stalled-miners",
        what: "silent sockets, garbage and stalled miners crowd the miners' port",
        in_short: false,
        needs: Needs::Nothing,
        act: |field| Box::pin(strangers::crowd(field)),
    },
    Scenario {
        name: "slow-loris",
        what: "hundreds of peers send a byte a second, or read nothing that they ask for",
        in_short: false,
        needs: Needs::Nothing,
        act: |field| Box::pin(attacks::slow_loris(field)),
    },
    Scenario {
        name: "half-open",
        what: "hundreds of peers connect, or begin a handshake, and say nothing more",
        in_short: false,
        needs: Needs::Nothing,
        act: |field| Box::pin(attacks::half_open(field)),
    },
    Scenario {
        name: "connection-flood",
        what: "connections beyond an address's bound, and thousands that end at once",
        in_short: false,
        needs: Needs::Nothing,
        act: |field| Box::pin(attacks::connection_flood(field)),
    },
    Scenario {
        name: "handshake-flood",
        what: "handshakes of Noise and TLS that nobody finishes, as fast as they go",
        in_short: false,
        needs: Needs::Nothing,
        act: |field| Box::pin(attacks::handshake_flood(field)),
    },
    Scenario {
        name: "garbage-protocols",
        what: "HTTP, SSH, PROXY, broken TLS, lines too long, JSON too deep, frames of chance",
        in_short: false,
        needs: Needs::Nothing,
        act: |field| Box::pin(attacks::garbage_protocols(field)),
    },
    Scenario {
        name: "message-flood",
        what: "valid and useless messages of both protocols, as fast as they go",
        in_short: false,
        needs: Needs::Nothing,
        act: |field| Box::pin(attacks::message_flood(field)),
    },
    Scenario {
        name: "reject-flood",
        what: "machines behind an honest farm's address send bad shares and nothing else",
        in_short: true,
        needs: Needs::Nothing,
        act: |field| Box::pin(attacks::reject_flood(field)),
    },
    Scenario {
        name: "mixed",
        what: "10 000 miners of both protocols for ten minutes; one ingress dies, one hands over to a successor",
        in_short: false,
        needs: Needs::Nothing,
        act: |field| Box::pin(mixed::endurance(field)),
    },
];

/// The scenarios with these names; all if there are none.
///
/// # Errors
///
/// The first name that no scenario has.
pub fn named(names: &[String]) -> Result<Vec<&'static Scenario>, String> {
    if names.is_empty() {
        return Ok(ALL.iter().collect());
    }
    let find = |name: &String| ALL.iter().find(|one| one.name == *name).ok_or(name.clone());
    names.iter().map(find).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_short_selection_runs_on_the_default_network() {
        for scenario in ALL.iter().filter(|scenario| scenario.in_short) {
            assert_eq!(scenario.needs, Needs::Nothing, "{}", scenario.name);
        }
    }
}
