//! What a Stratum V1 miner of a fleet mines: jobs as `mining.notify` tells them, and shares that
//! meet the difficulty that was told before.

use super::channel::{Violation, path_from, rolled, search};
use mining::Target;
use serde::Deserialize;
use std::{borrow::Cow, fmt::Write as _};

/// Length of a block's header.
const HEADER: usize = 80;
/// Bits of the numbers in which a target is written down.
const DIGIT: f64 = 256.0;

/// `mining.notify`, as far as a share needs it.
#[derive(Deserialize)]
pub(super) struct Notify<'a> {
    #[serde(borrow)]
    params: Params<'a>,
}

/// Job, prevhash, both parts of the coinbase, branches, version, nbits, ntime and whether all jobs
/// before it are over.
#[derive(Deserialize)]
struct Params<'a>(
    #[serde(borrow)] Cow<'a, str>,
    &'a str,
    &'a str,
    &'a str,
    Vec<&'a str>,
    &'a str,
    &'a str,
    &'a str,
    bool,
);

/// A job.
#[derive(Debug)]
pub(super) struct Job {
    id: Box<str>,
    prevhash: [u8; 32],
    coinbase1: Box<[u8]>,
    coinbase2: Box<[u8]>,
    path: Box<[[u8; 32]]>,
    version: u32,
    nbits: u32,
    ntime: u32,
    target: Target,
}

/// A share that is to be sent.
#[derive(Debug)]
pub(super) struct Share {
    pub(super) extranonce2: Vec<u8>,
    pub(super) ntime: u32,
    pub(super) nonce: u32,
}

fn number(text: &str) -> Option<u32> {
    u32::from_str_radix(text, 16).ok()
}

fn hash(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    hex::decode_to_slice(text, &mut bytes).ok()?;
    Some(bytes)
}

impl Notify<'_> {
    /// Whether all jobs before it are over.
    pub(super) const fn clean(&self) -> bool {
        self.params.8
    }

    /// The job; `None` when it says what is none.
    pub(super) fn job(&self, target: Target) -> Option<Job> {
        let Params(id, prevhash, coinbase1, coinbase2, path, version, nbits, ntime, _) =
            &self.params;
        let mut prevhash = hash(prevhash)?;
        // Eight words, each turned round.
        prevhash.chunks_mut(4).for_each(<[u8]>::reverse);
        Some(Job {
            id: id.as_ref().into(),
            prevhash,
            coinbase1: hex::decode(coinbase1).ok()?.into(),
            coinbase2: hex::decode(coinbase2).ok()?.into(),
            path: path.iter().map(|node| hash(node)).collect::<Option<_>>()?,
            version: number(version)?,
            nbits: number(nbits)?,
            ntime: number(ntime)?,
            target,
        })
    }
}

impl Job {
    /// The tip that it is on.
    pub(super) const fn prevhash(&self) -> &[u8; 32] {
        &self.prevhash
    }

    /// Finds a share in the `space`-th piece of header space.
    pub(super) fn share(
        &self,
        extranonce1: &[u8],
        size: usize,
        space: u64,
        first: u32,
    ) -> Result<Share, Violation> {
        let extranonce2 = rolled(size, space);
        let coinbase = [&self.coinbase1, extranonce1, &extranonce2, &self.coinbase2];
        let root = path_from(coinbase, &self.path);
        let mut header = [0; HEADER];
        let (version, ntime) = (self.version.to_le_bytes(), self.ntime.to_le_bytes());
        let parts: [&[u8]; 5] =
            [&version, &self.prevhash, &root, &ntime, &self.nbits.to_le_bytes()];
        for (place, byte) in header.iter_mut().zip(parts.into_iter().flatten()) {
            *place = *byte;
        }
        let nonce = first.wrapping_add(search(&mut header, first, self.target)?);
        Ok(Share { extranonce2, ntime: self.ntime, nonce })
    }

    /// `mining.submit`.
    pub(super) fn submit(&self, id: u64, user: &str, share: &Share) -> String {
        let Share { extranonce2, ntime, nonce } = share;
        let mut line = format!(
            "{{\"id\":{id},\"method\":\"mining.submit\",\"params\":[\"{user}\",\"{}\",\"{}\"",
            self.id,
            hex::encode(extranonce2)
        );
        // Writing to a string cannot fail.
        let _written: std::fmt::Result = write!(line, ",\"{ntime:08x}\",\"{nonce:08x}\"]}}");
        line
    }
}

/// The target of a difficulty, `0xFFFF · 2^208` divided by it, rounded down; the easiest of all
/// when it is more than there are hashes.
pub(super) fn target(difficulty: f64) -> Target {
    let mut rest = 65_535.0 * 208.0_f64.exp2() / difficulty;
    let mut bytes = [u8::MAX; 32];
    if rest >= 256.0_f64.exp2() {
        return Target::from_le_bytes(bytes);
    }
    let mut unit = 248.0_f64.exp2();
    for byte in bytes.iter_mut().rev() {
        let digit = (rest / unit).floor().clamp(0.0, DIGIT - 1.0);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a whole number of one byte"
        )]
        let whole = digit as u8;
        *byte = whole;
        rest -= digit * unit;
        unit /= DIGIT;
    }
    Target::from_le_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use subjects::Exponent;

    #[test]
    fn difficulties_of_powers_of_two_are_the_targets_of_their_exponents() {
        for k in [-32, -16, -1, 0, 1, 12, 40] {
            let difficulty = 2_f64.powi(k);
            assert_eq!(target(difficulty), Target::of(Exponent::clamped(k.into())), "2^{k}");
        }
        assert_eq!(target(2_f64.powi(-60)), Target::from_le_bytes([u8::MAX; 32]));
        assert!(target(3.0) < target(2.0) && target(3.0) > target(4.0));
    }

    #[test]
    fn a_share_names_its_job() {
        let line = r#"{"id":null,"method":"mining.notify","params":["0000002a","#.to_owned()
            + r#""1111111122222222333333334444444455555555666666667777777788888888","0102","03","#
            + r#"["00000000000000000000000000000000000000000000000000000000000000aa"],"#
            + r#""20000000","1d00ffff","6a000000",true]}"#;
        let notify: Notify<'_> = serde_json::from_str(&line).unwrap();
        assert!(notify.clean());
        let job = notify.job(target(2_f64.powi(-32))).unwrap();
        let share = job.share(&[1, 2, 3, 4, 5, 6], 8, 7, 0).unwrap();
        assert_eq!(share.extranonce2, [0, 0, 0, 0, 0, 0, 0, 7]);
        let said = job.submit(12, "a.b", &share);
        let begin = r#"{"id":12,"method":"mining.submit","params":["a.b","0000002a","#;
        assert!(said.starts_with(begin), "{said}");
        assert!(said.contains(r#""0000000000000007","6a000000","0000000"#), "{said}");
        assert!(matches!(job.share(&[], 0, 0, 0), Ok(share) if share.extranonce2.is_empty()));
    }
}
