//! The words of our refusals: the specification's constants, and ours where it has none.
//!
//! All are printable ASCII, and what each means is in `docs/connect-a-miner.md` (section 3.5).

use stratum_core::mining_sv2::{
    ERROR_CODE_OPEN_MINING_CHANNEL_INVALID_USER_IDENTITY,
    ERROR_CODE_SUBMIT_SHARES_BAD_EXTRANONCE_SIZE, ERROR_CODE_SUBMIT_SHARES_DIFFICULTY_TOO_LOW,
    ERROR_CODE_SUBMIT_SHARES_DUPLICATE_SHARE, ERROR_CODE_SUBMIT_SHARES_INVALID_CHANNEL_ID,
    ERROR_CODE_SUBMIT_SHARES_INVALID_JOB_ID,
    ERROR_CODE_SUBMIT_SHARES_INVALID_NON_ROLLABLE_VERSION_BIT,
    ERROR_CODE_SUBMIT_SHARES_INVALID_SHARE, ERROR_CODE_SUBMIT_SHARES_STALE_SHARE,
};
use subjects::shares::Reason;

/// A share's time lies outside of its tip's window. Section 5.3.11 names the window and no code.
pub const INVALID_NTIME: &str = "invalid-ntime";
/// `CloseChannel.reason_code` of a channel that has handed in as many proofs on one tip as are
/// remembered, and cannot be given other headers. Section 5.3.9 names no codes.
pub const PROOFS_EXHAUSTED: &str = "too-many-shares-on-one-tip";
/// Nothing but bad shares came on the channel for too long.
pub const ONLY_REJECTS: &str = "only-rejects";

/// `SubmitShares.Error.error_code` (section 5.3.14).
pub const fn share_error(reason: Reason) -> &'static str {
    match reason {
        Reason::DuplicateShare => ERROR_CODE_SUBMIT_SHARES_DUPLICATE_SHARE,
        Reason::DifficultyTooLow => ERROR_CODE_SUBMIT_SHARES_DIFFICULTY_TOO_LOW,
        Reason::InvalidChannelId => ERROR_CODE_SUBMIT_SHARES_INVALID_CHANNEL_ID,
        Reason::InvalidJobId => ERROR_CODE_SUBMIT_SHARES_INVALID_JOB_ID,
        Reason::StaleShare => ERROR_CODE_SUBMIT_SHARES_STALE_SHARE,
        Reason::BadExtranonceSize => ERROR_CODE_SUBMIT_SHARES_BAD_EXTRANONCE_SIZE,
        Reason::InvalidVersion => ERROR_CODE_SUBMIT_SHARES_INVALID_NON_ROLLABLE_VERSION_BIT,
        Reason::InvalidIdentity => ERROR_CODE_OPEN_MINING_CHANNEL_INVALID_USER_IDENTITY,
        Reason::InvalidNtime => INVALID_NTIME,
        // Core's reasons, which no ingress finds.
        Reason::UnknownTemplate
        | Reason::WrongPrevhash
        | Reason::TooLate
        | Reason::TipClosed
        | Reason::WrongLane
        | Reason::LaneNotOwned
        | Reason::WrongPrefix
        | Reason::DeclaredJobsOff
        | Reason::OldEpoch => ERROR_CODE_SUBMIT_SHARES_INVALID_SHARE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mining::{InvalidHashrate, identity::IdentityError};
    use stratum_core::mining_sv2::{
        ERROR_CODE_OPEN_MINING_CHANNEL_INVALID_NOMINAL_HASHRATE,
        ERROR_CODE_OPEN_MINING_CHANNEL_UNKNOWN_USER,
        ERROR_CODE_UPDATE_CHANNEL_INVALID_NOMINAL_HASHRATE,
    };

    #[test]
    fn what_a_miner_is_told_is_what_the_minute_counts() {
        for reason in Reason::ALL {
            let code = share_error(*reason);
            assert!(
                code == reason.code() || code == ERROR_CODE_SUBMIT_SHARES_INVALID_SHARE,
                "{reason}: {code}"
            );
        }
    }

    #[test]
    fn identities_and_hashrates_are_refused_by_the_specifications_codes() {
        assert_eq!(
            IdentityError::NotAnIdentity.code(),
            ERROR_CODE_OPEN_MINING_CHANNEL_INVALID_USER_IDENTITY
        );
        assert_eq!(IdentityError::UnknownAlias.code(), ERROR_CODE_OPEN_MINING_CHANNEL_UNKNOWN_USER);
        assert_eq!(InvalidHashrate::CODE, ERROR_CODE_OPEN_MINING_CHANNEL_INVALID_NOMINAL_HASHRATE);
        assert_eq!(InvalidHashrate::CODE, ERROR_CODE_UPDATE_CHANNEL_INVALID_NOMINAL_HASHRATE);
    }

    #[test]
    fn our_own_codes_are_printable() {
        let printable = |code: &str| code.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        assert!(printable(INVALID_NTIME) && printable(PROOFS_EXHAUSTED));
        assert!(printable(ONLY_REJECTS));
    }
}
