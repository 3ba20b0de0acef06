//! What makes a program's run depend on nothing but its inputs.

mod tracee_support;

use std::hash::{DefaultHasher, Hasher};
use std::path::Path;

use gapless_process::tracee::insn::{Answer, Kind, Trapped};
use gapless_process::tracee::sys::regs_words;
use gapless_process::tracee::{Stop, Tracee, cpuid, xsave_values};
use tracee_support::{LONG, Toy, compile, load, patch, start};

const UNKNOWABLE: &str = r#"
static long words[12];
static long call(long nr, long a, long b, long c) {
    long ret;
    asm volatile("syscall" : "=a"(ret) : "0"(nr), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
    return ret;
}
void _start() {
    unsigned a, b, c, d;
    unsigned short small = 0;
    unsigned char ok;
    asm volatile("rdtsc" : "=a"(a), "=d"(d));
    words[0] = (long)d << 32 | a;
    asm volatile("rdtscp" : "=a"(a), "=d"(d), "=c"(c));
    words[1] = (long)d << 32 | a;
    words[2] = c;
    asm volatile("rdrand %0; setc %1" : "=r"(words[3]), "=r"(ok));
    words[4] = ok;
    asm volatile("mov $-1, %%r9; rdrand %%r9w; mov %%r9, %0" : "=r"(words[5]) : : "r9");
    asm volatile("rdseed %%r15d; mov %%r15, %0" : "=r"(words[6]) : : "r15");
    asm volatile("rdpid %0" : "=r"(words[7]));
    asm volatile("cpuid" : "=a"(a), "=b"(b), "=c"(c), "=d"(d) : "0"(1), "2"(0));
    words[8] = a; words[9] = b; words[10] = c; words[11] = d;
    call(1, 1, (long)words, sizeof words);
    call(231, 0, 0, 0);
}"#;

#[test]
fn what_no_program_can_compute_is_answered() {
    let program =
        compile("unknowable", UNKNOWABLE, &["-static", "-no-pie", "-nostdlib", "-mrdrnd", "-mrdseed", "-mrdpid"]);
    let mut tracee = Tracee::spawn().unwrap();
    let loaded = load(&mut tracee, &program, &start(&["unknowable"]));
    let table = patch(&mut tracee, &loaded);
    assert_eq!(table.len(), 5, "{table:?}");
    let deadline = Some(std::time::Instant::now() + LONG);
    let mut kinds = Vec::new();
    let args = loop {
        let trapped = match tracee.run(deadline).unwrap() {
            Stop::Fault { signo: libc::SIGILL, info } => {
                assert_eq!(info.addr(), tracee.regs().rip);
                table[&tracee.regs().rip]
            }
            Stop::Fault { signo: libc::SIGSEGV, .. } => {
                let code: [u8; 4] = tracee.read_array(tracee.regs().rip).unwrap();
                Trapped::decode(&code).unwrap()
            }
            Stop::Syscall { nr: libc::SYS_write, args, .. } => break args,
            stop => panic!("{stop:?}"),
        };
        kinds.push(trapped.kind);
        let answer = match trapped.kind {
            Kind::Cpuid => Answer::Cpuid(cpuid::answer(tracee.regs().rax as u32, tracee.regs().rcx as u32)),
            _ => Answer::Value(0x1111_2222_3333_4440 + kinds.len() as u64),
        };
        trapped.apply(tracee.regs_mut(), answer);
    };
    let mut bytes = [0u8; 96];
    tracee.read_exact(args[1], &mut bytes).unwrap();
    let words: Vec<u64> = bytes.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().unwrap())).collect();
    let value = 0x1111_2222_3333_4440u64;
    assert_eq!(
        words[..8],
        [value + 1, value + 2, 0, value + 3, 1, !0xffff | 0x4444, 0x3333_4445, value + 6],
        "{kinds:?}"
    );
    assert_eq!(words[8..], cpuid::answer(1, 0).map(u64::from));
}

/// At each call: its number, and a hash of registers, extended state and writable memory.
fn trace(program: &Path, argv: &[&str]) -> Vec<(i64, u64, u64, u64)> {
    let mut toy = Toy::new(program, argv);
    let mut trace = Vec::new();
    let stop = toy.run(|tracee, stop| {
        if let Stop::Syscall { nr, .. } = stop {
            let [mut regs, mut extended, mut memory] = [(); 3].map(|()| DefaultHasher::new());
            regs_words(tracee.regs()).iter().for_each(|word| regs.write_u64(*word));
            xsave_values(&tracee.xsave().unwrap()).for_each(|bytes| extended.write(bytes));
            tracee
                .for_each_writable_page(|addr, bytes| {
                    memory.write_u64(addr);
                    memory.write(bytes);
                })
                .unwrap();
            trace.push((*nr, regs.finish(), extended.finish(), memory.finish()));
        }
        false
    });
    assert_eq!(stop, Stop::Exited(0));
    trace
}

const BUSY: &str = r#"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
int main() {
    setlocale(6, "");
    for (int i = 1; i < 30; i++) {
        char *text = malloc(i * 1000);
        memset(text, i, i * 1000);
        printf("%d %f %s %p %zu\n", i, sin(i) * pow(1.1, i), getenv("LANG"), text, strlen(text) & 7);
        fflush(stdout);
        if (i % 3) free(text);
    }
    qsort(calloc(100, 8), 100, 8, (int (*)(const void *, const void *))strcmp);
    return 0;
}"#;

#[test]
fn two_runs_are_equal_to_the_last_bit() {
    let busy = compile("busy", BUSY, &["-Wl,-z,lazy", "-lm"]);
    for (program, argv) in [(busy.as_path(), &["busy"][..]), (Path::new("/bin/echo"), &["/bin/echo", "x"])] {
        let first = trace(program, argv);
        assert!(first.len() > 10);
        for _ in 0..5 {
            let again = trace(program, argv);
            let differs = first.iter().zip(&again).position(|(one, other)| one != other);
            assert_eq!(differs, None, "at {:?} and {:?}", first[differs.unwrap_or(0)], again[differs.unwrap_or(0)]);
            assert_eq!(first.len(), again.len());
        }
    }
}

const FOREIGN: &str = r#"
static long raw(long nr) {
    long ret;
    asm volatile("syscall" : "=a"(ret) : "0"(nr) : "rcx", "r11", "memory");
    return ret;
}
void _start() {
    long ret;
    if (raw(-1) != -38) raw(1001);
    asm volatile("int $0x80" : "=a"(ret) : "0"(20), "b"(1), "c"(2), "d"(3), "S"(4), "D"(5) : "memory");
    if (ret != -38) raw(1002);
    if (raw(0x40000000 + 39) != -38) raw(1003);
    asm volatile("call *%1" : "=a"(ret) : "r"(0xffffffffff600000), "D"(0), "S"(0) : "rcx", "r11", "memory");
    if (ret != -38) raw(1004);
    raw(1005);
}"#;

#[test]
fn calls_that_are_not_for_the_table_say_so() {
    let program = compile("foreign", FOREIGN, &["-static", "-no-pie", "-nostdlib"]);
    let mut tracee = Tracee::spawn().unwrap();
    load(&mut tracee, &program, &start(&["foreign"]));
    let deadline = Some(std::time::Instant::now() + LONG);
    let mut seen = Vec::new();
    loop {
        let stop = tracee.run(deadline).unwrap();
        let Stop::Syscall { nr, args, arch_ok } = stop else { panic!("{stop:?} after {seen:x?}") };
        if nr == 20 {
            assert_eq!(args[..5], [1, 2, 3, 4, 5]);
        }
        seen.push((nr, arch_ok));
        if nr > 1000 && arch_ok {
            break;
        }
        tracee.finish_syscall(-i64::from(libc::ENOSYS));
    }
    let expected = [(-1, true), (20, false), (0x4000_0000 + 39, false), (libc::SYS_gettimeofday, true), (1005, true)];
    assert_eq!(seen, expected, "the last but one is a call through the vsyscall page");
}

const VECTORS: &str = r#"
static long raw(long nr, long a) {
    long ret;
    asm volatile("syscall" : "=a"(ret) : "0"(nr), "D"(a) : "rcx", "r11", "memory");
    return ret;
}
void _start() {
    unsigned long out;
    asm volatile("movabs $0x1234567890, %%rax; movq %%rax, %%xmm9; mov $110, %%eax; syscall; movq %%xmm9, %0"
                 : "=r"(out) : : "rax", "rcx", "r11", "xmm9", "memory");
    raw(231, out);
}"#;

#[test]
fn a_vector_register_can_be_read_and_changed() {
    let program = compile("vectors", VECTORS, &["-static", "-no-pie", "-nostdlib"]);
    let mut tracee = Tracee::spawn().unwrap();
    load(&mut tracee, &program, &start(&["vectors"]));
    let deadline = Some(std::time::Instant::now() + LONG);
    assert!(matches!(tracee.run(deadline).unwrap(), Stop::Syscall { nr: libc::SYS_getppid, .. }));
    // XMM0 is at byte 160 of the legacy area.
    let at = 160 + 9 * 16;
    let mut state = tracee.xsave().unwrap();
    assert_eq!(state[at..at + 8], 0x12_3456_7890u64.to_le_bytes());
    let values = |state: &[u8]| xsave_values(state).map(<[u8]>::to_vec).collect::<Vec<_>>();
    let before = values(&state);
    tracee.native(libc::SYS_gettid, [0; 6]).unwrap();
    assert_eq!(values(&tracee.xsave().unwrap()), before, "a native call leaves it alone");
    state[at] ^= 1;
    tracee.set_xsave(&state).unwrap();
    assert_ne!(values(&tracee.xsave().unwrap()), before, "one bit shows");
    tracee.finish_syscall(0);
    let Stop::Syscall { nr: libc::SYS_exit_group, args, .. } = tracee.run(deadline).unwrap() else { panic!() };
    assert_eq!(args[0], 0x12_3456_7891);
    assert!(tracee.set_xsave(&[0xff; 100]).is_err());
}
