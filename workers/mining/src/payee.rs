//! Whom output 1 of a coinbase names: the finder.

use sha2::{Digest, Sha256};
use std::fmt;
use subjects::Sats;

/// Longest script of output 1: p2wsh, p2tr and the commitment have 34 bytes.
pub const MAX_SCRIPT_LENGTH: usize = 34;

/// The finder's script for output 1, held in place, and from how many satoshis on it is paid.
///
/// Output 1 is always there, because it binds a proof to its miner; it holds no value when the
/// fees are below the dust constant or the identity has no address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Payee {
    /// The script's length, then the script: an output's last part as it is serialised.
    wire: [u8; MAX_SCRIPT_LENGTH + 1],
    /// Least value that the script is paid; `None` when it never is.
    dust: Option<u16>,
}

/// A standard kind of script and the dust constant of rules version 1, in satoshis: Bitcoin Core's
/// dust limit at its default relay fee of 3000 sat/kvB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ScriptKind {
    /// Pay to public key hash.
    P2pkh,
    /// Pay to script hash.
    P2sh,
    /// Pay to witness public key hash (BIP 141).
    P2wpkh,
    /// Pay to witness script hash (BIP 141).
    P2wsh,
    /// Pay to taproot (BIP 341).
    P2tr,
}

impl ScriptKind {
    /// Reads the kind off a `scriptPubKey`; `None` for every other script.
    pub fn of(script: &[u8]) -> Option<Self> {
        match script {
            [0x76, 0xa9, 20, hash @ .., 0x88, 0xac] if hash.len() == 20 => Some(Self::P2pkh),
            [0xa9, 20, hash @ .., 0x87] if hash.len() == 20 => Some(Self::P2sh),
            [0x00, 20, program @ ..] if program.len() == 20 => Some(Self::P2wpkh),
            [0x00, 32, program @ ..] if program.len() == 32 => Some(Self::P2wsh),
            [0x51, 32, program @ ..] if program.len() == 32 => Some(Self::P2tr),
            _ => None,
        }
    }

    /// Least value of an output of this kind, in satoshis.
    pub const fn dust(self) -> u16 {
        match self {
            Self::P2pkh => 546,
            Self::P2sh => 540,
            Self::P2wpkh => 294,
            Self::P2wsh | Self::P2tr => 330,
        }
    }
}

impl Payee {
    /// Pays a standard `scriptPubKey`; `None` for a script of any other kind.
    pub fn of_script(script: &[u8]) -> Option<Self> {
        let dust = ScriptKind::of(script)?.dust();
        Some(Self { wire: serialised(script)?, dust: Some(dust) })
    }

    /// Names an identity without an address: `OP_RETURN <SHA-256(identity)>`, never paid.
    pub fn commitment(identity: &[u8]) -> Self {
        let mut wire = [0; MAX_SCRIPT_LENGTH + 1];
        let (start, digest) = wire.split_at_mut(3);
        start.copy_from_slice(&[34, OP_RETURN, 32]);
        digest.copy_from_slice(&Sha256::digest(identity));
        Self { wire, dust: None }
    }

    /// Reads output 1's script: a standard one, or the commitment to an identity without an address.
    pub(crate) fn of_output(script: &[u8]) -> Option<Self> {
        match script {
            [OP_RETURN, 32, digest @ ..] if digest.len() == 32 => {
                Some(Self { wire: serialised(script)?, dust: None })
            }
            other => Self::of_script(other),
        }
    }

    /// Whether output 1 carries `fees`; otherwise output 0 takes them and the ledger owes them.
    pub fn is_paid(&self, fees: Sats) -> bool {
        self.dust.is_some_and(|dust| fees.to_u64() >= u64::from(dust))
    }

    /// The `scriptPubKey`.
    pub fn script(&self) -> &[u8] {
        self.wire().get(1..).unwrap_or_default()
    }

    /// Length byte and `scriptPubKey`.
    pub(crate) fn wire(&self) -> &[u8] {
        let length = self.wire.first().map_or(0, |length| usize::from(*length));
        self.wire.get(..=length).unwrap_or_default()
    }
}

impl fmt::Debug for Payee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.script()))
    }
}

/// The opcode that makes an output unspendable.
const OP_RETURN: u8 = 0x6a;

fn serialised(script: &[u8]) -> Option<[u8; MAX_SCRIPT_LENGTH + 1]> {
    let mut wire = [0; MAX_SCRIPT_LENGTH + 1];
    let (length, rest) = wire.split_first_mut()?;
    *length = u8::try_from(script.len()).ok()?;
    rest.get_mut(..script.len())?.copy_from_slice(script);
    Some(wire)
}
