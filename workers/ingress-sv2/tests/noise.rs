//! The responder against the library's initiator, and what must not get through.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[cfg(test)]
mod support;

use ingress_sv2::noise::{
    Authority, FIRST_ACT_LENGTH, InvalidAuthorityKey, NoiseFault, SECOND_ACT_LENGTH,
};
use std::time::Duration;
use stratum_core::noise_sv2::{Initiator, NoiseEngine};
use support::pool::{PUBLIC, SECRET};

const NOW: u32 = 1_790_000_000;

fn authority() -> Authority {
    Authority::new(SECRET, Duration::from_secs(3_600)).unwrap()
}

/// Both ends of a session whose client's clock shows `client_now`.
fn session(
    client_now: u32,
) -> Result<(NoiseEngine, ingress_sv2::noise::Sealer, ingress_sv2::noise::Opener), String> {
    let public: key_utils::Secp256k1PublicKey = PUBLIC.parse().unwrap();
    let mut initiator = Initiator::from_raw_k(public.into_bytes()).unwrap();
    let first: [u8; FIRST_ACT_LENGTH] = initiator.step_0().unwrap();
    let (second, sealer, opener) = authority().accept(first, NOW.into()).unwrap();
    let second: [u8; SECOND_ACT_LENGTH] = second;
    let engine =
        initiator.step_2_with_now(second, client_now).map_err(|error| format!("{error:?}"))?;
    Ok((engine, sealer, opener))
}

/// Seals a frame as a client does.
fn seal(engine: &mut NoiseEngine, frame: &[u8]) -> Vec<u8> {
    let mut header = frame[..6].to_vec();
    engine.encrypt(&mut header).unwrap();
    let mut body = frame[6..].to_vec();
    if !body.is_empty() {
        engine.encrypt(&mut body).unwrap();
    }
    [header, body].concat()
}

fn frame(payload: usize) -> Vec<u8> {
    let length = u32::try_from(payload).unwrap().to_le_bytes();
    let body = (0..payload).map(|byte| u8::try_from(byte % 251).unwrap());
    [&[0, 0x80, 0x1b], &length[..3]].concat().into_iter().chain(body).collect()
}

#[test]
fn the_public_key_is_the_one_that_clients_are_configured_with() {
    assert_eq!(authority().public(), PUBLIC);
    assert_eq!(Authority::new("secret", Duration::ZERO).unwrap_err(), InvalidAuthorityKey);
    let shown = format!("{:?}", authority());
    assert!(shown.contains(PUBLIC) && !shown.contains(SECRET), "{shown}");
}

#[test]
fn a_client_whose_clock_is_up_to_an_hour_off_still_takes_the_certificate() {
    for off in [-3_599, -600, 0, 600, 3_599] {
        assert!(session(NOW.checked_add_signed(off).unwrap()).is_ok(), "{off} s off");
    }
    // The library gives another 10 s.
    for off in [-3_611, 3_611] {
        assert!(session(NOW.checked_add_signed(off).unwrap()).is_err(), "{off} s off");
    }
}

#[test]
fn frames_of_any_length_pass_both_ways_in_any_pieces() {
    let (mut client, mut sealer, mut opener) = session(NOW).unwrap();
    let plain: Vec<_> = [0, 1, 37, 16_384].map(frame).to_vec();
    let mut sent: Vec<u8> = plain.iter().flat_map(|frame| seal(&mut client, frame)).collect();
    let mut received = Vec::new();
    let mut expected = plain.iter();
    for byte in sent.drain(..) {
        received.push(byte);
        if let Some(opened) = opener.open(&mut received).unwrap() {
            let frame = expected.next().unwrap();
            assert_eq!((opened.header.msg_type(), &*opened.payload), (0x1b, &frame[6..]));
            let taken = opened.taken;
            received.drain(..taken);
        }
    }
    assert!(expected.next().is_none() && received.is_empty());

    // Our own long frames are sealed in pieces of 65 519 bytes.
    let long = frame(65_519 + 100);
    let mut sealed = Vec::new();
    sealer.seal(&long, &mut sealed).unwrap();
    let mut parts = Vec::new();
    for part in [22, 65_535, 116] {
        let mut part: Vec<u8> = sealed.drain(..part).collect();
        client.decrypt(&mut part).unwrap();
        parts.extend(part);
    }
    assert_eq!(parts, long);
    assert!(sealed.is_empty());
}

#[test]
fn a_changed_byte_or_a_boastful_header_ends_the_session() {
    for place in [0, 21, 22, 60] {
        let (mut client, _, mut opener) = session(NOW).unwrap();
        let mut sealed = seal(&mut client, &frame(37));
        sealed[place] ^= 0x10;
        assert_eq!(opener.open(&mut sealed).unwrap_err(), NoiseFault::Forged, "byte {place}");
    }
    let (mut client, _, mut opener) = session(NOW).unwrap();
    let mut header = frame(16_385)[..6].to_vec();
    client.encrypt(&mut header).unwrap();
    assert_eq!(opener.open(&mut header).unwrap_err(), NoiseFault::Oversized(16_385));
}
