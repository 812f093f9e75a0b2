//! Who should have what: pure.

use super::{super::gives_up_after, PartitionsConfig};
use std::{collections::BTreeMap, time::Duration};
use tokio::time::Instant;

/// What the bucket says about members and partitions, each with the time at which it was set, by
/// this process's own clock.
///
/// A partition that was not renewed for a lease's length has aged out. A member that was not has
/// given up before: it is forgotten then, so that those who live know what falls to them when its
/// partitions come free.
pub(super) struct Holders {
    member_prefix: String,
    partition_prefix: String,
    ttl: Duration,
    members: BTreeMap<String, Instant>,
    partitions: BTreeMap<u16, Instant>,
}

impl Holders {
    pub(super) fn new(config: &PartitionsConfig) -> Self {
        Self {
            member_prefix: format!("{}.m.", config.prefix),
            partition_prefix: format!("{}.p.", config.prefix),
            ttl: config.ttl,
            members: BTreeMap::new(),
            partitions: BTreeMap::new(),
        }
    }

    pub(super) fn set(&mut self, key: &str, value: &[u8], at: Instant) {
        if key.starts_with(&self.member_prefix) {
            self.members.insert(String::from_utf8_lossy(value).into_owned(), at);
        } else if let Some(partition) = self.partition_of(key) {
            self.partitions.insert(partition, at);
        }
    }

    pub(super) fn remove(&mut self, key: &str) {
        if let Some(member) = key.strip_prefix(&self.member_prefix) {
            self.members.remove(member);
        } else if let Some(partition) = self.partition_of(key) {
            self.partitions.remove(&partition);
        }
    }

    pub(super) fn forget_aged(&mut self, now: Instant) {
        let gives_up_after = gives_up_after(self.ttl);
        self.members.retain(|_, set| *set + gives_up_after > now);
        self.partitions.retain(|_, set| *set + self.ttl > now);
    }

    /// When the next member or partition will be forgotten, if nothing is heard before.
    pub(super) fn next_end(&self) -> Option<Instant> {
        let members = self.members.values().map(|set| *set + gives_up_after(self.ttl));
        let partitions = self.partitions.values().map(|set| *set + self.ttl);
        members.chain(partitions).min()
    }

    /// A partition that should be free was not: it is left alone for `pause`.
    pub(super) fn still_taken(&mut self, partition: u16, now: Instant, pause: Duration) {
        let set = (now + pause).checked_sub(self.ttl).unwrap_or(now);
        self.partitions.insert(partition, set);
    }

    /// Members that live, in the order of their names.
    pub(super) fn members(&self) -> Vec<&str> {
        self.members.keys().map(String::as_str).collect()
    }

    /// Partitions that somebody holds.
    pub(super) fn taken(&self) -> Vec<u16> {
        self.partitions.keys().copied().collect()
    }

    fn partition_of(&self, key: &str) -> Option<u16> {
        key.strip_prefix(&self.partition_prefix)?.parse().ok()
    }
}

/// What one instance sees.
pub(super) struct PlanInput<'a> {
    pub(super) count: u16,
    pub(super) me: &'a str,
    pub(super) members: Vec<&'a str>,
    pub(super) taken: Vec<u16>,
    pub(super) held: &'a [u16],
}

/// What it should do.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) hand_over: Vec<u16>,
    pub(super) take: Vec<u16>,
}

/// Takes free partitions up to the fair share, hands over the highest ones beyond it.
pub(super) fn plan(input: &PlanInput<'_>) -> Plan {
    let share = share(input);
    let mut held = input.held.to_vec();
    held.sort_unstable();
    let hand_over = held.split_off(share.min(held.len()));
    let room = share.saturating_sub(held.len());
    let is_free =
        |partition: &u16| !input.taken.contains(partition) && !input.held.contains(partition);
    // Members begin at different partitions, so that they rarely race for the same one.
    let begin = begin(input);
    let take = (begin..input.count).chain(0..begin).filter(is_free).take(room).collect();
    Plan { hand_over, take }
}

/// The number of partitions that fall to this member: all get the same, the first get the rest.
fn share(input: &PlanInput<'_>) -> usize {
    let (members, rank) = place(input);
    let count = usize::from(input.count);
    count / members + usize::from(rank < count % members)
}

fn begin(input: &PlanInput<'_>) -> u16 {
    let (members, rank) = place(input);
    u16::try_from(usize::from(input.count) * rank / members).unwrap_or(0)
}

/// How many members live, this one included, and this one's rank among them.
fn place(input: &PlanInput<'_>) -> (usize, usize) {
    let mut members = input.members.clone();
    if !members.contains(&input.me) {
        members.push(input.me);
        members.sort_unstable();
    }
    let rank = members.iter().position(|member| *member == input.me).unwrap_or(0);
    (members.len(), rank)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn one_member_takes_all_and_gives_half_to_the_second() {
        let alone = PlanInput { count: 4, me: "a", members: vec![], taken: vec![], held: &[] };
        assert_eq!(plan(&alone), Plan { hand_over: vec![], take: vec![0, 1, 2, 3] });
        let all = [0, 1, 2, 3];
        let two = vec!["a", "b"];
        let first =
            PlanInput { count: 4, me: "a", members: two.clone(), taken: all.to_vec(), held: &all };
        assert_eq!(plan(&first), Plan { hand_over: vec![2, 3], take: vec![] });
        let second = PlanInput { count: 4, me: "b", members: two, taken: vec![0, 1], held: &[] };
        assert_eq!(plan(&second), Plan { hand_over: vec![], take: vec![2, 3] });
    }

    fn holders() -> Holders {
        Holders::new(&PartitionsConfig {
            bucket: "LEASES".to_owned(),
            prefix: "verifier".to_owned(),
            count: 4,
            holder: "a".to_owned(),
            ttl: Duration::from_secs(3),
        })
    }

    #[test]
    fn a_member_that_does_not_renew_is_forgotten_before_its_partitions() {
        let (mut holders, start) = (holders(), Instant::now());
        let after = |millis| start + Duration::from_millis(millis);
        holders.set("verifier.m.b", b"b", start);
        holders.set("verifier.p.3", b"b", start);
        holders.set("other.p.1", b"b", start);
        holders.forget_aged(after(1_999));
        assert_eq!((holders.members(), holders.taken()), (vec!["b"], vec![3]));
        assert_eq!(holders.next_end(), Some(after(2_000)));
        holders.set("verifier.m.b", b"b", after(500));
        holders.forget_aged(after(2_500));
        assert_eq!((holders.members(), holders.taken()), (vec![], vec![3]));
        assert_eq!(holders.next_end(), Some(after(3_000)));
        holders.forget_aged(after(3_000));
        assert!(holders.taken().is_empty() && holders.next_end().is_none());
    }

    #[test]
    fn a_member_that_says_goodbye_is_forgotten_at_once() {
        let mut holders = holders();
        holders.set("verifier.m.b", b"b", Instant::now());
        holders.remove("verifier.m.b");
        assert!(holders.members().is_empty());
    }

    #[test]
    fn a_partition_that_was_not_free_yet_is_left_alone_for_a_moment() {
        let (mut holders, start) = (holders(), Instant::now() + Duration::from_secs(60));
        let pause = Duration::from_millis(50);
        holders.still_taken(2, start, pause);
        holders.forget_aged(start);
        assert_eq!((holders.taken(), holders.next_end()), (vec![2], Some(start + pause)));
        holders.forget_aged(start + pause);
        assert!(holders.taken().is_empty());
    }

    proptest! {
        /// Members that act one after another, each on what is true, end with every partition
        /// held once and shares that differ by at most one; and then nothing moves any more.
        #[test]
        fn any_spread_becomes_fair_and_stays(
            count in 1_u16..40,
            members in prop::collection::btree_set("[a-z]{1,3}", 1..8),
            start in prop::collection::vec(0_usize..8, 40),
        ) {
            let members: Vec<String> = members.into_iter().collect();
            let mut holds: BTreeMap<&str, BTreeSet<u16>> =
                members.iter().map(|member| (member.as_str(), BTreeSet::new())).collect();
            for (partition, holder) in (0..count).zip(&start) {
                if let Some(member) = members.get(*holder) {
                    holds.get_mut(member.as_str()).unwrap().insert(partition);
                }
            }
            let step = |holds: &mut BTreeMap<&str, BTreeSet<u16>>| {
                let mut moved = false;
                for me in &members {
                    let taken = holds.values().flatten().copied().collect();
                    let held: Vec<u16> = holds[me.as_str()].iter().copied().collect();
                    let names = members.iter().map(String::as_str).collect();
                    let plan = plan(&PlanInput { count, me, members: names, taken, held: &held });
                    let mine = holds.get_mut(me.as_str()).unwrap();
                    moved |= !plan.hand_over.is_empty() || !plan.take.is_empty();
                    plan.hand_over.iter().for_each(|partition| { mine.remove(partition); });
                    mine.extend(plan.take);
                }
                moved
            };
            step(&mut holds);
            step(&mut holds);
            prop_assert!(!step(&mut holds), "still moving: {holds:?}");
            let all: Vec<u16> = holds.values().flatten().copied().collect();
            prop_assert_eq!(all.len(), usize::from(count));
            let sizes: Vec<usize> = holds.values().map(BTreeSet::len).collect();
            prop_assert!(sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= 1);
        }
    }
}
