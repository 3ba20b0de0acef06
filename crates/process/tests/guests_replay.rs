//! Every tiny guest, recorded, replayed, and taken over after every mark of its log.
//!
//! A guest verifies what it does and says so in lines that are the same in every run. So whatever happens to the machine under
//! it, the world must see the lines of an undisturbed run, and its exit status. Digests after every step, of all registers and all memory, say
//! whether a replay is the same run, not merely a similar one.
//!
//! Takeovers: after the mark, outputs that no earlier mark reports as released may have left or not. The survivor says them again; so the test takes
//! the world at both extremes: none of them left, and all of them did (then the survivor must repeat exactly those bytes).
//!
//! `GAPLESS_GUEST_MARKS` (24): how many marks of a longer log are tried: the first and last ones and a seeded choice of the others.

mod guests;
mod replay;

use gapless_log::Error;
use gapless_process::syscalls::table::{Class, TABLE};
use replay::{Load, MarkAt, Recording};
use std::time::Instant;

fn marks_max() -> usize {
    std::env::var("GAPLESS_GUEST_MARKS").ok().and_then(|v| v.parse().ok()).unwrap_or(24)
}

/// All marks, or the first, the last, and a choice of the others that is the same in every run.
fn choose(name: &str, marks: &[MarkAt], max: usize) -> Vec<MarkAt> {
    if marks.len() <= max {
        return marks.to_vec();
    }
    let mut seed = gapless_log::hash(name.as_bytes()) as u64;
    let mut chosen: Vec<MarkAt> = marks.to_vec();
    while chosen.len() > max {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let at = 1 + (seed >> 33) as usize % (chosen.len() - 2);
        chosen.remove(at);
    }
    chosen
}

/// The error that ends a guest whose call is refused; a call that is merely absent gets ENOSYS and the guest goes on.
fn refusal(guest: &guests::Guest) -> Option<String> {
    let name = guest.refused.as_deref().filter(|name| !name.starts_with("/dev/"))?;
    let row = TABLE.iter().find(|row| row.name == name).unwrap_or_else(|| panic!("no call is named {name}"));
    match row.class {
        Class::Refuse => {
            Some(format!("the program uses the system call {name} ({}), which gapless does not support", row.nr))
        }
        class => {
            assert_eq!(class, Class::Absent, "{name} is neither refused nor absent");
            None
        }
    }
}

fn check(name: &str) {
    let guest = guests::find(name);
    let started = Instant::now();
    let recording = match (replay::record(&guest), refusal(&guest)) {
        (Err(e), Some(expected)) => {
            assert!(e.to_string().contains(&expected), "{name}: the refusal is not '{expected}': {e}");
            println!("{name}: refused as documented");
            return;
        }
        (Err(e), None) => panic!("{name} cannot be recorded: {e}"),
        (Ok(_), Some(expected)) => panic!("{name} is to be refused: {expected}"),
        (Ok(recording), None) => recording,
    };
    if let Some(what) = &guest.refused {
        let expected = if what.starts_with("/dev/") { "No such device or address" } else { "errno 38 " };
        assert_eq!(recording.status, 99, "{name}: {what} is to be absent");
        assert!(recording.stderr.contains(expected), "{name}: {what} is to be absent: {}", recording.stderr);
    } else {
        let wrote = format!("{}{}", recording.stdout, recording.stderr);
        assert_eq!(recording.status, guest.end.shell_code(), "{name} ended otherwise; it wrote:\n{wrote}");
        assert!(recording.stdout.lines().any(|line| line.starts_with("ok ")), "{name} verified nothing");
    }
    let recorded = started.elapsed();
    replays(name, &recording);
    let replayed = started.elapsed();
    let marks = recording.marks();
    let chosen = choose(name, &marks, marks_max());
    for mark in &chosen {
        takeover(name, &guest, &recording, mark);
    }
    println!(
        "{name}: {} marks, {} takeovers; recorded in {recorded:.1?}, replayed in {:.1?}, all in {:.1?}",
        marks.len(),
        chosen.len(),
        replayed - recorded,
        started.elapsed()
    );
}

/// Every digest is compared; marks compare what is said. In the log's own directory, in another, and under load.
fn replays(name: &str, recording: &Recording) {
    let elsewhere = tempfile::tempdir().expect("a directory");
    let steps = recording.marks().len();
    for (how, dir, busy) in [("there", recording.log.path(), false), ("elsewhere, under load", elsewhere.path(), true)]
    {
        let _load = busy.then(Load::start);
        let done = replay::replay(recording, dir).unwrap_or_else(|e| panic!("{name} replayed {how}: {e}"));
        assert_eq!(done.status, Some(recording.status), "{name} replayed {how}");
        assert!(done.digests + 1 >= steps, "{name}: {} digests for {steps} steps", done.digests);
    }
}

fn takeover(name: &str, guest: &guests::Guest, recording: &Recording, mark: &MarkAt) {
    let at = format!("{name}, taken over after mark {} at position {}", mark.seq, mark.at);
    let after = replay::take_over(guest, recording, mark).unwrap_or_else(|e: Error| panic!("{at}: {e}"));
    let what = |stream: usize| format!("{at}: {}", ["standard output", "standard error"][stream]);
    for (stream, undisturbed) in [&recording.stdout, &recording.stderr].into_iter().enumerate() {
        // None of what is in doubt has left: the survivor says it.
        let world = format!("{}{}", after.left[stream], after.said[stream]);
        assert_eq!(guests::stable_lines(&world), guests::stable_lines(undisturbed), "{}", what(stream));
        // All of it has left: the survivor repeats exactly that.
        assert!(
            after.said[stream].starts_with(&after.doubtful[stream]),
            "{}: it had said\n{}and now says\n{}",
            what(stream),
            after.doubtful[stream],
            after.said[stream]
        );
    }
    assert_eq!(after.status, recording.status, "{at}");
}

macro_rules! guests {
    ($($name:ident)*) => {
        /// In the order of the files, so that a missing one is seen.
        const NAMES: &[&str] = &[$(stringify!($name)),*];

        mod replayed {
            $(
                #[test]
                fn $name() {
                    super::check(stringify!($name));
                }
            )*
        }
    };
}

guests! {
    abort
    alarm
    append
    argv_env
    bare
    brk
    cat
    clock_gettime
    cloexec
    compute
    compute_alarm
    condvar
    cwd
    deep_stack
    dev_files
    dlopen
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
    fifo
    flock
    fork
    ftruncate
    futex
    futex_shared
    getdents
    getrandom
    inotify
    iovec
    itimer
    late_alarm
    links
    lock_deadlock
    locks
    lseek
    memfd
    mkdir
    mmap_file
    mmap_private
    mmap_shared
    modes
    monotone
    mprotect
    mremap
    nanosleep
    nonblock
    open_flags
    orphan
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
    scm_rights
    segv
    select
    self_modify
    sendfile
    setjmp
    shm_open
    sigaltstack
    sigchld
    signal_fpu
    signal_parent
    signalfd
    signals
    sigpipe
    sigqueue
    sigsuspend
    spin_flag
    static_libc
    static_pie
    stdio
    stop_cont
    sysinfo
    sysv_sem
    sysv_shm
    tcp_loopback
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
    zeroed_data
}

#[test]
fn no_guest_is_forgotten() {
    let found: Vec<String> = guests::all().into_iter().map(|g| g.name).collect();
    assert_eq!(found, NAMES);
}

/// A thread that is stopped while it computes has had its turn: 64 more of them would each cost the patience and all memory.
#[test]
fn who_is_stopped_while_it_computes_gives_the_baton_away() {
    let recording = replay::record(&guests::find("spin_flag")).expect("recorded");
    let entries = recording.frames.iter().flat_map(gapless_log::Frame::entries);
    let jumps = entries.filter(|e| e.kind == gapless_process::kernel::input::STATE_JUMP).count();
    // A head and one part each; the two threads wait for each other a handful of times.
    assert!((2..128).contains(&jumps), "{jumps} entries of state jumps");
}

/// What a thread computed before its jump is no cost of the jump: it must not make the next signals wait ten times as long.
#[test]
fn a_long_computation_does_not_put_off_the_signals_behind_it() {
    let recording = replay::record(&guests::find("late_alarm")).expect("recorded");
    let clocks: Vec<u64> = recording
        .frames
        .iter()
        .flat_map(gapless_log::Frame::entries)
        .filter(|e| e.kind == gapless_process::kernel::input::CLOCK)
        .map(|e| u64::from_le_bytes(e.body.as_slice().try_into().expect("8 bytes")))
        .collect();
    let (first, last) = (clocks[0], clocks[clocks.len() - 1]);
    // Some 50 ms each on a quiet machine; nearly 10 s each if the second before the first one counted.
    assert!(clocks.len() >= 3 && last - first < 8_000_000_000, "{clocks:?}");
}
