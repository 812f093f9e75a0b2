//! A conversation as text.

use super::client;
use ingress::{
    domain::{Moment, closing::Leaving, rules::Rules, selection::Work},
    testing::desk::Counter,
};
use ingress_sv2::{
    domain::{
        closing::Closing,
        connection::{Connection, Outbox},
    },
    wire,
};
use std::{fmt::Write as _, sync::Arc};
use stratum_core::{
    bitcoin::Target,
    framing_sv2::header::Header,
    parsers_sv2::{
        AnyMessageOwned, CommonMessagesOwned, ExtensionsNegotiationOwned, ExtensionsOwned,
        MiningOwned,
    },
};
use subjects::sessions::NetworkClass;

/// A connection and everything that was said on it.
pub struct Conversation {
    pub connection: Connection,
    pub desk: Counter,
    pub channels: Vec<client::Channel>,
    pub text: String,
}

impl Conversation {
    pub fn new(rules: Rules, work: Arc<Work>, moment: Moment) -> Self {
        let class = NetworkClass::PublicV4;
        Self {
            connection: Connection::new(Arc::new(rules), class, work, moment),
            desk: Counter::default(),
            channels: Vec::new(),
            text: String::new(),
        }
    }

    pub fn note(&mut self, words: &str) {
        writeln!(self.text, "# {words}").unwrap();
    }

    /// The client says something; returns our messages.
    pub fn say(&mut self, message: AnyMessageOwned, moment: Moment) -> Vec<AnyMessageOwned> {
        writeln!(self.text, "> {}", describe(&message)).unwrap();
        self.say_frame(&mut client::frame(message), moment)
    }

    pub fn say_frame(&mut self, frame: &mut [u8], moment: Moment) -> Vec<AnyMessageOwned> {
        let mut out = Outbox::default();
        let header = Header::from_bytes(frame).unwrap();
        match wire::read(header, &mut frame[Header::SIZE..]) {
            Ok(message) => {
                let ended = self.connection.receive(message, moment, &mut self.desk, &mut out);
                let told = self.tell(&mut out);
                if let Err(closing) = ended {
                    writeln!(self.text, "! {closing} [{}]", closing.code()).unwrap();
                }
                told
            }
            Err(fault) => {
                writeln!(self.text, "! {fault}").unwrap();
                Vec::new()
            }
        }
    }

    pub fn follow(&mut self, work: Arc<Work>, moment: Moment) -> Vec<AnyMessageOwned> {
        self.desk.tips = work.tips;
        let mut out = Outbox::default();
        self.connection.follow(work, moment, &mut out);
        self.tell(&mut out)
    }

    pub fn stored(&mut self, count: usize) -> Vec<AnyMessageOwned> {
        let mut out = Outbox::default();
        self.connection.stored(count, &mut out);
        self.tell(&mut out)
    }

    pub fn resume(&mut self) -> Vec<AnyMessageOwned> {
        let mut out = Outbox::default();
        self.connection.resume(&mut self.desk, &mut out);
        self.tell(&mut out)
    }

    pub fn tick(&mut self, moment: Moment) -> Vec<AnyMessageOwned> {
        let mut out = Outbox::default();
        let ended = self.connection.tick(moment, &mut out);
        let told = self.tell(&mut out);
        if let Err(closing) = ended {
            writeln!(self.text, "! {closing} [{}]", closing.code()).unwrap();
        }
        told
    }

    pub fn farewell(&mut self, leaving: Leaving) -> Vec<AnyMessageOwned> {
        let mut out = Outbox::default();
        self.connection.farewell(leaving, &mut out);
        self.tell(&mut out)
    }

    pub fn end(&mut self, closing: Closing, moment: Moment) {
        let mut out = Outbox::default();
        self.connection.end(closing, moment, &mut self.desk, &mut out);
        self.tell(&mut out);
    }

    fn tell(&mut self, out: &mut Outbox) -> Vec<AnyMessageOwned> {
        for claim in out.tidings.claims.drain(..) {
            writeln!(self.text, "* claims a block on template {}", claim.template).unwrap();
        }
        let frames: Vec<Vec<u8>> = out.frames.iter().map(<[u8]>::to_vec).collect();
        out.frames.clear();
        let told: Vec<_> = frames.iter().map(|frame| client::read(frame)).collect();
        for message in &told {
            writeln!(self.text, "< {}", describe(message)).unwrap();
            self.hear(message);
        }
        for fact in out.tidings.facts.drain(..) {
            let (event, k) = (fact.event, fact.exponent);
            writeln!(
                self.text,
                "* {event:?} channel number {} fact {}: {} {:?} k={k} {:?} rtt {:?}{}",
                fact.channel,
                fact.sequence,
                fact.identity,
                fact.worker,
                fact.protocol,
                fact.rtt_ms,
                fact.reason.map_or_else(String::new, |reason| format!(", because: {reason}")),
            )
            .unwrap();
        }
        for (miner, reason) in out.tidings.rejected.drain(..) {
            let whose = miner.map_or_else(|| "nobody".to_owned(), |miner| miner.identity.clone());
            writeln!(self.text, "* turned away from {whose}: {reason}").unwrap();
        }
        told
    }

    fn hear(&mut self, message: &AnyMessageOwned) {
        let heard =
            self.channels.iter_mut().filter_map(|channel| channel.hear(message).then_some(()));
        if heard.count() == 0 {
            let mut channel = client::Channel::default();
            if channel.hear(message) && channel.id != 0 {
                self.channels.push(channel);
            }
        }
    }

    /// The client's side of a channel.
    pub fn channel(&self, id: u32) -> &client::Channel {
        self.channels.iter().find(|channel| channel.id == id).unwrap()
    }
}

/// A target as the exponent that it is.
fn exponent(target: &[u8]) -> String {
    let target = Target::from_le_bytes(target.try_into().unwrap());
    let all = i64::from(i8::MIN)..=i64::from(i8::MAX);
    let found = all
        .filter_map(|k| subjects::Exponent::new(k).ok())
        .find(|k| mining::Target::of(*k).to_le_bytes() == target.to_le_bytes());
    found.map_or_else(|| target.to_string(), |k| format!("k={k}"))
}

/// A message in one line, without what changes with the code of others.
pub fn describe(message: &AnyMessageOwned) -> String {
    match message {
        AnyMessageOwned::Common(message) => common(message),
        AnyMessageOwned::Mining(message) => mining_message(message),
        AnyMessageOwned::Extensions(message) => extensions(message),
        other => format!("{other:?}"),
    }
}

fn extensions(message: &ExtensionsOwned) -> String {
    let ExtensionsOwned::ExtensionsNegotiation(message) = message;
    match message {
        ExtensionsNegotiationOwned::RequestExtensions(request) => format!(
            "RequestExtensions request {} {:?}",
            request.request_id,
            request.requested_extensions.as_slice()
        ),
        ExtensionsNegotiationOwned::RequestExtensionsSuccess(success) => format!(
            "RequestExtensions.Success request {} {:?}",
            success.request_id,
            success.supported_extensions.as_slice()
        ),
        ExtensionsNegotiationOwned::RequestExtensionsError(error) => format!(
            "RequestExtensions.Error request {} unsupported {:?} required {:?}",
            error.request_id,
            error.unsupported_extensions.as_slice(),
            error.required_extensions.as_slice()
        ),
    }
}

fn common(message: &CommonMessagesOwned) -> String {
    match message {
        CommonMessagesOwned::SetupConnection(setup) => format!(
            "SetupConnection protocol {:?} versions {}-{} flags {:#b}",
            setup.protocol, setup.min_version, setup.max_version, setup.flags
        ),
        CommonMessagesOwned::SetupConnectionSuccess(success) => {
            format!(
                "SetupConnection.Success version {} flags {}",
                success.used_version, success.flags
            )
        }
        CommonMessagesOwned::SetupConnectionError(error) => format!(
            "SetupConnection.Error {} flags {:#b}",
            error.error_code.as_utf8_or_hex(),
            error.flags
        ),
        CommonMessagesOwned::Reconnect(to) => {
            format!("Reconnect host {:?} port {}", to.new_host.as_utf8_or_hex(), to.new_port)
        }
        CommonMessagesOwned::ChannelEndpointChanged(changed) => {
            format!("ChannelEndpointChanged channel {}", changed.channel_id)
        }
    }
}

/// What clients say.
fn mining_message(message: &MiningOwned) -> String {
    match message {
        MiningOwned::OpenStandardMiningChannel(open) => format!(
            "OpenStandardMiningChannel request {} {:?} {} H/s",
            open.request_id,
            open.user_identity.as_utf8_or_hex(),
            open.nominal_hash_rate
        ),
        MiningOwned::OpenExtendedMiningChannel(open) => format!(
            "OpenExtendedMiningChannel request {} {:?} {} H/s, at least {} bytes",
            open.request_id,
            open.user_identity.as_utf8_or_hex(),
            open.nominal_hash_rate,
            open.min_extranonce_size
        ),
        MiningOwned::SubmitSharesStandard(share) => format!(
            "SubmitSharesStandard channel {} sequence {} job {}",
            share.channel_id, share.sequence_number, share.job_id
        ),
        MiningOwned::SubmitSharesExtended(share) => format!(
            "SubmitSharesExtended channel {} sequence {} job {}",
            share.channel_id, share.sequence_number, share.job_id
        ),
        MiningOwned::UpdateChannel(update) => format!(
            "UpdateChannel channel {} {} H/s target {}",
            update.channel_id,
            update.nominal_hash_rate,
            exponent(update.maximum_target.as_ref())
        ),
        MiningOwned::CloseChannel(close) => format!(
            "CloseChannel channel {} {}",
            close.channel_id,
            close.reason_code.as_utf8_or_hex()
        ),
        other => about_channels(other),
    }
}

/// What we say of channels.
fn about_channels(message: &MiningOwned) -> String {
    match message {
        MiningOwned::OpenStandardMiningChannelSuccess(opened) => format!(
            "OpenStandardMiningChannel.Success request {} channel {} {} prefix {} group {}",
            opened.request_id,
            opened.channel_id,
            exponent(opened.target.as_ref()),
            opened.extranonce_prefix,
            opened.group_channel_id
        ),
        MiningOwned::OpenExtendedMiningChannelSuccess(opened) => format!(
            "OpenExtendedMiningChannel.Success request {} channel {} {} prefix {} and {} bytes group {}",
            opened.request_id,
            opened.channel_id,
            exponent(opened.target.as_ref()),
            opened.extranonce_prefix,
            opened.extranonce_size,
            opened.group_channel_id
        ),
        MiningOwned::SetGroupChannel(set) => {
            let channels: Vec<u32> = set.channel_ids.iter().copied().collect();
            format!("SetGroupChannel group {} channels {channels:?}", set.group_channel_id)
        }
        MiningOwned::SetExtranoncePrefix(set) => format!(
            "SetExtranoncePrefix channel {} prefix {}",
            set.channel_id, set.extranonce_prefix
        ),
        MiningOwned::OpenMiningChannelError(error) => format!(
            "OpenMiningChannel.Error request {} {}",
            error.request_id,
            error.error_code.as_utf8_or_hex()
        ),
        MiningOwned::UpdateChannelError(error) => format!(
            "UpdateChannel.Error channel {} {}",
            error.channel_id,
            error.error_code.as_utf8_or_hex()
        ),
        MiningOwned::SetCustomMiningJobError(error) => format!(
            "SetCustomMiningJob.Error channel {} request {} {}",
            error.channel_id,
            error.request_id,
            error.error_code.as_utf8_or_hex()
        ),
        other => about_work(other),
    }
}

/// What we say of jobs and shares.
fn about_work(message: &MiningOwned) -> String {
    match message {
        MiningOwned::NewMiningJob(job) => format!(
            "NewMiningJob channel {} job {} {}",
            job.channel_id,
            job.job_id,
            starts(job.min_ntime.clone().into_inner())
        ),
        MiningOwned::NewExtendedMiningJob(job) => format!(
            "NewExtendedMiningJob channel {} job {} {}, coinbase k={}, {} merkle nodes, rolling {}",
            job.channel_id,
            job.job_id,
            starts(job.min_ntime.clone().into_inner()),
            i8::from_be_bytes([*job.coinbase_tx_prefix.as_ref().last().unwrap()]),
            job.merkle_path.len(),
            job.version_rolling_allowed,
        ),
        MiningOwned::SetNewPrevHash(tip) => format!(
            "SetNewPrevHash channel {} starts job {} on block {:02x}… at {} nbits {:#x}",
            tip.channel_id,
            tip.job_id,
            tip.prev_hash.as_ref().first().unwrap(),
            tip.min_ntime,
            tip.nbits
        ),
        MiningOwned::SetTarget(target) => format!(
            "SetTarget channel {} {}",
            target.channel_id,
            exponent(target.maximum_target.as_ref())
        ),
        MiningOwned::SubmitSharesSuccess(success) => format!(
            "SubmitShares.Success channel {} to sequence {}: {} shares, sum {}",
            success.channel_id,
            success.last_sequence_number,
            success.new_submits_accepted_count,
            success.new_shares_sum
        ),
        MiningOwned::SubmitSharesError(error) => format!(
            "SubmitShares.Error channel {} sequence {} {}",
            error.channel_id,
            error.sequence_number,
            error.error_code.as_utf8_or_hex()
        ),
        other => format!("{other:?}"),
    }
}

fn starts(min_ntime: Option<u32>) -> String {
    min_ntime.map_or_else(|| "waits".to_owned(), |ntime| format!("starts at {ntime}"))
}
