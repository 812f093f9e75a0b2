//! Figures: what a unit of work costs, beside what it could cost at best.
//!
//! Timings on a shared machine are noise, so figures are processor time and bytes per unit, counts,
//! and ratios of two things that run in turn; each is the median of several runs.

pub mod figure;

pub mod results;

pub mod meter;

mod lab;

mod page;

mod times;

mod tips;

pub mod own_chain;

mod ingress;

pub mod premined;

mod feed;

mod bus;

mod verify;

mod instructions;

mod copy;

mod pipeline;

mod stages;

mod plot;

mod memory;

mod catch_up;

mod replay;

mod statement;

mod scaling;

mod blocks;

pub use instructions::judge;
pub use lab::{Lab, Part};

use crate::fleet::Pool;
use figure::Figure;
use futures_util::future::BoxFuture;
use std::path::PathBuf;

/// How much of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// Enough to see that it works: the figures mean little.
    Short,
    /// Enough to mean something.
    Full,
}

/// What every bench is given.
#[derive(Clone, Debug)]
pub struct Setting {
    /// The program under test, `hyperhash`.
    pub program: PathBuf,
    /// How much is done.
    pub scale: Scale,
    /// Where what is drawn is kept, if it is.
    pub results: Option<PathBuf>,
    /// Another pool that is measured in the same run, where a bench can.
    pub beside: Option<Beside>,
}

/// Another pool on this machine, for comparison.
#[derive(Clone, Debug)]
pub struct Beside {
    /// Where it is.
    pub pool: Pool,
    /// Its process, whose processor time and memory are its own.
    pub pid: Option<u64>,
    /// A shell command that gives its chain a new tip.
    pub new_tip: Option<String>,
}

impl Setting {
    /// `short` or `full`, by the scale.
    pub const fn times(&self, short: u32, full: u32) -> u32 {
        match self.scale {
            Scale::Short => short,
            Scale::Full => full,
        }
    }
}

/// A group of figures that are taken together.
#[derive(Clone, Copy)]
pub struct Bench {
    /// Its name on the command line.
    pub name: &'static str,
    /// What is measured, in one sentence.
    pub what: &'static str,
    measure: for<'a> fn(&'a Setting) -> BoxFuture<'a, anyhow::Result<Vec<Figure>>>,
}

impl Bench {
    /// Takes its figures.
    ///
    /// # Errors
    ///
    /// When something is not as it must be for the figures to mean anything.
    pub async fn measure(&self, setting: &Setting) -> anyhow::Result<Vec<Figure>> {
        (self.measure)(setting).await
    }
}

impl std::fmt::Debug for Bench {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bench").field("name", &self.name).finish_non_exhaustive()
    }
}

/// All benches, in the order in which a share meets what they measure.
pub const ALL: &[Bench] = &[
    Bench {
        name: "tips",
        what: "how soon bitcoind's new tip, and its template on it, are on the bus",
        measure: |setting| Box::pin(tips::measure(setting)),
    },
    Bench {
        name: "ingress-share",
        what: "what a share costs the Stratum V2 ingress, stored and acknowledged",
        measure: |setting| Box::pin(ingress::share::measure(setting)),
    },
    Bench {
        name: "ingress-miners",
        what: "what it costs to let 10 000 miners in, to keep them and to tell them of work",
        measure: |setting| Box::pin(ingress::miners::measure(setting)),
    },
    Bench {
        name: "ingress-sv1-share",
        what: "what a share costs the Stratum V1 ingress, stored and acknowledged",
        measure: |setting| Box::pin(ingress::share::measure_sv1(setting)),
    },
    Bench {
        name: "ingress-sv1-miners",
        what: "what it costs to let 10 000 V1 miners in and to keep them, and how soon 2 000 have a \
               new tip's job",
        measure: |setting| Box::pin(ingress::line_miners::measure(setting)),
    },
    Bench {
        name: "ingress-latency",
        what: "how long a share waits for its acknowledgement at 10 000 shares a second",
        measure: |setting| Box::pin(ingress::latency::measure(setting)),
    },
    Bench {
        name: "ingress-overload",
        what: "the ingress's memory while more comes than is stored, and during outages",
        measure: |setting| Box::pin(ingress::overload::measure(setting)),
    },
    Bench {
        name: "memory",
        what: "every part's memory over an hour's shares while each is away in turn",
        measure: |setting| Box::pin(memory::measure(setting)),
    },
    bus::BENCH,
    verify::BENCH,
    instructions::BENCH,
    copy::BENCH,
    pipeline::BENCH,
    catch_up::BENCH,
    replay::BENCH,
    statement::BENCH,
    scaling::BENCH,
    Bench {
        name: "block-found",
        what: "how soon a found block is at another provider's bitcoind",
        measure: |setting| Box::pin(blocks::measure(setting)),
    },
];

/// The benches with these names; all if there are none.
///
/// # Errors
///
/// The first name that no bench has.
pub fn named(names: &[String]) -> Result<Vec<&'static Bench>, String> {
    if names.is_empty() {
        return Ok(ALL.iter().collect());
    }
    let find = |name: &String| ALL.iter().find(|one| one.name == *name).ok_or(name.clone());
    names.iter().map(find).collect()
}
