//! What `demo` starts, kills and speaks to on this machine; it knows nothing of what it is for.

pub mod clients;
pub mod ledger;
pub mod pair;
pub mod port;
pub mod processes;
pub mod resp;
