//! Pseudo terminals (pty(7)): a master and a slave with a line discipline between them, and the session that the slave controls.
//!
//! All in the model: nothing here touches a terminal of the host. The master's number is the pair's; the slave has the next one, so that each side
//! wakes only those who wait for it. A terminal belongs to a session as a whole: one process cannot give it up alone.

use super::Object;
use super::discipline::{Discipline, TERMIOS_BYTES, Termios};
use crate::fs::InodeId;
use crate::kernel::{Ctx, Fail, FileId, Kernel, ObjectId, Outcome, Pid, Tid, Wait, done, fail};
use crate::signal::{is_orphaned, send_group};
use crate::syscalls::SysResult;

/// Major number of slaves.
pub const MAJOR: u32 = 136;
/// Number 0 is the name under which a terminal among the standard streams is shown.
const FIRST_NUMBER: u32 = 1;
/// Terminals at one time.
const PTYS_MAX: usize = 4096;

const TIOCGPTLCK: u64 = 0x8004_5439;
const TIOCGPKT: u64 = 0x8004_5438;
const TIOCGDEV: u64 = 0x8004_5432;
const TCGETS2: u64 = 0x802c_542a;
const TCSETS2: u64 = 0x402c_542b;
const TCSETSF2: u64 = 0x402c_542d;
/// B38400 as a number, which is all that a pseudo terminal knows of speed.
const SPEED: u32 = 38400;

/// Which side a description is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    /// What the terminal emulator holds.
    Master,
    /// What programs take for a terminal.
    Slave,
}

/// A pair.
#[derive(Debug)]
pub struct Pty {
    /// N of /dev/pts/N.
    pub number: u32,
    /// The slave's inode, while the master is open.
    pub inode: InodeId,
    /// The session that it controls.
    pub session: Option<Pid>,
    /// The foreground process group.
    pub foreground: Option<Pid>,
    line: Discipline,
    locked: bool,
    masters: u32,
    slaves: u32,
    /// The slave was open and is not any more.
    left: bool,
    winsize: [u8; 8],
}

impl Pty {
    /// Its name.
    pub fn name(&self) -> String {
        format!("/dev/pts/{}", self.number)
    }

    /// Nobody holds the master any more.
    pub fn hung_up(&self) -> bool {
        self.masters == 0
    }

    /// Everything that shapes the future.
    pub fn digest(&self, h: &mut gapless_log::Hasher) {
        self.line.digest(h);
        h.update(&self.winsize);
        let pid = |p: Option<Pid>| p.map_or(0, |p| p.0 as u64);
        for n in [
            u64::from(self.number),
            self.inode.0,
            pid(self.session),
            pid(self.foreground),
            u64::from(self.masters) << 32 | u64::from(self.slaves),
            u64::from(self.locked) << 1 | u64::from(self.left),
        ] {
            h.number(n);
        }
    }
}

/// What readers and writers of a side wait for.
pub fn side_id(id: ObjectId, side: Side) -> ObjectId {
    match side {
        Side::Master => id,
        Side::Slave => ObjectId(id.0 + 1),
    }
}

fn get(k: &mut Kernel, id: ObjectId) -> &mut Pty {
    k.objects.ptys.get_mut(&id).expect("a pair exists while a side is open")
}

fn notify(k: &mut Kernel, id: ObjectId) {
    k.notify(side_id(id, Side::Master));
    k.notify(side_id(id, Side::Slave));
}

/// Opens /dev/ptmx: a new pair, its slave locked.
pub fn open_master(k: &mut Kernel, cx: &mut Ctx<'_, '_>, flags: i32) -> Result<FileId, Fail> {
    if k.objects.ptys.len() >= PTYS_MAX {
        return fail(libc::ENOSPC);
    }
    let taken = |n: u32| k.objects.ptys.values().any(|p| p.number == n);
    let number = (FIRST_NUMBER..).find(|&n| !taken(n)).expect("there are fewer pairs than numbers");
    let id = ObjectId(k.fresh_id());
    k.fresh_id();
    let inode = crate::fs::add_slave(k, cx.pid, number);
    let pty = Pty {
        number,
        inode,
        session: None,
        foreground: None,
        line: Discipline::default(),
        locked: true,
        masters: 1,
        slaves: 0,
        left: false,
        winsize: [0; 8],
    };
    k.objects.ptys.insert(id, pty);
    Ok(k.open(Object::Pty(id, Side::Master), flags))
}

/// Opens /dev/pts/N.
pub fn open_number(k: &mut Kernel, pid: Pid, number: u32, flags: i32, control: bool) -> Result<FileId, Fail> {
    let found = k.objects.ptys.iter().find(|(_, p)| p.number == number).map(|(&id, _)| id);
    match found {
        Some(id) => open_slave(k, pid, id, flags, control),
        None => fail(libc::ENXIO),
    }
}

/// Opens the controlling terminal (/dev/tty).
pub fn open_controlling(k: &mut Kernel, pid: Pid, flags: i32) -> Result<FileId, Fail> {
    match of_session(k, k.process(pid).session) {
        Some(id) => open_slave(k, pid, id, flags, false),
        None => fail(libc::ENXIO),
    }
}

/// The terminal that controls a session.
pub fn of_session(k: &Kernel, session: Pid) -> Option<ObjectId> {
    k.objects.ptys.iter().find(|(_, p)| p.session == Some(session)).map(|(&id, _)| id)
}

/// One more description of a slave. With `control`, a session leader without a terminal gets it.
pub fn open_slave(k: &mut Kernel, pid: Pid, id: ObjectId, flags: i32, control: bool) -> Result<FileId, Fail> {
    let pty = get(k, id);
    if pty.locked || pty.hung_up() {
        return fail(libc::EIO);
    }
    pty.slaves += 1;
    pty.left = false;
    if control && may_take(k, pid) && get(k, id).session.is_none() {
        take(k, pid, id);
    }
    notify(k, id);
    Ok(k.open(Object::Pty(id, Side::Slave), flags))
}

/// Is the process a session leader without a terminal?
fn may_take(k: &Kernel, pid: Pid) -> bool {
    k.process(pid).session == pid && of_session(k, pid).is_none()
}

fn take(k: &mut Kernel, pid: Pid, id: ObjectId) {
    let group = k.process(pid).group;
    let pty = get(k, id);
    (pty.session, pty.foreground) = (Some(pid), Some(group));
}

/// The session has no terminal any more.
fn let_go(k: &mut Kernel, id: ObjectId) {
    let pty = get(k, id);
    (pty.session, pty.foreground) = (None, None);
}

/// What a process outside the foreground of its own terminal is told.
enum Background {
    /// It may go on.
    Allowed,
    /// Its group was sent the signal; the call is to be tried again.
    Stopped,
}

/// Job control for the calling process, with SIGTTIN or SIGTTOU.
fn job_control(k: &mut Kernel, tid: Tid, id: ObjectId, signal: i32) -> Result<Background, Fail> {
    let pid = k.thread(tid).pid;
    let (group, session) = (k.process(pid).group, k.process(pid).session);
    let pty = &k.objects.ptys[&id];
    if pty.session != Some(session) || pty.foreground.is_none_or(|front| front == group) {
        return Ok(Background::Allowed);
    }
    let unheard = k.thread(tid).mask.has(signal) || k.process(pid).actions.get(signal).handler == 1;
    match (unheard, signal) {
        (true, libc::SIGTTOU) => Ok(Background::Allowed),
        (true, _) => fail(libc::EIO),
        _ if is_orphaned(k, group) => fail(libc::EIO),
        _ => {
            send_group(k, group, signal);
            Ok(Background::Stopped)
        }
    }
}

/// Reads what is there.
pub fn read(k: &mut Kernel, tid: Tid, file: FileId, max: usize) -> Result<Vec<u8>, Fail> {
    let Object::Pty(id, side) = k.file(file).object else { return fail(libc::EBADF) };
    let patient = !k.file(file).nonblocking();
    let pty = &k.objects.ptys[&id];
    let (hung_up, left) = (pty.hung_up(), pty.left);
    if max == 0 || (side == Side::Slave && hung_up) {
        return Ok(Vec::new());
    }
    let bytes = match side {
        Side::Master => Some(get(k, id).line.read_output(max)).filter(|b| !b.is_empty()),
        Side::Slave => match job_control(k, tid, id, libc::SIGTTIN)? {
            Background::Allowed => get(k, id).line.read(max, patient),
            Background::Stopped => None,
        },
    };
    match bytes {
        Some(bytes) => {
            notify(k, id);
            Ok(bytes)
        }
        None if side == Side::Master && left => fail(libc::EIO),
        None => fail(libc::EAGAIN),
    }
}

/// Writes what there is room for.
pub fn write(k: &mut Kernel, tid: Tid, id: ObjectId, side: Side, bytes: &[u8]) -> Result<usize, Fail> {
    let pty = get(k, id);
    if side == Side::Slave && pty.hung_up() {
        return fail(libc::EIO);
    }
    let mut signals = Vec::new();
    let foreground = pty.foreground;
    let taken = match side {
        Side::Master => {
            let (taken, typed) = pty.line.receive(bytes);
            signals = typed;
            taken
        }
        Side::Slave => {
            let tostop = pty.line.termios().stops_background();
            match if tostop { job_control(k, tid, id, libc::SIGTTOU)? } else { Background::Allowed } {
                Background::Allowed => get(k, id).line.write(bytes),
                Background::Stopped => 0,
            }
        }
    };
    if let Some(group) = foreground {
        for signal in signals {
            send_group(k, group, signal);
        }
    }
    notify(k, id);
    if taken == 0 && !bytes.is_empty() { fail(libc::EAGAIN) } else { Ok(taken) }
}

/// Readiness of a side.
pub fn poll(k: &Kernel, id: ObjectId, side: Side) -> u32 {
    let pty = &k.objects.ptys[&id];
    let bits = match side {
        Side::Slave if pty.hung_up() => libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLERR | libc::EPOLLHUP,
        Side::Slave => {
            let input = if pty.line.has_input(pty.line.poll_min()) { libc::EPOLLIN } else { 0 };
            input | if pty.line.takes_output() { libc::EPOLLOUT } else { 0 }
        }
        Side::Master => {
            let input = if pty.line.output_len() > 0 { libc::EPOLLIN } else { 0 };
            let room = if pty.line.takes_input() { libc::EPOLLOUT } else { 0 };
            input | room | if pty.left { libc::EPOLLHUP } else { 0 }
        }
    };
    bits as u32
}

/// One description of a side less.
pub fn close(k: &mut Kernel, id: ObjectId, side: Side) -> Result<(), Fail> {
    let pty = get(k, id);
    match side {
        Side::Master => pty.masters -= 1,
        Side::Slave => pty.slaves -= 1,
    }
    let (inode, number, session, foreground) = (pty.inode, pty.number, pty.session, pty.foreground);
    if side == Side::Master && pty.masters == 0 {
        if let Some(leader) = session {
            // What the leader does not pass on, its end will ([`leader_gone`]).
            k.objects.hung_up.extend(foreground.map(|group| (leader, group)));
            for number in [libc::SIGHUP, libc::SIGCONT] {
                let info = crate::signal::kernel_info(number);
                crate::signal::send_process(k, leader, crate::signal::Signal { number, info });
            }
        }
        let_go(k, id);
        crate::fs::remove_slave(k, inode, number)?;
    }
    let pty = get(k, id);
    if side == Side::Slave && pty.slaves == 0 {
        pty.left = true;
        let_go(k, id);
    }
    let pty = get(k, id);
    if pty.masters == 0 && pty.slaves == 0 {
        k.objects.ptys.remove(&id);
    }
    notify(k, id);
    Ok(())
}

/// A process is gone; if it led a session, the foreground of its terminal hears of it.
pub fn leader_gone(k: &mut Kernel, pid: Pid) {
    if let Some(group) = k.objects.hung_up.remove(&pid) {
        send_group(k, group, libc::SIGHUP);
        send_group(k, group, libc::SIGCONT);
    }
    if let Some(id) = of_session(k, pid) {
        let foreground = get(k, id).foreground;
        let_go(k, id);
        if let Some(group) = foreground {
            send_group(k, group, libc::SIGHUP);
        }
    }
}

/// ioctl(2).
pub fn ioctl(k: &mut Kernel, cx: &mut Ctx<'_, '_>, id: ObjectId, side: Side, request: u64, arg: u64) -> SysResult {
    let pty = get(k, id);
    if side == Side::Slave && pty.hung_up() {
        return fail(libc::EIO);
    }
    match request {
        libc::FIONREAD => {
            let n = if side == Side::Master { pty.line.output_len() } else { pty.line.readable() };
            cx.write(arg, &(n as u32).to_le_bytes())?;
        }
        libc::TIOCOUTQ => cx.write(arg, &0u32.to_le_bytes())?,
        libc::TCGETS => cx.write(arg, &pty.line.termios().bytes())?,
        TCGETS2 => {
            let mut raw = pty.line.termios().bytes().to_vec();
            raw.extend_from_slice(&SPEED.to_le_bytes());
            raw.extend_from_slice(&SPEED.to_le_bytes());
            cx.write(arg, &raw)?;
        }
        libc::TCSETS..=libc::TCSETSF | TCSETS2..=TCSETSF2 => {
            let raw: [u8; TERMIOS_BYTES] = cx.read_array(arg)?;
            if let Background::Stopped = in_front(k, cx.tid, id, side)? {
                return wait(id, side);
            }
            let line = &mut get(k, id).line;
            if matches!(request, libc::TCSETSF | TCSETSF2) {
                line.flush_input();
            }
            line.set_termios(Termios::from_bytes(&raw));
            notify(k, id);
        }
        libc::TCFLSH => {
            // What was written is with the other side at once, and only that side can drop it.
            match (arg as i32, side) {
                (libc::TCIFLUSH | libc::TCIOFLUSH, Side::Slave) => pty.line.flush_input(),
                (libc::TCIFLUSH | libc::TCIOFLUSH, Side::Master) => pty.line.flush_output(),
                (libc::TCOFLUSH, _) => {}
                _ => return fail(libc::EINVAL),
            }
            notify(k, id);
        }
        libc::TCXONC => {
            match arg as i32 {
                libc::TCOOFF => pty.line.set_stopped(true),
                libc::TCOON => pty.line.set_stopped(false),
                libc::TCIOFF | libc::TCION => {}
                _ => return fail(libc::EINVAL),
            }
            notify(k, id);
        }
        libc::TCSBRK | libc::TCSBRKP | libc::TIOCEXCL | libc::TIOCNXCL => {}
        libc::TIOCGETD => cx.write(arg, &0u32.to_le_bytes())?,
        TIOCGDEV => cx.write(arg, &(MAJOR << 8 | pty.number).to_le_bytes())?,
        libc::TIOCGWINSZ => cx.write(arg, &pty.winsize.clone())?,
        libc::TIOCSWINSZ => {
            let size = cx.read_array(arg)?;
            if pty.winsize != size {
                pty.winsize = size;
                if let Some(group) = pty.foreground {
                    send_group(k, group, libc::SIGWINCH);
                }
            }
        }
        libc::TIOCGPTN | libc::TIOCSPTLCK | libc::TIOCGPTPEER | TIOCGPTLCK | TIOCGPKT | libc::TIOCPKT => {
            return if side == Side::Master { master_ioctl(k, cx, id, request, arg) } else { fail(libc::ENOTTY) };
        }
        libc::TIOCSCTTY | libc::TIOCNOTTY | libc::TIOCGPGRP | libc::TIOCSPGRP | libc::TIOCGSID => {
            return session_ioctl(k, cx, id, side, request, arg);
        }
        _ => return fail(libc::ENOTTY),
    }
    done(0)
}

fn wait(id: ObjectId, side: Side) -> SysResult {
    Ok(Outcome::Block(Wait::object(side_id(id, side))))
}

/// Changing a terminal from the background is a matter of job control; the master's holder is nobody's background.
fn in_front(k: &mut Kernel, tid: Tid, id: ObjectId, side: Side) -> Result<Background, Fail> {
    match side {
        Side::Master => Ok(Background::Allowed),
        Side::Slave => job_control(k, tid, id, libc::SIGTTOU),
    }
}

/// Requests that only a master knows.
fn master_ioctl(k: &mut Kernel, cx: &mut Ctx<'_, '_>, id: ObjectId, request: u64, arg: u64) -> SysResult {
    let pty = get(k, id);
    match request {
        libc::TIOCGPTN => cx.write(arg, &pty.number.to_le_bytes())?,
        libc::TIOCSPTLCK => pty.locked = cx.read_u32(arg)? != 0,
        TIOCGPTLCK => cx.write(arg, &u32::from(pty.locked).to_le_bytes())?,
        TIOCGPKT => cx.write(arg, &0u32.to_le_bytes())?,
        libc::TIOCPKT => {
            if cx.read_u32(arg)? != 0 {
                return Err(crate::syscalls::fd::refuse("packet mode of a pseudo terminal (TIOCPKT)"));
            }
        }
        _ => {
            let flags = arg as i32;
            let kept = flags & (libc::O_ACCMODE | libc::O_NONBLOCK);
            let file = open_slave(k, cx.pid, id, kept, flags & libc::O_NOCTTY == 0)?;
            let close_on_exec = flags & libc::O_CLOEXEC != 0;
            let fds = crate::syscalls::fd::install_all(k, cx, &[file], close_on_exec)?;
            return done(fds[0]);
        }
    }
    done(0)
}

/// Requests about who is controlled.
fn session_ioctl(k: &mut Kernel, cx: &mut Ctx<'_, '_>, id: ObjectId, side: Side, request: u64, arg: u64) -> SysResult {
    let (session, root) = (k.process(cx.pid).session, k.process(cx.pid).creds.uid[1] == 0);
    let pty = get(k, id);
    let (own, foreground, held) = (pty.session == Some(session), pty.foreground, pty.session);
    match request {
        libc::TIOCSCTTY if own && session == cx.pid => {}
        libc::TIOCSCTTY => {
            let free = held.is_none() || (arg == 1 && root);
            if side == Side::Master || !free || !may_take(k, cx.pid) {
                return fail(libc::EPERM);
            }
            take(k, cx.pid, id);
        }
        _ if !own && (side == Side::Slave || matches!(request, libc::TIOCNOTTY | libc::TIOCSPGRP)) => {
            return fail(libc::ENOTTY);
        }
        libc::TIOCNOTTY => {
            if session == cx.pid {
                let_go(k, id);
                for signal in [libc::SIGHUP, libc::SIGCONT] {
                    if let Some(group) = foreground {
                        send_group(k, group, signal);
                    }
                }
            }
        }
        libc::TIOCGPGRP => cx.write(arg, &foreground.map_or(0, |g| g.0).to_le_bytes())?,
        libc::TIOCGSID => match held {
            Some(session) => cx.write(arg, &session.0.to_le_bytes())?,
            None => return fail(libc::ENOTTY),
        },
        _ => {
            if let Background::Stopped = in_front(k, cx.tid, id, side)? {
                return wait(id, side);
            }
            let group = Pid(cx.read_u32(arg)? as i32);
            if group.0 < 0 {
                return fail(libc::EINVAL);
            }
            let mut members = k.processes.values().filter(|p| p.group == group).peekable();
            if members.peek().is_none() {
                return fail(libc::ESRCH);
            }
            if !members.any(|p| p.session == session) {
                return fail(libc::EPERM);
            }
            get(k, id).foreground = Some(group);
        }
    }
    done(0)
}
