//! What the terminal shows while a network runs.

use super::{
    home::Home,
    logs::{Follower, readable},
    narrator::Narrator,
    observe::observer::Shared,
    view::{self, Extra, Page},
    workers,
};
use std::{
    sync::{Arc, PoisonError},
    time::Duration,
};
use tokio_util::sync::CancellationToken;

/// How often logs are looked at.
const FOLLOW_EVERY: Duration = Duration::from_millis(250);
/// A summary comes after this many looks: every ten seconds.
const SUMMARY_EVERY: u32 = 40;

/// Draws the page with each new status, until `stop`.
pub async fn draw(
    page: Page,
    shared: Arc<Shared>,
    narrator: Arc<Narrator>,
    stop: CancellationToken,
) {
    let mut changes = shared.status.subscribe();
    loop {
        let extra = {
            let tally = shared.tally.lock().unwrap_or_else(PoisonError::into_inner);
            Extra { blocks: tally.latest_blocks().cloned().collect(), events: narrator.recent() }
        };
        let status = changes.borrow_and_update().clone();
        if page.draw(&status, &extra).is_err() {
            // The terminal is gone; the network goes on until it is told to stop.
            return;
        }
        tokio::select! {
            changed = changes.changed() => if changed.is_err() { return },
            () = stop.cancelled() => return,
        }
    }
}

/// Prints what workers log, Core's and the ingress, and a summary now and then, until `stop`.
pub async fn follow(
    home: Home,
    core: Vec<String>,
    shared: Arc<Shared>,
    narrator: Arc<Narrator>,
    stop: CancellationToken,
) {
    let names = core.into_iter().chain([workers::INGRESS.into()]);
    let follower = |name: String| (Follower::at_end(home.log(&name)), name);
    let mut logs: Vec<_> = names.map(follower).collect();
    let mut tick = tokio::time::interval(FOLLOW_EVERY);
    let mut looks = 0_u32;
    while !stop.is_cancelled() {
        tokio::select! {
            _ = tick.tick() => {}
            () = stop.cancelled() => {}
        }
        for (log, name) in &mut logs {
            // A log that cannot be read now is looked at again in a moment.
            for line in log.lines().unwrap_or_default() {
                narrator.line(&readable(name, &line));
            }
        }
        looks = looks.wrapping_add(1);
        if looks.is_multiple_of(SUMMARY_EVERY) {
            let status = shared.status.borrow().clone();
            narrator.line(&view::summary(&status));
        }
    }
}
