//! A replica that counts, its world in a file, and nodes of it as threads and as processes.
#![allow(dead_code, unused_imports, reason = "every test binary uses its own part")]

mod counter;
mod kills;
mod look;
mod node;
mod plan;
mod proxy;
mod road;

pub use counter::{Counter, Flaw, STATUS, prepared_name};
pub use kills::random_kills;
pub use look::*;
pub use node::{Proc, said};
pub use plan::{Plan, child_process};
pub use proxy::Proxy;
pub use road::Damage;

/// A seed gives the same numbers everywhere.
pub fn dice(mut seed: u64) -> impl FnMut(u64) -> u64 {
    move |n| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % n
    }
}
