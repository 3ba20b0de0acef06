//! What a stop costs, and that the supervisor's own clock does not make it dearer. One test, so
//! that nothing runs beside it.

mod tracee_support;

use std::time::{Duration, Instant};

use gapless_process::tracee::{Stop, counter_faults, pin_current_thread};
use tracee_support::{LONG, Toy, compile};

const CALLS: &str = r#"
#include <sys/syscall.h>
#include <unistd.h>
int main() { for (;;) syscall(SYS_getppid); }"#;

fn to_getppid(toy: &mut Toy) {
    let stop = toy.run(|_, stop| matches!(stop, Stop::Syscall { nr: libc::SYS_getppid, .. }));
    assert!(matches!(stop, Stop::Syscall { nr: libc::SYS_getppid, .. }), "{stop:?}");
}

#[test]
fn one_cheap_stop_a_call() {
    a_skipped_call_costs_one_stop();
    a_supervisor_that_reads_the_counter_gets_it_back();
}

fn a_skipped_call_costs_one_stop() {
    pin_current_thread(None).unwrap();
    let mut toy = Toy::new(&compile("skip", CALLS, &["-static"]), &["skip"]);
    to_getppid(&mut toy);
    let mut best = Duration::MAX;
    for _ in 0..20 {
        let begin = Instant::now();
        for _ in 0..200 {
            toy.tracee.finish_syscall(1);
            let stop = toy.tracee.run(Some(Instant::now() + LONG)).unwrap();
            assert!(matches!(stop, Stop::Syscall { nr: libc::SYS_getppid, .. }));
        }
        best = best.min(begin.elapsed() / 200);
    }
    println!("skipped call: {best:?} a round trip");
    assert_eq!(counter_faults(), 0, "nothing in the loop reads the time stamp counter");
    let begin = Instant::now();
    for _ in 0..1000 {
        assert!(toy.tracee.native(libc::SYS_getpid, [0; 6]).unwrap() > 0);
    }
    println!("native call: {:?}", begin.elapsed() / 1000);
    assert!(best < Duration::from_millis(1));
}

fn a_supervisor_that_reads_the_counter_gets_it_back() {
    let read = || {
        // SAFETY: every x86-64 processor has it.
        unsafe { std::arch::x86_64::_rdtsc() }
    };
    let mut toy = Toy::new(&compile("counter", CALLS, &["-static"]), &["counter"]);
    to_getppid(&mut toy);
    let before = counter_faults();
    let (one, two) = (read(), read());
    assert!(one < two);
    assert_eq!(counter_faults(), before + 1, "the second read is free");
    toy.tracee.finish_syscall(0);
    to_getppid(&mut toy);
    assert!(read() > two);
    assert_eq!(counter_faults(), before + 2);
    toy.tracee.finish_syscall(0);
    to_getppid(&mut toy);
    // A thread inherits that it may not, and is healed likewise.
    let in_thread = std::thread::spawn(move || (read(), counter_faults())).join().unwrap();
    assert_eq!(in_thread.1, before + 3);
    toy.tracee.finish_syscall(0);
    to_getppid(&mut toy);
    drop(toy);
    read();
    assert_eq!(counter_faults(), before + 3, "with the last tracee it comes back");
    assert!(std::process::Command::new("/bin/date").output().unwrap().status.success());
}
