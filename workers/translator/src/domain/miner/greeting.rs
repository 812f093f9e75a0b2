//! How a miner introduces itself, in whatever order.

use super::{Miner, Outbox, Request, Seat};
use crate::domain::{job::VERSION_MASK, link::Open};
use mining::{IdentityError, identity};
use std::time::Duration;
use stratum_v1::{Authorize, Configure, Firmware, Id, Refusal, Subscribe};
use subjects::Exponent;

/// As many workers as a connection may have.
const TOO_MANY_WORKERS: Refusal = Refusal { code: 24, text: "Too many workers on one connection" };
/// A coinbase pays one address.
const OTHER_IDENTITY: Refusal = Refusal {
    code: 24,
    text: "A connection mines for one address: open another one for the other",
};
/// An address that no coinbase of this chain pays.
const OTHER_CHAIN: Refusal = Refusal {
    code: 24,
    text: "Not an address of this network: use <address> or <address>.<worker> as user name",
};
/// Nobody is named.
const NO_NAME: Refusal =
    Refusal { code: 24, text: "Whose work it is must be said by the user name" };

const VERSION_ROLLING: &str = "version-rolling";
const MINIMUM_DIFFICULTY: &str = "minimum-difficulty";
const SUBSCRIBE_EXTRANONCE: &str = "subscribe-extranonce";

/// Longest code of a pool that is passed on, in characters.
const MAX_CODE: usize = 64;

/// What a miner is told when the pool refuses it: the code is the pool's.
pub(super) fn words_of(code: &str) -> String {
    let printable = |glyph: char| if matches!(glyph, ' '..='~') { glyph } else { '?' };
    let code: String = code.chars().map(printable).take(MAX_CODE).collect();
    format!("{code}: the pool opens no channel for this user name")
}

/// The part of a user name that says who is paid.
fn payee(user: &str) -> &str {
    user.split_once('.').map_or(user, |(payee, _)| payee)
}

impl Miner {
    /// Answers for every extension that was asked for. The mask is told again before the first job:
    /// cgminer takes the next line after this one for the answer to its next request.
    pub(super) fn configure(&mut self, id: &Id, configure: &Configure<'_>, out: &mut Outbox) {
        let asks = |name: &str| configure.extensions.iter().any(|asked| asked == name);
        let mask = asks(VERSION_ROLLING).then(|| configure.mask.unwrap_or(u32::MAX) & VERSION_MASK);
        let least = configure.least.filter(|_| asks(MINIMUM_DIFFICULTY));
        let given = configure.extensions.iter().map(|name| {
            let given = match name.as_ref() {
                VERSION_ROLLING | SUBSCRIBE_EXTRANONCE => true,
                MINIMUM_DIFFICULTY => least.is_some(),
                _ => false,
            };
            (name.as_ref(), given)
        });
        out.lines.configured(id, mask, given);
        self.asked_mask = mask.unwrap_or(self.asked_mask);
        if let Some(least) = least {
            self.tuning.least = Some(least.at_least());
        }
    }

    pub(super) fn subscribe(
        &mut self,
        id: &Id,
        subscribe: &Subscribe<'_>,
        now: Duration,
        out: &mut Outbox,
    ) {
        self.firmware = Firmware::of(&subscribe.agent);
        let session = u32::from_be_bytes(self.number).into();
        out.lines.subscribed(id, session, &self.number, self.rules.extranonce2_bytes);
        if !self.subscribed {
            self.subscribed = true;
            self.waiting_since = now;
        }
        self.begin(out);
    }

    /// The answer waits until the channel is open: then it is known whether the pool takes the name.
    pub(super) fn authorize(&mut self, id: Id, authorize: &Authorize<'_>, out: &mut Outbox) {
        let user = authorize.user.as_ref();
        if let Err((code, refusal)) = self.admits(user) {
            out.refused.push(code);
            return out.lines.refuse(&id, refusal);
        }
        self.tuning.wish(&authorize.password);
        match self.seat {
            Seat::Open | Seat::Away => {
                if self.workers.iter().all(|worker| **worker != *user) {
                    self.workers.push(user.into());
                }
                out.lines.done(&id);
                self.restate(out);
            }
            Seat::None | Seat::Asked => {
                self.pending.push((id, user.into()));
                self.begin(out);
            }
        }
    }

    /// Whether shares may come under this name.
    fn admits(&self, user: &str) -> Result<(), (&'static str, Refusal)> {
        if payee(user).is_empty() {
            return Err(("no-name", NO_NAME));
        }
        if identity::parse(user, self.rules.network) == Err(IdentityError::OtherNetwork) {
            return Err(("other-network", OTHER_CHAIN));
        }
        let names = || self.workers.iter().chain(self.pending.iter().map(|(_, user)| user));
        let is_other = |name: &str| !payee(name).eq_ignore_ascii_case(payee(user));
        // All of a shared channel's work is one address's, whatever the miners say.
        if !self.rules.aggregated && names().any(|name| is_other(name)) {
            return Err(("other-identity", OTHER_IDENTITY));
        }
        let is_new = self.workers.iter().all(|name| **name != *user);
        if is_new && names().count() >= self.rules.max_workers {
            return Err(("too-many-workers", TOO_MANY_WORKERS));
        }
        Ok(())
    }

    /// Asks for a channel once it is known whose and where.
    fn begin(&mut self, out: &mut Outbox) {
        let (Seat::None, true, Some((_, user))) =
            (self.seat, self.subscribed, self.pending.first())
        else {
            return;
        };
        let open = Open {
            identity: user.to_string(),
            hashrate: self.tuning.hashrate(),
            easiest: self.tuning.easiest(self.firmware),
        };
        self.tuning.stated();
        self.seat = Seat::Asked;
        out.requests.push_back(Request::Join(open));
    }

    /// Takes a hint for the target.
    pub(super) fn suggest(&mut self, id: &Id, exponent: Exponent, out: &mut Outbox) {
        out.lines.done(id);
        self.tuning.suggest(exponent);
        self.restate(out);
    }

    /// Tells the pool of a hashrate that it was not told of.
    fn restate(&mut self, out: &mut Outbox) {
        if self.seat == Seat::None || self.rules.aggregated {
            return;
        }
        if let Some(hashrate) = self.tuning.news() {
            out.requests.push_back(Request::Rate(hashrate));
        }
    }

    /// The channel is open: whoever waited for it is authorized.
    pub(super) fn opened(&mut self, now: Duration, out: &mut Outbox) {
        for (id, user) in self.pending.drain(..) {
            out.lines.done(&id);
            if self.workers.iter().all(|worker| *worker != user) {
                self.workers.push(user);
            }
        }
        self.seat = Seat::Open;
        self.heard_at = now;
        self.jobs.clear();
        self.due = None;
    }
}
