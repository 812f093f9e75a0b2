//! Stratum V2 from the miner's side: where a pool is, and an encrypted connection to it.

pub mod client;

mod endpoint;

mod transport;

pub use endpoint::{AuthorityKey, Endpoint, InvalidEndpoint};
pub use transport::{
    Certificate, FrameReader, FrameWriter, MAX_FRAME_BYTES, Refused, TransportError, handshake,
    handshake_at,
};
