//! Rows of single system calls. What they run is this executable itself: `gapless bench helper`, which `--help` does not show.
//!
//! The rule it keeps: the program says itself how long a call took, since its own start would outweigh everything, and within what is measured it does
//! not read the clock. Under gapless that clock is the model's, whose readings are the host's.

use super::bed::{Bed, Way};
use super::rows::Series;
use crate::{Outcome, out};
use clap::{Args as ClapArgs, ValueEnum};
use std::time::{Duration, Instant};

/// Calls of the first, shortest loop.
const CALLS_MIN: u32 = 64;
/// A loop that takes this long is believed.
const LOOP: Duration = Duration::from_millis(200);

#[derive(ClapArgs, Debug)]
pub struct HelperArgs {
    pub call: Call,
    /// Under a seccomp filter that allows everything
    #[arg(long)]
    pub filtered: bool,
}

/// What is called over and over.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Call {
    Getppid,
    ClockGettime,
}

/// `gapless bench helper`: prints the nanoseconds of one call.
pub fn run(args: &HelperArgs) -> Outcome {
    if args.filtered {
        filter().map_err(|e| format!("seccomp: {e}"))?;
    }
    let call: fn() = match args.call {
        Call::Getppid => || {
            // SAFETY: a plain system call.
            std::hint::black_box(unsafe { libc::getppid() });
        },
        Call::ClockGettime => || {
            std::hint::black_box(Instant::now());
        },
    };
    // Twice as many calls each time: on a crowded processor a few take as long as many do on an idle one.
    let measured = (CALLS_MIN.ilog2()..u32::BITS).find_map(|power| {
        let (calls, began) = (1u32 << power, Instant::now());
        (0..calls).for_each(|_| call());
        let took = began.elapsed();
        (took >= LOOP).then(|| took.as_nanos() as f64 / f64::from(calls))
    });
    out::data(&format!("{}\n", measured.ok_or("two thousand million calls take no time")?))?;
    Ok(0)
}

/// A filter as gapless has one for its programs, of as many steps for a call, except that it allows all of them.
fn filter() -> std::io::Result<()> {
    const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    const EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    const AUDIT_ARCH_X86_64: u32 = 0xc000_003e;
    // Offsets in seccomp_data: the architecture and both halves of the instruction pointer, which keeps the kernel from remembering the answer.
    const ARCH: u32 = 4;
    const IP: u32 = 8;
    let step = |code, k, jf| libc::sock_filter { code, jt: 0, jf, k };
    let mut program = [
        step(LOAD, ARCH, 0),
        step(EQUAL, AUDIT_ARCH_X86_64, 4),
        step(LOAD, IP + 4, 0),
        step(EQUAL, 0, 0),
        step(LOAD, IP, 0),
        step(EQUAL, 0, 0),
        step(RETURN, libc::SECCOMP_RET_ALLOW, 0),
    ];
    let program = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    // SAFETY: the program and its length are valid for the call; it refuses nothing, so nothing that runs later can be surprised.
    let done = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
            && libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) == 0
    };
    if done { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}

/// Nanoseconds a call, as the helper says.
fn nanoseconds(bed: &mut Bed, way: Way, more: &[&str]) -> Result<f64, String> {
    let words = ["bench", "helper"].iter().chain(more).map(Into::into);
    let program: Vec<_> = std::iter::once(bed.gapless()).chain(words).collect();
    let (_, said) = bed.time(way, &program, |_| Ok(()))?;
    said.trim().parse().map_err(|_| format!("the helper said {said:?}"))
}

/// The trivial call.
pub fn calls(bed: &mut Bed) -> Result<Series, String> {
    bed.in_turns(&[Way::Native, Way::Recorded], |bed, way| {
        let mut found = vec![(way.name().to_owned(), nanoseconds(bed, way, &["getppid"])?)];
        if way == Way::Native {
            found.push(("filtered".into(), nanoseconds(bed, way, &["getppid", "--filtered"])?));
        }
        Ok(found)
    })
}

/// The clock.
pub fn clock(bed: &mut Bed) -> Result<Series, String> {
    bed.in_turns(&[Way::Native, Way::Recorded], |bed, way| {
        Ok(vec![(way.name().to_owned(), nanoseconds(bed, way, &["clock-gettime"])?)])
    })
}
