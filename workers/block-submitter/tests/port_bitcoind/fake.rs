//! What needs no real bitcoind: two roads, restarts, outcomes.

use crate::harness::{
    DEADLINE, Fact, NO_TEMPLATE, PARENT, Reader, Submitter, ask, bus, count, easy, template,
};
use block_submitter::{port::Fake, worker::Reply};
use subjects::{
    BlockHash, HexBytes,
    blocks::{Answer, BlockResult, Submitted},
};
use worker_runtime::{Publication, testing};

const OTHER: BlockHash = BlockHash([0xee; 32]);

/// A node whose chain has these blocks at height 100 and a tip.
fn chain(at_100: BlockHash, tip: u32) -> Fake {
    let node = Fake::default();
    node.set_block(100, at_100);
    node.set_block(tip, BlockHash([0xaa; 32]));
    node
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_roads_lead_to_one_submission() {
    let (server, bus) = bus().await;
    let node = Fake::default();
    let submitter = Submitter::start(&server, "core-a", node.clone());
    let (claim, solved) = easy(&bus).await;
    let first = ask(&bus, "core-a", &claim).await;
    let Reply::Submitted(submitted) = &first else { panic!("{first:?}") };
    assert_eq!((submitted.hash, submitted.answer), (claim.hash, Answer::Accepted));
    bus.publish(Publication::any(&claim)).await.unwrap();
    bus.publish(Publication::once(&solved)).await.unwrap();
    assert_eq!(ask(&bus, "core-a", &claim).await, first, "the answer is repeated");
    assert_eq!(node.submitted().len(), 1);
    assert_eq!(
        (count(&bus, "blocks.solved.*").await, count(&bus, "blocks.submitted.>").await),
        (1, 1)
    );
    submitter.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_on_the_bus_is_enough() {
    let (server, bus) = bus().await;
    let (a, b) = (Fake::default(), Fake::default());
    let submitters = [
        Submitter::start(&server, "core-a", a.clone()),
        Submitter::start(&server, "core-b", b.clone()),
    ];
    let (claim, solved) = easy(&bus).await;
    bus.publish(Publication::any(&claim)).await.unwrap();
    let mut reader = Reader::new(&bus);
    assert_eq!(reader.next().await, Fact::Solved(solved));
    let mut providers =
        [reader.submitted().await, reader.submitted().await].map(|said| said.provider);
    providers.sort();
    assert_eq!(providers.map(|provider| provider.to_string()), ["core-a", "core-b"]);
    assert_eq!(a.submitted(), b.submitted());
    for submitter in submitters {
        submitter.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_verifier_found_is_submitted_although_nobody_claimed_it() {
    let (server, bus) = bus().await;
    let (_, solved) = easy(&bus).await;
    bus.publish(Publication::once(&solved)).await.unwrap();
    let node = Fake::default();
    let submitter = Submitter::start(&server, "core-a", node.clone());
    let submitted = Reader::new(&bus).submitted().await;
    assert_eq!((submitted.hash, submitted.answer), (solved.hash, Answer::Accepted));
    submitter.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_restart_what_was_answered_is_not_asked_again() {
    let (server, bus) = bus().await;
    let (claim, solved) = easy(&bus).await;
    bus.publish(Publication::once(&solved)).await.unwrap();
    let said = Submitted {
        hash: solved.hash,
        provider: "core-a".parse().unwrap(),
        answer: Answer::Accepted,
        detail: None,
        at: subjects::Timestamp(1),
        latency_ms: 1,
    };
    bus.publish(Publication::any(&said)).await.unwrap();
    let node = chain(solved.hash, 105);
    let submitter = Submitter::start(&server, "core-a", node.clone());
    assert_eq!(Reader::new(&bus).outcome().await.result, BlockResult::Confirmed);
    assert_eq!(node.submitted().len(), 0);
    let decided = async || matches!(ask(&bus, "core-a", &claim).await, Reply::NotAsked { .. });
    testing::until("the block is known to be decided", DEADLINE, decided).await.unwrap();
    submitter.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_claims_are_refused_by_name_and_leave_no_trace() {
    let (server, bus) = bus().await;
    let node = Fake::default();
    let submitter = Submitter::start(&server, "core-a", node.clone());
    let (good, _) = easy(&bus).await;
    let mut forged = good.clone();
    forged.coinbase = HexBytes(vec![1; 200]);
    let mut free = good.clone();
    // A header that proves nothing, with its true hash.
    free.header.0[4..36].fill(0);
    while mining::Header::parse(&free.header.0).unwrap().hash().0[31] < 0x80 {
        free.header.0[0] = free.header.0[0].wrapping_add(1);
    }
    free.hash = mining::Header::parse(&free.header.0).unwrap().hash();
    let mut unknown = good.clone();
    unknown.template = NO_TEMPLATE;
    let cases = [(forged, "coinbase"), (free, "proof-of-work"), (unknown, "unknown-template")];
    for (claim, expected) in cases {
        let Reply::Refused { reason, .. } = ask(&bus, "core-a", &claim).await else { panic!() };
        assert_eq!(reason, expected);
        let figure = format!("block_claims_refused_total{{reason=\"{expected}\"}}");
        assert!(submitter.figure(&figure) >= 1.0);
        bus.publish(Publication::any(&claim)).await.unwrap();
    }
    let subject = streams::block_submit(&"core-a".parse().unwrap());
    let answer = bus.request(&subject, "garbage".into(), DEADLINE).await.unwrap();
    let reply: Reply = serde_json::from_slice(&answer).unwrap();
    assert!(matches!(reply, Reply::Refused { reason, .. } if reason == "unreadable"));
    assert_eq!(bus.stream_info("BLOCKS").await.unwrap().last_sequence, 0);
    assert!(node.submitted().is_empty());
    submitter.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_ahead_of_its_template_waits_for_it() {
    let (server, bus) = bus().await;
    let submitter = Submitter::start(&server, "core-a", Fake::default());
    let new = template(1, 100, PARENT);
    let tip = crate::harness::tip(&new, crate::harness::EASY, 1_000);
    let (work, solution) = crate::harness::solve(&new, &tip);
    let claim = solution.claimed(subjects::NodeId::core(), &work);
    let early = ask(&bus, "core-a", &claim);
    let later = async {
        bus.publish(Publication::any(&new)).await.unwrap();
        bus.publish(Publication::any(&tip)).await.unwrap();
    };
    let (reply, ()) = tokio::join!(early, later);
    assert!(matches!(reply, Reply::Submitted(_)), "{reply:?}");
    submitter.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bitcoind_that_is_down_is_asked_until_it_answers() {
    let (server, bus) = bus().await;
    let node = Fake::default();
    node.set_down(true);
    let submitter = Submitter::start(&server, "core-a", node.clone());
    let (claim, solved) = easy(&bus).await;
    bus.publish(Publication::any(&claim)).await.unwrap();
    let mut reader = Reader::new(&bus);
    assert_eq!(reader.next().await, Fact::Solved(solved), "said although nobody took it yet");
    node.set_down(false);
    assert_eq!(reader.submitted().await.answer, Answer::Accepted);
    submitter.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bitcoind_that_is_a_block_behind_is_asked_again() {
    let (server, bus) = bus().await;
    let node = Fake::default();
    node.answer_with(Some("prev-blk-not-found"));
    let submitter = Submitter::start(&server, "core-b", node.clone());
    let (claim, _) = easy(&bus).await;
    bus.publish(Publication::any(&claim)).await.unwrap();
    let asked = async || node.submitted().len() > 1;
    testing::until("it is asked again", DEADLINE, asked).await.unwrap();
    node.answer_with(None);
    assert_eq!(Reader::new(&bus).submitted().await.answer, Answer::Accepted);
    submitter.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_block_beside_the_chain_is_orphaned_or_refused_by_whether_it_was_taken() {
    for (words, result) in [
        (Some("inconclusive"), BlockResult::Orphaned),
        (Some("bad-cb-amount"), BlockResult::Refused),
    ] {
        let (server, bus) = bus().await;
        let node = chain(OTHER, 104);
        node.answer_with(words);
        let submitter = Submitter::start(&server, "core-a", node.clone());
        let (claim, _) = easy(&bus).await;
        let reply = ask(&bus, "core-a", &claim).await;
        let Reply::Submitted(submitted) = reply else { panic!("{reply:?}") };
        assert_eq!(submitted.detail.as_deref(), words);
        assert_eq!(count(&bus, "blocks.outcome.*").await, 0, "one block too early");
        node.set_block(105, BlockHash([0xab; 32]));
        assert_eq!(Reader::new(&bus).outcome().await.result, result);
        submitter.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_on_another_chain_decides_nothing() {
    let (server, bus) = bus().await;
    let node = chain(OTHER, 200);
    node.set_foreign(true);
    let submitter = Submitter::start(&server, "core-a", node.clone());
    let (claim, _) = easy(&bus).await;
    ask(&bus, "core-a", &claim).await;
    // A second block is heard and answered meanwhile, so the first one was looked at.
    let second = template(2, 100, PARENT);
    let (claim, _) = crate::harness::found(&bus, &second, crate::harness::EASY, 1_000).await;
    ask(&bus, "core-a", &claim).await;
    let looked = async || node.looks() > 3;
    testing::until("the chain was looked at", DEADLINE, looked).await.unwrap();
    assert_eq!(count(&bus, "blocks.outcome.*").await, 0);
    node.set_foreign(false);
    assert_eq!(Reader::new(&bus).outcome().await.result, BlockResult::Orphaned);
    submitter.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_outcome_whoever_decides_and_a_deep_reorganisation_is_an_alarm() {
    let (server, bus) = bus().await;
    let (claim, solved) = easy(&bus).await;
    let node = chain(solved.hash, 104);
    let first = Submitter::start(&server, "core-a", node.clone());
    let second = Submitter::start(&server, "core-a", node.clone());
    let other = Submitter::start(&server, "core-b", node.clone());
    for submitter in [&first, &second, &other] {
        submitter.ready().await;
    }
    ask(&bus, "core-a", &claim).await;
    first.stop().await;
    node.set_block(105, BlockHash([0xab; 32]));
    assert_eq!(Reader::new(&bus).outcome().await.result, BlockResult::Confirmed);
    node.set_block(100, OTHER);
    for submitter in [&second, &other] {
        let alarm = async || submitter.figure("blocks_overturned_total") > 0.0;
        testing::until("the alarm", DEADLINE, alarm).await.unwrap();
    }
    assert_eq!(count(&bus, "blocks.outcome.*").await, 1, "never corrected");
    second.stop().await;
    other.stop().await;
}
