//! Groups of channels whose jobs are the same, and so are sent once (section 5.2.3).
//!
//! A job's coinbase holds whom it pays and the exponent of its target. Channels that have both in
//! common can share it: each puts its own extranonce prefix in, so a share still proves whose it
//! is, at which price and on whose header space. A channel whose target changes changes its group.

use ingress::domain::job::Job;
use mining::{Payee, WorkTemplate};
use std::sync::Arc;
use subjects::Exponent;

/// What the channels of a group have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// Only the connection: its client takes standard jobs only, of which each has a root of its
    /// own. Nothing is sent to such a group.
    Connection,
    /// Their jobs.
    Jobs {
        /// Whom they pay.
        payee: Payee,
        /// The exponent that they commit to.
        exponent: Exponent,
    },
}

/// A job that was sent to a group.
#[derive(Clone, Debug)]
pub struct Shared {
    /// Its id, on every channel of the group.
    pub id: u32,
    /// What it was made from.
    pub template: Arc<WorkTemplate>,
}

impl Shared {
    /// Whether a channel holds it as the job that waits for its tip.
    pub fn is(&self, job: &Job) -> bool {
        self.id == job.id
    }
}

#[derive(Debug)]
struct Group {
    id: u32,
    key: Key,
    members: usize,
    /// The job that all members wait with, once it was sent to the group.
    future: Option<Shared>,
}

/// Ids of channels and groups on a connection: one namespace, and none is ever given again.
#[derive(Debug)]
pub struct Ids {
    next: u32,
}

impl Default for Ids {
    fn default() -> Self {
        Self { next: 1 }
    }
}

impl Ids {
    /// An id that nothing on the connection had.
    pub const fn next(&mut self) -> u32 {
        let id = self.next;
        self.next = self.next.saturating_add(1);
        id
    }

    /// Whether a channel and a group of its own can still be told from all before.
    pub const fn are_left(&self) -> bool {
        self.next < u32::MAX - 1
    }
}

/// The groups of a connection. One without members is forgotten.
#[derive(Debug, Default)]
pub struct Groups {
    groups: Vec<Group>,
}

impl Groups {
    /// Puts a channel into the group of this key, which is made if there is none; the group's id.
    pub fn join(&mut self, key: Key, ids: &mut Ids) -> u32 {
        match self.groups.iter_mut().find(|group| group.key == key) {
            Some(group) => {
                group.members = group.members.saturating_add(1);
                group.id
            }
            None => self.join_new(key, ids),
        }
    }

    /// Puts a channel into a group of its own.
    pub fn join_new(&mut self, key: Key, ids: &mut Ids) -> u32 {
        let id = ids.next();
        self.groups.reserve_exact(1);
        self.groups.push(Group { id, key, members: 1, future: None });
        id
    }

    /// Takes a channel out of its group.
    pub fn leave(&mut self, id: u32) {
        if let Some(group) = self.get_mut(id) {
            group.members = group.members.saturating_sub(1);
            if group.members == 1 {
                // The last one is told its work itself.
                group.future = None;
            }
        }
        self.groups.retain(|group| group.members > 0);
    }

    /// The group in which a channel of group `from` belongs now that its key is another one.
    pub fn change(&mut self, from: u32, key: Key, ids: &mut Ids) -> u32 {
        if self.get(from).is_some_and(|group| group.key == key) {
            return from;
        }
        let taken = self.groups.iter().any(|group| group.key == key);
        if !taken && self.get(from).is_some_and(|group| group.members == 1) {
            self.rekey(from, key);
            return from;
        }
        let to = self.join(key, ids);
        self.leave(from);
        to
    }

    /// What all channels of the group have in common is another thing now.
    pub fn rekey(&mut self, id: u32, key: Key) {
        if let Some(group) = self.get_mut(id) {
            group.key = key;
            group.future = None;
        }
    }

    /// The job that all channels of the group wait with, if one was sent to it.
    pub fn future(&self, id: u32) -> Option<&Shared> {
        self.get(id)?.future.as_ref()
    }

    /// A job that waits for its tip was sent to the group.
    pub fn wait(&mut self, id: u32, job: Shared) {
        if let Some(group) = self.get_mut(id) {
            group.future = Some(job);
        }
    }

    /// The waiting job of the group has started, or is no longer every channel's.
    pub fn forget_future(&mut self, id: u32) {
        if let Some(group) = self.get_mut(id) {
            group.future = None;
        }
    }

    /// Whom the group's jobs pay and the exponent that they commit to; `None` when its channels are
    /// told their work one by one.
    pub fn told_as_one(&self, id: u32) -> Option<(Payee, Exponent)> {
        match self.get(id)? {
            Group { key: Key::Jobs { payee, exponent }, members: 2.., .. } => {
                Some((*payee, *exponent))
            }
            Group { key: Key::Jobs { .. } | Key::Connection, .. } => None,
        }
    }

    /// All groups.
    pub fn ids(&self) -> Vec<u32> {
        self.groups.iter().map(|group| group.id).collect()
    }

    fn get(&self, id: u32) -> Option<&Group> {
        self.groups.iter().find(|group| group.id == id)
    }

    fn get_mut(&mut self, id: u32) -> Option<&mut Group> {
        self.groups.iter_mut().find(|group| group.id == id)
    }
}
