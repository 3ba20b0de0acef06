//! One event: a thread gets the baton, runs until it stops, and what it asks for is carried out.

use super::pace::{Pace, Waits};
use super::{deliver, futexes, jump, lane, names, patch, written};
use crate::kernel::{Call, Ctx, Errno, Fail, Io, Kernel, Outcome, State, input};
use crate::syscalls::{Handler, process, table};
use crate::tracee::{Stop, TICK, TICK_ALONE, baton, sys::regs_words, tick_every};
use gapless_log::{Error, chain};
use std::time::{Duration, Instant};

/// What a computing thread keeps waiting.
pub type WhoWaits = fn(&Kernel, &mut Io<'_, '_>) -> Waits;

/// Lets the thread in hand have one event. `pace` says how long it may compute although `who_waits` names somebody.
pub fn turn(k: &mut Kernel, cx: &mut Ctx<'_, '_>, pace: &mut Pace, who_waits: WhoWaits) -> Result<(), Fail> {
    if cx.tracee().is_parked() {
        // The baton has come to it by a stop.
        k.process_mut(cx.pid).parks = false;
        lane::take_out(k, cx.tracees, cx.tid)?;
    }
    if let Some(call) = k.thread(cx.tid).call {
        k.call_mut(cx.tid).stopped = false;
        if deliver::ends_untried(k, cx.tid, &call) {
            deliver::interrupt(k, cx, call)?;
        }
        return match k.threads.get(&cx.tid) {
            Some(thread) if thread.call.is_some() && thread.state == State::Ready => carry_out(k, cx),
            _ => Ok(()),
        };
    }
    deliver::pending(k, cx)?;
    if k.threads.get(&cx.tid).is_none_or(|t| t.state != State::Ready) {
        return Ok(());
    }
    if next_is_jump(k, cx) {
        jump::adopt(k, cx)?;
        remember(k, cx);
        give_way_after_jump(k);
        return Ok(());
    }
    match run(k, cx, pace, who_waits)? {
        Stop::Syscall { nr, args, arch_ok } => {
            lane::stopped(k, cx, nr as u64)?;
            if !lane::takes(nr as u64) {
                remember(k, cx);
            }
            if !arch_ok {
                return Err(crate::syscalls::fd::refuse("a 32-bit or x32 system call"));
            }
            k.begin_call(cx.tid, Call::new(nr as u64, args));
            carry_out(k, cx)
        }
        Stop::Fault { signo, info } => {
            remember(k, cx);
            if written::fault(k, cx, signo, &info)? || patch::trapped(k, cx, signo)? {
                Ok(())
            } else {
                deliver::fault(k, cx, signo, &info)
            }
        }
        Stop::Interrupted => {
            remember(k, cx);
            pace.jump(is_tracked(k, cx), || jump::record(k, cx))?;
            give_way_after_jump(k);
            Ok(())
        }
        Stop::Exited(_) | Stop::Killed(_) => Err(Fail::Fatal(Error::Level(format!(
            "somebody outside killed thread {} of the program (or memory ran out)",
            cx.tid.0
        )))),
        Stop::Signal { .. } => unreachable!("signals from outside are swallowed in run"),
    }
}

/// It was stopped because something else waits: another thread that can run is next, however few events this one has had.
fn give_way_after_jump(k: &mut Kernel) {
    k.slice = 0;
}

fn next_is_jump(k: &Kernel, cx: &Ctx<'_, '_>) -> bool {
    match &cx.io {
        Io::Replay { log } => log.peek().is_some_and(|e| e.kind == input::STATE_JUMP && e.at == k.position),
        Io::Live { .. } => false,
    }
}

/// Is it known which pages of the address space in hand are written?
fn is_tracked(k: &Kernel, cx: &Ctx<'_, '_>) -> bool {
    k.memories[&k.process(cx.pid).memory].tracker.is_some()
}

/// Runs user code until it stops for a reason that counts. The events that were carried out on the way without a stop have happened then.
fn run(k: &mut Kernel, cx: &mut Ctx<'_, '_>, pace: &Pace, who_waits: WhoWaits) -> Result<Stop, Fail> {
    lane::resume(k, cx);
    lane::open(k, cx)?;
    let began = cx.io.is_live().then(Instant::now);
    let tracked = is_tracked(k, cx);
    let mut may_spin = tracked;
    if std::mem::take(&mut cx.tracee().spun)
        && let Some(tracker) = k.memories[&k.process(cx.pid).memory].tracker.clone()
    {
        // It is likely to be stopped in its loop again: then only what it has written from here on is needed, not what others have.
        cx.tracee().mark_written_pages(&tracker)?;
    }
    // What was sent without a stop leaves at the next one: that must not be far.
    let mut look_after = TICK;
    let mut sent = false;
    let stop = loop {
        let (tid, stop) = baton::run(cx.tracees, cx.tid, began.map(|began| began + look_after))?;
        cx.tid = tid;
        match stop {
            // Only signals of the model reach the program.
            Stop::Signal { .. } => {}
            Stop::Fault { signo: libc::SIGTRAP, mut info } if lane::is_inside(k, cx) => {
                if lane::stepped(k, cx, &mut info)? {
                    break Stop::Fault { signo: libc::SIGTRAP, info };
                }
            }
            // The program's pointer was bad: the call that it was for stops instead.
            Stop::Fault { .. } if cx.tracee().bail_out() => {}
            // No place to be stopped at: a moment later it is elsewhere.
            Stop::Interrupted if lane::is_inside(k, cx) => {}
            Stop::Interrupted => {
                let ran = began.map_or(Duration::ZERO, |began| began.elapsed());
                sent |= cx.tracee().lane().has_sent();
                // Whom it has woken waits for it; and from here on its calls stop.
                lane::absorb(k, cx)?;
                if sent {
                    // It sends and then computes: what it sends next is not to wait for that.
                    cx.tracee().lane().hold_sends();
                }
                let left = match who_waits(k, &mut cx.io) {
                    Waits::Nobody { due_in } if !sent => {
                        tick_every(TICK_ALONE)?;
                        due_in.max(TICK)
                    }
                    waits => {
                        tick_every(TICK)?;
                        let left = pace.left(tracked, waits == Waits::Woken, ran);
                        // Whoever waits for somebody else's turn has had its own.
                        if left.is_zero() {
                            break Stop::Interrupted;
                        }
                        if std::mem::take(&mut may_spin) && cx.tracee().spins()? {
                            cx.tracee().spun = true;
                            break Stop::Interrupted;
                        }
                        left
                    }
                };
                look_after = ran + left.min(TICK_ALONE);
            }
            stop => break stop,
        }
    };
    // Whoever is dead ends the replica, whether or not it had the baton.
    if !matches!(stop, Stop::Exited(_) | Stop::Killed(_)) {
        lane::absorb(k, cx)?;
    }
    Ok(stop)
}

/// The registers at every event are part of the history that digests compare.
fn remember(k: &mut Kernel, cx: &mut Ctx<'_, '_>) {
    let words = regs_words(cx.tracee().regs());
    let mut raw = [0u8; size_of::<u64>() * 27];
    for (slot, word) in raw.chunks_exact_mut(8).zip(words) {
        slot.copy_from_slice(&word.to_le_bytes());
    }
    k.history = chain(k.history, &[&cx.tid.0.to_le_bytes(), &raw]);
}

/// Carries out the call that the thread in hand is in: for the first time, or again.
fn carry_out(k: &mut Kernel, cx: &mut Ctx<'_, '_>) -> Result<(), Fail> {
    let call = *k.call(cx.tid);
    let found = table::find(call.nr);
    let Some(handler) =
        found.map(|row| row.handler).or((call.nr >= table::NEVER_ASSIGNED).then_some(process::absent as Handler))
    else {
        return Err(Fail::Fatal(Error::Refused(format!(
            "system call {} of '{}' is not in the table; run the program without gapless or report the call",
            call.nr,
            String::from_utf8_lossy(&k.process(cx.pid).exe)
        ))));
    };
    written::begin(k, cx);
    let result = handler(k, cx, &call.args);
    written::end(k, cx);
    let tid = cx.tid;
    let done = matches!(result, Ok(Outcome::Done(_)) | Err(Fail::Errno(_)));
    let whole = done && lane::takes(call.nr);
    if !whole {
        k.history = chain(k.history, &[&cx.bytes_in.to_le_bytes()]);
    }
    let ret = match result {
        Ok(Outcome::Done(value)) => value as i64,
        Err(Fail::Errno(Errno(n))) => -i64::from(n),
        Err(fatal) => return Err(fatal),
        Ok(Outcome::NoReturn) => {
            // exec may have given the thread another number.
            if k.threads.contains_key(&cx.tid) {
                k.end_call(cx.tid);
                deliver::pending(k, cx)?;
            }
            return Ok(());
        }
        Ok(Outcome::Block(wait)) => {
            k.call_mut(tid).tries += 1;
            if crate::signal::deliverable(k, tid).0 != 0 {
                let call = *k.call(tid);
                deliver::interrupt(k, cx, call)?;
                let still = k.threads.get(&tid).is_some_and(|t| t.call.is_some() && t.state == State::Ready);
                if !still {
                    return Ok(());
                }
            }
            k.park(tid, wait);
            return futexes::blocked(k, cx);
        }
    };
    if whole {
        lane::account(k, tid, call.nr, call.args[0], ret, cx.bytes_in);
    } else {
        k.history = chain(k.history, &[&ret.to_le_bytes()]);
    }
    if let Some(process) = k.processes.get_mut(&cx.pid) {
        lane::used(process, &call, ret);
        names::stopped(k, cx, &call);
    }
    cx.tracee().finish_syscall(ret);
    k.end_call(tid);
    k.restore_mask(tid);
    if k.thread(tid).state == State::Ready {
        deliver::pending(k, cx)?;
    }
    Ok(())
}
