//! Which connection to the pool a miner is put on.

use crate::{
    domain::{
        MinerId,
        link::{Event, Mode, Request},
    },
    shared::Shared,
    upstream::Upstream,
};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Requests that may wait for a connection; who has more waits.
const COMMANDS: usize = 1_024;

/// What a miner's connection says to its link.
#[derive(Debug)]
pub(crate) enum Command {
    /// From now on events of this miner go here.
    Listen(MinerId, mpsc::Sender<Event>),
    /// A request.
    Ask(MinerId, Request),
}

/// The connections to the pool.
#[derive(Debug)]
pub(crate) struct Hub {
    shared: Arc<Shared>,
    /// Most miners of a connection.
    most: usize,
    /// Ends all connections.
    stop: CancellationToken,
    slots: Mutex<Slots>,
}

#[derive(Debug, Default)]
struct Slots {
    next: u64,
    open: Vec<Slot>,
}

#[derive(Debug)]
struct Slot {
    id: u64,
    commands: mpsc::Sender<Command>,
    members: usize,
}

/// The first connection is there without miners, too.
const FIRST: u64 = 0;

/// A miner's place; it is free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    hub: Arc<Hub>,
    slot: u64,
    commands: mpsc::Sender<Command>,
}

impl Hub {
    /// Opens the first connection. All end at `stop`.
    pub(crate) fn open(shared: &Arc<Shared>, stop: CancellationToken) -> Arc<Self> {
        let config = shared.ctx.config.load();
        let most = match config.mode() {
            Mode::PerMiner => config.limits.max_channels_per_upstream,
            Mode::Aggregated(_) => usize::MAX,
        };
        let hub = Self { shared: Arc::clone(shared), most, stop, slots: Mutex::default() };
        hub.add(&mut hub.lock());
        Arc::new(hub)
    }

    /// A place on the first connection that has room, or on another.
    pub(crate) fn place(self: &Arc<Self>) -> Option<Place> {
        let mut slots = self.lock();
        if slots.open.iter().all(|slot| slot.members >= self.most) {
            self.add(&mut slots);
        }
        let slot = slots.open.iter_mut().find(|slot| slot.members < self.most)?;
        slot.members = slot.members.saturating_add(1);
        let commands = slot.commands.clone();
        Some(Place { hub: Arc::clone(self), slot: slot.id, commands })
    }

    fn add(&self, slots: &mut Slots) {
        let (commands, told) = mpsc::channel(COMMANDS);
        let id = slots.next;
        slots.next = slots.next.saturating_add(1);
        slots.open.push(Slot { id, commands, members: 0 });
        let upstream =
            Upstream::new(Arc::clone(&self.shared), told, self.stop.clone(), id == FIRST);
        self.shared.ctx.spawn("upstream", upstream.run());
    }

    fn leave(&self, id: u64) {
        let mut slots = self.lock();
        for slot in slots.open.iter_mut().filter(|slot| slot.id == id) {
            slot.members = slot.members.saturating_sub(1);
        }
        // A connection whose commands nobody can send any more ends.
        slots.open.retain(|slot| slot.members > 0 || slot.id == FIRST);
    }

    fn lock(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Says something, as soon as there is room for it; whether anybody hears it.
    pub(crate) async fn say(&self, command: Command) -> bool {
        self.commands.send(command).await.is_ok()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.hub.leave(self.slot);
    }
}
