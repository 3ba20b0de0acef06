//! The event log: entries, marks, frames, segments, and the host loop that every replica runs under.
