//! The supervisor's own time stamp counter is off while it holds tracees whose counter is off.
//!
//! Whether `rdtsc` traps is a bit of the processor's CR4, which the kernel flips when it switches
//! between a thread that may read the counter and one that may not. In a virtual machine each
//! flip is an exit to the hypervisor: a stop then costs 15-37 us instead of 6-7 us (measured). So
//! the thread that holds tracees gives the counter up as well, and nothing is flipped.
//!
//! It must then not read it. The clock functions of the C library do, through the vDSO, so
//! [`clock_gettime`] is replaced by the plain system call (for the whole program; about 150 ns
//! more). Whatever else reads the counter on that thread gets it back through a SIGSEGV handler
//! and costs time, not correctness ([`counter_faults`] counts them).
//!
//! A *program* started by that thread (`std::process::Command`) would inherit the bit without the
//! handler, and die of the first clock it reads: call [`restore_counter`] before.

use std::cell::Cell;
use std::mem::MaybeUninit;
use std::sync::Once;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use libc::{c_int, c_void, siginfo_t};

thread_local! {
    /// Tracees of this thread whose reading of the counter traps.
    static TRAPPING: Cell<usize> = const { Cell::new(0) };
    /// The counter is off for this thread.
    static OFF: Cell<bool> = const { Cell::new(false) };
}

static INSTALL: Once = Once::new();
static FAULTS: AtomicU64 = AtomicU64::new(0);
/// The handler that was there before ours; SIG_DFL if none.
static PREVIOUS: AtomicUsize = AtomicUsize::new(libc::SIG_DFL);

/// How often a thread without the counter tried to read it and was given it back.
pub fn counter_faults() -> u64 {
    FAULTS.load(Ordering::Relaxed)
}

/// This thread now holds a tracee whose reading of the counter traps.
pub(super) fn hold() {
    TRAPPING.set(TRAPPING.get() + 1);
}

/// It holds it no more, or the tracee may read the counter now; with the last one ours comes back.
pub(super) fn release() {
    // Dropped on another thread than it was spawned on: nothing to undo here.
    TRAPPING.set(TRAPPING.get().saturating_sub(1));
    if TRAPPING.get() == 0 {
        restore_counter();
    }
}

/// The counter, if the calling thread may read it.
pub fn read_counter() -> Option<u64> {
    // SAFETY: the instruction exists on every x86-64 processor, and does not trap for this thread.
    (!OFF.get()).then(|| unsafe { std::arch::x86_64::_rdtsc() })
}

/// Gives the calling thread its time stamp counter back until a tracee of it runs again. Needed
/// before starting a program; everything else may be done without.
pub fn restore_counter() {
    if OFF.get() {
        set_counter(true);
    }
}

/// Called before a tracee runs.
pub(super) fn give_up() {
    if TRAPPING.get() > 0 && !OFF.get() {
        INSTALL.call_once(install);
        set_counter(false);
    }
}

fn set_counter(on: bool) {
    let mode = if on { libc::PR_TSC_ENABLE } else { libc::PR_TSC_SIGSEGV };
    // SAFETY: no pointers. It cannot fail on x86-64; if it did, only speed would be lost.
    unsafe { libc::prctl(libc::PR_SET_TSC, mode, 0, 0, 0) };
    OFF.set(!on);
}

/// The C library's clock, without the counter: see the module's head.
///
/// # Safety
/// As for the C function: `time` must be valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clock_gettime(clock: libc::clockid_t, time: *mut libc::timespec) -> c_int {
    // SAFETY: the kernel checks the pointer itself.
    unsafe { libc::syscall(libc::SYS_clock_gettime, clock, time) as c_int }
}

fn install() {
    // SAFETY: all-zero is a valid `sigaction`; the handler has the signature that SA_SIGINFO asks
    // for and makes async-signal-safe calls only.
    unsafe {
        let mut action: libc::sigaction = MaybeUninit::zeroed().assume_init();
        let mut previous: libc::sigaction = MaybeUninit::zeroed().assume_init();
        action.sa_sigaction = on_fault as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        libc::sigaction(libc::SIGSEGV, std::ptr::null(), &mut previous);
        if previous.sa_flags & libc::SA_SIGINFO != 0 {
            PREVIOUS.store(previous.sa_sigaction, Ordering::Relaxed);
        }
        libc::sigaction(libc::SIGSEGV, &action, std::ptr::null_mut());
    }
}

/// # Safety
/// `code` points to an instruction that begins with 0F.
unsafe fn is_rdtscp(code: *const u8) -> bool {
    // SAFETY: an instruction 0F 01 has a third byte.
    unsafe { *code.add(1) == 0x01 && *code.add(2) == 0xf9 }
}

extern "C" fn on_fault(signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
    /// `si_code` of a general protection fault.
    const SI_KERNEL: c_int = 0x80;
    // SAFETY: the kernel passes valid pointers to a handler with SA_SIGINFO. The processor has
    // just read the instruction at `rip`, so its bytes can be read.
    //
    // (`OFF` is not asked: threads inherit the bit from the one that starts them.)
    let read_the_counter = unsafe {
        let context = &*context.cast::<libc::ucontext_t>();
        let code = context.uc_mcontext.gregs[libc::REG_RIP as usize] as *const u8;
        (*info).si_code == SI_KERNEL && *code == 0x0f && (*code.add(1) == 0x31 || is_rdtscp(code))
    };
    if read_the_counter {
        FAULTS.fetch_add(1, Ordering::Relaxed);
        return set_counter(true);
    }
    match PREVIOUS.load(Ordering::Relaxed) {
        // SAFETY: no handler of our making is left; the fault repeats and kills.
        libc::SIG_DFL => unsafe {
            libc::signal(signal, libc::SIG_DFL);
        },
        previous => {
            // SAFETY: it was installed with SA_SIGINFO, hence has this signature.
            let previous: extern "C" fn(c_int, *mut siginfo_t, *mut c_void) = unsafe { std::mem::transmute(previous) };
            previous(signal, info, context);
        }
    }
}
