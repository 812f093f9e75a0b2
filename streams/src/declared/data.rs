//! DATA: the public record. Mirrors keep sequences and bytes, so that whoever replays them gets
//! the same statements; nothing is published here and strangers read here.

use super::feeds;
use crate::topology::{Stream, Topology};

pub(super) fn data() -> Topology {
    let mirror = |feed: feeds::Feed| {
        Stream::new(
            feed.origin,
            "A public mirror: same sequences, same bytes, kept as long as the original.",
        )
        .mirroring(feed)
    };
    Topology { streams: feeds::to_data().map(mirror).into(), consumers: Vec::new() }
}
