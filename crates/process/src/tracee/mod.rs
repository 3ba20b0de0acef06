//! Real threads under ptrace.

/// The program's memory is not accessible there.
#[derive(Debug)]
pub struct Fault;

/// One real thread of the program, stopped or running.
#[derive(Debug)]
pub struct Tracee {}

impl Tracee {
    /// Reads memory; how many bytes were accessible from `addr` on.
    pub fn read(&mut self, addr: u64, buf: &mut [u8]) -> Result<usize, Fault> {
        let _ = (addr, buf);
        Err(Fault)
    }

    /// Writes memory; how many bytes were accessible from `addr` on.
    pub fn write(&mut self, addr: u64, bytes: &[u8]) -> Result<usize, Fault> {
        let _ = (addr, bytes);
        Err(Fault)
    }
}
