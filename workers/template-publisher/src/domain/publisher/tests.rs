use super::*;
use crate::domain::selection::Standing;
use bitcoind_rpc::NodeState;
use proptest::prelude::*;
use std::collections::BTreeMap;
use subjects::{
    BlockHash, HexBytes, TemplateId, Timestamp,
    templates::{CoinbaseRule, New},
};

const SECOND: Duration = Duration::from_secs(1);

fn frame(provider: &str) -> Frame {
    Frame {
        provider: provider.parse().unwrap(),
        session: Timestamp(1),
        chain: Chain::Signet,
        rule: CoinbaseRule {
            rules_version: mining::RULES_VERSION,
            treasury_script: HexBytes(vec![0x51]),
            tag: "t".to_owned(),
            version_mask: mining::VERSION_MASK,
        },
    }
}

fn publisher() -> Publisher {
    let patience =
        Patience { unreachable: 10 * SECOND, behind: 20 * SECOND, recovered: 60 * SECOND };
    let refresh = Refresh { fee_gain_sats: 1_000, max_age: 30 * SECOND };
    let frames = vec![frame("core-a"), frame("core-b")];
    Publisher::new(Chain::Signet, frames, refresh, patience, Duration::ZERO)
}

fn hash(height: u32) -> BlockHash {
    let mut hash = [0; 32];
    hash[..4].copy_from_slice(&height.to_le_bytes());
    BlockHash(hash)
}

fn view(now: Duration, blocks: u32) -> View {
    let state = NodeState {
        chain: "signet".to_owned(),
        blocks,
        headers: blocks,
        best: hash(blocks),
        time: 2_000,
        median_time: 1_000,
        initial_block_download: false,
        signet_challenge: None,
        next_nbits: 0x1e03_77ae,
        mempool_transactions: 0,
    };
    View { standing: Standing::Good, state: Some(state), answered_at: now, ..View::default() }
}

fn template(on: u32) -> Arc<BlockTemplate> {
    Arc::new(BlockTemplate {
        version: 0x2000_0000,
        rules: Vec::new(),
        required_version_bits: 0,
        prevhash: hash(on),
        transactions: Vec::new(),
        coinbase_value: 5_000_000_000,
        longpoll_id: String::new(),
        min_ntime: 1_001,
        nbits: 0x1e03_77ae,
        height: on + 1,
        witness_commitment: None,
    })
}

fn providers(said: &[Said]) -> Vec<&str> {
    said.iter()
        .map(|one| match one {
            Said::Empty(new) | Said::Full(new) => new.provider.as_str(),
            Said::Tip(tip) => tip.provider.as_str(),
        })
        .collect()
}

#[test]
fn only_the_followed_one_is_published_and_the_other_takes_over_whole() {
    let mut publisher = publisher();
    let views = [view(SECOND, 104), view(SECOND, 104)];
    let next = publisher.look(SECOND, &views);
    assert_eq!(next.switched, Some(Some(0)));
    assert_eq!(providers(&next.say), ["core-a"; 3]);

    let later = 12 * SECOND;
    let dead = View { standing: Standing::Failed("gone".to_owned()), ..view(SECOND, 104) };
    let next = publisher.look(later, &[dead, view(later, 104)]);
    assert_eq!(next.switched, Some(Some(1)));
    assert_eq!(providers(&next.say), ["core-b"; 3]);
    assert!(matches!(next.say.as_slice(), [Said::Empty(_), Said::Tip(_), Said::Empty(_)]));

    let back = 80 * SECOND;
    let both = [view(13 * SECOND, 104), view(13 * SECOND, 104)];
    assert!(publisher.look(13 * SECOND, &both).say.is_empty());
    let next = publisher.look(back, &[view(back, 104), view(back, 104)]);
    assert_eq!(providers(&next.say), ["core-a"; 3], "the same tip, said again");
}

#[test]
fn a_template_is_offered_once_and_the_next_one_again_if_it_could_not_be_stored() {
    let mut publisher = publisher();
    let mut views = [view(SECOND, 104), view(SECOND, 104)];
    views[0].template = Some(template(104));
    assert!(publisher.look(SECOND, &views).store.is_some());
    assert!(publisher.look(SECOND, &views).store.is_none());
    views[0].template = Some(template(104));
    let again = publisher.look(SECOND, &views).store;
    assert_eq!(publisher.stored(SECOND, *again.unwrap()).len(), 1);
    views[0].template = Some(template(104));
    assert!(publisher.look(SECOND, &views).store.is_none());
}

#[test]
fn a_template_that_is_ahead_of_its_state_waits_for_it() {
    let mut publisher = publisher();
    let mut views = [view(SECOND, 104), view(SECOND, 104)];
    views[0].template = Some(template(105));
    assert!(publisher.look(SECOND, &views).store.is_none());
    views[0].state = view(SECOND, 105).state;
    let next = publisher.look(SECOND, &views);
    assert!(next.store.is_some() && next.say.len() == 2);
}

#[test]
fn what_was_stored_for_one_that_is_no_longer_followed_is_not_said() {
    let mut publisher = publisher();
    let mut views = [view(SECOND, 104), view(SECOND, 104)];
    views[0].template = Some(template(104));
    let candidate = publisher.look(SECOND, &views).store.unwrap();
    let later = 12 * SECOND;
    drop(publisher.look(later, &[view(SECOND, 104), view(later, 104)]));
    assert_eq!(publisher.active(), Some(1));
    assert!(publisher.stored(later, *candidate).is_empty());
}

#[test]
fn a_refused_template_is_reported_once() {
    let mut publisher = publisher();
    let mut views = [view(SECOND, 104), view(SECOND, 104)];
    let wrong = BlockTemplate { rules: vec!["!blake2b".to_owned()], ..(*template(104)).clone() };
    views[0].template = Some(Arc::new(wrong));
    assert!(publisher.look(SECOND, &views).refused.is_some());
    assert!(publisher.look(SECOND, &views).refused.is_none());
}

proptest! {
    /// Two nodes that advance, fail and come back in any order: every tip in the stream activates
    /// a template of its own provider and height that stands before it, and every full template
    /// builds on the tip before it.
    #[test]
    fn the_stream_makes_sense_whoever_is_followed(
        steps in prop::collection::vec((0_usize..2, 0_u8..5, 0_u32..8, any::<bool>()), 1..80),
    ) {
        let mut publisher = publisher();
        let mut views = [view(Duration::ZERO, 100), view(Duration::ZERO, 100)];
        let mut known: BTreeMap<TemplateId, New> = BTreeMap::new();
        let mut tip = None;
        let mut storing = None;
        let mut now = Duration::ZERO;
        for (which, what, seconds, finish) in steps {
            now += SECOND * seconds;
            let blocks = views[which].state.as_ref().map_or(100, |state| state.blocks);
            match what {
                0 => views[which] = View { template: views[which].template.clone(), ..view(now, blocks + 1) },
                1 => views[which] = View { template: views[which].template.clone(), ..view(now, blocks) },
                2 => views[which].standing = Standing::Failed(String::new()),
                3 => views[which].template = Some(template(blocks)),
                _ => views[which] = View { template: None, ..view(now, blocks - 1) },
            }
            let next = publisher.look(now, &views);
            let mut said = next.say;
            storing = next.store.or(storing);
            if finish && let Some(candidate) = storing.take() {
                said.extend(publisher.stored(now, *candidate));
            }
            for one in said {
                match one {
                    Said::Empty(new) => drop(known.insert(new.id(), new)),
                    Said::Full(new) => {
                        prop_assert_eq!(&tip, &new.prevhash.map(|prevhash| (prevhash, new.provider.clone())));
                        known.insert(new.id(), new);
                    }
                    Said::Tip(said) => {
                        let template = &known[&said.template];
                        prop_assert_eq!((&template.provider, template.height), (&said.provider, said.height));
                        tip = Some((said.prevhash, said.provider));
                    }
                }
            }
            if let (Some(active), Some(_)) = (publisher.active(), &tip) {
                let state = views[active].state.as_ref().unwrap();
                prop_assert_eq!(tip.as_ref().map(|(prevhash, _)| *prevhash), Some(state.best));
            }
        }
    }
}
