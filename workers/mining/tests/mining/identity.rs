//! Who may mine, and under which one name.

use crate::fixtures::{SIGNET_P2WPKH, miner};
use mining::{Identity, IdentityError, Kind, Network, Policy, identity::parse};
use proptest::prelude::*;

const KEY: &str = "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798";

/// Addresses from BIP 173, BIP 350 and Bitcoin Core's tests, with their scripts.
const ADDRESSES: [(&str, Network, &str); 6] = [
    (
        "1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2",
        Network::Bitcoin,
        "76a91477bff20c60e522dfaa3350c39b030a5d004e839a88ac",
    ),
    (
        "3J98t1WpEZ73CNmQviecrnyiWrnqRhWNLy",
        Network::Bitcoin,
        "a914b472a266d0bd89c13706a4132ccfb16f7c3b9fcb87",
    ),
    (
        "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4",
        Network::Bitcoin,
        "0014751e76e8199196d454941c45d1b3a323f1433bd6",
    ),
    (
        "tb1qrp33g0q5c5txsp9arysrx4k6zdkfs4nce4xj0gdcccefvpysxf3q0sl5k7",
        Network::Signet,
        "00201863143c14c5166804bd19203356da136c985678cd4d27a1b8c6329604903262",
    ),
    (
        "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0",
        Network::Bitcoin,
        "512079be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798",
    ),
    (
        "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080",
        Network::Regtest,
        "0014751e76e8199196d454941c45d1b3a323f1433bd6",
    ),
];

#[test]
fn every_kind_of_address_is_known_by_its_script() {
    for (address, network, script) in ADDRESSES {
        let parsed = parse(&format!("{address}.rig-7"), network).unwrap();
        let script = hex::decode(script).unwrap();
        assert_eq!(parsed.worker, "rig-7");
        assert_eq!(parsed.identity.kind(), Kind::Address);
        assert_eq!(parsed.identity.canonical(), address);
        assert_eq!(parsed.identity.miner_id().as_bytes(), script);
        assert_eq!(parsed.identity.payout_script(), Some(script.as_slice()));
        assert_eq!(parsed.identity.payee().script(), script);
    }
}

#[test]
fn upper_and_lower_case_bech32_are_one_miner() {
    let lower = miner(SIGNET_P2WPKH);
    let upper = miner(&SIGNET_P2WPKH.to_uppercase());
    assert_eq!(lower, upper);
    assert_eq!(upper.canonical(), SIGNET_P2WPKH);
    let shouted = Identity::from_canonical(&SIGNET_P2WPKH.to_uppercase(), Network::Signet);
    assert_eq!(shouted, Err(IdentityError::NotCanonical));
    assert_eq!(Identity::from_canonical(SIGNET_P2WPKH, Network::Signet), Ok(lower));
}

#[test]
fn what_is_no_identity_is_refused_by_name() {
    let refused = |text: &str| parse(text, Network::Signet).unwrap_err();
    assert_eq!(refused(""), IdentityError::NotAnIdentity);
    assert_eq!(refused(".rig"), IdentityError::NotAnIdentity);
    assert_eq!(refused("satoshi"), IdentityError::NotAnIdentity);
    assert_eq!(refused("bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"), IdentityError::OtherNetwork);
    // One character changed: the checksum fails.
    assert_eq!(refused("tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsy"), IdentityError::NotAnIdentity);
    // A program of witness version 2, and a pay-to-anchor.
    for unpayable in [[0x52, 2, 0x4e, 0x73], [0x51, 2, 0x4e, 0x73]] {
        let script = bitcoin::ScriptBuf::from(unpayable.to_vec());
        let address = bitcoin::Address::from_script(&script, Network::Signet).unwrap();
        assert_eq!(refused(&address.to_string()), IdentityError::UnsupportedAddress);
    }
    assert_eq!(refused(&"1".repeat(256)), IdentityError::TooLong);
    assert_eq!(refused("@ab"), IdentityError::NotAnIdentity);
    assert_eq!(refused("@al ice"), IdentityError::NotAnIdentity);
}

#[test]
fn a_worker_name_is_short_and_printable() {
    let with = |worker: &str| parse(&format!("{SIGNET_P2WPKH}.{worker}"), Network::Signet);
    assert_eq!(with("").unwrap().worker, "");
    assert_eq!(with("rig.7").unwrap().worker, "rig.7");
    assert_eq!(with(&"w".repeat(64)).unwrap().worker.len(), 64);
    assert_eq!(with(&"w".repeat(65)), Err(IdentityError::InvalidWorker));
    assert_eq!(with("rig\n7"), Err(IdentityError::InvalidWorker));
    assert_eq!(with("r\u{ef}g"), Err(IdentityError::InvalidWorker));
}

#[test]
fn a_policy_takes_addresses_and_refuses_the_rest_by_name() {
    let (key, alias) = (miner(KEY), miner("@Alice"));
    let policy = Policy::addresses_only();
    assert_eq!(policy.check(&miner(SIGNET_P2WPKH)), Ok(()));
    let refused = policy.check(&key).unwrap_err();
    assert_eq!(refused, IdentityError::SwitchedOff(Kind::PublicKey));
    assert_eq!(refused.code(), "invalid-user-identity");
    assert_eq!(
        refused.to_string(),
        "public keys are not switched on as identities on this network"
    );
    assert_eq!(policy.check(&alias), Err(IdentityError::SwitchedOff(Kind::Alias)));

    let open = Policy::addresses_only().with_public_keys().with_aliases([alias.clone()]);
    assert_eq!(open.check(&key), Ok(()));
    assert_eq!(open.check(&alias), Ok(()));
    let unknown = open.check(&miner("@mallory")).unwrap_err();
    assert_eq!((unknown.code(), unknown), ("unknown-user", IdentityError::UnknownAlias));
}

#[test]
fn an_identity_without_an_address_is_known_by_what_its_coinbases_commit_to() {
    for text in [KEY, "@alice"] {
        let identity = miner(text);
        let id = identity.miner_id().as_bytes();
        assert_eq!(identity.canonical(), text);
        assert_eq!(identity.payout_script(), None);
        assert_eq!(identity.payee().script(), [&[0x6a, 32], id].concat());
        assert_eq!(id.len(), 32);
    }
    assert_eq!(miner(&KEY.to_uppercase()), miner(KEY));
    assert_ne!(miner(KEY).miner_id(), miner("@alice").miner_id());
}

proptest! {
    #[test]
    fn parsing_a_strangers_text_never_fails_badly(text in "\\PC{0,300}") {
        if let Ok(parsed) = parse(&text, Network::Bitcoin) {
            let again = Identity::from_canonical(parsed.identity.canonical(), Network::Bitcoin);
            prop_assert_eq!(again, Ok(parsed.identity));
        }
    }

    #[test]
    fn a_canonical_identity_parses_to_itself(program in any::<[u8; 32]>()) {
        let script = bitcoin::ScriptBuf::from([vec![0x51, 32], program.to_vec()].concat());
        let address = bitcoin::Address::from_script(&script, Network::Signet).unwrap();
        let identity = miner(&address.to_string());
        prop_assert_eq!(identity.miner_id().as_bytes(), script.as_bytes());
        prop_assert_eq!(miner(identity.canonical()), identity);
    }
}
