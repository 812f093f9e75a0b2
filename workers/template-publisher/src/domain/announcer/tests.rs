use super::*;
use crate::domain::template::Frame;
use proptest::prelude::*;
use std::collections::BTreeMap;
use subjects::{HexBytes, Timestamp, templates::CoinbaseRule};

const SECOND: Duration = Duration::from_secs(1);

fn frame() -> Frame {
    Frame {
        provider: "core-a".parse().unwrap(),
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

fn announcer() -> Announcer {
    Announcer::new(frame(), Refresh { fee_gain_sats: 1_000, max_age: 30 * SECOND })
}

fn tip(height: u32, fork: u8) -> TipFacts {
    let mut prevhash = [fork; 32];
    prevhash[..4].copy_from_slice(&height.to_le_bytes());
    let prevhash = BlockHash(prevhash);
    TipFacts { prevhash, height, nbits: 0x1e03_77ae, min_ntime: 1_000 + height }
}

fn made(facts: TipFacts, fees_sats: u64) -> Arc<BlockTemplate> {
    Arc::new(BlockTemplate {
        version: 0x2000_0000,
        rules: vec!["!segwit".to_owned(), "!signet".to_owned()],
        required_version_bits: 0,
        prevhash: facts.prevhash,
        transactions: vec![bitcoind_rpc::TemplateTransaction {
            data: String::new(),
            txid: [1; 32],
            wtxid: [2; 32],
            fee: Some(i64::try_from(fees_sats).unwrap()),
        }],
        coinbase_value: 5_000_000_000 + fees_sats,
        longpoll_id: String::new(),
        min_ntime: facts.min_ntime,
        nbits: facts.nbits,
        height: facts.height,
        witness_commitment: None,
    })
}

fn store(announcer: &mut Announcer, now: Duration, made: &Arc<BlockTemplate>) -> Vec<Said> {
    let Offer::Store(candidate) = announcer.hear_template(now, made) else {
        panic!("the template is needed")
    };
    announcer.hear_stored(now, *candidate)
}

fn kinds(said: &[Said]) -> String {
    let kind = |one: &Said| match one {
        Said::Empty(new) if new.prevhash.is_none() => "prepared",
        Said::Empty(_) => "empty",
        Said::Full(_) => "full",
        Said::Tip(_) => "tip",
    };
    said.iter().map(kind).collect::<Vec<_>>().join(" ")
}

#[test]
fn the_first_tip_brings_its_own_template_and_the_next_one_finds_it_prepared() {
    let mut announcer = announcer();
    assert_eq!(kinds(&announcer.hear_tip(tip(105, 0))), "empty tip prepared");
    assert_eq!(kinds(&announcer.hear_tip(tip(105, 0))), "");
    assert_eq!(kinds(&announcer.hear_tip(tip(106, 0))), "tip prepared");
    assert_eq!(kinds(&announcer.hear_tip(tip(107, 0))), "tip prepared");
}

#[test]
fn a_tip_of_another_height_gets_an_empty_template_of_its_own() {
    let mut announcer = announcer();
    drop(announcer.hear_tip(tip(105, 0)));
    // A sibling of the last block: the prepared template is one too high, and kept.
    assert_eq!(kinds(&announcer.hear_tip(tip(105, 1))), "empty tip");
    assert_eq!(kinds(&announcer.hear_tip(tip(106, 1))), "tip prepared");
    // Two blocks at once.
    assert_eq!(kinds(&announcer.hear_tip(tip(108, 1))), "empty tip prepared");
    // Back by three.
    assert_eq!(kinds(&announcer.hear_tip(tip(105, 2))), "empty tip prepared");
}

#[test]
fn a_template_for_another_tip_is_left_alone() {
    let mut announcer = announcer();
    let early = announcer.hear_template(SECOND, &made(tip(105, 0), 0));
    assert!(matches!(early, Offer::OtherTip));
    drop(announcer.hear_tip(tip(106, 0)));
    for other in [tip(105, 0), tip(106, 1), tip(107, 0)] {
        assert!(matches!(announcer.hear_template(SECOND, &made(other, 0)), Offer::OtherTip));
    }
}

#[test]
fn a_template_is_replaced_for_its_fees_or_its_age() {
    let mut announcer = announcer();
    let facts = tip(105, 0);
    drop(announcer.hear_tip(facts));
    assert_eq!(kinds(&store(&mut announcer, SECOND, &made(facts, 5_000))), "full");
    let little = announcer.hear_template(2 * SECOND, &made(facts, 5_999));
    assert!(matches!(little, Offer::Unneeded));
    let loss = announcer.hear_template(2 * SECOND, &made(facts, 0));
    assert!(matches!(loss, Offer::Unneeded));
    assert_eq!(kinds(&store(&mut announcer, 3 * SECOND, &made(facts, 6_000))), "full");
    let young = announcer.hear_template(32 * SECOND, &made(facts, 6_000));
    assert!(matches!(young, Offer::Unneeded));
    assert_eq!(kinds(&store(&mut announcer, 33 * SECOND, &made(facts, 10))), "full");
}

#[test]
fn a_template_whose_tip_went_while_it_was_stored_is_not_said() {
    let mut announcer = announcer();
    drop(announcer.hear_tip(tip(105, 0)));
    let Offer::Store(late) = announcer.hear_template(SECOND, &made(tip(105, 0), 7)) else {
        panic!("the first template of a tip is needed")
    };
    drop(announcer.hear_tip(tip(106, 0)));
    assert_eq!(kinds(&announcer.hear_stored(SECOND, *late)), "");
    assert_eq!(kinds(&store(&mut announcer, SECOND, &made(tip(106, 0), 0))), "full");
}

#[test]
fn a_refused_template_says_nothing_and_uses_no_number() {
    let mut announcer = announcer();
    drop(announcer.hear_tip(tip(105, 0)));
    let mut wrong = BlockTemplate::clone(&made(tip(105, 0), 0));
    wrong.rules.push("!blake2b".to_owned());
    let offer = announcer.hear_template(SECOND, &Arc::new(wrong));
    assert!(matches!(offer, Offer::Refused(TemplateRefusal::UnknownRule(_))));
    let said = store(&mut announcer, SECOND, &made(tip(105, 0), 0));
    assert!(matches!(said.as_slice(), [Said::Full(new)] if new.template == 3));
}

#[test]
fn a_target_that_depends_on_the_time_is_said_again() {
    let mut announcer = announcer();
    let facts = tip(105, 0);
    drop(announcer.hear_tip(facts));
    let easier = TipFacts { nbits: 0x1d00_ffff, ..facts };
    let said = store(&mut announcer, SECOND, &made(easier, 0));
    assert_eq!(kinds(&said), "full tip");
    let (Said::Full(new), Said::Tip(tip)) = (&said[0], &said[1]) else { panic!() };
    assert_eq!((tip.nbits, tip.template), (0x1d00_ffff, new.id()));
    assert_eq!(kinds(&store(&mut announcer, 31 * SECOND, &made(easier, 0))), "full");
}

#[test]
fn after_a_restart_all_is_said_again_under_new_numbers() {
    let mut announcer = announcer();
    let first = announcer.hear_tip(tip(105, 0));
    announcer.restart();
    let again = announcer.hear_tip(tip(105, 0));
    assert_eq!(kinds(&again), "empty tip prepared");
    let ids = |said: &[Said]| -> Vec<String> {
        said.iter().map(|one| one.publication().message.id).collect()
    };
    assert!(ids(&first).iter().all(|id| !ids(&again).contains(id)));
}

#[derive(Clone, Debug)]
enum Event {
    Tip { height: u32, fork: u8 },
    Template { height: u32, fork: u8, fees: u64, later: u8 },
    Stored,
    Restart,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        3 => (100_u32..106, 0_u8..3).prop_map(|(height, fork)| Event::Tip { height, fork }),
        3 => (100_u32..106, 0_u8..3, 0_u64..5_000, 0_u8..40).prop_map(
            |(height, fork, fees, later)| Event::Template { height, fork, fees, later }
        ),
        3 => Just(Event::Stored),
        1 => Just(Event::Restart),
    ];
    prop::collection::vec(event, 1..60)
}

/// What a reader of the stream must be able to rely on, whatever order ZMQ, RPC and the object
/// store came in.
#[derive(Default)]
struct Reader {
    templates: BTreeMap<TemplateId, New>,
    tip: Option<Tip>,
    ids: std::collections::BTreeSet<String>,
}

impl Reader {
    fn hear(&mut self, said: &Said) -> Result<(), TestCaseError> {
        let message = said.publication().message;
        prop_assert!(self.ids.insert(message.id.clone()), "{} was said twice", message.id);
        match said {
            Said::Empty(new) => {
                prop_assert!(new.merkle_path.is_empty() && new.fees.to_u64() == 0);
                self.templates.insert(new.id(), new.clone());
            }
            Said::Full(new) => {
                let tip = self.tip.as_ref().expect("a tip came before");
                prop_assert_eq!(new.prevhash, Some(tip.prevhash));
                prop_assert_eq!(new.height, tip.height);
                self.templates.insert(new.id(), new.clone());
            }
            Said::Tip(tip) => {
                let template = self.templates.get(&tip.template);
                prop_assert!(template.is_some(), "the tip activates an unknown template");
                let template = template.unwrap();
                prop_assert_eq!(template.height, tip.height);
                prop_assert!(template.prevhash.is_none_or(|prevhash| prevhash == tip.prevhash));
                self.tip = Some(tip.clone());
            }
        }
        Ok(())
    }
}

proptest! {
    #[test]
    fn in_every_order_of_events_a_tip_follows_the_template_that_it_activates(events in events()) {
        let mut announcer = announcer();
        let mut reader = Reader::default();
        let mut storing: Vec<Candidate> = Vec::new();
        let mut now = Duration::ZERO;
        let mut last = None;
        for event in events {
            let said = match event {
                Event::Tip { height, fork } => {
                    last = Some(tip(height, fork));
                    announcer.hear_tip(tip(height, fork))
                }
                Event::Template { height, fork, fees, later } => {
                    now += SECOND * u32::from(later);
                    let offer = announcer.hear_template(now, &made(tip(height, fork), fees));
                    if let Offer::Store(candidate) = offer {
                        storing.push(*candidate);
                    }
                    Vec::new()
                }
                Event::Stored => match storing.pop() {
                    Some(candidate) => announcer.hear_stored(now, candidate),
                    None => Vec::new(),
                },
                Event::Restart => {
                    announcer.restart();
                    last = None;
                    Vec::new()
                }
            };
            for one in &said {
                reader.hear(one)?;
            }
            // What was heard last is what miners work on.
            if let Some(last) = last {
                prop_assert_eq!(reader.tip.as_ref().map(|tip| tip.prevhash), Some(last.prevhash));
                prop_assert_eq!(reader.tip.as_ref().map(|tip| tip.min_ntime), Some(last.min_ntime));
            }
        }
    }
}
