//! What a channel is opened on, and what it is changed to.

use super::{Connection, Outbox};
use crate::domain::{
    channel::{Channel, Telling, Terms},
    groups::Key,
};
use ingress::domain::{Moment, desk::Desk, miner::Miner};
use mining::{Hashrate, InvalidHashrate, Target, target::easiest_within};
use std::sync::Arc;
use stratum_core::mining_sv2::{
    ERROR_CODE_OPEN_MINING_CHANNEL_CHANNEL_CAPACITY_EXHAUSTED,
    ERROR_CODE_OPEN_MINING_CHANNEL_EXTENDED_CHANNELS_NOT_SUPPORTED_FOR_STANDARD_JOBS,
    ERROR_CODE_OPEN_MINING_CHANNEL_MAX_TARGET_OUT_OF_RANGE,
    ERROR_CODE_OPEN_MINING_CHANNEL_MIN_EXTRANONCE_SIZE_TOO_LARGE,
    ERROR_CODE_UPDATE_CHANNEL_INVALID_CHANNEL_ID,
    ERROR_CODE_UPDATE_CHANNEL_MAX_TARGET_OUT_OF_RANGE, OpenExtendedMiningChannel,
    OpenStandardMiningChannel, UpdateChannel,
};
use subjects::{Exponent, sessions::Event, shares::JobKind};

/// What a client asks for with a channel of either kind.
pub(super) struct Wish<'a> {
    request_id: u32,
    user_identity: &'a [u8],
    hash_rate: f32,
    max_target: Target,
    kind: JobKind,
}

impl<'a> Wish<'a> {
    pub(super) fn standard(open: &'a OpenStandardMiningChannel<'_>) -> Self {
        Self {
            request_id: open.request_id,
            user_identity: open.user_identity.as_ref(),
            hash_rate: open.nominal_hash_rate,
            max_target: Target::from_le_bytes(open.max_target.to_array()),
            kind: JobKind::Standard,
        }
    }

    pub(super) fn extended(open: &'a OpenExtendedMiningChannel<'_>) -> Self {
        Self {
            request_id: open.request_id,
            user_identity: open.user_identity.as_ref(),
            hash_rate: open.nominal_hash_rate,
            max_target: Target::from_le_bytes(open.max_target.to_array()),
            kind: JobKind::Extended,
        }
    }
}

impl Connection {
    pub(super) fn open(
        &mut self,
        wish: &Wish<'_>,
        moment: Moment,
        desk: &mut impl Desk,
        out: &mut Outbox,
    ) {
        match self.terms(wish, desk) {
            Ok(terms) => self.open_on(terms, wish.request_id, moment, out),
            Err(code) => refuse(wish.request_id, code, out),
        }
    }

    fn terms(&mut self, wish: &Wish<'_>, desk: &mut impl Desk) -> Result<Terms, &'static str> {
        let rules = &self.rules;
        if self.channels.len() >= rules.max_channels || !self.ids.are_left() {
            return Err(ERROR_CODE_OPEN_MINING_CHANNEL_CHANNEL_CAPACITY_EXHAUSTED);
        }
        let miner = Miner::parse(wish.user_identity, rules.network, &rules.policy)
            .map_err(|error| error.code())?;
        let suits = self.suiting(wish.hash_rate).map_err(|_| InvalidHashrate::CODE)?;
        let easiest = self
            .easiest(wish.max_target)
            .ok_or(ERROR_CODE_OPEN_MINING_CHANNEL_MAX_TARGET_OUT_OF_RANGE)?;
        let start = || rules.starting_hashrate.exponent(rules.shares_per_minute);
        let hardest = self.work.tip.hardest_exponent();
        let number =
            desk.number().ok_or(ERROR_CODE_OPEN_MINING_CHANNEL_CHANNEL_CAPACITY_EXHAUSTED)?;
        Ok(Terms {
            number,
            kind: wish.kind,
            miner: Arc::new(miner),
            easiest,
            exponent: suits.unwrap_or_else(start).min(hardest).max(easiest),
        })
    }

    /// The exponent that suits a stated hashrate; `None` for 0, which proxies without miners say.
    fn suiting(&self, hash_rate: f32) -> Result<Option<Exponent>, InvalidHashrate> {
        let rate = Hashrate::from_sv2(hash_rate)?;
        let stated = rate > Hashrate::default();
        Ok(stated.then(|| rate.exponent(self.rules.shares_per_minute)))
    }

    /// The easiest target that both sides accept; `None` when that would be harder than a block.
    fn easiest(&self, max_target: Target) -> Option<Exponent> {
        let asked = easiest_within(max_target)?;
        let hardest = self.work.tip.hardest_exponent();
        (asked <= hardest.max(self.rules.floor)).then(|| asked.max(self.rules.floor))
    }

    fn open_on(&mut self, terms: Terms, request_id: u32, moment: Moment, out: &mut Outbox) {
        let standard_only = self.client.as_ref().is_some_and(|client| client.standard_jobs_only);
        let key = if standard_only {
            Key::Connection
        } else {
            Key::Jobs { payee: terms.miner.payee, exponent: terms.exponent }
        };
        let group = self.groups.join(key, &mut self.ids);
        let id = self.ids.next();
        let Self { groups, work, jobs, rules, .. } = self;
        let mut to = Telling { work, moment, jobs, frames: &mut out.frames };
        let shared = groups.future(group);
        let Some(mut channel) =
            Channel::open([id, group], terms, request_id, rules, shared, &mut to)
        else {
            self.groups.leave(group);
            return refuse(
                request_id,
                ERROR_CODE_OPEN_MINING_CHANNEL_CHANNEL_CAPACITY_EXHAUSTED,
                out,
            );
        };
        if self.names_workers {
            channel.workers_mut().switch_on();
        }
        self.channels.insert(id, channel);
        self.look_in_on(id, moment.elapsed);
        out.tidings.asked();
        self.tell(id, Event::Opened, None, moment, out);
    }

    pub(super) fn update(&mut self, update: &UpdateChannel<'_>, moment: Moment, out: &mut Outbox) {
        let id = update.channel_id;
        match self.wanted(update) {
            Ok((easiest, suits)) => {
                let Some(channel) = self.channels.get_mut(&id) else { return };
                let stated = suits.is_some();
                let next = channel.renegotiated(easiest, suits, moment.elapsed);
                if let Some(exponent) = next {
                    self.retarget(id, exponent, moment, out);
                }
                self.look_in_on(id, moment.elapsed);
                if next.is_some() || stated {
                    out.tidings.asked();
                    self.tell(id, Event::Renegotiated, None, moment, out);
                }
            }
            Err(code) => out.frames.update_error(id, code),
        }
    }

    fn wanted(
        &self,
        update: &UpdateChannel<'_>,
    ) -> Result<(Exponent, Option<Exponent>), &'static str> {
        if !self.channels.contains_key(&update.channel_id) {
            return Err(ERROR_CODE_UPDATE_CHANNEL_INVALID_CHANNEL_ID);
        }
        let suits = self.suiting(update.nominal_hash_rate).map_err(|_| InvalidHashrate::CODE)?;
        let max_target = Target::from_le_bytes(update.maximum_target.to_array());
        let easiest =
            self.easiest(max_target).ok_or(ERROR_CODE_UPDATE_CHANNEL_MAX_TARGET_OUT_OF_RANGE)?;
        Ok((easiest, suits))
    }
}

/// Why this connection cannot have that extended channel, before its miner is looked at.
pub(super) fn extended_problem(
    standard_only: bool,
    open: &OpenExtendedMiningChannel<'_>,
) -> Option<&'static str> {
    if standard_only {
        return Some(
            ERROR_CODE_OPEN_MINING_CHANNEL_EXTENDED_CHANNELS_NOT_SUPPORTED_FOR_STANDARD_JOBS,
        );
    }
    let too_large = open.min_extranonce_size > u16::from(mining::SV2_ROLLED_LENGTH);
    too_large.then_some(ERROR_CODE_OPEN_MINING_CHANNEL_MIN_EXTRANONCE_SIZE_TOO_LARGE)
}

pub(super) fn refuse(request_id: u32, code: &'static str, out: &mut Outbox) {
    out.frames.open_error(request_id, code);
    out.tidings.refused.push(code);
    out.tidings.asked();
}
