//! Signals on real threads: the kernel builds the frame, at an event boundary, for the signal and mask that the model chose.

use crate::kernel::{Call, Ctx, Fail, Kernel, State, Tid};
use crate::signal::{self, Action, DefaultAction, SigSet, Signal};
use crate::syscalls::{process, time};
use crate::tracee::lane::FUTEX_COMMAND;
use crate::tracee::{self, Delivery, Stop};

/// Gives the real process an action, so that the kernel builds frames by it.
pub fn set_native_action(cx: &mut Ctx<'_, '_>, number: i32, action: &Action) -> Result<(), Fail> {
    let tracee = cx.tracee();
    let (scratch, _) = tracee.scratch();
    // Ignored signals keep the default natively: they are never delivered, and a trapped instruction must stop.
    let handler = if action.handler == 1 { 0 } else { action.handler };
    let words = [handler, action.flags, action.restorer, action.mask.0];
    tracee.write_scratch(scratch, &words.iter().flat_map(|w| w.to_le_bytes()).collect::<Vec<u8>>())?;
    tracee.native_ok("rt_sigaction", libc::SYS_rt_sigaction, [number as u64, scratch, 0, 8, 0, 0])?;
    Ok(())
}

/// Delivers what is pending for the thread in hand, which stands between two instructions of its own (its call, if any, is over).
/// Afterwards it stands in a handler, or where it was, or is gone or stopped.
pub fn pending(k: &mut Kernel, cx: &mut Ctx<'_, '_>) -> Result<(), Fail> {
    while let Some(signal) = take(k, cx.tid) {
        act(k, cx, signal)?;
    }
    Ok(())
}

fn take(k: &mut Kernel, tid: Tid) -> Option<Signal> {
    match k.threads.get(&tid).map(|t| &t.state) {
        Some(State::Ready) => signal::take_deliverable(k, tid),
        _ => None,
    }
}

/// Carries out one signal's action on the thread in hand.
fn act(k: &mut Kernel, cx: &mut Ctx<'_, '_>, signal: Signal) -> Result<(), Fail> {
    let action = k.process(cx.pid).actions.get(signal.number);
    if action.handler > 1 && signal.number != libc::SIGKILL && signal.number != libc::SIGSTOP {
        return handle(k, cx, &signal, action, Cause::Sent);
    }
    match signal::default_action(signal.number) {
        DefaultAction::Terminate => process::end_process(k, cx, cx.pid, signal.number),
        // Nobody is there who could continue it.
        DefaultAction::Stop if signal.number != libc::SIGSTOP && signal::is_orphaned(k, k.process(cx.pid).group) => {
            Ok(())
        }
        DefaultAction::Stop => {
            stop(k, cx.pid, signal.number);
            Ok(())
        }
        DefaultAction::Ignore | DefaultAction::Continue => Ok(()),
    }
}

/// More than the frame of a signal takes, the largest registers included.
const FRAME_BYTES_MAX: u64 = 16 << 10;

/// Where a signal comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cause {
    /// Somebody sent it.
    Sent,
    /// The thread's own instruction.
    Fault,
}

/// A signal frame's words for the thread's last fault, above `rsp` at the handler's entry: error code and trap number, and the address (cr2). Below
/// them lie the return address, the head of the ucontext (40 bytes) and 19 registers (sigcontext, as the kernel lays it out).
const FRAME_ERR: u64 = 8 + 40 + 19 * 8;
const FRAME_CR2: u64 = FRAME_ERR + 24;

/// The frame of a signal that was sent tells of no fault. The kernel puts the thread's last one there, which may have been an instruction that
/// gapless answered, and happen on one side only.
fn forget_fault(cx: &mut Ctx<'_, '_>) {
    let rsp = cx.tracee().regs().rsp;
    for (at, len) in [(FRAME_ERR, 16), (FRAME_CR2, 8)] {
        // The kernel has just written the frame, so it can be written.
        let _ = cx.tracee().write_all(rsp + at, &[0; 16][..len]);
    }
}

fn handle(k: &mut Kernel, cx: &mut Ctx<'_, '_>, signal: &Signal, action: Action, cause: Cause) -> Result<(), Fail> {
    let thread = k.thread_mut(cx.tid);
    // In a call that waited with a mask of its own, the frame restores the mask from before.
    let waited_with = thread.saved_mask.take().map(|before| (std::mem::replace(&mut thread.mask, before)).0);
    let mask = thread.mask.0;
    let info = tracee::SigInfo::from_bytes(signal.info.bytes());
    // The frame leads back to where the thread stands now: behind a `syscall` that must stay what it is, then.
    let memory = k.process(cx.pid).memory;
    let rip = cx.tracee().regs().rip;
    k.memories.get_mut(&memory).expect("address space exists").sites.leave_unless_patched(rip);
    // The host writes the frame, and the stack may be where the program has just executed something.
    let sp = cx.tracee().regs().rsp;
    super::written::open(k, cx, sp.saturating_sub(FRAME_BYTES_MAX), sp)?;
    let tracee = cx.tracee();
    tracee.set_sigmask(mask)?;
    let delivery = tracee.deliver(signal.number, &info, waited_with)?;
    match delivery {
        Delivery::Handler => {
            let now = tracee.sigmask()?;
            tracee.set_sigmask(0)?;
            k.thread_mut(cx.tid).mask = SigSet(now).blockable();
            if cause == Cause::Sent {
                forget_fault(cx);
            }
            if action.flags & libc::SA_RESETHAND as u64 != 0 {
                k.process_mut(cx.pid).actions.set(signal.number, Action { handler: 0, ..action });
            }
            Ok(())
        }
        // The frame could not be written: the stack is bad. SIGSEGV, which nobody can handle there.
        Delivery::Fault(_) | Delivery::Died(Stop::Killed(_)) => process::end_process(k, cx, cx.pid, libc::SIGSEGV),
        other => Err(Fail::Fatal(gapless_log::Error::Level(format!(
            "signal {} was to be handled by the program, but the host says {other:?}",
            signal.number
        )))),
    }
}

/// Is there a signal that a call under way must give way to before it is tried again? Most calls look for what they wait for first, and a signal
/// that came behind it does not keep it from them: carrying them out interrupts them if they would block.
pub fn ends_untried(k: &Kernel, tid: Tid, call: &Call) -> bool {
    signal::deliverable(k, tid).0 != 0 && (call.stopped || !looks_first(k, call) || signal::is_fatal(k, tid))
}

/// Does the kernel look for what the call waits for before it looks for signals? It does not where a waiter is told that it has got it (`granted`),
/// nor for a connection; a timeout that has passed is always seen.
fn looks_first(k: &Kernel, call: &Call) -> bool {
    match call.nr as i64 {
        libc::SYS_futex | libc::SYS_semop | libc::SYS_semtimedop => {
            call.deadline.is_some_and(|deadline| k.now >= deadline)
        }
        libc::SYS_connect => false,
        _ => true,
    }
}

/// A call that was blocked has been disturbed by a signal. Ends or rewinds it if a handler runs; leaves it to be tried again if not.
pub fn interrupt(k: &mut Kernel, cx: &mut Ctx<'_, '_>, call: Call) -> Result<(), Fail> {
    if k.thread(cx.tid).granted {
        // What it waited for came first, and would be lost: the call returns, and then the signal is taken.
        return Ok(());
    }
    while let Some(signal) = take(k, cx.tid) {
        let action = k.process(cx.pid).actions.get(signal.number);
        if action.handler > 1 && signal.number != libc::SIGKILL {
            let nr = call.nr as i64;
            if call.progress > 0 {
                cx.tracee().finish_syscall(call.progress as i64);
            } else if always_restarts(&call) || action.flags & libc::SA_RESTART as u64 != 0 && restarts(nr, &call) {
                cx.tracee().rewind_syscall(nr);
            } else {
                if matches!(nr, libc::SYS_nanosleep | libc::SYS_clock_nanosleep) {
                    time::write_rest_of_sleep(k, cx, &call.args, nr);
                }
                cx.tracee().finish_syscall(-i64::from(libc::EINTR));
            }
            k.end_call(cx.tid);
            handle(k, cx, &signal, action, Cause::Sent)?;
            return pending(k, cx);
        }
        act(k, cx, signal)?;
    }
    Ok(())
}

/// Is this call made again after any handler? A wait for a priority-inheriting lock is (its timeout is a time of day, or of the clock).
fn always_restarts(call: &Call) -> bool {
    call.nr == libc::SYS_futex as u64
        && matches!(call.args[1] as i32 & FUTEX_COMMAND, libc::FUTEX_LOCK_PI | libc::FUTEX_LOCK_PI2)
}

/// Is this call made again after a handler with SA_RESTART (signal(7))? Never those with a timeout, nor waits for events.
fn restarts(nr: i64, call: &Call) -> bool {
    match nr {
        // Socket calls have one only by SO_RCVTIMEO or SO_SNDTIMEO.
        libc::SYS_futex
        | libc::SYS_read
        | libc::SYS_readv
        | libc::SYS_write
        | libc::SYS_writev
        | libc::SYS_accept
        | libc::SYS_accept4
        | libc::SYS_connect
        | libc::SYS_recvfrom
        | libc::SYS_recvmsg
        | libc::SYS_sendto
        | libc::SYS_sendmsg => call.deadline.is_none(),
        libc::SYS_poll
        | libc::SYS_ppoll
        | libc::SYS_select
        | libc::SYS_pselect6
        | libc::SYS_epoll_wait
        | libc::SYS_epoll_pwait
        | libc::SYS_epoll_pwait2
        | libc::SYS_nanosleep
        | libc::SYS_clock_nanosleep
        | libc::SYS_pause
        | libc::SYS_rt_sigsuspend
        | libc::SYS_rt_sigtimedwait
        | libc::SYS_semop
        | libc::SYS_semtimedop
        | libc::SYS_msgrcv
        | libc::SYS_msgsnd => false,
        _ => true,
    }
}

/// Stops a process until SIGCONT.
fn stop(k: &mut Kernel, pid: crate::kernel::Pid, number: i32) {
    let tids: Vec<Tid> = k.threads.values().filter(|t| t.pid == pid).map(|t| t.tid).collect();
    for tid in tids {
        let before = std::mem::replace(&mut k.thread_mut(tid).state, State::Ready);
        if let State::Waiting(wait) = &before {
            k.forget_wait(tid, wait);
        }
        k.run_queue.retain(|&t| t != tid);
        if let Some(call) = &mut k.thread_mut(tid).call {
            call.stopped = true;
        }
        k.thread_mut(tid).state = match before {
            stopped @ State::Stopped(_) => stopped,
            other => State::Stopped(Box::new(other)),
        };
    }
    process::report_stop(k, pid, number << 8 | 0x7f);
}

/// A fault of the program's own: its handler runs if it has one and does not block the signal; else it ends the process.
pub fn fault(k: &mut Kernel, cx: &mut Ctx<'_, '_>, number: i32, info: &tracee::SigInfo) -> Result<(), Fail> {
    if signal::is_blocked_or_ignored(k, cx.tid, number) {
        return process::end_process(k, cx, cx.pid, number);
    }
    let signal = Signal { number, info: signal::SigInfo::from_bytes(info.as_bytes()) };
    let action = k.process(cx.pid).actions.get(number);
    handle(k, cx, &signal, action, Cause::Fault)
}

/// rt_sigreturn: all registers and the mask come from the frame.
pub fn sigreturn(k: &mut Kernel, cx: &mut Ctx<'_, '_>) -> Result<(), Fail> {
    let tracee = cx.tracee();
    tracee.through()?;
    let mask = tracee.sigmask()?;
    tracee.set_sigmask(0)?;
    k.thread_mut(cx.tid).mask = SigSet(mask).blockable();
    Ok(())
}
