//! MONEY: out of reach of everything but the workers that pay.

use crate::{
    names,
    topology::{Stream, Topology},
};

pub(super) fn money() -> Topology {
    let streams = vec![
        Stream::new(
            names::PAYOUTS,
            "Statements, invoices and payments. For ever, and nobody may delete or purge: a \
             statement is never edited.",
        )
        .of(["payouts.>"])
        .never_erased(),
        Stream::new(
            names::AUDIT,
            "Who did what, hash-chained. For ever, and nobody may delete or purge.",
        )
        .of(["audit.*"])
        .never_erased(),
    ];
    Topology { streams, consumers: Vec::new() }
}
