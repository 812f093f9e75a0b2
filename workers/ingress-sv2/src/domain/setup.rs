//! Whether a client may stay (specification sections 3.6.1 and 5.3.1).

use stratum_core::common_messages_sv2::{
    ERROR_CODE_SETUP_CONNECTION_PROTOCOL_VERSION_MISMATCH,
    ERROR_CODE_SETUP_CONNECTION_UNSUPPORTED_FEATURE_FLAGS,
    ERROR_CODE_SETUP_CONNECTION_UNSUPPORTED_PROTOCOL, Protocol, SetupConnection,
};

/// The one version of the protocol that there is.
const VERSION: u16 = 2;
/// The client understands standard jobs only.
const REQUIRES_STANDARD_JOBS: u32 = 1;
/// The client wants to roll the version; every job of ours allows it.
const REQUIRES_VERSION_ROLLING: u32 = 1 << 2;
/// What we can serve. Custom work (bit 1) is not among it.
const SUPPORTED: u32 = REQUIRES_STANDARD_JOBS | REQUIRES_VERSION_ROLLING;

/// A client that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// Vendor, hardware and firmware, as it says.
    pub agent: String,
    /// Whether only standard channels may be opened.
    pub standard_jobs_only: bool,
    /// What may be asked of it.
    pub maker: Maker,
}

/// Whose program a client is, as far as it matters: some do not survive what the specification
/// lets a server send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Maker {
    /// The reference implementation's translator. It aborts at `Reconnect`, and passes over
    /// `SetExtranoncePrefix` as if it had not come (versions up to 0.6).
    ReferenceTranslator,
    /// Nothing bad is known.
    Other,
}

impl Maker {
    fn of(setup: &SetupConnection<'_>) -> Self {
        let vendor = setup.vendor.as_utf8_or_hex();
        let hardware = setup.hardware_version.as_utf8_or_hex().to_ascii_lowercase();
        if vendor.eq_ignore_ascii_case("sri") && hardware.contains("translator") {
            Self::ReferenceTranslator
        } else {
            Self::Other
        }
    }

    /// Whether it goes on with another extranonce prefix when it is told one.
    pub const fn takes_prefix(self) -> bool {
        match self {
            Self::ReferenceTranslator => false,
            Self::Other => true,
        }
    }

    /// Whether it survives `Reconnect`.
    pub const fn takes_reconnect(self) -> bool {
        match self {
            Self::ReferenceTranslator => false,
            Self::Other => true,
        }
    }
}

/// What `SetupConnection.Error` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// All flags of the client that we do not support; 0 for every other reason.
    pub flags: u32,
    /// The specification's code.
    pub code: &'static str,
}

/// The answer to a client whose protocol we do not speak.
pub const UNSUPPORTED_PROTOCOL: Refusal =
    Refusal { flags: 0, code: ERROR_CODE_SETUP_CONNECTION_UNSUPPORTED_PROTOCOL };

/// Checks protocol, version and flags, in this order.
///
/// # Errors
///
/// With what to answer before closing.
pub fn check(setup: &SetupConnection<'_>) -> Result<Client, Refusal> {
    if setup.protocol != Protocol::MiningProtocol {
        return Err(UNSUPPORTED_PROTOCOL);
    }
    if !(setup.min_version..=setup.max_version).contains(&VERSION) {
        let code = ERROR_CODE_SETUP_CONNECTION_PROTOCOL_VERSION_MISMATCH;
        return Err(Refusal { flags: 0, code });
    }
    let unsupported = setup.flags & !SUPPORTED;
    if unsupported != 0 {
        let code = ERROR_CODE_SETUP_CONNECTION_UNSUPPORTED_FEATURE_FLAGS;
        return Err(Refusal { flags: unsupported, code });
    }
    Ok(Client {
        agent: agent(setup),
        standard_jobs_only: setup.flags & REQUIRES_STANDARD_JOBS != 0,
        maker: Maker::of(setup),
    })
}

/// Longest description of a client that is told on, in bytes.
const MAX_AGENT_LENGTH: usize = 255;

/// `vendor/hardware/firmware` without what is empty, in printable ASCII: it ends in logs and facts.
fn agent(setup: &SetupConnection<'_>) -> String {
    let parts = [&setup.vendor, &setup.hardware_version, &setup.firmware];
    let named = parts.map(|part| part.as_utf8_or_hex()).into_iter().filter(|part| !part.is_empty());
    let all = named.collect::<Vec<_>>().join("/");
    let printable = |glyph: char| if matches!(glyph, ' '..='~') { glyph } else { '?' };
    all.chars().map(printable).take(MAX_AGENT_LENGTH).collect()
}
