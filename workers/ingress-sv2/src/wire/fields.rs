//! Fields that extensions append to messages: type, length, value (section 3.4.3).

use stratum_core::extensions_sv2::{
    EXTENSION_TYPE_WORKER_HASHRATE_TRACKING, MAX_USER_IDENTITY_LENGTH, TLV_FIELD_TYPE_USER_IDENTITY,
};

/// The field is longer than its extension allows, or than what has come: the message is to be
/// rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a worker's name has at most {MAX_USER_IDENTITY_LENGTH} bytes")]
pub struct BadName;

/// The worker that a share names (extension 0x0002), if it names one. Fields of other extensions are
/// passed over: none was agreed on.
///
/// Integers are little-endian (section 3.1), and clients send them so. The example of section 3.4.3
/// is big-endian; what is written as there is read too, and nothing can be both.
///
/// # Errors
///
/// When the name is too long.
pub fn worker_name(fields: &[u8]) -> Result<Option<&[u8]>, BadName> {
    let mut rest = fields;
    while let Some(([e0, e1, field, l0, l1], after)) = rest.split_first_chunk() {
        let (little, big) = (u16::from_le_bytes([*e0, *e1]), u16::from_be_bytes([*e0, *e1]));
        let is_name = |extension| {
            extension == EXTENSION_TYPE_WORKER_HASHRATE_TRACKING
                && *field == TLV_FIELD_TYPE_USER_IDENTITY
        };
        if is_name(little) {
            return name(after, u16::from_le_bytes([*l0, *l1])).map(Some);
        }
        if is_name(big) {
            return name(after, u16::from_be_bytes([*l0, *l1])).map(Some);
        }
        let length = usize::from(u16::from_le_bytes([*l0, *l1]));
        rest = after.get(length..).unwrap_or_default();
    }
    Ok(None)
}

fn name(value: &[u8], length: u16) -> Result<&[u8], BadName> {
    let length = usize::from(length);
    if length > MAX_USER_IDENTITY_LENGTH {
        return Err(BadName);
    }
    value.get(..length).ok_or(BadName)
}
