//! The supervisor's own standard streams, as the program has them on 0, 1 and 2.
//!
//! Outside streams: what arrives is an input, what is written waits in the outbox. What kind of file stands behind them (terminal,
//! pipe, file) is asked once, at launch. Input is read only when the program waits for it, so that a program that never reads takes
//! nothing from its terminal.

use crate::kernel::{Ctx, Fail, FileId, Kernel, ObjectId, Tid, done, fail, input};
use crate::object::Object;
use gapless_log::Channel;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Output that may wait for commit and for the real file before a writer blocks.
pub const CAPACITY: u64 = 1 << 20;

/// What stands behind a standard stream.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Description {
    /// Open at all.
    pub open: bool,
    /// st_mode.
    pub mode: u32,
    /// st_rdev.
    pub rdev: u64,
    /// F_GETFL.
    pub flags: i32,
    /// struct termios of the kernel (36 bytes), if it is a terminal.
    pub termios: Option<Vec<u8>>,
    /// struct winsize (8 bytes).
    pub winsize: [u8; 8],
}

/// A standard stream.
#[derive(Debug)]
pub struct Stdio {
    /// 0, 1 or 2: which of the supervisor's.
    pub number: i32,
    /// What it is.
    pub description: Description,
    input: VecDeque<u8>,
    ended: bool,
    error: i32,
    queued: u64,
}

impl Stdio {
    /// Wants more input: nothing is buffered and the end was not seen.
    pub fn wants_input(&self) -> bool {
        self.input.is_empty() && !self.ended
    }

    /// Bytes said and not yet reported as taken by the world.
    pub fn queued(&self) -> u64 {
        self.queued
    }

    /// Everything that shapes the future.
    pub fn digest(&self, h: &mut gapless_log::Hasher) {
        let (a, b) = self.input.as_slices();
        h.update(a);
        h.update(b);
        h.number(u64::from(self.ended) << 32 | self.error as u64);
        h.number(self.queued);
    }
}

/// Makes descriptors 0, 1 and 2 as far as the supervisor has them.
pub fn install(k: &mut Kernel, cx: &mut Ctx<'_, '_>) -> Result<Vec<(i32, FileId)>, Fail> {
    let described: Vec<Description> = cx.io.value(k.position, input::OPTION, |world| world.describe_stdio())?;
    let mut files = Vec::new();
    for (number, description) in (0..3).zip(described) {
        if !description.open {
            continue;
        }
        let id = ObjectId(k.fresh_id());
        let flags = description.flags & (libc::O_ACCMODE | libc::O_APPEND);
        let stdio = Stdio { number, description, input: VecDeque::new(), ended: false, error: 0, queued: 0 };
        k.objects.stdio.insert(id, stdio);
        files.push((number, k.open(Object::Stdio(id), flags)));
    }
    Ok(files)
}

fn get(k: &mut Kernel, id: ObjectId) -> &mut Stdio {
    k.objects.stdio.get_mut(&id).expect("standard streams exist for ever")
}

/// Reads what has arrived.
pub fn read(k: &mut Kernel, id: ObjectId, max: usize) -> Result<Vec<u8>, Fail> {
    let s = get(k, id);
    if s.input.is_empty() && !s.ended && max > 0 {
        return fail(libc::EAGAIN);
    }
    let n = max.min(s.input.len());
    Ok(s.input.drain(..n).collect())
}

/// Bytes that were read and could not be stored wait again.
pub fn put_back(k: &mut Kernel, id: ObjectId, bytes: &[u8]) {
    let input = &mut get(k, id).input;
    bytes.iter().rev().for_each(|&byte| input.push_front(byte));
}

/// Says bytes, as many as there is room for.
pub fn write(k: &mut Kernel, cx: &mut Ctx<'_, '_>, id: ObjectId, bytes: &[u8]) -> Result<usize, Fail> {
    let s = get(k, id);
    if s.error != 0 {
        let error = s.error;
        if error == libc::EPIPE {
            crate::signal::broken_pipe(k, cx.tid);
        }
        return fail(error);
    }
    let n = (CAPACITY - s.queued).min(bytes.len() as u64) as usize;
    if n == 0 && !bytes.is_empty() {
        return fail(libc::EAGAIN);
    }
    s.queued += n as u64;
    if n > 0 {
        cx.io.say_bytes(Channel(id.0), &bytes[..n]);
    }
    Ok(n)
}

/// Readiness.
pub fn poll(k: &Kernel, _tid: Tid, id: ObjectId) -> u32 {
    let s = &k.objects.stdio[&id];
    let mut bits = 0;
    if !s.input.is_empty() || s.ended {
        bits |= libc::EPOLLIN;
    }
    if s.queued < CAPACITY / 2 {
        bits |= libc::EPOLLOUT;
    }
    if s.error != 0 {
        bits |= libc::EPOLLERR;
    }
    bits as u32
}

/// ioctl(2): what a terminal answers, else ENOTTY.
pub fn ioctl(k: &mut Kernel, cx: &mut Ctx<'_, '_>, id: ObjectId, request: u64, arg: u64) -> crate::syscalls::SysResult {
    let foreground = k.process(cx.pid).group.0;
    let s = get(k, id);
    if request == libc::FIONREAD {
        let n = s.input.len() as u32;
        cx.write(arg, &n.to_le_bytes())?;
        return done(0);
    }
    let Some(termios) = s.description.termios.clone() else { return fail(libc::ENOTTY) };
    match request {
        libc::TCGETS => cx.write(arg, &termios)?,
        // Kept, so that the program reads back what it set; the real terminal stays as it is.
        libc::TCSETS | libc::TCSETSW | libc::TCSETSF => {
            s.description.termios = Some(cx.read(arg, termios.len())?);
        }
        libc::TIOCGWINSZ => cx.write(arg, &s.description.winsize.clone())?,
        libc::TIOCSWINSZ => s.description.winsize = cx.read_array(arg)?,
        libc::TIOCGPGRP => cx.write(arg, &foreground.to_le_bytes())?,
        libc::TIOCSPGRP => {}
        libc::TIOCGSID => {
            let session = k.process(cx.pid).session.0;
            cx.write(arg, &session.to_le_bytes())?;
        }
        _ => return fail(libc::ENOTTY),
    }
    done(0)
}

/// Bytes have arrived on standard input; none means its end.
pub fn arrived(k: &mut Kernel, id: ObjectId, bytes: &[u8]) {
    let Some(s) = k.objects.stdio.get_mut(&id) else { return };
    s.input.extend(bytes);
    s.ended |= bytes.is_empty();
    k.notify(id);
}

/// The world took bytes.
pub fn drained(k: &mut Kernel, id: ObjectId, n: u64) {
    let Some(s) = k.objects.stdio.get_mut(&id) else { return };
    s.queued = s.queued.saturating_sub(n);
    k.notify(id);
}

/// The real stream is broken.
pub fn closed(k: &mut Kernel, id: ObjectId, error: i32) {
    let Some(s) = k.objects.stdio.get_mut(&id) else { return };
    s.error = error;
    k.notify(id);
}
