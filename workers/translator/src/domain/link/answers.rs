//! What the pool says.

use super::{ANY_TARGET, Event, Key, Link, Outbox, State, TOO_SHORT, close};
use crate::domain::{
    MinerId,
    channel::{Channel, Terms, Violation},
    job::Job,
    verdict::Rejection,
};
use mining::Target;
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use stratum_core::{
    mining_sv2::{
        CloseChannelOwned, NewExtendedMiningJobOwned, OpenExtendedMiningChannelSuccessOwned,
        OpenMiningChannelErrorOwned, SetExtranoncePrefixOwned, SetGroupChannelOwned,
        SetNewPrevHashOwned, SetTargetOwned, SubmitSharesErrorOwned, SubmitSharesSuccess,
    },
    parsers_sv2::MiningOwned,
};

impl Link {
    /// Takes a message of the pool.
    ///
    /// # Errors
    ///
    /// When the pool breaks the protocol, so that nothing it says can be relied on.
    pub fn receive(
        &mut self,
        message: MiningOwned,
        now: Duration,
        out: &mut Outbox,
    ) -> Result<(), Violation> {
        match message {
            MiningOwned::OpenExtendedMiningChannelSuccess(success) => {
                return self.opened(success, now, out);
            }
            MiningOwned::OpenMiningChannelError(error) => return self.refused(&error, now, out),
            MiningOwned::NewExtendedMiningJob(job) => return self.job(&job, now, out),
            MiningOwned::SetNewPrevHash(tip) => return self.tip(&tip, now, out),
            MiningOwned::SetTarget(set) => self.target(&set),
            MiningOwned::SetExtranoncePrefix(set) => return self.prefix(&set),
            MiningOwned::SetGroupChannel(set) => self.group(&set),
            MiningOwned::SubmitSharesSuccess(success) => self.stored(success, now, out),
            MiningOwned::SubmitSharesError(error) => self.rejected(&error, now, out),
            MiningOwned::CloseChannel(close) => self.closed(&close, now, out),
            MiningOwned::UpdateChannelError(error) => {
                let code = error.error_code.as_utf8_or_hex();
                out.remarks.push(format!("the pool does not take a hashrate: {code}"));
            }
            // For clients of other kinds, or of a pool.
            MiningOwned::NewMiningJob(_)
            | MiningOwned::OpenExtendedMiningChannel(_)
            | MiningOwned::OpenStandardMiningChannel(_)
            | MiningOwned::OpenStandardMiningChannelSuccess(_)
            | MiningOwned::SetCustomMiningJob(_)
            | MiningOwned::SetCustomMiningJobError(_)
            | MiningOwned::SetCustomMiningJobSuccess(_)
            | MiningOwned::SubmitSharesExtended(_)
            | MiningOwned::SubmitSharesStandard(_)
            | MiningOwned::UpdateChannel(_) => {}
        }
        Ok(())
    }

    fn answered(
        &mut self,
        request: u32,
        now: Duration,
        out: &mut Outbox,
    ) -> Result<Key, Violation> {
        let (key, since) = self.requests.remove(&request).ok_or(Violation::Request(request))?;
        out.round_trips.push(now.saturating_sub(since));
        Ok(key)
    }

    fn opened(
        &mut self,
        success: OpenExtendedMiningChannelSuccessOwned,
        now: Duration,
        out: &mut Outbox,
    ) -> Result<(), Violation> {
        let key = self.answered(success.request_id, now, out)?;
        let (id, group) = (success.channel_id, success.group_channel_id);
        if success.extranonce_size < self.need {
            close(id, TOO_SHORT, out);
            self.refuse(key, TOO_SHORT, now, out);
            return Ok(());
        }
        let Some(seat) = self.seats.get_mut(&key) else {
            // Its miner has left in between.
            close(id, "miner-left", out);
            return Ok(());
        };
        let channel = Channel::new(Terms {
            opening: self.next_opening,
            prefix: success.extranonce_prefix.to_owned_bytes(),
            rolled: success.extranonce_size,
            target: Target::from_le_bytes(success.target.to_array()),
        })?;
        self.next_opening = self.next_opening.saturating_add(1);
        seat.state = State::Open { id, group, channel: Box::new(channel) };
        seat.refusals = 0;
        out.events.extend(seat.members.iter().map(|miner| (*miner, Event::Opened)));
        Ok(())
    }

    fn refused(
        &mut self,
        error: &OpenMiningChannelErrorOwned,
        now: Duration,
        out: &mut Outbox,
    ) -> Result<(), Violation> {
        let key = self.answered(error.request_id, now, out)?;
        let code = error.error_code.as_utf8_or_hex();
        let any = Target::from_le_bytes(ANY_TARGET);
        if let Some(seat) = self.seats.get_mut(&key)
            && code == "max-target-out-of-range"
            && seat.open.easiest != any
        {
            // The miner wants less than the pool may give: it gets what the pool gives.
            seat.open.easiest = any;
            self.ask(key, now, out);
        } else {
            self.refuse(key, &code, now, out);
        }
        Ok(())
    }

    fn job(
        &mut self,
        message: &NewExtendedMiningJobOwned,
        now: Duration,
        out: &mut Outbox,
    ) -> Result<(), Violation> {
        self.channels_of(message.channel_id, |channel| channel.job(message, now), out)
    }

    fn tip(
        &mut self,
        message: &SetNewPrevHashOwned,
        now: Duration,
        out: &mut Outbox,
    ) -> Result<(), Violation> {
        out.tips = out.tips.saturating_add(1);
        self.channels_of(message.channel_id, |channel| channel.tip(message, now).map(Some), out)
    }

    /// Tells a channel, or all of a group, and its miners what to mine then.
    fn channels_of(
        &mut self,
        channel_id: u32,
        mut told: impl FnMut(&mut Channel) -> Result<Option<Arc<Job>>, Violation>,
        out: &mut Outbox,
    ) -> Result<(), Violation> {
        for seat in self.seats.values_mut().filter(|seat| seat.hears(channel_id)) {
            let State::Open { channel, .. } = &mut seat.state else { continue };
            if let Some(job) = told(channel)? {
                let event = |miner: &MinerId| (*miner, Event::Job(Arc::clone(&job)));
                out.events.extend(seat.members.iter().map(event));
            }
        }
        Ok(())
    }

    fn target(&mut self, set: &SetTargetOwned) {
        let target = Target::from_le_bytes(set.maximum_target.to_array());
        for seat in self.seats.values_mut().filter(|seat| seat.hears(set.channel_id)) {
            if let State::Open { channel, .. } = &mut seat.state {
                channel.set_target(target);
            }
        }
    }

    fn prefix(&mut self, set: &SetExtranoncePrefixOwned) -> Result<(), Violation> {
        for seat in self.seats.values_mut().filter(|seat| seat.hears(set.channel_id)) {
            if let State::Open { channel, .. } = &mut seat.state {
                channel.set_prefix(set.extranonce_prefix.as_bytes().to_vec())?;
            }
        }
        Ok(())
    }

    fn group(&mut self, set: &SetGroupChannelOwned) {
        for seat in self.seats.values_mut() {
            if let State::Open { id, group, .. } = &mut seat.state
                && set.channel_ids.iter().any(|member| member == id)
            {
                *group = set.group_channel_id;
            }
        }
    }

    /// Everything up to a number counts, but for what was refused before.
    fn stored(&mut self, success: SubmitSharesSuccess, now: Duration, out: &mut Outbox) {
        let SubmitSharesSuccess { channel_id, last_sequence_number: last, .. } = success;
        for seat in self.seats.values_mut().filter(|seat| seat.hears(channel_id)) {
            let later = match last.checked_add(1) {
                Some(next) => seat.owed.split_off(&next),
                None => BTreeMap::new(),
            };
            let mut stored: BTreeMap<MinerId, Vec<u64>> = BTreeMap::new();
            for owed in std::mem::replace(&mut seat.owed, later).into_values() {
                out.stored_after.push(now.saturating_sub(owed.since));
                stored.entry(owed.miner).or_default().push(owed.number);
            }
            let events = stored.into_iter().map(|(miner, all)| (miner, Event::Stored(all)));
            out.events.extend(events);
        }
    }

    fn rejected(&mut self, error: &SubmitSharesErrorOwned, now: Duration, out: &mut Outbox) {
        let rejection = Rejection::of_code(&error.error_code.as_utf8_or_hex());
        for seat in self.seats.values_mut().filter(|seat| seat.hears(error.channel_id)) {
            if let Some(owed) = seat.owed.remove(&error.sequence_number) {
                out.round_trips.push(now.saturating_sub(owed.since));
                out.events.push((owed.miner, Event::Rejected(owed.number, rejection)));
            }
        }
    }

    fn closed(&mut self, close: &CloseChannelOwned, now: Duration, out: &mut Outbox) {
        let code = close.reason_code.as_utf8_or_hex();
        for seat in self.seats.values_mut().filter(|seat| seat.hears(close.channel_id)) {
            out.remarks.push(format!("the pool closes a channel: {code}"));
            seat.vacate(out);
            seat.wait(now);
        }
    }
}
