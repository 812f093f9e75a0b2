//! A pool that is played step by step, and miners that know only what they were told.
#![expect(dead_code, unreachable_pub, reason = "every test program uses another part of it")]

pub mod messages;
pub mod miner;
pub mod pool;
pub mod running;
pub mod talk;

/// Whose work it is.
pub const ADDRESS: &str = "tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx";
/// Somebody else.
pub const OTHER: &str = "tb1qrp33g0q5c5txsp9arysrx4k6zdkfs4nce4xj0gdcccefvpysxf3q0sl5k7";
