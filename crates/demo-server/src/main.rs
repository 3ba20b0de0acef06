//! A small key-value server that knows nothing of gapless.

fn main() {}
