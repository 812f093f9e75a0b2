//! Whether a bitcoind may be believed: is it on our chain, and will it stay there?

use crate::{Chain, Deployments, NodeState};
use serde::{Deserialize, Serialize};
use subjects::{BlockHash, HexBytes};

/// Consensus changes that our blocks obey, by the names of `getdeploymentinfo`.
const KNOWN_DEPLOYMENTS: [&str; 7] =
    ["bip34", "bip65", "bip66", "csv", "segwit", "taproot", "testdummy"];

/// The change of the proof of work that Bitcoin Knots schedules on some chains: from there on its
/// chain is not the one that SHA-256d miners extend.
const OTHER_PROOF_OF_WORK: &str = "blake2b";

/// A block that must be on the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    /// Its height.
    pub height: u32,
    /// Its hash.
    pub hash: BlockHash,
}

/// The chain that we mine on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expectation {
    /// Its name.
    pub chain: Chain,
    /// The challenge of a signet.
    pub signet_challenge: Option<HexBytes>,
    /// A block that must be on it.
    pub checkpoint: Option<Checkpoint>,
}

/// What a node says about the chain that it follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Its block of height 0.
    pub genesis: Option<BlockHash>,
    /// Its block at the checkpoint's height, if it is that far.
    pub at_checkpoint: Option<BlockHash>,
    /// The consensus changes that it knows of.
    pub deployments: Deployments,
}

/// Why nothing that a node says may be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NodeRefusal {
    /// It follows another chain.
    #[error("it follows the chain `{found}`, we mine on `{expected}`: check its `chain` setting")]
    OtherChain {
        /// Ours.
        expected: Chain,
        /// Its.
        found: String,
    },
    /// Another signet.
    #[error("its signet challenge is another one: check its `signetchallenge` setting")]
    OtherChallenge,
    /// The chain's first block is another one.
    #[error("its first block is not that of the chain `{chain}`")]
    OtherGenesis {
        /// Ours.
        chain: Chain,
    },
    /// The checkpoint is not on its chain.
    #[error("its block at height {height} is not the checkpoint")]
    OtherCheckpoint {
        /// The checkpoint's height.
        height: u32,
    },
    /// It is not yet at the checkpoint.
    #[error("it has not reached the checkpoint at height {height} yet")]
    BelowCheckpoint {
        /// The checkpoint's height.
        height: u32,
    },
    /// It follows, or will follow, a chain with another proof of work.
    #[error(
        "it changes the proof of work to {name} at height {height}: its chain is not the one that \
         SHA-256d miners extend"
    )]
    OtherProofOfWork {
        /// The change's name.
        name: &'static str,
        /// From which height on.
        height: i64,
    },
    /// It enforces, or will enforce, rules that we do not know.
    #[error("it enforces the unknown consensus change `{name}` from height {height}")]
    UnknownDeployment {
        /// The change's name.
        name: String,
        /// From which height on.
        height: i64,
    },
    /// It is still downloading the chain.
    #[error("it is in initial block download at height {height}")]
    InitialBlockDownload {
        /// Where it is.
        height: u32,
    },
}

impl NodeRefusal {
    /// A short name for a metric's label.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::OtherChain { .. } => "other-chain",
            Self::OtherChallenge => "other-challenge",
            Self::OtherGenesis { .. } => "other-genesis",
            Self::OtherCheckpoint { .. } => "other-checkpoint",
            Self::BelowCheckpoint { .. } => "below-checkpoint",
            Self::OtherProofOfWork { .. } => "other-proof-of-work",
            Self::UnknownDeployment { .. } => "unknown-deployment",
            Self::InitialBlockDownload { .. } => "initial-block-download",
        }
    }
}

impl Expectation {
    /// Judges what does not change while a node runs.
    ///
    /// # Errors
    ///
    /// The first [`NodeRefusal`] that applies.
    pub fn check_identity(&self, identity: &Identity) -> Result<(), NodeRefusal> {
        if identity.genesis != Some(self.chain.genesis()) {
            return Err(NodeRefusal::OtherGenesis { chain: self.chain });
        }
        self.check_checkpoint(identity.at_checkpoint)?;
        self.check_deployments(&identity.deployments)
    }

    /// Judges where the node stands.
    ///
    /// # Errors
    ///
    /// The first [`NodeRefusal`] that applies.
    pub fn check_state(&self, state: &NodeState) -> Result<(), NodeRefusal> {
        if state.chain != self.chain.name() {
            let found = state.chain.chars().take(32).collect();
            return Err(NodeRefusal::OtherChain { expected: self.chain, found });
        }
        if state.signet_challenge != self.signet_challenge {
            return Err(NodeRefusal::OtherChallenge);
        }
        if state.initial_block_download {
            return Err(NodeRefusal::InitialBlockDownload { height: state.blocks });
        }
        Ok(())
    }

    fn check_checkpoint(&self, found: Option<BlockHash>) -> Result<(), NodeRefusal> {
        let Some(Checkpoint { height, hash }) = self.checkpoint else { return Ok(()) };
        match found {
            Some(found) if found == hash => Ok(()),
            Some(_) => Err(NodeRefusal::OtherCheckpoint { height }),
            None => Err(NodeRefusal::BelowCheckpoint { height }),
        }
    }

    /// Changes that miners signal for (BIP 9) are left to the template's own rules; all others are
    /// set in the node's program, and those that we do not know make its chain another one.
    fn check_deployments(&self, Deployments(known): &Deployments) -> Result<(), NodeRefusal> {
        if self.chain == Chain::Regtest {
            return Ok(());
        }
        for (name, deployment) in known {
            let ahead = deployment.active || deployment.height.is_some();
            let height = deployment.height.unwrap_or_default();
            if name == OTHER_PROOF_OF_WORK && ahead {
                return Err(NodeRefusal::OtherProofOfWork { name: OTHER_PROOF_OF_WORK, height });
            }
            let ours = KNOWN_DEPLOYMENTS.contains(&name.as_str()) || deployment.kind == "bip9";
            if ahead && !ours {
                return Err(NodeRefusal::UnknownDeployment { name: name.clone(), height });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Deployment;

    fn signet() -> Expectation {
        let signet_challenge = Some(HexBytes(vec![0x51]));
        Expectation { chain: Chain::Signet, signet_challenge, checkpoint: None }
    }

    fn identity(chain: Chain) -> Identity {
        let genesis = Some(chain.genesis());
        Identity { genesis, at_checkpoint: None, deployments: Deployments::default() }
    }

    fn with(name: &str, deployment: Deployment) -> Identity {
        let mut identity = identity(Chain::Signet);
        identity.deployments.0.insert(name.to_owned(), deployment);
        identity
    }

    fn state() -> NodeState {
        NodeState {
            chain: "signet".to_owned(),
            blocks: 104,
            headers: 104,
            best: BlockHash([1; 32]),
            time: 1_795_265_547,
            median_time: 1_795_265_540,
            initial_block_download: false,
            signet_challenge: Some(HexBytes(vec![0x51])),
            next_nbits: 0x1e03_77ae,
            mempool_transactions: 0,
        }
    }

    #[test]
    fn a_node_on_our_chain_is_taken() {
        assert_eq!(signet().check_identity(&identity(Chain::Signet)), Ok(()));
        assert_eq!(signet().check_state(&state()), Ok(()));
    }

    #[test]
    fn another_chain_is_refused_by_each_of_its_marks() {
        let other = NodeState { chain: "regtest".to_owned(), ..state() };
        let refusal = signet().check_state(&other).unwrap_err();
        assert_eq!(refusal.reason(), "other-chain");
        for challenge in [None, Some(HexBytes(vec![0x52]))] {
            let other = NodeState { signet_challenge: challenge, ..state() };
            assert_eq!(signet().check_state(&other), Err(NodeRefusal::OtherChallenge));
        }
        let refusal = NodeRefusal::OtherGenesis { chain: Chain::Signet };
        assert_eq!(signet().check_identity(&identity(Chain::Main)), Err(refusal.clone()));
        let unknown = Identity { genesis: None, ..identity(Chain::Signet) };
        assert_eq!(signet().check_identity(&unknown), Err(refusal));
    }

    #[test]
    fn the_checkpoint_must_be_on_the_chain() {
        let checkpoint = Some(Checkpoint { height: 7, hash: BlockHash([7; 32]) });
        let expected = Expectation { checkpoint, ..signet() };
        let at = |at_checkpoint| Identity { at_checkpoint, ..identity(Chain::Signet) };
        assert_eq!(expected.check_identity(&at(Some(BlockHash([7; 32])))), Ok(()));
        let other = expected.check_identity(&at(Some(BlockHash([8; 32]))));
        assert_eq!(other, Err(NodeRefusal::OtherCheckpoint { height: 7 }));
        let below = expected.check_identity(&at(None));
        assert_eq!(below, Err(NodeRefusal::BelowCheckpoint { height: 7 }));
    }

    #[test]
    fn a_node_in_initial_download_is_refused() {
        let syncing = NodeState { initial_block_download: true, ..state() };
        let refusal = NodeRefusal::InitialBlockDownload { height: 104 };
        assert_eq!(signet().check_state(&syncing), Err(refusal));
    }

    #[test]
    fn knots_on_the_main_chain_is_refused_for_its_proof_of_work() {
        let text = include_str!("../tests/fixtures/deployments-knots-main.json");
        let deployments = serde_json::from_str(text).unwrap();
        let main = Expectation { chain: Chain::Main, signet_challenge: None, checkpoint: None };
        let knots = Identity { deployments, ..identity(Chain::Main) };
        let refusal = NodeRefusal::OtherProofOfWork { name: "blake2b", height: 961_640 };
        assert_eq!(main.check_identity(&knots), Err(refusal));
    }

    #[test]
    fn unknown_rules_of_a_node_are_refused_whether_active_or_ahead() {
        let flagday = |active, height| Deployment { kind: "flagday".to_owned(), active, height };
        for deployment in [flagday(true, None), flagday(false, Some(961_640))] {
            let refusal = signet().check_identity(&with("reduced_data", deployment)).unwrap_err();
            assert_eq!(refusal.reason(), "unknown-deployment");
        }
        let idle = with("reduced_data", flagday(false, None));
        assert_eq!(signet().check_identity(&idle), Ok(()));
        let signalled = Deployment { kind: "bip9".to_owned(), active: true, height: Some(0) };
        assert_eq!(signet().check_identity(&with("covenant", signalled)), Ok(()));
        let buried = Deployment { kind: "buried".to_owned(), active: true, height: Some(1) };
        assert_eq!(signet().check_identity(&with("segwit", buried)), Ok(()));
    }

    #[test]
    fn on_regtest_any_deployment_goes() {
        let regtest =
            Expectation { chain: Chain::Regtest, signet_challenge: None, checkpoint: None };
        let active = Deployment { kind: String::new(), active: true, height: Some(1) };
        let mut identity = identity(Chain::Regtest);
        identity.deployments.0.insert("blake2b".to_owned(), active);
        assert_eq!(regtest.check_identity(&identity), Ok(()));
    }
}
