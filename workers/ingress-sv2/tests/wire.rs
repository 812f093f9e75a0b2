//! Frames: what we write is what the library reads, and what strangers send is read or refused.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[cfg(test)]
mod support;

use ingress_sv2::wire::{self, Inbound};
use proptest::prelude::*;
use stratum_core::{
    framing_sv2::header::Header,
    mining_sv2::SubmitSharesExtendedOwned,
    parsers_sv2::{AnyMessageOwned, MiningOwned},
};
use subjects::shares::JobKind;
use support::client::{frame, standard, submit};

fn read(frame: &mut [u8]) -> Result<Inbound<'_>, wire::FrameFault> {
    let header = Header::from_bytes(frame).unwrap();
    wire::read(header, &mut frame[Header::SIZE..])
}

proptest! {
    #[test]
    fn a_share_is_read_as_the_library_wrote_it(
        numbers in any::<[u32; 6]>(), extranonce in prop::collection::vec(any::<u8>(), 0..=32),
    ) {
        let [channel_id, sequence_number, job_id, nonce, ntime, version] = numbers;
        let share = SubmitSharesExtendedOwned {
            channel_id, sequence_number, job_id, nonce, ntime, version,
            extranonce: extranonce.clone().try_into().unwrap(),
        };
        for (message, kind, rolled) in [
            (submit(share.clone()), JobKind::Extended, extranonce.as_slice()),
            (standard(&share), JobKind::Standard, &[]),
        ] {
            let mut bytes = frame(message);
            let Ok(Inbound::Share(read)) = read(&mut bytes) else { panic!("a share") };
            prop_assert_eq!(read.kind, kind);
            prop_assert_eq!(read.extranonce, rolled);
            let fields =
                [read.channel_id, read.sequence_number, read.job_id, read.nonce, read.ntime, read.version];
            prop_assert_eq!(fields, numbers);
        }
    }

    #[test]
    fn no_frame_whatever_is_too_much(
        header in any::<[u8; 3]>(), body in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let length = u32::try_from(body.len()).unwrap().to_le_bytes();
        let mut bytes = [&header[..], &length[..3], &body].concat();
        // Read or refused: it only must not panic.
        drop(read(&mut bytes));
    }

    #[test]
    fn a_frame_cut_short_is_malformed(cut in 0_usize..38) {
        let share = SubmitSharesExtendedOwned {
            channel_id: 1, sequence_number: 2, job_id: 3, nonce: 4, ntime: 5, version: 6,
            extranonce: vec![7; 13].try_into().unwrap(),
        };
        let bytes = frame(submit(share));
        let mut short = bytes[..Header::SIZE + cut].to_vec();
        prop_assert!(matches!(read(&mut short), Err(wire::FrameFault::Malformed(0x1b))));
    }
}

#[test]
fn the_library_reads_every_frame_of_ours() {
    let mut frames = wire::Frames::default();
    frames.setup_success();
    frames.setup_error(6, "unsupported-feature-flags");
    frames.open_error(1, "unknown-user");
    frames.update_error(2, "invalid-channel-id");
    frames.close_channel(2, "reason");
    frames.set_target(2, subjects::Exponent::clamped(0));
    frames.shares_stored(2, 10, 3, 77);
    frames.share_error(2, 11, "stale-share");
    frames.custom_job_error(2, 12, "jd-not-supported");
    frames.reconnect();
    let read: Vec<_> = frames.iter().map(support::client::read).collect();
    assert_eq!(read.len(), 10);
    let AnyMessageOwned::Mining(MiningOwned::SetTarget(target)) = &read[5] else {
        panic!("{:?}", read[5]);
    };
    let one = stratum_core::bitcoin::Target::MAX_ATTAINABLE_MAINNET.to_le_bytes();
    assert_eq!(target.maximum_target.as_ref(), one);
    frames.clear();
    assert!(frames.is_empty() && frames.iter().next().is_none());
}
