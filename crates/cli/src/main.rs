//! Keeps a program running when the machine under it dies.

fn main() {}
