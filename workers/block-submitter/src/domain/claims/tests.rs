use super::*;
use mining::{Identity, Job, ShareFields};
use proptest::prelude::*;
use subjects::{
    Exponent, HexBytes, NodeId, ProviderId, Sats, Timestamp,
    shares::JobKind,
    templates::{CoinbaseRule, Output},
};

/// The easiest target of all: half of all hashes meet it.
const EASY: u32 = 0x207f_ffff;

fn provider(name: &str) -> ProviderId {
    name.parse().unwrap()
}

fn template(number: u64, prevhash: Option<BlockHash>) -> New {
    New {
        provider: provider("core-a"),
        session: Timestamp(1),
        template: number,
        height: 105,
        prevhash,
        subsidy: Sats::new(5_000_000_000).unwrap(),
        fees: Sats::new(10_000).unwrap(),
        version: 0x2000_0000,
        coinbase_prefix: HexBytes(mining::coinbase::bip34_push(105)),
        tx_version: 2,
        input_sequence: u32::try_from(number).unwrap(),
        locktime: 104,
        coinbase_outputs: vec![Output {
            value: Sats::ZERO,
            script: HexBytes([vec![0x6a, 0x24, 0xaa, 0x21, 0xa9, 0xed], vec![0; 32]].concat()),
        }],
        merkle_path: vec![],
        coinbase_rule: CoinbaseRule {
            rules_version: mining::RULES_VERSION,
            treasury_script: HexBytes(vec![0x51]),
            tag: "t".to_owned(),
            version_mask: mining::VERSION_MASK,
        },
    }
}

fn tip(prevhash: BlockHash, nbits: u32, template: TemplateId) -> Tip {
    Tip {
        provider: provider("core-a"),
        session: Timestamp(1),
        prevhash,
        height: 105,
        nbits,
        min_ntime: 1_000,
        template,
    }
}

const PARENT: BlockHash = BlockHash([9; 32]);

/// A claim whose header meets the easy target.
fn claim() -> (New, Tip, Claimed) {
    let new = template(1, Some(PARENT));
    let tip = tip(PARENT, EASY, new.id());
    let claim = solve(&new, &tip);
    (new, tip, claim)
}

fn solve(new: &New, tip: &Tip) -> Claimed {
    let work = WorkTemplate::new(new.id(), new).unwrap();
    let tip_work = TipWork::new(tip).unwrap();
    let address = "tb1q2hk4gcv5ur4vcg5v6vpz5lj32v8m6mwe5exhza";
    let identity = Identity::parse(address, mining::Network::Signet).unwrap();
    let job = Job {
        kind: JobKind::Extended,
        exponent: Exponent::MIN,
        extranonce_prefix: &[0; 7],
        extranonce_length: mining::SV2_EXTRANONCE_LENGTH,
        payee: identity.payee(),
        version_mask: mining::VERSION_MASK,
    };
    let solutions = (0..).map(|nonce| {
        let share = ShareFields { extranonce: &[7; 13], ntime: 1_000, nonce, version: new.version };
        mining::solution(&work, &tip_work, &job, &share).unwrap()
    });
    let mut found = solutions.filter(|solution| tip_work.target().is_met_by(&solution.hash.0));
    found.next().unwrap().claimed(NodeId::core(), &work)
}

fn known(new: &New, tip: &Tip) -> Known {
    let mut known = Known::default();
    known.hear_template(new.id(), new).unwrap();
    known.hear_tip(tip);
    known
}

fn refusal(known: &Known, claim: &Claimed) -> &'static str {
    match known.judge(claim) {
        Judgement::Bad(refusal) => refusal.reason(),
        Judgement::Good(_) => "good",
        Judgement::TooEarly(_) => "too-early",
    }
}

#[test]
fn a_block_of_ours_is_told_from_its_claim_alone() {
    let (new, tip, claim) = claim();
    let Judgement::Good(solved) = known(&new, &tip).judge(&claim) else { panic!() };
    let Solved { hash, height, subsidy, fees, coinbase, .. } = *solved;
    assert_eq!((hash, height), (claim.hash, 105));
    assert_eq!((subsidy, fees), (new.subsidy, new.fees));
    assert_eq!(coinbase, claim.coinbase);
}

#[test]
fn a_claim_ahead_of_its_template_or_tip_waits() {
    let (new, tip, claim) = claim();
    let nothing = Known::default();
    assert!(matches!(nothing.judge(&claim), Judgement::TooEarly(Missing::Tip(PARENT))));
    let mut only_tip = Known::default();
    only_tip.hear_tip(&tip);
    let id = new.id();
    let early = only_tip.judge(&claim);
    assert!(matches!(early, Judgement::TooEarly(Missing::Template(named)) if named == id));
    only_tip.hear_template(id, &new);
    assert_eq!(refusal(&only_tip, &claim), "good");
}

#[test]
fn a_claim_that_cost_nothing_does_not_wait() {
    let (new, tip, mut claim) = claim();
    // The known tip is of mainnet's difficulty; the claim names another tip and its own target.
    let real = Tip { prevhash: BlockHash([1; 32]), nbits: 0x1702_349b, ..tip };
    assert_eq!(refusal(&known(&new, &real), &claim), "proof-of-work");
    let garbage = HexBytes([vec![0xff; 72], vec![0, 0, 0, 0x03], vec![0; 4]].concat());
    claim.hash = Header::parse(garbage.as_slice()).unwrap().hash();
    claim.header = garbage;
    assert_eq!(refusal(&Known::default(), &claim), "proof-of-work");
}

#[test]
fn hostile_claims_are_refused_by_name() {
    let (new, tip, good) = claim();
    let known = known(&new, &tip);
    let refused = |change: fn(&mut Claimed)| {
        let mut claim = good.clone();
        change(&mut claim);
        refusal(&known, &claim)
    };
    assert_eq!(refused(|claim| claim.hash = BlockHash([1; 32])), "other-hash");
    assert_eq!(refused(|claim| claim.header = HexBytes(vec![0; 79])), "header");
    assert_eq!(refused(|claim| claim.provider = provider("core-b")), "other-provider");
    assert_eq!(refused(|claim| claim.coinbase = HexBytes(vec![])), "coinbase");
    let moved = refused(|claim| {
        // The finder's output goes to somebody else.
        let position = claim.coinbase.0.windows(2).rposition(|pair| pair == [0x00, 0x14]).unwrap();
        claim.coinbase.0[position + 5] ^= 1;
    });
    assert_eq!(moved, "merkle-root");
}

#[test]
fn a_made_up_target_on_a_known_tip_is_refused() {
    let (new, tip, _) = claim();
    let harder = Tip { nbits: 0x2000_ffff, ..tip.clone() };
    let claim = solve(&new, &harder);
    assert_eq!(refusal(&known(&new, &tip), &claim), "tip");
    let mut both = known(&new, &tip);
    both.hear_tip(&harder);
    assert_eq!(refusal(&both, &claim), "good", "test networks have several targets on one tip");
}

#[test]
fn one_coinbase_fits_one_template() {
    let (new, tip, mut claim) = claim();
    let other = template(2, Some(PARENT));
    let mut known = known(&new, &tip);
    known.hear_template(other.id(), &other);
    claim.template = other.id();
    assert_eq!(refusal(&known, &claim), "coinbase");
}

#[test]
fn what_is_remembered_is_bounded() {
    let mut known = Known::default();
    for number in 0..u64::try_from(MAX_TEMPLATES).unwrap() + 5 {
        let new = template(number, None);
        known.hear_template(new.id(), &new);
        let mut prevhash = [0; 32];
        prevhash[..8].copy_from_slice(&number.to_le_bytes());
        known.hear_tip(&tip(BlockHash(prevhash), EASY, new.id()));
    }
    assert_eq!(known.templates.len(), MAX_TEMPLATES);
    assert_eq!((known.tips.len(), known.oldest_tips.len()), (MAX_TIPS, MAX_TIPS));
    assert!(known.template(template(0, None).id()).is_none());
}

proptest! {
    #[test]
    fn whatever_a_stranger_changes_it_is_not_a_block(index in 0_usize..500, bit in 0_u8..8) {
        let (new, tip, mut claim) = claim();
        let known = known(&new, &tip);
        let length = claim.header.0.len();
        if index < length {
            claim.header.0[index] ^= 1 << bit;
        } else {
            let index = (index - length) % claim.coinbase.0.len();
            claim.coinbase.0[index] ^= 1 << bit;
        }
        prop_assert_ne!(refusal(&known, &claim), "good");
    }

    #[test]
    fn any_bytes_are_judged(header in prop::collection::vec(any::<u8>(), 0..100),
                            coinbase in prop::collection::vec(any::<u8>(), 0..400)) {
        let (new, tip, mut claim) = claim();
        claim.header = HexBytes(header);
        claim.coinbase = HexBytes(coinbase);
        prop_assert_ne!(refusal(&known(&new, &tip), &claim), "good");
    }
}
