//! Slices and rounds.

use super::{at, digest, hash, miner, name, u32s, u64s, work};
use proptest::{collection::vec, option, prelude::*};
use subjects::rounds;

pub(crate) fn slice_lines() -> impl Strategy<Value = rounds::SliceLines> {
    let line = (miner(), work(), u64s()).prop_map(|(miner, work, shares)| rounds::Line {
        miner,
        work,
        shares,
    });
    (u64s(), u32s(), vec(line, 0..8)).prop_map(|(slice, part, lines)| rounds::SliceLines {
        slice,
        part,
        lines,
    })
}

fn solving_share() -> impl Strategy<Value = rounds::SolvingShare> {
    (hash(), u32s(), miner(), name(), name()).prop_map(
        |(hash, height, finder, identity, worker)| rounds::SolvingShare {
            hash,
            height,
            finder,
            identity,
            worker,
        },
    )
}

pub(crate) fn slice_closed() -> impl Strategy<Value = rounds::SliceClosed> {
    let numbers = (u64s(), u64s(), u64s(), u64s(), u64s());
    let hashes = (digest(), digest(), digest());
    let counts = (u64s(), work(), work(), u64s(), u32s());
    (numbers, hashes, counts, u32s(), option::of(solving_share())).prop_map(
        |(numbers, hashes, counts, last_ntime, block)| rounds::SliceClosed {
            slice: numbers.0,
            round: numbers.1,
            incarnation: numbers.2,
            first_sequence: numbers.3,
            last_sequence: numbers.4,
            chain_start: hashes.0,
            chain_end: hashes.1,
            shares: counts.0,
            work: counts.1,
            network_work: counts.2,
            miners: counts.3,
            parts: counts.4,
            lines_root: hashes.2,
            last_ntime,
            block,
        },
    )
}

pub(crate) fn round_closed() -> impl Strategy<Value = rounds::Closed> {
    let numbers = (u64s(), u64s(), u64s(), u64s(), u64s());
    let counts = (u64s(), work(), work(), u64s());
    (numbers, solving_share(), option::of(u32s()), u32s(), counts).prop_map(
        |(numbers, block, started_ntime, stopped_ntime, counts)| rounds::Closed {
            round: numbers.0,
            block,
            first_slice: numbers.1,
            last_slice: numbers.2,
            first_sequence: numbers.3,
            last_sequence: numbers.4,
            started_ntime,
            stopped_ntime,
            shares: counts.0,
            work: counts.1,
            network_work: counts.2,
            luck_ppm: counts.3,
        },
    )
}

pub(crate) fn progress() -> impl Strategy<Value = rounds::Progress> {
    (u64s(), u64s(), u64s(), u64s(), work(), work(), at()).prop_map(
        |(round, slice, sequence, shares, work, network_work, at)| rounds::Progress {
            round,
            slice,
            sequence,
            shares,
            work,
            network_work,
            at,
        },
    )
}
