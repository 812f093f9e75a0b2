//! A proxy's view of its upstream, kept by the library's own state machines: what they refuse, a
//! client built on them would end the connection for.

use std::collections::BTreeMap;
use stratum_core::{
    binary_sv2::B032Owned,
    bitcoin::Target,
    channels_sv2::{
        client::{
            extended::ExtendedChannel, group::GroupChannel,
            share_accounting::ShareValidationResult, standard::StandardChannel,
        },
        extranonce_manager::ExtranoncePrefix,
    },
    mining_sv2::{SubmitSharesExtendedOwned, SubmitSharesStandard},
    parsers_sv2::{AnyMessageOwned, MiningOwned},
};

/// A channel of either kind.
enum Channel {
    Extended(ExtendedChannel),
    Standard(StandardChannel),
}

/// All channels of a connection, and their groups.
#[derive(Default)]
pub struct Proxy {
    channels: BTreeMap<u32, Channel>,
    groups: BTreeMap<u32, GroupChannel>,
}

/// Every coinbase of ours has an extranonce of this size.
const FULL_SIZE: usize = 20;

fn target(bytes: &[u8]) -> Target {
    Target::from_le_bytes(bytes.try_into().unwrap())
}

fn prefix(bytes: &B032Owned) -> ExtranoncePrefix {
    ExtranoncePrefix::from_wire(bytes.as_ref().to_vec()).unwrap()
}

impl Proxy {
    /// Takes a message as a proxy does that keeps each channel and each group.
    pub fn hear(&mut self, message: &AnyMessageOwned) {
        let AnyMessageOwned::Mining(message) = message else { return };
        match message.clone() {
            MiningOwned::SetGroupChannel(set) => {
                for id in set.channel_ids.iter() {
                    self.group(set.group_channel_id, *id);
                }
            }
            MiningOwned::SetTarget(set) => {
                let target = target(set.maximum_target.as_ref());
                for channel in self.addressed(set.channel_id) {
                    match channel {
                        Channel::Extended(one) => one.set_target(target).unwrap(),
                        Channel::Standard(one) => one.set_target(target).unwrap(),
                    }
                }
            }
            MiningOwned::SetExtranoncePrefix(set) => {
                let prefix = prefix(&set.extranonce_prefix);
                match self.channels.get_mut(&set.channel_id).unwrap() {
                    Channel::Extended(one) => one.set_extranonce_prefix(prefix).unwrap(),
                    Channel::Standard(one) => one.set_extranonce_prefix(prefix).unwrap(),
                }
            }
            other => self.hear_of_work(other),
        }
    }

    fn hear_of_work(&mut self, message: MiningOwned) {
        match message {
            MiningOwned::NewExtendedMiningJob(job) => {
                if let Some(group) = self.groups.get_mut(&job.channel_id) {
                    group.on_new_extended_mining_job(job.clone());
                }
                for channel in self.addressed(job.channel_id) {
                    match channel {
                        Channel::Extended(one) => {
                            one.on_new_extended_mining_job(job.clone()).unwrap();
                        }
                        Channel::Standard(one) => {
                            one.on_new_group_channel_job(job.clone()).unwrap();
                        }
                    }
                }
            }
            MiningOwned::NewMiningJob(job) => match self.channels.get_mut(&job.channel_id) {
                Some(Channel::Standard(one)) => one.on_new_mining_job(job).unwrap(),
                Some(Channel::Extended(_)) | None => panic!("for no standard channel: {job}"),
            },
            MiningOwned::SetNewPrevHash(tip) => {
                if let Some(group) = self.groups.get_mut(&tip.channel_id) {
                    group.on_set_new_prev_hash(tip.clone()).unwrap();
                }
                for channel in self.addressed(tip.channel_id) {
                    match channel {
                        Channel::Extended(one) => one.on_set_new_prev_hash(tip.clone()).unwrap(),
                        Channel::Standard(one) => one.on_set_new_prev_hash(tip.clone()).unwrap(),
                    }
                }
            }
            other => self.hear_of_channels(other),
        }
    }

    fn hear_of_channels(&mut self, message: MiningOwned) {
        match message {
            MiningOwned::OpenExtendedMiningChannelSuccess(opened) => {
                let channel = ExtendedChannel::new(
                    opened.channel_id,
                    String::new(),
                    prefix(&opened.extranonce_prefix),
                    target(opened.target.as_ref()),
                    1.0,
                    true,
                    opened.extranonce_size,
                    None,
                );
                let channel = Channel::Extended(channel.unwrap());
                self.channels.insert(opened.channel_id, channel);
                self.group(opened.group_channel_id, opened.channel_id);
            }
            MiningOwned::OpenStandardMiningChannelSuccess(opened) => {
                let channel = StandardChannel::new(
                    opened.channel_id,
                    String::new(),
                    prefix(&opened.extranonce_prefix),
                    target(opened.target.as_ref()),
                    1.0,
                    None,
                );
                let channel = Channel::Standard(channel.unwrap());
                self.channels.insert(opened.channel_id, channel);
                self.group(opened.group_channel_id, opened.channel_id);
            }
            _ => {}
        }
    }

    /// Whether the library's client takes a share for a good one.
    pub fn takes(&mut self, share: &SubmitSharesExtendedOwned) -> bool {
        let judged = match self.channels.get_mut(&share.channel_id).unwrap() {
            Channel::Extended(one) => one.validate_share(share.clone()),
            Channel::Standard(one) => one.validate_share(SubmitSharesStandard {
                channel_id: share.channel_id,
                sequence_number: share.sequence_number,
                job_id: share.job_id,
                nonce: share.nonce,
                ntime: share.ntime,
                version: share.version,
            }),
        };
        matches!(judged, Ok(ShareValidationResult::Valid(_) | ShareValidationResult::BlockFound(_)))
    }

    fn group(&mut self, group: u32, channel: u32) {
        assert!(!self.channels.contains_key(&group), "group {group} is a channel");
        assert!(!self.groups.contains_key(&channel), "channel {channel} is a group");
        for other in self.groups.values_mut() {
            other.remove_channel_id(channel);
        }
        let known = self.groups.entry(group).or_insert_with(|| GroupChannel::new(group));
        known.add_channel_id(channel, FULL_SIZE).unwrap();
    }

    /// The channels that a message is for.
    fn addressed(&mut self, id: u32) -> impl Iterator<Item = &mut Channel> {
        let group = self.groups.get(&id);
        let members: Vec<u32> =
            group.map_or_else(|| vec![id], |group| group.get_channel_ids().copied().collect());
        self.channels
            .iter_mut()
            .filter(move |(id, _)| members.contains(id))
            .map(|(_, channel)| channel)
    }
}
