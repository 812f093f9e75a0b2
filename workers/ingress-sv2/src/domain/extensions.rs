//! Which extensions are spoken (extension 0x0001).

use stratum_core::extensions_sv2::{
    EXTENSION_TYPE_EXTENSIONS_NEGOTIATION, EXTENSION_TYPE_WORKER_HASHRATE_TRACKING,
};

/// What we can speak: the negotiation itself, and shares that name their worker.
const SUPPORTED: [u16; 2] =
    [EXTENSION_TYPE_EXTENSIONS_NEGOTIATION, EXTENSION_TYPE_WORKER_HASHRATE_TRACKING];

/// What `RequestExtensions` is answered with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Agreed {
    /// These are spoken from now on, and no others.
    On(Vec<u16>),
    /// None of what was asked for, which was this. We require none either.
    Nothing(Vec<u16>),
}

/// What is spoken of what a client asks for.
pub fn agree(requested: &[u16]) -> Agreed {
    let supported: Vec<u16> =
        SUPPORTED.into_iter().filter(|extension| requested.contains(extension)).collect();
    if supported.is_empty() && !requested.is_empty() {
        return Agreed::Nothing(requested.to_vec());
    }
    Agreed::On(supported)
}

/// Whether shares name their worker among what was agreed on.
pub fn names_workers(agreed: &Agreed) -> bool {
    match agreed {
        Agreed::On(spoken) => spoken.contains(&EXTENSION_TYPE_WORKER_HASHRATE_TRACKING),
        Agreed::Nothing(_) => false,
    }
}
