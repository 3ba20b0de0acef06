//! The first event of every log: the program, its arguments, its world. On the backup everything here comes from the log.

use super::exec;
use crate::fs::{self, Fs};
use crate::kernel::{
    Credentials, Ctx, Descriptor, Fail, FdTable, Hardware, Kernel, Limit, MemId, Memory, Pid, Process, Tid, input,
};
use crate::object::Objects;
use crate::random::Random;
use crate::signal::{Actions, SigQueue};
use crate::syscalls::process::INIT;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::Path;

/// What a person asks for.
#[derive(Clone, Debug, Default)]
pub struct Command {
    /// Program and arguments.
    pub argv: Vec<Vec<u8>>,
    /// Environment, `NAME=value` each.
    pub env: Vec<Vec<u8>>,
    /// Directory to start in.
    pub cwd: Vec<u8>,
    /// Directories that the program may change for good: taken into the log at the start.
    pub states: Vec<Vec<u8>>,
}

/// The first entry of a log.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Launch {
    /// Program and arguments.
    pub argv: Vec<Vec<u8>>,
    /// Environment.
    pub env: Vec<Vec<u8>>,
    /// Directory to start in.
    pub cwd: Vec<u8>,
    /// State directories.
    pub states: Vec<Vec<u8>>,
    /// Seed of the program's random numbers.
    pub seed: [u8; 32],
    /// Monotonic clock at the start.
    pub now: u64,
    /// Wall clock minus monotonic clock.
    pub realtime_offset: i64,
    /// Users and groups.
    pub creds: Credentials,
    /// umask.
    pub umask: u32,
    /// Resource limits by number.
    pub limits: Vec<(u32, Limit)>,
    /// What the processor says of itself.
    pub hardware: Hardware,
    /// uname's node name.
    pub hostname: Vec<u8>,
}

/// A model with nothing in it, before the first entry.
pub fn empty(log_dir: &Path) -> gapless_log::Result<Kernel> {
    Ok(Kernel {
        position: Default::default(),
        now: 0,
        realtime_offset: 0,
        patch_at_stop: super::lane::patch_at_stop(),
        track_writes: true,
        names: Default::default(),
        readings: VecDeque::new(),
        random: Random::new([0; 32]),
        threads: BTreeMap::new(),
        processes: BTreeMap::new(),
        memories: BTreeMap::new(),
        files: BTreeMap::new(),
        objects: Objects::default(),
        fs: Fs::new(log_dir)?,
        net: Default::default(),
        ipc: Default::default(),
        timers: BTreeSet::new(),
        run_queue: VecDeque::new(),
        waiters: BTreeMap::new(),
        history: 0,
        hardware: Hardware::default(),
        hostname: Vec::new(),
        first_process: FIRST,
        current: None,
        slice: 0,
        exit: None,
        last_id: 0,
        last_pid: FIRST.0,
    })
}

/// The program's own process; 1 is the model's init.
const FIRST: Pid = Pid(2);

/// Makes the first process and replaces its (empty) image by the program. The thread in hand is a fresh stub.
pub fn launch(k: &mut Kernel, cx: &mut Ctx<'_, '_>, command: Option<&Command>) -> Result<(), Fail> {
    let at = k.position;
    let launch: Launch =
        cx.io.value(at, input::LAUNCH, |world| world.describe_launch(command.cloned().unwrap_or_default()))?;
    k.now = launch.now;
    k.realtime_offset = launch.realtime_offset;
    k.random = Random::new(launch.seed);
    k.hardware = launch.hardware;
    k.hostname = launch.hostname;
    let memory = MemId(k.fresh_id());
    k.memories.insert(memory, Memory { users: 1, ..Memory::default() });
    k.processes.insert(FIRST, first_process(&launch.creds, launch.umask, &launch.limits, memory, k.now));
    let tid = Tid(FIRST.0);
    k.threads.insert(tid, exec::fresh_thread(tid, FIRST));
    k.run_queue.push_back(tid);
    (cx.tid, cx.pid) = (tid, FIRST);

    install_stdio(k, cx)?;
    for state in &launch.states {
        fs::load_state(k, cx, state)?;
    }
    let cwd = fs::resolve(k, cx, libc::AT_FDCWD, &launch.cwd, fs::Last::Follow)?;
    if let Some(inode) = cwd.inode {
        k.process_mut(FIRST).cwd = inode;
    }
    let path = search(k, cx, &launch.argv, &launch.env)?;
    let program = exec::find(k, cx, libc::AT_FDCWD, &path, fs::Last::Follow, launch.argv, 4)?;
    exec::replace(k, cx, program, launch.env)
}

/// Descriptors 0, 1 and 2: the supervisor's own standard streams.
fn install_stdio(k: &mut Kernel, cx: &mut Ctx<'_, '_>) -> Result<(), Fail> {
    let files = crate::object::stdio::install(k, cx)?;
    for (fd, file) in files {
        let old = k.process_mut(FIRST).fds.set(fd, Descriptor { file, close_on_exec: false });
        debug_assert!(old.is_none());
    }
    Ok(())
}

/// Finds a program as a shell would: by PATH if its name has no slash.
fn search(k: &mut Kernel, cx: &mut Ctx<'_, '_>, argv: &[Vec<u8>], env: &[Vec<u8>]) -> Result<Vec<u8>, Fail> {
    let name = argv.first().cloned().unwrap_or_default();
    if name.contains(&b'/') {
        return Ok(name);
    }
    for candidate in candidates(&name, env) {
        match fs::content_for_exec(k, cx, libc::AT_FDCWD, &candidate, fs::Last::Follow) {
            Ok(_) => return Ok(candidate),
            Err(Fail::Errno(_)) => {}
            // A full disk, say, does not mean that it is not there.
            Err(fatal @ Fail::Fatal(_)) => return Err(fatal),
        }
    }
    Err(Fail::Fatal(gapless_log::Error::Refused(not_in_path(&name))))
}

/// Where a name without a slash is looked for, in this order.
pub(super) fn candidates(name: &[u8], env: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let path = env.iter().find_map(|e| e.strip_prefix(b"PATH=")).unwrap_or(b"/usr/local/bin:/usr/bin:/bin");
    let below = |dir: &[u8]| [if dir.is_empty() { b"." } else { dir }, b"/", name].concat();
    path.split(|&b| b == b':').map(below).collect()
}

pub(super) fn not_in_path(name: &[u8]) -> String {
    format!("program '{}' not found in PATH", String::from_utf8_lossy(name))
}

pub(crate) fn first_process(
    creds: &Credentials,
    umask: u32,
    limits: &[(u32, Limit)],
    memory: MemId,
    now: u64,
) -> Process {
    Process {
        pid: FIRST,
        parent: INIT,
        group: FIRST,
        session: FIRST,
        fds: FdTable::default(),
        cwd: fs::ROOT,
        umask,
        creds: creds.clone(),
        actions: Actions::default(),
        pending: SigQueue::default(),
        memory,
        exe: Vec::new(),
        args: Vec::new(),
        env: Vec::new(),
        limits: limits.iter().map(|&(n, l)| (n as usize, l)).collect(),
        alarm: (0, 0),
        posix_timers: BTreeMap::new(),
        started: now,
        zombie: None,
        report: None,
        exit_signal: libc::SIGCHLD,
        vfork_parent: None,
        executed: false,
        parent_death_signal: 0,
        subreaper: false,
        prctl: BTreeMap::new(),
        likely: Vec::new(),
        parks: false,
    }
}
