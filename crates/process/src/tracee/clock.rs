//! The tick: a periodic timer of the supervisor's own thread, so that a wait with a deadline
//! costs no call of its own.
//!
//! A `waitpid` that lasts longer than a tick returns EINTR and the waiter looks at the clock. The
//! tick starts with the first wait and goes on, interrupting whatever the thread does, until
//! [`pause_ticks`].

use std::cell::Cell;
use std::mem::MaybeUninit;
use std::ptr;
use std::time::Duration;

use super::{Error, Result, sys};

/// Time between two ticks while somebody waits for a computing thread: the precision of deadlines.
pub const TICK: Duration = Duration::from_millis(2);
/// The same while nobody does. Each tick takes the processor from the thread that computes.
pub const TICK_ALONE: Duration = Duration::from_millis(10);

thread_local! {
    static TICKER: Cell<Option<Ticker>> = const { Cell::new(None) };
}

#[derive(Clone, Copy)]
struct Ticker {
    timer: libc::timer_t,
    armed: bool,
    period: Duration,
}

/// The signal of the tick, which no other part of the program may use.
fn tick_signal() -> libc::c_int {
    libc::SIGRTMIN() + 5
}

extern "C" fn ignore(_: libc::c_int) {}

fn failed(call: &'static str) -> Error {
    Error::Os { call, errno: sys::errno() }
}

fn create() -> Result<Ticker> {
    // SAFETY: an all-zero `sigaction` is valid: no flags (no SA_RESTART, so that waits end), an
    // empty mask. The handler touches nothing, hence is safe at any moment.
    let ret = unsafe {
        let mut action: libc::sigaction = MaybeUninit::zeroed().assume_init();
        action.sa_sigaction = ignore as *const () as usize;
        libc::sigaction(tick_signal(), &action, ptr::null_mut())
    };
    if ret != 0 {
        return Err(failed("sigaction"));
    }
    let mut timer: libc::timer_t = ptr::null_mut();
    // SAFETY: an all-zero `sigevent` is valid; `timer` is live.
    let ret = unsafe {
        let mut event: libc::sigevent = MaybeUninit::zeroed().assume_init();
        event.sigev_notify = libc::SIGEV_THREAD_ID;
        event.sigev_signo = tick_signal();
        event.sigev_notify_thread_id = sys::gettid();
        libc::timer_create(libc::CLOCK_MONOTONIC, &mut event, &mut timer)
    };
    if ret != 0 {
        return Err(failed("timer_create"));
    }
    Ok(Ticker { timer, armed: false, period: TICK_ALONE })
}

fn set(timer: libc::timer_t, period: Duration) -> Result<()> {
    let period = libc::timespec { tv_sec: 0, tv_nsec: i64::from(period.subsec_nanos()) };
    let spec = libc::itimerspec { it_interval: period, it_value: period };
    // SAFETY: `timer` was created by this thread and is never deleted; `spec` is live.
    match unsafe { libc::timer_settime(timer, 0, &spec, ptr::null_mut()) } {
        0 => Ok(()),
        _ => Err(failed("timer_settime")),
    }
}

/// Makes sure that the calling thread ticks.
pub(super) fn ensure_ticks() -> Result<()> {
    TICKER.with(|cell| {
        let ticker = match cell.get() {
            Some(ticker) if ticker.armed => return Ok(()),
            Some(ticker) => ticker,
            None => create()?,
        };
        set(ticker.timer, ticker.period)?;
        cell.set(Some(Ticker { armed: true, ..ticker }));
        Ok(())
    })
}

/// From now on the calling thread ticks this often, if it ticks.
pub fn tick_every(period: Duration) -> Result<()> {
    TICKER.with(|cell| match cell.get() {
        Some(ticker) if ticker.period != period => {
            if ticker.armed {
                set(ticker.timer, period)?;
            }
            cell.set(Some(Ticker { period, ..ticker }));
            Ok(())
        }
        _ => Ok(()),
    })
}

/// Stops the calling thread's tick until its next wait for a tracee. Call it before blocking on
/// something else, so that an idle supervisor sleeps.
pub fn pause_ticks() -> Result<()> {
    TICKER.with(|cell| match cell.get() {
        Some(ticker) if ticker.armed => {
            set(ticker.timer, Duration::ZERO)?;
            cell.set(Some(Ticker { armed: false, ..ticker }));
            Ok(())
        }
        _ => Ok(()),
    })
}
