//! Who is let in, and the place that each connection has until it ends.

use crate::domain::admission::{Admission, Admitted, Bounds, Origin, Ticket, TurnedAway};
use std::{
    collections::BTreeMap,
    future::{Future as _, poll_fn},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Poll,
    time::Duration,
};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// Keeps count of who is in.
#[derive(Debug)]
pub struct Doorman(Mutex<List>);

#[derive(Debug)]
struct List {
    admission: Admission,
    newcomers: BTreeMap<Ticket, CancellationToken>,
}

impl Doorman {
    /// Nobody is in.
    pub fn new(bounds: Bounds) -> Arc<Self> {
        let newcomers = BTreeMap::new();
        Arc::new(Self(Mutex::new(List { admission: Admission::new(bounds), newcomers })))
    }

    /// Lets a connection in, perhaps in the place of one that has not begun to mine.
    ///
    /// # Errors
    ///
    /// When a bound is reached.
    pub fn admit(self: &Arc<Self>, origin: Origin, now: Duration) -> Result<Place, TurnedAway> {
        let mut list = self.lock();
        let Admitted { ticket, evicted } = list.admission.admit(origin, now)?;
        if let Some(evicted) = evicted.and_then(|evicted| list.newcomers.remove(&evicted)) {
            evicted.cancel();
        }
        let token = CancellationToken::new();
        let eviction = Box::pin(token.clone().cancelled_owned());
        list.newcomers.insert(ticket, token);
        drop(list);
        Ok(Place { doorman: Arc::clone(self), origin, newcomer: Some((ticket, eviction)) })
    }

    fn lock(&self) -> MutexGuard<'_, List> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An admitted connection's place; it is free again when this is dropped.
#[derive(Debug)]
pub struct Place {
    doorman: Arc<Doorman>,
    origin: Origin,
    /// Until it mines: what it is known by, and the word that somebody else has its place.
    newcomer: Option<(Ticket, Pin<Box<WaitForCancellationFutureOwned>>)>,
}

impl Place {
    /// The connection mines: nobody takes its place any more.
    pub fn establish(&mut self) {
        if let Some((ticket, _)) = self.newcomer.take() {
            let mut list = self.doorman.lock();
            list.newcomers.remove(&ticket);
            list.admission.establish(ticket);
        }
    }

    /// Waits until somebody else has this place, which never is once the connection mines. May be
    /// cancelled.
    pub async fn lost(&mut self) {
        poll_fn(|context| match &mut self.newcomer {
            Some((_, eviction)) => eviction.as_mut().poll(context),
            None => Poll::Pending,
        })
        .await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut list = self.doorman.lock();
        match self.newcomer.take() {
            Some((ticket, _)) => {
                list.newcomers.remove(&ticket);
                list.admission.release_newcomer(ticket);
            }
            None => list.admission.release(self.origin),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::allowance::Rate;
    use futures_util::FutureExt as _;
    use std::{net::Ipv4Addr, num::NonZeroU32};

    #[test]
    fn a_place_is_lost_to_a_later_one_until_it_is_mined_on() {
        let rate_per_origin = Rate::new(NonZeroU32::MAX, 0);
        let doorman = Doorman::new(Bounds { most: 2, most_per_origin: 2, rate_per_origin });
        let origin = Origin::V4(Ipv4Addr::LOCALHOST);
        let admit = |secs| doorman.admit(origin, Duration::from_secs(secs));
        let (mut mined, mut idle) = (admit(0).unwrap(), admit(1).unwrap());
        mined.establish();
        let third = admit(60).unwrap();
        assert_eq!(idle.lost().now_or_never(), Some(()));
        assert_eq!(mined.lost().now_or_never(), None);
        drop(idle);
        assert_eq!(doorman.lock().admission.open(), 2);
        drop((mined, third));
        let list = doorman.lock();
        assert_eq!((list.admission.open(), list.newcomers.len()), (0, 0));
    }
}
