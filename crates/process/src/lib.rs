//! The process level: unmodified Linux programs, replicated at the system-call line.
