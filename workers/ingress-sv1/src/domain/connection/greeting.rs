//! How a miner introduces itself, in whatever order.

use super::{Connection, Outbox, Renumbering, Seat, Wishes, Worker};
use ingress::domain::{
    Moment,
    desk::Desk,
    miner::Miner,
    numbers::Number,
    parking::Parked,
    space::{SearchSpace, Terms},
};
use mining::prefix;
use std::sync::Arc;
use stratum_v1::{Authorize, Configure, Firmware, Id, Refusal, Subscribe};
use subjects::{
    Exponent,
    sessions::Event,
    shares::{Extranonce, JobKind},
};

/// Hexadecimal digits of a session's id.
const SESSION_DIGITS: usize = 16;
/// Longest description of a client that is told on, in bytes.
const MAX_AGENT: usize = 255;
/// The channels are all taken.
const FULL: Refusal = Refusal { code: 20, text: "No room for another miner: try again later" };
/// As many workers as a connection may have.
const TOO_MANY_WORKERS: Refusal = Refusal { code: 24, text: "Too many workers on one connection" };
/// A coinbase pays one address.
const OTHER_IDENTITY: Refusal = Refusal {
    code: 24,
    text: "A connection mines for one address: open another one for the other",
};
/// Nobody whom the network credits.
const NO_IDENTITY: Refusal = Refusal {
    code: 24,
    text: "Not an address of this network: use <address> or <address>.<worker> as user name",
};
/// A kind of user name that comes later.
const UNKNOWN_USER: Refusal =
    Refusal { code: 24, text: "unknown-user: nobody registered this name" };

/// The least version bits that firmware asks for do not matter to us: it takes what it is given.
const VERSION_ROLLING: &str = "version-rolling";
const MINIMUM_DIFFICULTY: &str = "minimum-difficulty";
const SUBSCRIBE_EXTRANONCE: &str = "subscribe-extranonce";

impl Connection {
    /// Answers for every extension that was asked for. The mask is told again with the first job:
    /// cgminer takes the next line after this one for the answer to its next request.
    pub(super) fn configure(
        &mut self,
        id: &Id,
        configure: &Configure<'_>,
        moment: Moment,
        out: &mut Outbox,
    ) {
        let asks = |name: &str| configure.extensions.iter().any(|asked| asked == name);
        let mask = asks(VERSION_ROLLING)
            .then(|| configure.mask.unwrap_or(u32::MAX) & self.work.template.version_mask());
        if asks(SUBSCRIBE_EXTRANONCE) {
            self.renumbering = Renumbering::Taken;
        }
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
        if let Some(least) = least {
            self.wishes.least = Some(least.at_least());
        }
        let Some(mask) = mask.filter(|mask| *mask != self.version_mask) else {
            self.follow_wishes(None, moment, out);
            return;
        };
        self.version_mask = mask;
        let Seat::Working(space) = &mut self.seat else { return };
        space.set_version_mask(mask);
        out.lines.version_mask(mask);
        // A job has the mask that it was given with.
        if !self.follow_wishes(None, moment, out) {
            self.renew(moment, out);
        }
    }

    pub(super) fn subscribe(
        &mut self,
        id: &Id,
        subscribe: &Subscribe<'_>,
        moment: Moment,
        desk: &mut impl Desk,
        out: &mut Outbox,
    ) {
        self.agent = printable(&subscribe.agent).into();
        self.firmware = Firmware::of(&self.agent);
        let size = self.offer.extranonce2.bytes();
        if matches!(self.seat, Seat::None) {
            self.take_seat(subscribe.session.as_deref(), moment, desk);
        }
        // Who asks again, as minerd does when it did not like the answer, gets the same one.
        let prefix: Option<[u8; prefix::SV1_LENGTH as usize]> = match &self.seat {
            Seat::None => None,
            Seat::Reserved(number) => self.prefix(number),
            Seat::Resumed(space) | Seat::Working(space) => space.prefix().try_into().ok(),
        };
        let Some(prefix) = prefix else {
            out.tidings.refused.push("channel-capacity-exhausted");
            return out.lines.refuse(id, FULL);
        };
        let (_, own) = self.offer.extranonce1.split(&prefix);
        out.lines.subscribed(id, self.session, own, size);
        self.begin(moment, out);
    }

    /// Takes what the session before left behind, or a number.
    fn take_seat(&mut self, before: Option<&str>, moment: Moment, desk: &mut impl Desk) {
        let before = before.filter(|id| id.len() == SESSION_DIGITS);
        let before = before.and_then(|id| u64::from_str_radix(id, 16).ok());
        let parked = before.and_then(|session| desk.resume(session, moment.elapsed));
        self.session = desk.session();
        self.waiting_since = moment.elapsed;
        self.seat = match parked {
            Some(Parked { space, sequence }) => {
                self.sequence = sequence;
                Seat::Resumed(space)
            }
            None => desk.number().map_or(Seat::None, Seat::Reserved),
        };
    }

    pub(super) fn authorize(
        &mut self,
        id: &Id,
        authorize: &Authorize<'_>,
        moment: Moment,
        out: &mut Outbox,
    ) {
        match self.miner(&authorize.user) {
            Ok(miner) => {
                if self.workers.iter().all(|worker| *worker.user != *authorize.user) {
                    let user = authorize.user.as_ref().into();
                    self.workers.push(Worker { user, miner: Arc::new(miner) });
                }
                out.lines.done(id);
                self.wish(&authorize.password, moment, out);
                self.begin(moment, out);
            }
            Err((code, fault)) => {
                out.tidings.refused.push(code);
                out.tidings.asked();
                out.lines.refuse(id, fault);
            }
        }
    }

    /// Who a user name is, if its shares may come on this connection.
    fn miner(&self, user: &str) -> Result<Miner, (&'static str, Refusal)> {
        let rules = &self.rules;
        let miner =
            Miner::parse(user.as_bytes(), rules.network, &rules.policy).map_err(|error| {
                let code = error.code();
                (code, if code == "unknown-user" { UNKNOWN_USER } else { NO_IDENTITY })
            })?;
        if self.workers.iter().any(|worker| worker.miner.identity != miner.identity) {
            return Err(("other-identity", OTHER_IDENTITY));
        }
        let is_new = self.workers.iter().all(|worker| *worker.user != *user);
        if is_new && self.workers.len() >= rules.max_channels {
            return Err(("too-many-workers", TOO_MANY_WORKERS));
        }
        Ok(miner)
    }

    /// Takes what a password asks for.
    fn wish(&mut self, password: &str, moment: Moment, out: &mut Outbox) {
        let wishes = self.wishes.and(password);
        if wishes != self.wishes {
            let start = wishes.start.filter(|start| self.wishes.start != Some(*start));
            self.wishes = wishes;
            self.follow_wishes(start, moment, out);
        }
    }

    /// Takes a hint for the target. `NerdMiner` repeats its hint as a sign of life, when the target
    /// has long been adjusted to its shares.
    pub(super) fn suggest(
        &mut self,
        id: &Id,
        exponent: Exponent,
        moment: Moment,
        out: &mut Outbox,
    ) {
        out.lines.done(id);
        if self.wishes.start != Some(exponent) {
            self.wishes.start = Some(exponent);
            self.follow_wishes(Some(exponent), moment, out);
        }
    }

    /// Work begins once it is known whose and where.
    fn begin(&mut self, moment: Moment, out: &mut Outbox) {
        let Some(miner) = self.workers.first().map(|first| Arc::clone(&first.miner)) else {
            return;
        };
        let (space, is_known) = match std::mem::replace(&mut self.seat, Seat::None) {
            Seat::Reserved(number) => (self.fresh_space(number, miner, moment), false),
            Seat::Resumed(space) if space.miner().identity == miner.identity => {
                (Some(self.resumed_space(space, miner, moment)), true)
            }
            // Another miner's shares are another coinbase's, so the headers are others too.
            Seat::Resumed(space) => (self.fresh_space(space.into_number(), miner, moment), false),
            other @ (Seat::None | Seat::Working(_)) => {
                self.seat = other;
                return;
            }
        };
        let Some(space) = space else { return };
        self.seat = Seat::Working(space);
        if self.version_mask != 0 {
            out.lines.version_mask(self.version_mask);
        }
        if is_known {
            self.go_on(moment, out);
        } else {
            self.start(moment, out);
        }
        self.ping(moment, out);
        self.tell(Event::Opened, None, moment, out);
    }

    fn fresh_space(
        &self,
        number: Number,
        miner: Arc<Miner>,
        moment: Moment,
    ) -> Option<Box<SearchSpace>> {
        let terms = self.terms(number, miner)?;
        Some(Box::new(SearchSpace::new(terms, &self.work.tip, moment)))
    }

    fn resumed_space(
        &self,
        mut space: Box<SearchSpace>,
        miner: Arc<Miner>,
        moment: Moment,
    ) -> Box<SearchSpace> {
        let (easiest, hardest) = self.bounds();
        space.set_miner(miner);
        space.set_version_mask(self.version_mask);
        space.set_hardest(hardest);
        let exponent = space.renegotiated(easiest, self.wishes.start, moment.elapsed);
        space.set_exponent(exponent);
        space
    }

    pub(super) fn terms(&self, number: Number, miner: Arc<Miner>) -> Option<Terms> {
        let prefix = Extranonce::new(&self.prefix(&number)?)?;
        let rules = &self.rules;
        let (easiest, hardest) = self.bounds();
        let start = || rules.starting_hashrate.exponent(rules.shares_per_minute);
        let hardest_now = hardest.min(self.work.tip.hardest_exponent());
        Some(Terms {
            number,
            kind: JobKind::Extended,
            prefix,
            extranonce_length: prefix::SV1_LENGTH + self.offer.extranonce2.bytes(),
            miner,
            easiest,
            hardest,
            exponent: self.wishes.start.unwrap_or_else(start).min(hardest_now).max(easiest),
            version_mask: self.version_mask,
        })
    }

    /// The easiest and the hardest target that both sides accept. Whatever the miner asks for, no
    /// share is rarer than a block: its job would turn blocks away.
    pub(super) fn bounds(&self) -> (Exponent, Exponent) {
        let floor = self.rules.floor.max(self.offer.floor).max(self.firmware.easiest());
        let block = self.work.tip.hardest_exponent().max(self.rules.floor);
        let within = |wanted: Exponent| wanted.max(floor).min(block);
        match self.wishes {
            Wishes { fixed: Some(fixed), .. } => (within(fixed), within(fixed)),
            Wishes { least, .. } => (within(least.unwrap_or(floor)), Exponent::MAX),
        }
    }
}

impl Wishes {
    /// What a password asks for besides.
    fn and(self, password: &str) -> Self {
        let asked = stratum_v1::options(password);
        Self {
            start: asked.start.map(stratum_v1::Difficulty::nearest).or(self.start),
            least: asked.least.map(stratum_v1::Difficulty::at_least).or(self.least),
            fixed: asked.fixed.map(stratum_v1::Difficulty::nearest).or(self.fixed),
        }
    }
}

/// The agent in printable ASCII: it ends in logs and facts.
fn printable(agent: &str) -> String {
    let printable = |glyph: char| if matches!(glyph, ' '..='~') { glyph } else { '?' };
    agent.chars().map(printable).take(MAX_AGENT).collect()
}
