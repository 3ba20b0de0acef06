//! Names this build of the level.

include!("../log/build_identity.rs");
