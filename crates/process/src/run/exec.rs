//! exec: finding the program, replacing the image, building the stack. The kernel's own loader only ever loads our stub.

use super::patch::{self, executable};
use crate::fs::{self, InodeId, Last};
use crate::kernel::{Ctx, Fail, Kernel, MemId, Memory, Pid, Tid, fail};
use crate::signal::SigQueue;
use crate::syscalls::process;
use crate::tracee::loader::{Object, Piece, Plan, Start};
use crate::tracee::text::Source;
use crate::tracee::{Elf, SITES_END, SITES_START};
use std::os::fd::AsFd;

/// A program that can be loaded.
pub struct Program {
    main: fs::Executable,
    interpreter: Option<fs::Executable>,
    argv: Vec<Vec<u8>>,
    execfn: Vec<u8>,
}

/// Finds the program behind a path, through `#!` lines.
pub fn find(
    k: &mut Kernel,
    cx: &mut Ctx<'_, '_>,
    dirfd: i32,
    path: &[u8],
    last: Last,
    mut argv: Vec<Vec<u8>>,
    depth: usize,
) -> Result<Program, Fail> {
    let main = fs::content_for_exec(k, cx, dirfd, path, last)?;
    if let Some(line) = main.head.strip_prefix(b"#!") {
        if depth == 0 {
            return fail(libc::ELOOP);
        }
        let line = &line[..line.iter().position(|&b| b == b'\n').unwrap_or(line.len()).min(254)];
        let line = line.trim_ascii();
        if line.is_empty() {
            return fail(libc::ENOEXEC);
        }
        let cut = line.iter().position(|b| matches!(b, b' ' | b'\t')).unwrap_or(line.len());
        let (interpreter, argument) = (line[..cut].to_vec(), line[cut..].trim_ascii().to_vec());
        let script = if path.is_empty() { main.path.clone() } else { path.to_vec() };
        let mut new = vec![interpreter.clone()];
        if !argument.is_empty() {
            new.push(argument);
        }
        new.push(script);
        if !argv.is_empty() {
            new.extend(argv.drain(1..));
        }
        return find(k, cx, libc::AT_FDCWD, &interpreter, Last::Follow, new, depth - 1);
    }
    let elf = Elf::read(main.fd.as_fd())?;
    let interpreter = match elf.interp() {
        Some(path) => {
            let path = path.to_vec();
            Some(fs::content_for_exec(k, cx, libc::AT_FDCWD, &path, Last::Follow)?)
        }
        None => None,
    };
    let execfn = if path.is_empty() { main.path.clone() } else { path.to_vec() };
    Ok(Program { main, interpreter, argv, execfn })
}

/// Replaces the calling process's image. Everything that can be refused is refused before anything is destroyed.
pub fn replace(k: &mut Kernel, cx: &mut Ctx<'_, '_>, program: Program, envp: Vec<Vec<u8>>) -> Result<(), Fail> {
    let creds = k.process(cx.pid).creds.clone();
    if program.main.mode & (libc::S_ISUID | libc::S_ISGID) != 0 && creds.uid[1] != 0 {
        let path = String::from_utf8_lossy(&program.main.path).into_owned();
        return Err(crate::syscalls::fd::refuse(&format!("exec of the set-user-id file {path}")));
    }
    if program.main.capable && creds.uid[1] != 0 {
        let path = String::from_utf8_lossy(&program.main.path).into_owned();
        return Err(crate::syscalls::fd::refuse(&format!("exec of {path}, which has file capabilities")));
    }
    let main_elf = Elf::read(program.main.fd.as_fd())?;
    let interp_elf = match &program.interpreter {
        Some(found) => Some(Elf::read_interp(found.fd.as_fd())?),
        None => None,
    };
    let random: [u8; 16] = k.random.bytes(16).try_into().expect("16 bytes");
    let argv = if program.argv.is_empty() { vec![Vec::new()] } else { program.argv };
    let start = Start {
        argv: argv.clone(),
        envp: envp.clone(),
        execfn: program.execfn.clone(),
        random,
        ids: [creds.uid[0], creds.uid[1], creds.gid[0], creds.gid[1]],
        secure: false,
        hwcap: k.hardware.hwcap,
        hwcap2: k.hardware.hwcap2,
        signal_stack_min: k.hardware.signal_stack_min,
    };
    let interp = match (&interp_elf, &program.interpreter) {
        (Some(elf), Some(found)) => Some(Object { elf, file: found.fd.as_fd() }),
        _ => None,
    };
    let plan = Plan::new(Object { elf: &main_elf, file: program.main.fd.as_fd() }, interp, &start)?;

    // From here on there is no way back.
    end_other_threads(k, cx)?;
    cx.tracee().exec_stub()?;
    let covers_sites = plan.loaded().pieces.iter().any(|p| p.address < SITES_END && p.address + p.len > SITES_START);
    if covers_sites {
        // What it leaves free there is its own as well: the heap may begin in it.
        let range = [SITES_START, SITES_END - SITES_START, 0, 0, 0, 0];
        cx.tracee().native_ok("munmap", libc::SYS_munmap, range)?;
    }
    let loaded = plan.load(cx.tracee())?;
    take_leaders_id(k, cx);
    let close: Vec<i32> = k.process(cx.pid).fds.iter().filter(|(_, d)| d.close_on_exec).map(|(fd, _)| fd).collect();
    for fd in close {
        crate::syscalls::fd::close_fd(k, cx, fd)?;
    }
    new_memory(k, cx.pid, program.main.inode, loaded.brk_start, covers_sites);
    crate::ipc::shm::settle(k, cx)?;
    process::release_vfork_parent(k, cx.pid);
    k.timers.retain(|(_, key)| !matches!(key, crate::kernel::TimerKey::Posix(p, _) if *p == cx.pid));
    let process = k.process_mut(cx.pid);
    process.actions.reset_for_exec();
    process.posix_timers.clear();
    process.exe.clone_from(&program.main.path);
    process.args = argv;
    process.env = envp;
    process.exit_signal = libc::SIGCHLD;
    process.executed = true;
    process.creds.uid[2] = process.creds.uid[1];
    process.creds.gid[2] = process.creds.gid[1];
    let thread = k.thread_mut(cx.tid);
    let base = program.execfn.rsplit(|&b| b == b'/').next().unwrap_or_default();
    thread.name = base[..base.len().min(15)].to_vec();
    (thread.clear_child_tid, thread.robust_list) = (0, 0);
    patch::fresh_counter(k, cx, main_elf.exec_stack)?;
    for piece in loaded.pieces.iter().filter(|p| p.prot & libc::PROT_EXEC != 0) {
        let writable = piece.prot & libc::PROT_WRITE != 0;
        let file = if piece.of_interp { program.interpreter.as_ref() } else { Some(&program.main) };
        let content =
            file.filter(|_| !shares_a_page(piece, &loaded.pieces)).and_then(|file| fs::content(k, file.inode));
        let source = content.zip(piece.offset).map(|(content, offset)| Source { content, offset });
        executable(k, cx, piece.address, piece.address + piece.len, writable, source)?;
    }
    Ok(())
}

/// Does another piece lie over a part of this one?
fn shares_a_page(piece: &Piece, pieces: &[Piece]) -> bool {
    let meets = |other: &&Piece| other.address < piece.address + piece.len && piece.address < other.address + other.len;
    pieces.iter().filter(meets).count() > 1
}

fn end_other_threads(k: &mut Kernel, cx: &mut Ctx<'_, '_>) -> Result<(), Fail> {
    let me = cx.tid;
    let others: Vec<Tid> = k.threads.values().filter(|t| t.pid == cx.pid && t.tid != me).map(|t| t.tid).collect();
    for &tid in &others {
        cx.tid = tid;
        crate::syscalls::futex::thread_exit(k, cx);
    }
    cx.tid = me;
    process::end_threads_natively(cx, cx.pid, &others, false)?;
    for tid in others {
        process::remove_thread(k, tid);
    }
    // A leader that has ended is replaced by this thread, on the host too.
    for leader in cx.zombies.remove(&cx.pid).unwrap_or_default() {
        leader.forget();
    }
    Ok(())
}

/// The thread that calls exec becomes the process's first thread, number and all.
fn take_leaders_id(k: &mut Kernel, cx: &mut Ctx<'_, '_>) {
    let leader = Tid(cx.pid.0);
    if cx.tid == leader {
        return;
    }
    let mut thread = k.threads.remove(&cx.tid).expect("the calling thread exists");
    thread.tid = leader;
    k.threads.insert(leader, thread);
    let tracee = cx.tracees.remove(&cx.tid).expect("the calling thread is real");
    cx.tracees.insert(leader, tracee);
    if k.current == Some(cx.tid) {
        k.current = Some(leader);
    }
    cx.tid = leader;
}

fn new_memory(k: &mut Kernel, pid: Pid, image: InodeId, brk_start: u64, covers_sites: bool) {
    let old = k.process(pid).memory;
    if let Some(memory) = k.memories.get_mut(&old) {
        memory.users -= 1;
        if memory.users == 0 {
            k.memories.remove(&old);
        }
    }
    let id = MemId(k.fresh_id());
    let mut memory = Memory { image: Some(image), brk_start, brk: brk_start, users: 1, ..Memory::default() };
    if k.patch_at_stop == 0 {
        memory.sites.turn_off();
    }
    if covers_sites {
        memory.sites.cover();
    }
    k.memories.insert(id, memory);
    k.process_mut(pid).memory = id;
}

/// Everything of a thread that exec or launch starts with.
pub fn fresh_thread(tid: Tid, pid: Pid) -> crate::kernel::Thread {
    crate::kernel::Thread {
        tid,
        pid,
        state: crate::kernel::State::Ready,
        call: None,
        pending: SigQueue::default(),
        mask: Default::default(),
        saved_mask: None,
        granted: false,
        futex_bits: 0,
        clear_child_tid: 0,
        robust_list: 0,
        name: Vec::new(),
        scheduling: Default::default(),
        timer_slack: crate::kernel::Thread::TIMER_SLACK,
    }
}
