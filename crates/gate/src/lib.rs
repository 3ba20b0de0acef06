//! Where a replica's frames meet a real network. Knows frames, not levels.
