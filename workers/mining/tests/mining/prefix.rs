//! Header space has one owner.

use mining::{Layout, Prefix, PrefixError};
use proptest::prelude::*;
use subjects::{BootEpoch, Lane, shares::JobKind};

fn prefix(lane: u16, epoch: u16, channel: u32) -> Prefix {
    Prefix::new(Lane(lane), BootEpoch(epoch), channel).unwrap()
}

#[test]
fn the_bytes_are_lane_epoch_channel() {
    let prefix = prefix(0x0102, 0x0304, 0x05_0607);
    assert_eq!(prefix.to_sv2(), [1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(prefix.to_sv1(), [1, 2, 4, 5, 6, 7]);
    assert_eq!(prefix.to_standard(), [1, 2, 3, 4, 5, 6, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(Prefix::new(Lane(1), BootEpoch(1), 0x0100_0000), None);
}

#[test]
fn another_channels_prefix_is_refused_by_name() {
    let own = prefix(9, 300, 5);
    let check = |found: Prefix| own.check(JobKind::Extended, &found.to_sv2(), 20);
    assert_eq!(check(own), Ok(()));
    for other in [prefix(8, 300, 5), prefix(9, 301, 5), prefix(9, 300, 6)] {
        assert_eq!(check(other), Err(PrefixError::Foreign(other)));
    }
    // SV1 holds the low byte of epoch 300 = 0x12c.
    assert_eq!(own.check(JobKind::Extended, &own.to_sv1(), 14), Ok(()));
    assert!(own.check(JobKind::Extended, &prefix(9, 301, 5).to_sv1(), 14).is_err());
    assert_eq!(own.check(JobKind::Extended, &[0; 8], 20), Err(PrefixError::Length));
}

#[test]
fn a_standard_prefix_is_whole_and_padded_with_zeros() {
    let own = prefix(9, 300, 5);
    let mut whole = own.to_standard();
    assert_eq!(own.check(JobKind::Standard, &whole, 20), Ok(()));
    assert_eq!(own.check(JobKind::Standard, &whole, 19), Err(PrefixError::Length));
    assert_eq!(own.check(JobKind::Standard, &own.to_sv2(), 20), Err(PrefixError::Length));
    assert_eq!(own.check(JobKind::Extended, &whole, 20), Err(PrefixError::Length));
    whole[19] = 1;
    assert_eq!(own.check(JobKind::Standard, &whole, 20), Err(PrefixError::Padding));
}

proptest! {
    #[test]
    fn a_prefix_parses_to_itself(lane: u16, epoch: u16, channel in 0..=0x00ff_ffff_u32) {
        let own = prefix(lane, epoch, channel);
        prop_assert_eq!(Prefix::parse(&own.to_sv2()), Ok((own, Layout::Sv2)));
        let short = prefix(lane, epoch & 0xff, channel);
        prop_assert_eq!(Prefix::parse(&own.to_sv1()), Ok((short, Layout::Sv1)));
    }

    #[test]
    fn no_bytes_of_a_stranger_fail_badly(
        bytes in prop::collection::vec(any::<u8>(), 0..40), total: u8, standard: bool,
    ) {
        let kind = if standard { JobKind::Standard } else { JobKind::Extended };
        let checked = prefix(0, 0, 0).check(kind, &bytes, total);
        prop_assert_eq!(checked.is_ok(), {
            let own = if standard { bytes.get(..7).unwrap_or(&[1]) } else { bytes.as_slice() };
            let sized = if standard { bytes.len() == usize::from(total) } else { true };
            sized && [6, 7].contains(&own.len()) && bytes.iter().all(|byte| *byte == 0)
        });
    }
}
