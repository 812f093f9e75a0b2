//! What bitcoind's words to a block mean (BIP 22).

use bitcoind_rpc::SubmitAnswer;
use subjects::blocks::Answer;

/// Longest words of bitcoind that are kept.
const MAX_DETAIL_LENGTH: usize = 200;

/// The answer, and bitcoind's own words where there are any.
pub fn meaning(answer: SubmitAnswer) -> (Answer, Option<String>) {
    let SubmitAnswer(Some(words)) = answer else { return (Answer::Accepted, None) };
    let meaning = match words.as_str() {
        "duplicate" => Answer::Duplicate,
        // Known, and waiting to be validated or on a branch of its own.
        "inconclusive" | "duplicate-inconclusive" => Answer::Inconclusive,
        _ => Answer::Rejected,
    };
    (meaning, Some(words.chars().take(MAX_DETAIL_LENGTH).collect()))
}

/// Whether the bitcoind has not heard of the block's parent yet: another provider's may be a moment
/// behind, and must be asked again.
pub fn is_early(answer: &SubmitAnswer) -> bool {
    answer.0.as_deref() == Some("prev-blk-not-found")
}

/// A metric's label for an answer.
pub const fn label(answer: Answer) -> &'static str {
    match answer {
        Answer::Accepted => "accepted",
        Answer::Duplicate => "duplicate",
        Answer::Inconclusive => "inconclusive",
        Answer::Rejected => "rejected",
    }
}

/// Whether the bitcoind has the block and holds it to be valid.
pub const fn has_taken(answer: Answer) -> bool {
    match answer {
        Answer::Accepted | Answer::Duplicate | Answer::Inconclusive => true,
        Answer::Rejected => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_bip_22_are_understood() {
        let of = |words: &str| meaning(SubmitAnswer(Some(words.to_owned()))).0;
        assert_eq!(meaning(SubmitAnswer(None)), (Answer::Accepted, None));
        assert_eq!(of("duplicate"), Answer::Duplicate);
        assert_eq!(of("inconclusive"), Answer::Inconclusive);
        assert_eq!(of("duplicate-inconclusive"), Answer::Inconclusive);
        for invalid in ["duplicate-invalid", "rejected", "bad-txnmrklroot", "high-hash"] {
            assert_eq!(of(invalid), Answer::Rejected);
            assert!(!has_taken(of(invalid)));
        }
    }

    #[test]
    fn a_missing_parent_may_still_come() {
        let early = |words: &str| is_early(&SubmitAnswer(Some(words.to_owned())));
        assert!(early("prev-blk-not-found") && !early("bad-prevblk"));
        assert!(!is_early(&SubmitAnswer(None)));
    }

    #[test]
    fn long_words_are_cut() {
        let (_, detail) = meaning(SubmitAnswer(Some("ü".repeat(1_000))));
        assert_eq!(detail.unwrap().chars().count(), MAX_DETAIL_LENGTH);
    }
}
