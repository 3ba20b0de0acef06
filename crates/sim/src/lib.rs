//! Seeded simulation of the pair protocol.
