//! Processes and threads: clone, exec, exit, wait, ids, groups, sessions.

use super::{SysResult, fd::refuse};
use crate::kernel::{
    Ctx, Errno, Fail, Kernel, Key, MemId, Memory, Outcome, Pid, Process, State, Thread, Tid, Wait, done, fail,
};
use crate::signal::{SigQueue, Signal, child_info};
use libc::{
    CLONE_CHILD_CLEARTID, CLONE_CHILD_SETTID, CLONE_FILES, CLONE_FS, CLONE_PARENT, CLONE_PARENT_SETTID, CLONE_SETTLS,
    CLONE_SIGHAND, CLONE_THREAD, CLONE_VFORK, CLONE_VM,
};

/// The model's own init: the parent of the first process and of orphans.
pub const INIT: Pid = Pid(1);

/// Flags of clone that ask for something we do not have.
const NAMESPACES: i32 = libc::CLONE_NEWNS
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWCGROUP;

/// clone(2), x86-64 argument order: flags, stack, parent_tid, child_tid, tls.
pub fn clone(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    let [flags, stack, parent_tid, child_tid, tls, _] = *a;
    let exit_signal = (flags & 0xff) as i32;
    let flags = (flags & !0xff) as i32;
    let has = |bit: i32| flags & bit != 0;
    if flags & NAMESPACES != 0 {
        return fail(libc::EPERM);
    }
    if has(CLONE_THREAD) && !(has(CLONE_VM) && has(CLONE_SIGHAND) && has(CLONE_FILES)) {
        return Err(refuse("clone with an unusual set of CLONE_ flags"));
    }
    if !has(CLONE_THREAD) && (has(CLONE_FILES) || has(CLONE_FS)) && !has(CLONE_VFORK) {
        return Err(refuse("clone with CLONE_FILES or CLONE_FS for a separate process"));
    }
    let limit = k.process(cx.pid).limit(libc::RLIMIT_NPROC as usize).soft;
    if k.threads.len() as u64 >= limit.min(4096) {
        return fail(libc::EAGAIN);
    }
    let native = (flags as u64)
        & !((CLONE_VFORK | CLONE_PARENT | CLONE_PARENT_SETTID | CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID) as u64);
    let tls_given = if has(CLONE_SETTLS) { tls } else { 0 };
    let child = match cx.tracee().clone_native(native, stack, tls_given)? {
        Ok(child) => child,
        Err(errno) => {
            return Err(Fail::Fatal(gapless_log::Error::Level(format!(
                "this host cannot start another thread for the program (errno {errno}); raise its limit of tasks"
            ))));
        }
    };
    k.last_pid += 1;
    let tid = Tid(k.last_pid);
    cx.tracees.insert(tid, child);
    let parent = k.thread(cx.tid);
    let thread = Thread {
        tid,
        pid: if has(CLONE_THREAD) { cx.pid } else { Pid(tid.0) },
        state: State::Ready,
        call: None,
        pending: SigQueue::default(),
        mask: parent.saved_mask.unwrap_or(parent.mask),
        saved_mask: None,
        granted: false,
        futex_bits: 0,
        clear_child_tid: if has(CLONE_CHILD_CLEARTID) { child_tid } else { 0 },
        robust_list: 0,
        name: parent.name.clone(),
        scheduling: parent.scheduling.of_child(),
        timer_slack: parent.timer_slack,
    };
    if !has(CLONE_THREAD) {
        let caller = k.process(cx.pid);
        // A sibling tells their parent of its end as the caller would.
        let (above, exit_signal) =
            if has(CLONE_PARENT) { (caller.parent, caller.exit_signal) } else { (cx.pid, exit_signal) };
        fork_process(k, cx, Pid(tid.0), has(CLONE_VM), has(CLONE_VFORK));
        let process = k.process_mut(Pid(tid.0));
        (process.parent, process.exit_signal) = (above, exit_signal);
        crate::ipc::shm::settle(k, cx)?;
    }
    k.threads.insert(tid, thread);
    k.run_queue.push_back(tid);
    let raw = tid.0.to_le_bytes();
    if has(CLONE_PARENT_SETTID) {
        // As the kernel does, a bad pointer is not an error.
        let _ = cx.write(parent_tid, &raw);
    }
    if has(CLONE_CHILD_SETTID) {
        let child = cx.tracees.get_mut(&tid).expect("just inserted");
        let _ = child.write(child_tid, &raw);
    }
    if has(CLONE_VFORK) {
        k.thread_mut(cx.tid).state = State::VforkParent;
    }
    done(tid.0)
}

/// A copy of the calling process, as its child.
fn fork_process(k: &mut Kernel, cx: &Ctx<'_, '_>, pid: Pid, share_memory: bool, vfork: bool) {
    let memory = if share_memory {
        k.process(cx.pid).memory
    } else {
        let copy = k.memories[&k.process(cx.pid).memory].clone();
        let id = MemId(k.fresh_id());
        k.memories.insert(id, Memory { users: 0, tracker: None, ..copy });
        id
    };
    k.memories.get_mut(&memory).expect("address space exists").users += 1;
    let parent = k.process(cx.pid);
    let child = Process {
        pid,
        parent: cx.pid,
        group: parent.group,
        session: parent.session,
        fds: parent.fds.clone(),
        cwd: parent.cwd,
        umask: parent.umask,
        creds: parent.creds.clone(),
        actions: parent.actions.clone(),
        pending: SigQueue::default(),
        memory,
        exe: parent.exe.clone(),
        args: parent.args.clone(),
        env: parent.env.clone(),
        limits: parent.limits.clone(),
        alarm: (0, 0),
        posix_timers: Default::default(),
        started: k.now,
        zombie: None,
        report: None,
        exit_signal: libc::SIGCHLD,
        vfork_parent: vfork.then_some(cx.tid),
        executed: false,
        parent_death_signal: 0,
        subreaper: false,
        prctl: parent.prctl.clone(),
        likely: Vec::new(),
        parks: false,
    };
    let files: Vec<_> = child.fds.iter().map(|(_, d)| d.file).collect();
    for file in files {
        k.hold(file);
    }
    k.processes.insert(pid, child);
}

/// fork(2).
pub fn fork(k: &mut Kernel, cx: &mut Ctx<'_, '_>, _: &[u64; 6]) -> SysResult {
    clone(k, cx, &[libc::SIGCHLD as u64, 0, 0, 0, 0, 0])
}

/// vfork(2).
pub fn vfork(k: &mut Kernel, cx: &mut Ctx<'_, '_>, _: &[u64; 6]) -> SysResult {
    clone(k, cx, &[(CLONE_VM | CLONE_VFORK | libc::SIGCHLD) as u64, 0, 0, 0, 0, 0])
}

/// A vfork child has called exec or is gone: its parent goes on.
pub fn release_vfork_parent(k: &mut Kernel, pid: Pid) {
    let Some(parent) = k.process_mut(pid).vfork_parent.take() else { return };
    if let Some(thread) = k.threads.get_mut(&parent) {
        match &mut thread.state {
            State::VforkParent => {
                thread.state = State::Ready;
                k.run_queue.push_back(parent);
            }
            State::Stopped(before) if **before == State::VforkParent => **before = State::Ready,
            _ => {}
        }
    }
}

/// exit(2): this thread only.
pub fn exit(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    let alone = k.threads.values().filter(|t| t.pid == cx.pid).count() == 1;
    if alone {
        return exit_group(k, cx, a);
    }
    super::futex::thread_exit(k, cx);
    let mut tracee = cx.tracees.remove(&cx.tid).expect("the calling thread is real");
    if tracee.exit_native(0, false)? == crate::tracee::Died::Zombie {
        // The leader: its number stays taken on the host until the process is gone.
        cx.zombies.entry(cx.pid).or_default().push(tracee);
    }
    remove_thread(k, cx.tid);
    Ok(Outcome::NoReturn)
}

/// exit_group(2).
pub fn exit_group(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    end_process(k, cx, cx.pid, (a[0] as i32 & 0xff) << 8)?;
    Ok(Outcome::NoReturn)
}

/// Takes a thread out of the model.
pub fn remove_thread(k: &mut Kernel, tid: Tid) {
    let thread = k.threads.remove(&tid).expect("thread exists");
    let wait = match thread.state {
        State::Waiting(wait) => Some(wait),
        State::Stopped(before) => match *before {
            State::Waiting(wait) => Some(wait),
            _ => None,
        },
        _ => None,
    };
    if let Some(wait) = wait {
        k.forget_wait(tid, &wait);
    }
    k.run_queue.retain(|&t| t != tid);
}

/// Ends a process with a wait status: its threads natively, then everything the model knows of it.
pub fn end_process(k: &mut Kernel, cx: &mut Ctx<'_, '_>, pid: Pid, status: i32) -> Result<(), Fail> {
    let (saved_tid, saved_pid) = (cx.tid, cx.pid);
    let tids: Vec<Tid> = k.threads.values().filter(|t| t.pid == pid).map(|t| t.tid).collect();
    // What a dying thread writes to memory that others share, the model writes, one thread after the other.
    for &tid in &tids {
        (cx.tid, cx.pid) = (tid, pid);
        super::futex::thread_exit(k, cx);
    }
    end_threads_natively(cx, pid, &tids, true)?;
    for &tid in &tids {
        remove_thread(k, tid);
    }
    (cx.tid, cx.pid) = (saved_tid, pid);
    let fds: Vec<i32> = k.process(pid).fds.iter().map(|(fd, _)| fd).collect();
    for fd in fds {
        super::fd::close_fd(k, cx, fd)?;
    }
    crate::fs::process_gone(k, pid);
    release_vfork_parent(k, pid);
    disarm_timers(k, pid);
    drop_memory(k, pid);
    crate::ipc::shm::settle(k, cx)?;
    crate::ipc::sem::process_gone(k, pid);
    (cx.tid, cx.pid) = (saved_tid, saved_pid);
    if k.first_process == pid {
        k.exit = Some(if libc::WIFEXITED(status) { libc::WEXITSTATUS(status) } else { 128 + libc::WTERMSIG(status) });
    }
    reparent_children(k, pid);
    crate::object::pty::leader_gone(k, pid);
    k.process_mut(pid).zombie = Some(status);
    tell_parent(k, pid, status);
    Ok(())
}

/// Ends real threads of a process: all of them with `group`, else each by itself, and waits until the host has forgotten them.
pub fn end_threads_natively(cx: &mut Ctx<'_, '_>, pid: Pid, tids: &[Tid], group: bool) -> Result<(), Fail> {
    let mut leaders = cx.zombies.remove(&pid).unwrap_or_default();
    let mut first = true;
    for tid in tids {
        let Some(mut tracee) = cx.tracees.remove(tid) else { continue };
        let died = match group && !first {
            true => tracee.reap()?,
            false => tracee.exit_native(0, group)?,
        };
        first = false;
        if died == crate::tracee::Died::Zombie {
            leaders.push(tracee);
        }
    }
    if group {
        for mut leader in leaders {
            leader.reap()?;
        }
    } else if !leaders.is_empty() {
        cx.zombies.insert(pid, leaders);
    }
    Ok(())
}

fn disarm_timers(k: &mut Kernel, pid: Pid) {
    use crate::kernel::TimerKey;
    k.timers.retain(|(_, key)| !matches!(key, TimerKey::Alarm(p) | TimerKey::Posix(p, _) if *p == pid));
    let process = k.process_mut(pid);
    process.alarm = (0, 0);
    process.posix_timers.clear();
}

fn drop_memory(k: &mut Kernel, pid: Pid) {
    let id = k.process(pid).memory;
    let memory = k.memories.get_mut(&id).expect("address space exists");
    memory.users -= 1;
    if memory.users == 0 {
        k.memories.remove(&id);
    }
}

fn reparent_children(k: &mut Kernel, pid: Pid) {
    let mut reaper = k.process(pid).parent;
    while let Some(process) = k.processes.get(&reaper) {
        if process.subreaper && process.zombie.is_none() {
            break;
        }
        reaper = process.parent;
    }
    let reaper = if k.processes.contains_key(&reaper) { reaper } else { INIT };
    let children: Vec<Pid> = k.processes.values().filter(|p| p.parent == pid).map(|p| p.pid).collect();
    for child in children {
        let process = k.process_mut(child);
        process.parent = reaper;
        let (death, zombie) = (process.parent_death_signal, process.zombie);
        if death != 0 {
            let info = crate::signal::user_info(death, libc::SI_USER, k.process(pid));
            crate::signal::send_process(k, child, Signal { number: death, info });
        }
        if let Some(status) = zombie {
            tell_parent(k, child, status);
        }
    }
}

/// A child ended: its parent gets the signal, or, if it does not care, the child is forgotten at once.
fn tell_parent(k: &mut Kernel, pid: Pid, status: i32) {
    let parent = k.process(pid).parent;
    if !k.processes.contains_key(&parent) {
        k.processes.remove(&pid);
        return;
    }
    let signal = k.process(pid).exit_signal;
    let action = k.process(parent).actions.get(libc::SIGCHLD);
    let uncaring = signal == libc::SIGCHLD && (action.handler == 1 || action.flags & libc::SA_NOCLDWAIT as u64 != 0);
    if signal != 0 {
        let info = child_info(k.process(pid), status).with_signal(signal);
        crate::signal::send_process(k, parent, Signal { number: signal, info });
    }
    if uncaring {
        k.processes.remove(&pid);
    }
    k.wake(Key::Child(parent));
}

/// A process was stopped or continued.
pub fn report_stop(k: &mut Kernel, pid: Pid, status: i32) {
    let parent = k.process(pid).parent;
    k.process_mut(pid).report = Some(status);
    let Some(process) = k.processes.get(&parent) else { return };
    if process.actions.get(libc::SIGCHLD).flags & libc::SA_NOCLDSTOP as u64 == 0 {
        let info = child_info(k.process(pid), status);
        crate::signal::send_process(k, parent, Signal { number: libc::SIGCHLD, info });
    }
    k.wake(Key::Child(parent));
}

/// What a wait call looks for.
struct Waited {
    pid: Pid,
    status: i32,
}

fn find_child(k: &Kernel, parent: Pid, which: i64, options: i32) -> Result<Option<Waited>, Fail> {
    let own_group = k.process(parent).group;
    let wanted = |p: &&Process| {
        p.parent == parent
            && match which {
                -1 => true,
                0 => p.group == own_group,
                1.. => i64::from(p.pid.0) == which,
                _ => i64::from(p.group.0) == -which,
            }
    };
    let clones = |p: &&Process| {
        options & libc::__WALL != 0 || (p.exit_signal != libc::SIGCHLD) == (options & libc::__WCLONE != 0)
    };
    let mut any = false;
    for child in k.processes.values().filter(wanted).filter(clones) {
        any = true;
        if let (Some(status), true) = (child.zombie, options & libc::WEXITED != 0) {
            return Ok(Some(Waited { pid: child.pid, status }));
        }
        if let (None, Some(status)) = (child.zombie, child.report) {
            let bit = if libc::WIFSTOPPED(status) { libc::WSTOPPED } else { libc::WCONTINUED };
            if options & bit != 0 {
                return Ok(Some(Waited { pid: child.pid, status }));
            }
        }
    }
    if any { Ok(None) } else { fail(libc::ECHILD) }
}

/// Takes what was found, unless WNOWAIT.
fn take(k: &mut Kernel, found: &Waited, options: i32) {
    if options & libc::WNOWAIT != 0 {
        return;
    }
    if k.process(found.pid).zombie.is_some() {
        k.processes.remove(&found.pid);
    } else {
        k.process_mut(found.pid).report = None;
    }
}

/// wait4(2). Resource usage is reported as zero.
pub fn wait4(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    let options = a[2] as i32;
    let known = libc::WNOHANG | libc::WUNTRACED | libc::WCONTINUED | libc::__WALL | libc::__WCLONE | libc::__WNOTHREAD;
    if options & !known != 0 {
        return fail(libc::EINVAL);
    }
    // There is no group of its number.
    if a[0] as i32 == i32::MIN {
        return fail(libc::ESRCH);
    }
    let options = options | libc::WEXITED;
    match find_child(k, cx.pid, i64::from(a[0] as i32), options)? {
        Some(found) => {
            if a[1] != 0 {
                cx.write(a[1], &found.status.to_le_bytes())?;
            }
            if a[3] != 0 {
                cx.write(a[3], &[0; 144])?;
            }
            take(k, &found, options);
            done(found.pid.0)
        }
        None if options & libc::WNOHANG != 0 => done(0),
        None => Ok(Outcome::Block(Wait::key(Key::Child(cx.pid)))),
    }
}

/// waitid(2).
pub fn waitid(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    let (kind, id, options) = (a[0] as u32, a[1] as i32, a[3] as i32);
    let kinds = libc::WEXITED | libc::WSTOPPED | libc::WCONTINUED;
    let known = kinds | libc::WNOHANG | libc::WNOWAIT | libc::__WALL | libc::__WCLONE | libc::__WNOTHREAD;
    if options & kinds == 0 || options & !known != 0 {
        return fail(libc::EINVAL);
    }
    let which = match kind {
        libc::P_ALL => -1,
        libc::P_PID if id > 0 => i64::from(id),
        libc::P_PGID if id == 0 => 0,
        libc::P_PGID if id > 0 => -i64::from(id),
        _ => return fail(libc::EINVAL),
    };
    match find_child(k, cx.pid, which, options)? {
        Some(found) => {
            if a[2] != 0 {
                let info = child_info(k.process(found.pid), found.status);
                cx.write(a[2], &info.bytes())?;
            }
            if a[4] != 0 {
                cx.write(a[4], &[0; 144])?;
            }
            take(k, &found, options);
            done(0)
        }
        None if options & libc::WNOHANG != 0 => {
            if a[2] != 0 {
                cx.write(a[2], &[0; 128])?;
            }
            done(0)
        }
        None => Ok(Outcome::Block(Wait::key(Key::Child(cx.pid)))),
    }
}

/// getpid(2).
pub fn getpid(_: &mut Kernel, cx: &mut Ctx<'_, '_>, _: &[u64; 6]) -> SysResult {
    done(cx.pid.0)
}

/// gettid(2).
pub fn gettid(_: &mut Kernel, cx: &mut Ctx<'_, '_>, _: &[u64; 6]) -> SysResult {
    done(cx.tid.0)
}

/// getppid(2).
pub fn getppid(k: &mut Kernel, cx: &mut Ctx<'_, '_>, _: &[u64; 6]) -> SysResult {
    done(k.process(cx.pid).parent.0)
}

fn other(k: &Kernel, cx: &Ctx<'_, '_>, pid: u64) -> Result<Pid, Fail> {
    let pid = if pid as i32 == 0 { cx.pid } else { Pid(pid as i32) };
    if k.processes.contains_key(&pid) { Ok(pid) } else { fail(libc::ESRCH) }
}

/// getpgid(2).
pub fn getpgid(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    done(k.process(other(k, cx, a[0])?).group.0)
}

/// getpgrp(2).
pub fn getpgrp(k: &mut Kernel, cx: &mut Ctx<'_, '_>, _: &[u64; 6]) -> SysResult {
    done(k.process(cx.pid).group.0)
}

/// getsid(2).
pub fn getsid(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    done(k.process(other(k, cx, a[0])?).session.0)
}

/// setpgid(2).
pub fn setpgid(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    let pid = other(k, cx, a[0])?;
    if (a[1] as i32) < 0 {
        return fail(libc::EINVAL);
    }
    let group = if a[1] as i32 == 0 { pid } else { Pid(a[1] as i32) };
    let process = k.process(pid);
    if pid != cx.pid && process.parent != cx.pid {
        return fail(libc::ESRCH);
    }
    let session = k.process(cx.pid).session;
    if process.session != session {
        return fail(libc::EPERM);
    }
    if pid != cx.pid && process.executed {
        return fail(libc::EACCES);
    }
    if process.session == pid {
        return fail(libc::EPERM);
    }
    let exists = k.processes.values().any(|p| p.group == group && p.session == session);
    if group != pid && !exists {
        return fail(libc::EPERM);
    }
    k.process_mut(pid).group = group;
    done(0)
}

/// setsid(2).
pub fn setsid(k: &mut Kernel, cx: &mut Ctx<'_, '_>, _: &[u64; 6]) -> SysResult {
    if k.processes.values().any(|p| p.group == cx.pid) {
        return fail(libc::EPERM);
    }
    let process = k.process_mut(cx.pid);
    (process.session, process.group) = (cx.pid, cx.pid);
    done(cx.pid.0)
}

/// set_tid_address(2).
pub fn set_tid_address(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    k.thread_mut(cx.tid).clear_child_tid = a[0];
    done(cx.tid.0)
}

/// `#!` lines may lead to each other this often.
const SCRIPT_DEPTH_MAX: usize = 4;

/// execve(2).
pub fn execve(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    execveat(k, cx, &[libc::AT_FDCWD as u64, a[0], a[1], a[2], 0, 0])
}

/// execveat(2).
pub fn execveat(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    let path = cx.read_path(a[1])?;
    let argv = cx.read_strings(a[2])?;
    let envp = cx.read_strings(a[3])?;
    let last =
        if a[4] as i32 & libc::AT_SYMLINK_NOFOLLOW != 0 { crate::fs::Last::NoFollow } else { crate::fs::Last::Follow };
    if path.is_empty() && a[4] as i32 & libc::AT_EMPTY_PATH == 0 {
        return fail(libc::ENOENT);
    }
    let program = crate::run::exec::find(k, cx, a[0] as i32, &path, last, argv, SCRIPT_DEPTH_MAX)?;
    crate::run::exec::replace(k, cx, program, envp)?;
    Ok(Outcome::NoReturn)
}

/// unshare(2) of what is not shared anyway; namespaces are refused.
pub fn unshare(_: &mut Kernel, _: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    if a[0] as i32 & !(CLONE_FILES | CLONE_FS) == 0 { done(0) } else { fail(libc::EPERM) }
}

/// ENOSYS, as on a kernel without the call.
pub fn absent(_: &mut Kernel, _: &mut Ctx<'_, '_>, _: &[u64; 6]) -> SysResult {
    Err(Fail::Errno(Errno(libc::ENOSYS)))
}

/// EPERM, as for a program without the privilege.
pub fn denied(_: &mut Kernel, _: &mut Ctx<'_, '_>, _: &[u64; 6]) -> SysResult {
    fail(libc::EPERM)
}

/// Ends the replica with an error that names the call.
pub fn refused(k: &mut Kernel, cx: &mut Ctx<'_, '_>, _: &[u64; 6]) -> SysResult {
    let nr = k.call(cx.tid).nr;
    let name = super::table::find(nr).map_or("unknown", |row| row.name);
    Err(refuse(&format!("the system call {name} ({nr})")))
}

/// EINVAL, as for file types that the call does not support; callers fall back to read and write.
pub fn invalid(_: &mut Kernel, _: &mut Ctx<'_, '_>, _: &[u64; 6]) -> SysResult {
    fail(libc::EINVAL)
}
