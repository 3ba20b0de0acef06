//! Every system call that gapless knows, with its class. A call without a row ends the replica with an error that names it.

use super::Handler;

/// How a call is treated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Class {
    /// Runs natively in the tracee, on both sides: memory, threads, signal frames.
    Native,
    /// Answered by the model alone.
    Model,
    /// Takes an input from outside.
    Input,
    /// May say something to the outside: held until committed.
    Gate,
    /// The program gets ENOSYS (or the errno named), as on a kernel without it.
    Absent,
    /// Ends the replica with an error that says what to do.
    Refuse,
}

/// One row.
pub struct Row {
    /// System call number.
    pub nr: u64,
    /// Its name.
    pub name: &'static str,
    /// Its class.
    pub class: Class,
    /// What carries it out.
    pub handler: Handler,
}

macro_rules! table {
    ($($nr:literal $name:ident $class:ident $handler:path;)*) => {
        /// The table, by number.
        pub static TABLE: &[Row] = &[$(Row { nr: $nr, name: stringify!($name), class: Class::$class, handler: $handler },)*];
    };
}

table! {}

/// The row of a call.
pub fn find(nr: u64) -> Option<&'static Row> {
    TABLE.binary_search_by_key(&nr, |row| row.nr).ok().map(|i| &TABLE[i])
}
