//! The life of held threads: stops, clones, ends, signals.

mod tracee_support;

use std::path::Path;
use std::time::{Duration, Instant};

use gapless_process::tracee::sys::{self, regs_words};
use gapless_process::tracee::{
    Delivery, Died, Error, LANE_START, RESERVED_FDS, SCRATCH_END, SCRATCH_START, SITES_END, SITES_START, STACK_SIZE,
    STACK_TOP, SigInfo, Stop, Tracee,
};
use tracee_support::{LONG, Toy, compile, load, start};

fn soon() -> Option<Instant> {
    Some(Instant::now() + LONG)
}

fn toy(name: &str, source: &str) -> Toy {
    let program = compile(name, source, &["-static", "-no-pie"]);
    Toy::new(&program, &[name])
}

/// Runs up to the program's call with this number.
fn run_to(toy: &mut Toy, nr: i64) -> [u64; 6] {
    let stop = toy.run(|_, stop| matches!(stop, Stop::Syscall { nr: this, .. } if *this == nr));
    match stop {
        Stop::Syscall { nr: this, args, .. } if this == nr => args,
        stop => panic!("never made call {nr}: {stop:?}"),
    }
}

#[test]
fn a_fresh_stub_holds_nothing_but_our_own_pages_and_the_stack() {
    let tracee = Tracee::spawn().unwrap();
    let maps = tracee.maps().unwrap();
    let places: Vec<(u64, u64)> = maps.iter().map(|m| (m.start, m.end)).filter(|m| m.0 < 1 << 47).collect();
    assert_eq!(
        places,
        [
            (SCRATCH_START, SCRATCH_START + 4096),
            (SCRATCH_START + 4096, LANE_START),
            (LANE_START, SCRATCH_END),
            (SITES_START, SITES_END),
            (STACK_TOP - STACK_SIZE, STACK_TOP)
        ]
    );
    let mut fds: Vec<i32> = std::fs::read_dir(format!("/proc/{}/fd", tracee.pid()))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_str().unwrap().parse().unwrap())
        .collect();
    fds.sort_unstable();
    assert_eq!(fds, RESERVED_FDS);
    let mut pages = 0;
    tracee.for_each_writable_page(|_, _| pages += 1).unwrap();
    assert_eq!(pages, 0, "nothing of the kernel's own is left on the stack");
}

/// Kernels from 6.14 on let the calls 335 (`uretprobe`) and 336 (`uprobe`) pass every filter. A result is no number
/// of a call, though a child's pid may well be 335.
#[test]
fn a_native_call_may_return_any_number() {
    let mut tracee = Tracee::spawn().unwrap();
    for number in 300..500 {
        let result = tracee.native(libc::SYS_dup2, [RESERVED_FDS[0] as u64, number, 0, 0, 0, 0]).unwrap();
        assert_eq!(result, number as i64);
        assert_eq!(tracee.native(libc::SYS_close, [number, 0, 0, 0, 0, 0]).unwrap(), 0);
    }
    assert_eq!(tracee.native(libc::SYS_close, [300, 0, 0, 0, 0, 0]).unwrap(), -i64::from(libc::EBADF));
}

const SYS_GETPPID: i64 = libc::SYS_getppid;

const SPIN_UNTIL: &str = r#"
#define _GNU_SOURCE
#include <sched.h>
#include <stdlib.h>
#include <unistd.h>
#include <sys/syscall.h>
volatile int shared;
static int child(void *arg) {
    shared = (int)(long)arg;
    syscall(SYS_getppid);
    syscall(SYS_exit, 0);
}
static char stack[65536] __attribute__((aligned(16)));
int main() {
    clone(child, stack + sizeof stack, CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD, (void *)5);
    return shared;
}"#;

#[test]
fn a_thread_is_born_stopped_shares_memory_and_ends() {
    let mut toy = toy("thread", SPIN_UNTIL);
    let args = run_to(&mut toy, libc::SYS_clone);
    let mut child = toy.tracee.clone_native(args[0], args[1], args[4]).unwrap().unwrap();
    assert_eq!(child.pid(), toy.tracee.pid());
    assert_ne!(child.tid(), toy.tracee.tid());
    assert_eq!((child.regs().rax, child.regs().rsp), (0, args[1]));
    assert_eq!(child.regs().rip, toy.tracee.regs().rip);
    toy.tracee.finish_syscall(1234);
    let Stop::Syscall { nr: SYS_GETPPID, .. } = child.run(soon()).unwrap() else { panic!("no getppid") };
    // A native call in either thread leaves the other alone.
    let tid = child.native(libc::SYS_gettid, [0; 6]).unwrap();
    assert_eq!(tid, i64::from(child.tid()));
    let tid = toy.tracee.native(libc::SYS_gettid, [0; 6]).unwrap();
    assert_eq!(tid, i64::from(toy.tracee.tid()));
    child.finish_syscall(1);
    let Stop::Syscall { nr: libc::SYS_exit, .. } = child.run(soon()).unwrap() else { panic!("no exit") };
    assert_eq!(child.exit_native(0, false).unwrap(), Died::Reaped);
    assert!(!Path::new(&format!("/proc/{}/task/{}", toy.tracee.pid(), child.tid())).exists());
    assert_eq!(toy.run(|_, _| false), Stop::Exited(5));
}

#[test]
fn a_leader_that_ends_first_is_reaped_last() {
    let mut toy = toy("leader", SPIN_UNTIL);
    let args = run_to(&mut toy, libc::SYS_clone);
    let mut child = toy.tracee.clone_native(args[0], args[1], args[4]).unwrap().unwrap();
    assert_eq!(toy.tracee.exit_native(3, false).unwrap(), Died::Zombie);
    let Stop::Syscall { nr: SYS_GETPPID, .. } = child.run(soon()).unwrap() else { panic!("no getppid") };
    assert_eq!(child.exit_native(0, false).unwrap(), Died::Reaped);
    assert_eq!(toy.tracee.reap().unwrap(), Died::Reaped);
    assert!(!Path::new(&format!("/proc/{}", toy.tracee.pid())).exists());
}

#[test]
fn exec_by_a_thread_that_is_not_the_leader_takes_its_place() {
    let mut toy = toy("exec-thread", SPIN_UNTIL);
    let args = run_to(&mut toy, libc::SYS_clone);
    let pid = toy.tracee.pid();
    let mut child = toy.tracee.clone_native(args[0], args[1], args[4]).unwrap().unwrap();
    assert_eq!(toy.tracee.exit_native(0, false).unwrap(), Died::Zombie);
    child.exec_stub().unwrap();
    assert_eq!((child.tid(), child.pid()), (pid, pid));
    let echo = Path::new("/bin/echo");
    let loaded = load(&mut child, echo, &start(&["/bin/echo", "again"]));
    toy.tracee = child;
    (toy.brk, toy.brk_start) = (loaded.brk_start, loaded.brk_start);
    toy.output.clear();
    assert_eq!(toy.run(|_, _| false), Stop::Exited(0));
    assert_eq!(toy.output, b"again\n");
}

const FORK: &str = r#"
#include <unistd.h>
#include <sys/syscall.h>
int value = 1;
int main() {
    if (syscall(SYS_fork) == 0) { value = 2; syscall(SYS_getppid); return value; }
    syscall(SYS_getppid);
    return value;
}"#;

#[test]
fn a_forked_process_has_its_own_memory_and_leaves_no_zombie() {
    let mut toy = toy("fork", FORK);
    run_to(&mut toy, libc::SYS_fork);
    let mut child = toy.tracee.clone_native(libc::SIGCHLD as u64, 0, 0).unwrap().unwrap();
    assert_eq!(child.pid(), child.tid());
    assert_ne!(child.pid(), toy.tracee.pid());
    toy.tracee.finish_syscall(99);
    let Stop::Syscall { nr: SYS_GETPPID, .. } = child.run(soon()).unwrap() else { panic!("no getppid") };
    run_to(&mut toy, libc::SYS_getppid);
    // Descriptors go to the one that is made to receive, in whatever order.
    let (one, two) = (std::fs::File::open("/bin/true").unwrap(), std::fs::File::open("/bin/echo").unwrap());
    use std::os::fd::AsFd;
    let in_child = child.pass_fd(one.as_fd()).unwrap();
    let in_parent = toy.tracee.pass_fd(two.as_fd()).unwrap();
    let link = |pid: i32, fd: i32| std::fs::read_link(format!("/proc/{pid}/fd/{fd}")).unwrap();
    assert_eq!(link(child.pid(), in_child), std::fs::canonicalize("/bin/true").unwrap());
    assert_eq!(link(toy.tracee.pid(), in_parent), std::fs::canonicalize("/bin/echo").unwrap());
    child.finish_syscall(0);
    let Stop::Syscall { nr: libc::SYS_exit_group, args, .. } = child.run(soon()).unwrap() else { panic!("no exit") };
    assert_eq!(args[0], 2);
    assert_eq!(child.exit_native(2, true).unwrap(), Died::Reaped);
    assert!(!Path::new(&format!("/proc/{}", child.pid())).exists());
    toy.tracee.finish_syscall(0);
    assert_eq!(toy.run(|_, _| false), Stop::Exited(1));
}

#[test]
fn clone_native_survives_many_children() {
    let mut toy = toy("forks", FORK);
    run_to(&mut toy, libc::SYS_fork);
    for _ in 0..50 {
        let mut child = toy.tracee.clone_native(libc::SIGCHLD as u64, 0, 0).unwrap().unwrap();
        child.exec_stub().unwrap();
        assert_eq!(child.exit_native(0, true).unwrap(), Died::Reaped);
    }
}

/// Computes from its first instruction on.
fn spin(name: &str) -> Toy {
    let source = "volatile long n; void _start() { for (;;) n++; }";
    Toy::new(&compile(name, source, &["-static", "-no-pie", "-nostdlib"]), &[name])
}

#[test]
fn a_spinning_thread_is_interrupted() {
    let mut toy = spin("spin");
    for _ in 0..5 {
        let begin = Instant::now();
        let deadline = begin + Duration::from_millis(30);
        assert_eq!(toy.tracee.run(Some(deadline)).unwrap(), Stop::Interrupted);
        let took = begin.elapsed();
        assert!(took >= Duration::from_millis(30) && took < Duration::from_millis(500), "{took:?}");
        // It can be used as at any other stop, and goes on.
        let before = *toy.tracee.regs();
        assert_eq!(toy.tracee.native(libc::SYS_gettid, [0; 6]).unwrap(), i64::from(toy.tracee.tid()));
        assert_eq!(regs_words(toy.tracee.regs()), regs_words(&before));
    }
}

#[test]
fn death_from_outside_is_noticed() {
    let mut toy = toy("killed", SPIN_UNTIL);
    let args = run_to(&mut toy, libc::SYS_clone);
    let mut child = toy.tracee.clone_native(args[0], args[1], args[4]).unwrap().unwrap();
    toy.tracee.finish_syscall(1);
    toy.tracee.kill();
    // The leader cannot be reaped before the other thread; its end is seen nevertheless.
    assert_eq!(toy.tracee.run(soon()).unwrap(), Stop::Killed(libc::SIGKILL));
    assert_eq!(child.reap().unwrap(), Died::Reaped);
    assert_eq!(toy.tracee.reap().unwrap(), Died::Reaped);
}

const HANDLER: &str = r#"
#define _GNU_SOURCE
#include <signal.h>
#include <string.h>
#include <ucontext.h>
#include <unistd.h>
#include <sys/syscall.h>
static volatile long seen[6];
static void handler(int sig, siginfo_t *info, void *context) {
    ucontext_t *uc = context;
    sigset_t now;
    sigprocmask(SIG_BLOCK, 0, &now);
    seen[0] = sig;
    seen[1] = info->si_code;
    seen[2] = info->si_pid;
    seen[3] = uc->uc_mcontext.gregs[REG_RAX];
    memcpy((void *)&seen[4], &uc->uc_sigmask, 8);
    memcpy((void *)&seen[5], &now, 8);
}
int main() {
    struct sigaction action = {0};
    action.sa_sigaction = handler;
    action.sa_flags = SA_SIGINFO;
    sigaddset(&action.sa_mask, SIGUSR2);
    sigaction(SIGUSR1, &action, 0);
    signal(SIGHUP, SIG_IGN);
    sigset_t mask;
    sigemptyset(&mask);
    sigaddset(&mask, SIGWINCH);
    sigprocmask(SIG_SETMASK, &mask, 0);
    for (;;) {
        double x = 1.5;
        long ret;
        asm volatile("movq %2, %%xmm7; syscall; movq %%xmm7, %1" : "=a"(ret), "+r"(x) : "r"(x), "0"(SYS_getppid) : "rcx", "r11", "memory", "xmm7");
        if (x != 1.5) _exit(7);
        syscall(SYS_write, 1, (void *)seen, sizeof seen);
        syscall(SYS_write, 1, &ret, sizeof ret);
        memset((void *)seen, 0, sizeof seen);
    }
}"#;

/// What the handler saw, and what the interrupted call returned.
fn seen(toy: &mut Toy) -> [i64; 7] {
    toy.output.clear();
    run_to(toy, SYS_GETPPID);
    let mut words = toy.output.chunks_exact(8).map(|word| i64::from_le_bytes(word.try_into().unwrap()));
    std::array::from_fn(|_| words.next().unwrap())
}

const EINTR: i64 = libc::EINTR as i64;

fn bit(signo: i32) -> i64 {
    1 << (signo - 1)
}

#[test]
fn a_handler_gets_the_kernels_own_frame() {
    let mut toy = toy("handler", HANDLER);
    run_to(&mut toy, SYS_GETPPID);
    let info = SigInfo::sent(libc::SIGUSR1, libc::SI_QUEUE, 4321, 0);
    toy.tracee.finish_syscall(-EINTR);
    let before = *toy.tracee.regs();
    assert_eq!(toy.tracee.deliver(libc::SIGUSR1, &info, None).unwrap(), Delivery::Handler);
    assert_eq!(toy.tracee.regs().rdi, libc::SIGUSR1 as u64);
    assert_eq!(toy.tracee.regs().eflags & 0x100, 0, "no single step left over");
    assert!(toy.tracee.regs().rsp < before.rsp - 128, "below the red zone");
    let plain = bit(libc::SIGWINCH);
    let in_handler = plain | bit(libc::SIGUSR1) | bit(libc::SIGUSR2);
    let expected = [libc::SIGUSR1.into(), libc::SI_QUEUE.into(), 4321, -EINTR, plain, in_handler, -EINTR];
    assert_eq!(seen(&mut toy), expected);

    // With the mask of a waiting call, which the handler runs under and the frame undoes.
    let wait_mask = bit(libc::SIGALRM) as u64;
    toy.tracee.finish_syscall(-EINTR);
    assert_eq!(toy.tracee.deliver(libc::SIGUSR1, &info, Some(wait_mask)).unwrap(), Delivery::Handler);
    let in_handler = bit(libc::SIGALRM) | bit(libc::SIGUSR1) | bit(libc::SIGUSR2);
    let expected = [libc::SIGUSR1.into(), libc::SI_QUEUE.into(), 4321, -EINTR, plain, in_handler, -EINTR];
    assert_eq!(seen(&mut toy), expected);
    assert_eq!(toy.tracee.sigmask().unwrap(), plain as u64);

    // After native calls, and several deep.
    toy.tracee.native(libc::SYS_gettid, [0; 6]).unwrap();
    toy.tracee.finish_syscall(17);
    assert_eq!(toy.tracee.deliver(libc::SIGUSR1, &info, None).unwrap(), Delivery::Handler);
    assert_eq!(toy.tracee.deliver(libc::SIGUSR1, &info, None).unwrap(), Delivery::Blocked);
    assert_eq!(seen(&mut toy)[6], 17);

    // Ignored, blocked: nothing happens, not one instruction.
    toy.tracee.finish_syscall(18);
    let before = *toy.tracee.regs();
    assert_eq!(toy.tracee.deliver(libc::SIGHUP, &SigInfo::zeroed(), None).unwrap(), Delivery::Ignored);
    assert_eq!(toy.tracee.deliver(libc::SIGWINCH, &SigInfo::zeroed(), None).unwrap(), Delivery::Blocked);
    assert_eq!(regs_words(toy.tracee.regs()), regs_words(&before));
    assert_eq!(seen(&mut toy), [0, 0, 0, 0, 0, 0, 18]);

    // The restarted call.
    toy.tracee.rewind_syscall(SYS_GETPPID);
    assert_eq!(toy.tracee.deliver(libc::SIGUSR1, &info, None).unwrap(), Delivery::Handler);
    run_to(&mut toy, SYS_GETPPID);
    toy.tracee.finish_syscall(19);
    assert_eq!(seen(&mut toy)[6], 19);

    // Death by default action.
    toy.tracee.finish_syscall(0);
    let died = toy.tracee.deliver(libc::SIGTERM, &SigInfo::zeroed(), None).unwrap();
    assert_eq!(died, Delivery::Died(Stop::Killed(libc::SIGTERM)));
    assert_eq!(toy.tracee.reap().unwrap(), Died::Reaped);
}

#[test]
fn a_signal_from_outside_is_reported_and_swallowed() {
    let mut toy = toy("outside", HANDLER);
    run_to(&mut toy, SYS_GETPPID);
    toy.tracee.finish_syscall(0);
    let (pid, tid) = (toy.tracee.pid(), toy.tracee.tid());
    let kill = |signo| gapless_process::tracee::sys::tgkill(pid, tid, signo).unwrap();
    kill(libc::SIGUSR1);
    // It comes in the middle of a native call and waits for its turn.
    assert_eq!(toy.tracee.native(libc::SYS_gettid, [0; 6]).unwrap(), i64::from(tid));
    let Stop::Signal { signo: libc::SIGUSR1, info } = toy.tracee.run(soon()).unwrap() else { panic!("no signal") };
    assert_eq!(info.pid(), std::process::id() as i32);
    assert_eq!(seen(&mut toy), [0; 7]);
    // Stop and continue do nothing either.
    toy.tracee.finish_syscall(0);
    kill(libc::SIGTSTP);
    assert!(matches!(toy.tracee.run(soon()).unwrap(), Stop::Signal { signo: libc::SIGTSTP, .. }));
    assert_eq!(seen(&mut toy), [0; 7]);
}

/// A SIGCONT takes away stop signals that are on their way.
#[test]
fn a_signal_is_delivered_while_somebody_continues_the_process() {
    let mut toy = toy("continued", HANDLER);
    let (pid, tid) = (toy.tracee.pid(), toy.tracee.tid());
    let somebody = std::thread::spawn(move || {
        for _ in 0..10_000 {
            let _ = sys::tgkill(pid, tid, libc::SIGCONT);
            std::thread::sleep(Duration::from_micros(10));
        }
    });
    // It stops the thread on its way, too.
    let goes_on_to_call = |toy: &mut Toy| loop {
        match toy.run(|_, stop| matches!(stop, Stop::Syscall { nr: SYS_GETPPID, .. })) {
            Stop::Interrupted | Stop::Signal { signo: libc::SIGCONT, .. } => {}
            Stop::Syscall { nr: SYS_GETPPID, .. } => break,
            stop => panic!("never made its call: {stop:?}"),
        }
    };
    goes_on_to_call(&mut toy);
    for round in 0.. {
        toy.output.clear();
        toy.tracee.finish_syscall(round);
        let wait_mask = (round % 2 == 0).then_some(bit(libc::SIGALRM) as u64);
        let delivery = toy.tracee.deliver(libc::SIGUSR1, &SigInfo::zeroed(), wait_mask).unwrap();
        assert_eq!(delivery, Delivery::Handler);
        // The call's result is what it was: nothing of the program ran before its handler.
        goes_on_to_call(&mut toy);
        assert_eq!(toy.output[3 * 8..][..8], round.to_le_bytes());
        if somebody.is_finished() {
            break;
        }
    }
}

#[test]
fn a_handler_without_room_for_its_frame_is_a_fault() {
    let mut toy = toy("no-room", HANDLER);
    run_to(&mut toy, SYS_GETPPID);
    toy.tracee.finish_syscall(0);
    toy.tracee.regs_mut().rsp = 0x1000;
    let Delivery::Fault(Stop::Fault { signo: libc::SIGSEGV, .. }) =
        toy.tracee.deliver(libc::SIGUSR1, &SigInfo::zeroed(), None).unwrap()
    else {
        panic!("no fault")
    };
    let info = SigInfo::fault(libc::SIGSEGV, 1, 0x1000);
    let died = toy.tracee.deliver(libc::SIGSEGV, &info, None).unwrap();
    assert_eq!(died, Delivery::Died(Stop::Killed(libc::SIGSEGV)));
}

/// Run by the test below in a process of its own.
#[test]
fn supervisor_to_be_killed() {
    let Some(path) = std::env::var_os("GAPLESS_TEST_PIDS") else { return };
    let mut toy = toy("orphan", FORK);
    run_to(&mut toy, libc::SYS_fork);
    let mut child = toy.tracee.clone_native(libc::SIGCHLD as u64, 0, 0).unwrap().unwrap();
    // One stands, one waits at its first call, one computes.
    let mut spinning = spin("orphan-spin");
    spinning.tracee.resume().unwrap();
    child.resume().unwrap();
    let pids = format!("{} {} {}", toy.tracee.pid(), child.pid(), spinning.tracee.pid());
    std::fs::write(path, pids).unwrap();
    std::thread::sleep(LONG);
}

#[test]
fn nothing_outlives_the_supervisor() {
    let path = std::path::PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("pids-{}", std::process::id()));
    let mut supervisor = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "supervisor_to_be_killed"])
        .env("GAPLESS_TEST_PIDS", &path)
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + LONG;
    let pids = loop {
        assert!(Instant::now() < deadline, "the supervisor never got there");
        match std::fs::read_to_string(&path) {
            Ok(text) if text.split(' ').count() == 3 => break text,
            _ => std::thread::sleep(Duration::from_millis(10)),
        }
    };
    let alive =
        |pid: &str| std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z"));
    assert!(pids.split(' ').all(alive), "{pids}");
    supervisor.kill().unwrap();
    supervisor.wait().unwrap();
    while pids.split(' ').any(alive) {
        assert!(Instant::now() < deadline, "still there: {pids}");
        std::thread::sleep(Duration::from_millis(1));
    }
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn a_native_call_that_never_comes_back_is_an_error_that_says_where_it_stands() {
    let mut tracee = Tracee::spawn().unwrap();
    // Back from this one there is no gadget any more: each instruction fetch is a SIGSEGV, swallowed.
    let text = [SCRATCH_START, 4096, 0, 0, 0, 0];
    match tracee.native(libc::SYS_munmap, text) {
        Err(error @ Error::Restless { status, rip, .. }) => {
            assert_eq!((status >> 8, rip), (libc::SIGSEGV, SCRATCH_START + 2));
            let said = error.to_string();
            assert!(said.contains("running native call 11: it stopped 1000 times"), "{said}");
            assert!(said.contains("at 0x10002"), "{said}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_late_interrupt_and_signals_do_not_keep_a_clone_from_coming_back() {
    let mut toy = toy("disturbed", SPIN_UNTIL);
    let args = run_to(&mut toy, libc::SYS_clone);
    let (pid, tid) = (toy.tracee.pid(), toy.tracee.tid());
    // It is stopped at its call: all of these wait until it goes on, and the kernel clones nothing while one is pending.
    sys::interrupt(tid).unwrap();
    let sent = [libc::SIGUSR1, libc::SIGCHLD, libc::SIGCONT, libc::SIGRTMIN(), libc::SIGRTMIN()];
    for signal in sent {
        sys::tgkill(pid, tid, signal).unwrap();
    }
    let child = toy.tracee.clone_native(args[0], args[1], args[4]).unwrap().unwrap();
    assert_eq!((child.pid(), child.regs().rax), (pid, 0));
    toy.tracee.finish_syscall(1234);
    // They were kept; the late interrupt was not.
    let mut taken = Vec::new();
    while let Stop::Signal { signo, .. } = toy.tracee.run(soon()).unwrap() {
        taken.push(signo);
    }
    let mut sent = sent.to_vec();
    sent.sort_unstable();
    taken.sort_unstable();
    assert_eq!(taken, sent);
}

#[test]
fn a_fault_that_comes_up_in_a_native_call_is_still_a_fault() {
    const BAD_RETURN: &str = r#"
int main() { __asm__ volatile("mov $8, %%rsp; mov $15, %%eax; syscall" ::: "memory"); return 0; }
"#;
    let mut toy = toy("bad-return", BAD_RETURN);
    run_to(&mut toy, libc::SYS_rt_sigreturn);
    // There is no frame at address 8: the kernel answers with a SIGSEGV that the thread has still to take.
    toy.tracee.through().unwrap();
    assert_eq!(toy.tracee.native(libc::SYS_getpid, [0; 6]).unwrap(), i64::from(toy.tracee.pid()));
    match toy.tracee.run(soon()).unwrap() {
        Stop::Fault { signo: libc::SIGSEGV, .. } => {}
        stop => panic!("{stop:?}"),
    }
}
