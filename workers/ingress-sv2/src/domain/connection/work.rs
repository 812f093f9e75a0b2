//! Jobs, tips and targets: who is told what, and in one message where that is possible.

use super::{Connection, Outbox};
use crate::{
    domain::{
        channel::{Channel, Telling},
        groups::{Key, Shared},
    },
    wire::{Frames, JobHeader},
};
use ingress::domain::{Moment, selection::Work, vardiff::Limits};
use mining::{Payee, WorkTemplate};
use std::sync::Arc;
use subjects::Exponent;

impl Connection {
    /// Other work is current. Channels of a group are told it by the same messages.
    pub fn follow(&mut self, work: Arc<Work>, moment: Moment, out: &mut Outbox) {
        self.work = work;
        self.part_with_those_who_ask_for_more(&mut out.frames);
        for group in self.groups.ids() {
            match self.groups.told_as_one(group) {
                Some((payee, exponent)) => {
                    let told = Told { group, payee, exponent };
                    self.follow_as_one(told, moment, &mut out.frames);
                }
                None => self.follow_one_by_one(group, moment, &mut out.frames),
            }
        }
    }

    /// A tip may ease the target of a group further than one of its clients accepts; that channel
    /// goes on alone.
    fn part_with_those_who_ask_for_more(&mut self, frames: &mut Frames) {
        let bounds = self.bounds();
        for channel in self.channels.values_mut() {
            let easiest = channel.space().limits().easiest;
            let Some((payee, exponent)) = self.groups.told_as_one(channel.group) else { continue };
            if easiest > bounds.clamp(exponent) {
                let from = channel.group;
                let key = Key::Jobs { payee, exponent: easiest };
                channel.group = self.groups.join_new(key, &mut self.ids);
                self.groups.leave(from);
                frames.set_group(channel.group, channel.id);
            }
        }
    }

    /// The targets that a channel may have on the tip, whatever its client accepts.
    fn bounds(&self) -> Limits {
        Limits { easiest: self.rules.floor, hardest: self.work.tip.hardest_exponent() }
    }

    fn follow_one_by_one(&mut self, group: u32, moment: Moment, frames: &mut Frames) {
        let Self { channels, groups, work, jobs, .. } = self;
        let standard_only = self.client.as_ref().is_some_and(|client| client.standard_jobs_only);
        let mut to = Telling { work, moment, jobs, frames };
        for channel in channels.values_mut().filter(|channel| channel.group == group) {
            let before = channel.space().exponent();
            channel.follow(&mut to);
            let exponent = channel.space().exponent();
            if exponent != before && !standard_only {
                groups.rekey(group, channel.key(exponent));
            }
        }
    }

    /// Every channel of a group is on the same work, so one of them says what all miss.
    fn follow_as_one(&mut self, mut told: Told, moment: Moment, frames: &mut Frames) {
        let work = Arc::clone(&self.work);
        let Some(one) = self.members(told.group).next() else { return };
        let (tip, template) = (one.space().tip().prevhash(), one.space().jobs().current());
        if tip != work.tip.prevhash() {
            told = self.enter_as_one(told, moment, frames);
        } else if template.is_none_or(|job| job.template.id() != work.template.id()) {
            let min_ntime = self.least_ntime(told, moment);
            let job = self.send_to(told, &work.template, Some(min_ntime), frames);
            let start = |channel: &mut Channel| channel.start(&job, min_ntime, moment.elapsed);
            self.members(told.group).for_each(start);
        }
        let waits = |template: &Arc<WorkTemplate>| {
            let future = self.groups.future(told.group);
            future.is_some_and(|job| job.template.id() == template.id())
        };
        if let Some(prepared) = work.prepared.as_ref().filter(|prepared| !waits(prepared)) {
            self.send_future_to(told, prepared, frames);
        }
    }

    /// Starts the job that the group waits with, or one that is sent first.
    fn enter_as_one(&mut self, before: Told, moment: Moment, frames: &mut Frames) -> Told {
        let work = Arc::clone(&self.work);
        let exponent = self.bounds().clamp(before.exponent);
        let told = Told { exponent, ..before };
        self.members(told.group).for_each(|channel| channel.enter(&work, exponent));
        let eased = exponent < before.exponent;
        if eased {
            self.groups.rekey(told.group, Key::Jobs { payee: told.payee, exponent });
        }
        let waits = self.groups.future(told.group);
        if waits.is_none_or(|job| job.template.id() != work.template.id()) {
            self.send_future_to(told, &work.template, frames);
        }
        if eased {
            frames.set_target(told.group, exponent);
        }
        let min_ntime = self.least_ntime(told, moment);
        let activate = |channel: &mut Channel| channel.activate(min_ntime, moment.elapsed);
        self.members(told.group).for_each(activate);
        if let Some(job) = self.groups.future(told.group) {
            frames.new_prevhash(told.group, job.id, &work.tip, min_ntime);
        }
        self.groups.forget_future(told.group);
        told
    }

    /// Where header time starts for all channels of a group.
    fn least_ntime(&mut self, told: Told, moment: Moment) -> u32 {
        let least = |channel: &mut Channel| channel.space().least_ntime(moment.at);
        self.members(told.group).map(least).max().unwrap_or_default()
    }

    fn send_future_to(&mut self, told: Told, template: &Arc<WorkTemplate>, frames: &mut Frames) {
        let job = self.send_to(told, template, None, frames);
        self.members(told.group).for_each(|channel| channel.wait(&job));
        self.groups.wait(told.group, job);
    }

    fn send_to(
        &mut self,
        told: Told,
        template: &Arc<WorkTemplate>,
        min_ntime: Option<u32>,
        frames: &mut Frames,
    ) -> Shared {
        let job = Shared { id: self.jobs.next(), template: Arc::clone(template) };
        let header = JobHeader { channel_id: told.group, job_id: job.id, min_ntime };
        frames.extended_job(header, template, told.exponent, &told.payee);
        job
    }

    fn members(&mut self, group: u32) -> impl Iterator<Item = &mut Channel> {
        self.channels.values_mut().filter(move |channel| channel.group == group)
    }

    /// Gives a channel another target, and with it another group if others are at that target or
    /// remain at the one before.
    pub(super) fn retarget(
        &mut self,
        id: u32,
        exponent: Exponent,
        moment: Moment,
        out: &mut Outbox,
    ) {
        let frames = &mut out.frames;
        let Self { channels, groups, ids, work, jobs, client, .. } = self;
        let Some(channel) = channels.get_mut(&id) else { return };
        if !client.as_ref().is_some_and(|client| client.standard_jobs_only) {
            let group = groups.change(channel.group, channel.key(exponent), ids);
            if group != channel.group {
                channel.group = group;
                frames.set_group(group, id);
            }
        }
        let shared = groups.future(channel.group);
        channel.retarget(exponent, shared, &mut Telling { work, moment, jobs, frames });
    }
}

/// Whom a message to a group is for, and what its jobs hold.
#[derive(Clone, Copy, Debug)]
struct Told {
    group: u32,
    payee: Payee,
    exponent: Exponent,
}
