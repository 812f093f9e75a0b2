//! A pool that opens, judges and answers and does nothing else: it stores nothing, remembers
//! nothing and bounds nothing, so no pool can be cheaper.

use super::{FleetError, link::Link};
use anyhow::Context as _;
use mining::{Identity, Network, Payee, ShareFields, Target, TipWork, WorkTemplate, judge};
use std::{net::Ipv4Addr, sync::Arc};
use stratum_core::{
    binary_sv2::Sv2OptionOwned,
    common_messages_sv2::SetupConnectionSuccess,
    framing_sv2::header::Header,
    mining_sv2::{
        NewExtendedMiningJobOwned, OpenExtendedMiningChannelSuccessOwned, SetNewPrevHashOwned,
        SubmitSharesExtended, SubmitSharesSuccess,
    },
    parsers_sv2::{
        AnyMessage, AnyMessageOwned, CommonMessages, CommonMessagesOwned, Mining, MiningOwned,
    },
};
use stratum_v2::{Endpoint, client::ClientError};
use subjects::{
    Exponent,
    shares::JobKind,
    templates::{New, Tip},
};
use tokio::{
    net::{TcpListener, TcpStream},
    runtime::Builder,
    sync::oneshot,
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

/// The authority's key, that of SRI's documentation: nobody has to be kept away.
const SECRET: &str = "mkDLTBBRxdBv998612qipDYoTK3YUrqLe8uWw7gu3iXbSrn2n";
/// The only channel of each connection, and its only job.
const CHANNEL: u32 = 2;
const JOB: u32 = 1;
const PREFIX: [u8; 7] = [0, 1, 2, 3, 4, 5, 6];
/// Whose shares they are.
const MINER: &str = "tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx";

/// The pool, on a thread of its own. It ends with the value.
#[derive(Debug)]
pub struct BarePool {
    /// Where it is.
    pub endpoint: Endpoint,
    /// The kernel's id of its thread.
    pub thread: i32,
    stop: CancellationToken,
    served: JoinSet<anyhow::Result<()>>,
}

struct Desk {
    template: WorkTemplate,
    tip: TipWork,
    payee: Payee,
}

impl BarePool {
    /// Starts it with one template on one tip, at the easiest target.
    ///
    /// # Errors
    ///
    /// When they cannot be mined on, or there is no thread or port for it.
    pub async fn start(template: &New, tip: &Tip) -> anyhow::Result<Self> {
        let miner = Identity::parse(MINER, Network::Signet)?;
        let desk = Arc::new(Desk {
            template: WorkTemplate::new(template.id(), template)?,
            tip: TipWork::new(tip)?,
            payee: *miner.payee(),
        });
        let stop = CancellationToken::new();
        let (told, hear) = oneshot::channel();
        let mut served = JoinSet::new();
        let until = stop.clone();
        served.spawn_blocking(move || {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            let thread = rustix::thread::gettid().as_raw_nonzero().get();
            runtime.block_on(listen(desk, told, thread, until))
        });
        let (port, thread) = hear.await.context("the bare pool does not start")?;
        let secret: key_utils::Secp256k1SecretKey =
            SECRET.parse().map_err(|error| anyhow::anyhow!("{error:?}"))?;
        let public = key_utils::Secp256k1PublicKey::from(secret);
        let endpoint = format!("stratum2+tcp://127.0.0.1:{port}/{public}").parse()?;
        Ok(Self { endpoint, thread, stop, served })
    }

    /// Ends it.
    ///
    /// # Errors
    ///
    /// When it could not serve.
    pub async fn end(mut self) -> anyhow::Result<()> {
        self.stop.cancel();
        while let Some(ended) = self.served.join_next().await {
            ended.context("the bare pool died")??;
        }
        Ok(())
    }
}

impl Drop for BarePool {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn listen(
    desk: Arc<Desk>,
    told: oneshot::Sender<(u16, i32)>,
    thread: i32,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let port = listener.local_addr()?.port();
    told.send((port, thread)).ok().context("nobody waits for the bare pool")?;
    let mut sessions = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                sessions.spawn(serve(accepted?.0, Arc::clone(&desk)));
            }
            Some(_) = sessions.join_next() => {}
            () = stop.cancelled() => return Ok(()),
        }
    }
}

async fn serve(stream: TcpStream, desk: Arc<Desk>) -> Result<(), FleetError> {
    let mut link = Link::accept(stream, SECRET).await?;
    loop {
        link.readable().await;
        link.receive()?;
        let (mut answers, mut good, mut last) = (Vec::new(), 0, 0);
        while let Some((header, payload)) = link.next()? {
            match desk.take(header, payload)? {
                Taken::Share(sequence) => (good, last) = (good + 1, sequence),
                Taken::Said(said) => answers.extend(said),
            }
        }
        if good > 0 {
            answers.push(stored(good, last));
        }
        for answer in answers {
            link.say(answer)?;
        }
        link.flush().await?;
    }
}

enum Taken {
    /// A share that is good.
    Share(u32),
    /// Something that is answered with these.
    Said(Vec<AnyMessageOwned>),
}

fn stored(count: u32, last: u32) -> AnyMessageOwned {
    AnyMessageOwned::Mining(MiningOwned::SubmitSharesSuccess(SubmitSharesSuccess {
        channel_id: CHANNEL,
        last_sequence_number: last,
        new_submits_accepted_count: count,
        new_shares_sum: 0,
    }))
}

impl Desk {
    #[expect(clippy::wildcard_enum_match_arm, reason = "a fleet says nothing else")]
    fn take(&self, header: Header, payload: &mut [u8]) -> Result<Taken, FleetError> {
        let unreadable = |error| ClientError::Message(format!("{error:?}"));
        match AnyMessage::try_from((header, payload)).map_err(unreadable)? {
            AnyMessage::Mining(Mining::SubmitSharesExtended(share)) => self.judge(&share),
            AnyMessage::Common(CommonMessages::SetupConnection(_)) => {
                let success = SetupConnectionSuccess { used_version: 2, flags: 0 };
                let success = CommonMessagesOwned::SetupConnectionSuccess(success);
                Ok(Taken::Said(vec![AnyMessageOwned::Common(success)]))
            }
            AnyMessage::Mining(Mining::OpenExtendedMiningChannel(open)) => {
                Ok(Taken::Said(self.opened(open.request_id)?))
            }
            other => Err(ClientError::Unexpected(other.to_string()).into()),
        }
    }

    fn judge(&self, share: &SubmitSharesExtended<'_>) -> Result<Taken, FleetError> {
        let job = mining::Job {
            kind: JobKind::Extended,
            exponent: Exponent::MIN,
            extranonce_prefix: &PREFIX,
            extranonce_length: mining::SV2_EXTRANONCE_LENGTH,
            payee: &self.payee,
            version_mask: self.template.version_mask(),
        };
        let (ntime, nonce, version) = (share.ntime, share.nonce, share.version);
        let fields = ShareFields { extranonce: share.extranonce.as_ref(), ntime, nonce, version };
        judge(&self.template, &self.tip, &job, &fields)
            .map_err(|reason| ClientError::Refused(reason.code().to_owned()))?;
        Ok(Taken::Share(share.sequence_number))
    }

    fn opened(&self, request_id: u32) -> Result<Vec<AnyMessageOwned>, FleetError> {
        let too_long = |_| ClientError::Field("of a job".to_owned());
        let length = mining::SV2_EXTRANONCE_LENGTH;
        let (mut before, mut after) = (Vec::new(), Vec::new());
        let _written = self.template.write_coinbase_prefix(&mut before, Exponent::MIN, length);
        self.template.write_coinbase_suffix(&mut after, &self.payee);
        let path: Vec<_> = self.template.merkle_path().iter().map(|node| (*node).into()).collect();
        let messages = [
            MiningOwned::OpenExtendedMiningChannelSuccess(OpenExtendedMiningChannelSuccessOwned {
                request_id,
                channel_id: CHANNEL,
                target: Target::of(Exponent::MIN).to_le_bytes().into(),
                extranonce_size: mining::SV2_ROLLED_LENGTH.into(),
                extranonce_prefix: PREFIX.to_vec().try_into().map_err(too_long)?,
                group_channel_id: 1,
            }),
            MiningOwned::NewExtendedMiningJob(NewExtendedMiningJobOwned {
                channel_id: CHANNEL,
                job_id: JOB,
                min_ntime: Sv2OptionOwned::new(None),
                version: self.template.version(),
                version_rolling_allowed: true,
                merkle_path: path.try_into().map_err(too_long)?,
                coinbase_tx_prefix: before.try_into().map_err(too_long)?,
                coinbase_tx_suffix: after.try_into().map_err(too_long)?,
            }),
            MiningOwned::SetNewPrevHash(SetNewPrevHashOwned {
                channel_id: CHANNEL,
                job_id: JOB,
                prev_hash: self.tip.prevhash().0.into(),
                min_ntime: self.tip.min_ntime(),
                nbits: self.tip.nbits(),
            }),
        ];
        Ok(messages.into_iter().map(AnyMessageOwned::Mining).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        bench::own_chain,
        fleet::{Fleet, Pace, Plan, Pool},
    };
    use std::time::Duration;

    const PATIENCE: Duration = Duration::from_secs(30);

    #[tokio::test]
    async fn a_fleet_is_answered_for_every_share_and_not_more() {
        let template =
            own_chain::template(1, subjects::Timestamp(1), 100, Some(own_chain::TIP)).unwrap();
        let tip = own_chain::tip(&template, own_chain::TIP, 1_700_000_000);
        let pool = BarePool::start(&template, &tip).await.unwrap();
        let pool_of_it = Pool::V2(pool.endpoint.clone());
        let plan = Plan { at_once: 2, ..Plan::new(pool_of_it, 3, MINER) };
        let mut fleet = Fleet::open(&plan).await.unwrap();
        fleet.pace(Pace::Window(5));
        fleet.until("answered", PATIENCE, |tally| tally.acknowledged() >= 1_000).await.unwrap();
        fleet.work(Pace::Idle, Duration::ZERO, PATIENCE).await.unwrap();
        let tally = fleet.tally();
        assert_eq!((tally.refused(), tally.unanswered()), (0, 0));
        assert_eq!(tally.latencies.count(), tally.acknowledged());
        fleet.close().await.unwrap();
        pool.end().await.unwrap();
    }
}
