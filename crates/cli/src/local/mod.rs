//! What `demo` and `bench` start, kill and speak to on this machine; it knows nothing of what it is for.

pub mod clients;
pub mod ledger;
#[allow(dead_code, reason = "a bench that includes it needs more of it")]
pub mod load;
pub mod pair;
pub mod port;
pub mod processes;
pub mod resp;
