//! The tiny guests of `crates/process/guests`: finding, compiling and running them.
//!
//! `guest.h` there says what a guest is and which header lines it may have. Whoever
//! records or replays guests takes [`all`] or [`find`], [`Guest::compile`], and compares
//! [`stable_lines`] between runs, whole outputs between a recording and its replay.

// Each test binary uses its own part of this.
#![allow(dead_code, unused_imports, unused_macros)]

pub mod outside;

pub use outside::{Contact, Outside, Protocol};

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime};

/// How a guest's process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Exit(i32),
    Signal(i32),
}

impl End {
    pub fn of(status: ExitStatus) -> Self {
        match (status.code(), status.signal()) {
            (Some(code), _) => Self::Exit(code),
            (None, Some(signal)) => Self::Signal(signal),
            (None, None) => unreachable!("wait returns only processes that ended"),
        }
    }

    /// The status that a shell, or `gapless run`, shows for it.
    pub fn shell_code(self) -> i32 {
        match self {
            Self::Exit(code) => code,
            Self::Signal(signal) => 128 + signal,
        }
    }
}

/// One guest as its source file describes it.
#[derive(Debug, Clone)]
pub struct Guest {
    pub name: String,
    source: PathBuf,
    cc: Vec<String>,
    pub args: Vec<String>,
    pub env: Vec<(String, String)>,
    pub stdin: String,
    pub end: End,
    /// It reads its own code, and so sees whether call sites are patched.
    pub reads_code: bool,
    /// The call that gapless refuses by name, if there is one.
    pub refused: Option<String>,
    /// Whom it talks to beyond the group: running from now on, and named in its environment.
    pub outside: Option<Arc<Outside>>,
}

/// What a guest did.
#[derive(Debug)]
pub struct Outcome {
    pub end: End,
    pub stdout: String,
    pub stderr: String,
}

/// Hands all names to a macro, in the order of the files, so that a missing one is seen.
macro_rules! each_guest {
    ($with:ident) => {
        $with! {
            abort
            alarm
            append
            argv_env
            bad_buffers
            bare
            baton
            baton_ends
            baton_signals
            brk
            cache_threads
            call_sites
            cat
            clock_gettime
            cloexec
            clone_parent
            code_file
            compute
            compute_alarm
            condvar
            counter_stack
            cwd
            deep_stack
            dev_files
            dlopen
            dual_stack
            dup_fcntl
            eintr
            epoll_edge
            epoll_level
            epoll_pwait
            epoll_threads
            errno
            eventfd
            exec
            exec_script
            exec_signals
            exit_codes
            fallbacks
            fifo
            file_limit
            flock
            fork
            ftruncate
            futex
            futex_shared
            futex_wake
            getdents
            getrandom
            inotify
            iovec
            itimer
            jump_heap
            jump_late
            jump_memory
            jump_merge
            jump_signal
            late_alarm
            links
            lock_deadlock
            locks
            low_image
            lseek
            memfd
            memory_advice
            mkdir
            mmap_file
            mmap_private
            mmap_shared
            mmap_validate
            modes
            monotone
            mprotect
            mq_open
            mremap
            mutex_pi
            nanosleep
            nonblock
            open_flags
            orphan
            outside_epoll
            outside_tcp
            outside_udp
            own_code
            own_files
            own_pages
            paths
            pgroups
            pipe_full
            pipes
            poll
            popen
            posix_locks
            posix_spawn
            posix_timer
            ppoll
            prctl
            proc_self
            proc_system
            pty
            rdrand
            rdtsc
            rename
            robust_mutex
            rusage
            sched
            scm_rights
            segv
            select
            self_modify
            sendfile
            setjmp
            shm_open
            sigaltstack
            sigchld
            signal_behind
            signal_fpu
            signal_parent
            signalfd
            signals
            sigpipe
            sigqueue
            sigsuspend
            single_step
            small_files
            sparse_map
            spin_flag
            spin_locks
            standard_streams
            static_libc
            static_pie
            stdio
            stop_cont
            sysinfo
            sysv_sem
            sysv_shm
            tcp_loopback
            text_busy
            thread_cancel
            thread_exit
            thread_fork
            thread_signals
            threads
            timerfd
            times_stat
            trapped_blocked
            udp_loopback
            unix_dgram
            unix_stream
            vfork
            wait
            waitall
            walk
            write_only
            written_code
            zeroed_data
        }
    };
}
pub(crate) use each_guest;

fn folder() -> PathBuf {
    // Another crate's tests run them too.
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../process/guests")
}

/// All guests, by name.
pub fn all() -> Vec<Guest> {
    let mut guests: Vec<Guest> = fs::read_dir(folder())
        .expect("the guests' folder")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|e| e == "c"))
        .map(|path| Guest::read(&path))
        .collect();
    guests.sort_by(|a, b| a.name.cmp(&b.name));
    guests
}

/// The guest of this name.
pub fn find(name: &str) -> Guest {
    Guest::read(&folder().join(name).with_extension("c"))
}

/// The lines that are the same in every run of a guest.
pub fn stable_lines(stdout: &str) -> Vec<&str> {
    stdout.lines().filter(|l| !l.starts_with('~')).collect()
}

impl Guest {
    fn read(source: &Path) -> Self {
        let text = fs::read_to_string(source).unwrap_or_else(|error| panic!("{}: {error}", source.display()));
        let name = source.file_stem().expect("NAME.c").to_str().expect("UTF-8");
        let mut guest = Self {
            name: name.to_owned(),
            source: source.to_owned(),
            cc: Vec::new(),
            args: Vec::new(),
            env: Vec::new(),
            stdin: String::new(),
            end: End::Exit(0),
            reads_code: false,
            refused: None,
            outside: None,
        };
        let words = |value: &str| value.split_whitespace().map(str::to_owned).collect();
        let header = text.lines().map_while(|line| line.strip_prefix("// "));
        for (key, value) in header.filter_map(|line| line.split_once(": ")) {
            match key {
                "cc" => guest.cc = words(value),
                "args" => guest.args = words(value),
                "env" => {
                    let (key, value) = value.split_once('=').expect("env: NAME=VALUE");
                    guest.env.push((key.to_owned(), value.to_owned()));
                }
                "stdin" => guest.stdin = value.replace("\\n", "\n"),
                "status" => {
                    guest.end = match value.strip_prefix("signal ") {
                        Some(signal) => End::Signal(signal.parse().expect("a number")),
                        None => End::Exit(value.parse().expect("a number")),
                    };
                }
                "reads" => guest.reads_code = value == "code",
                "refused" => guest.refused = Some(value.to_owned()),
                "outside" => {
                    let outside = Outside::start(match value {
                        "tcp" => Protocol::Tcp,
                        "udp" => Protocol::Udp,
                        _ => panic!("{name}: nobody outside speaks {value}"),
                    });
                    guest.env.push(("OUTSIDE_PORT".to_owned(), outside.port().to_string()));
                    guest.outside = Some(Arc::new(outside));
                }
                // Prose with a colon in it.
                _ => {}
            }
        }
        guest
    }

    /// Compiles the guest unless that was done before; returns the program.
    pub fn compile(&self) -> PathBuf {
        static TURN: AtomicU32 = AtomicU32::new(0);
        let into = Path::new(env!("CARGO_TARGET_TMPDIR")).join("guests");
        fs::create_dir_all(&into).expect("a folder for programs");
        let program = into.join(&self.name);
        let made = changed(&program);
        if made.is_some_and(|made| {
            [&self.source, &folder().join("guest.h")].iter().all(|source| changed(source).is_some_and(|at| at < made))
        }) {
            return program;
        }
        // Several tests may want the same program at once: each makes its own, and the
        // last rename wins.
        let turn = TURN.fetch_add(1, Ordering::Relaxed);
        let part = into.join(format!(".{}.{}.{turn}", self.name, std::process::id()));
        let output = Command::new("cc")
            .args(["-O1", "-g", "-Wall", "-Wextra", "-std=gnu17", "-o"])
            .arg(&part)
            .arg(&self.source)
            .args(&self.cc)
            .output()
            .expect("a C compiler (apt-get install build-essential)");
        assert!(output.status.success(), "{}: cc: {}", self.name, String::from_utf8_lossy(&output.stderr));
        fs::rename(&part, &program).expect("the compiled program");
        program
    }

    /// Runs the compiled guest natively in `dir`, which should be empty.
    pub fn run_native(&self, dir: &Path, limit: Duration) -> Outcome {
        let mut command = Command::new(self.compile());
        command.args(&self.args).envs(self.env.iter().cloned());
        run(command, dir, &self.stdin, limit).unwrap_or_else(|error| panic!("{}: {error}", self.name))
    }
}

fn changed(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|m| m.modified()).ok()
}

/// Runs a command in `dir` with the given input until it ends; kills it, with all it
/// started in its process group, when the limit is over.
pub fn run(mut command: Command, dir: &Path, stdin: &str, limit: Duration) -> io::Result<Outcome> {
    // Files, not pipes: a process that outlives the guest keeps nobody waiting.
    let files = tempfile::tempdir()?;
    let path = |name: &str| files.path().join(name);
    File::create(path("in"))?.write_all(stdin.as_bytes())?;
    let mut child = command
        .current_dir(dir)
        .stdin(File::open(path("in"))?)
        .stdout(File::create(path("out"))?)
        .stderr(File::create(path("err"))?)
        .process_group(0)
        .spawn()?;
    let status = wait_or_kill(&mut child, limit)?;
    let text = |name: &str| -> io::Result<String> { Ok(String::from_utf8_lossy(&fs::read(path(name))?).into_owned()) };
    let (stdout, stderr) = (text("out")?, text("err")?);
    match status {
        Some(status) => Ok(Outcome { end: End::of(status), stdout, stderr }),
        None => Err(io::Error::other(format!("not done after {limit:?}; it wrote:\n{stdout}{stderr}"))),
    }
}

/// The status, or nothing if the group had to be killed.
fn wait_or_kill(child: &mut Child, limit: Duration) -> io::Result<Option<ExitStatus>> {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if start.elapsed() > limit {
            // The group's id is the child's: it was started as a leader and is not yet
            // waited for, so the id cannot be another's.
            Command::new("kill").args(["-KILL", "--", &format!("-{}", child.id())]).stderr(Stdio::null()).status()?;
            child.wait()?;
            return Ok(None);
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}
