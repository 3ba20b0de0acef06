//! The loader: what a program finds when it starts, and files that are not programs.

mod tracee_support;

use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;

use gapless_process::tracee::loader::{Loaded, Object, Plan, Start};
use gapless_process::tracee::{Elf, Errno, SCRATCH_END, STACK_SIZE, STACK_TOP, Stop, Tracee};
use proptest::prelude::*;
use tracee_support::{Toy, compile, load, start};

const FINDS: &str = r#"
#define _GNU_SOURCE
#include <elf.h>
#include <link.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>
extern char _start, etext, edata, end, **environ;
int data = 5;
static int visit(struct dl_phdr_info *info, size_t size, void *count) { ++*(int *)count; return 0; }
int main(int argc, char **argv) {
    int count = 0;
    dl_iterate_phdr(visit, &count);
    unsigned char *random = (void *)getauxval(AT_RANDOM);
    char **env = environ;
    int envs = 0;
    while (*env) env++, envs++;
    printf("argc %d envs %d last %s\n", argc, envs, argv[argc - 1]);
    printf("aligned %d\n", (int)((unsigned long)(argv - 1) % 16));
    printf("entry %d execfn %s platform %s\n", getauxval(AT_ENTRY) == (unsigned long)&_start,
           (char *)getauxval(AT_EXECFN), (char *)getauxval(AT_PLATFORM));
    printf("random %d %d vdso %lu page %lu tick %lu secure %lu\n", random[0], random[15],
           getauxval(AT_SYSINFO_EHDR), getauxval(AT_PAGESZ), getauxval(AT_CLKTCK), getauxval(AT_SECURE));
    printf("ids %lu %lu %lu %lu hwcap2 %lu minsig %lu\n", getauxval(AT_UID), getauxval(AT_EUID), getauxval(AT_GID),
           getauxval(AT_EGID), getauxval(AT_HWCAP2), getauxval(AT_MINSIGSTKSZ));
    printf("objects %d data %d\n", count > 0, data);
    printf("end %p brk %p\n", &end, sbrk(0));
}"#;

#[test]
fn a_program_finds_what_the_kernel_would_give_it() {
    for (name, flags) in
        [("finds-static", &["-static", "-no-pie"][..]), ("finds-pie", &[]), ("finds-spie", &["-static-pie"])]
    {
        let program = compile(name, FINDS, flags);
        let mut toy = Toy::new(&program, &["finds", "", "three"]);
        assert_eq!(toy.run(|_, _| false), Stop::Exited(0));
        let output = String::from_utf8(toy.output.clone()).unwrap();
        let (fixed, brk) = output.split_at(output.find("end ").unwrap());
        let expected = "argc 3 envs 2 last three\naligned 0\nentry 1 execfn finds platform x86_64\n\
             random 7 7 vdso 0 page 4096 tick 100 secure 0\nids 0 0 0 0 hwcap2 2 minsig 4096\nobjects 1 data 5\n";
        assert_eq!(fixed, expected, "{name}");
        let addresses: Vec<u64> = brk
            .split_ascii_whitespace()
            .filter_map(|word| u64::from_str_radix(word.strip_prefix("0x")?, 16).ok())
            .collect();
        assert_eq!(toy.brk_start, addresses[0].div_ceil(4096) * 4096, "the heap begins behind the data");
        assert!(addresses[1] >= toy.brk_start, "{name}: {brk}");
    }
}

#[test]
fn a_program_starts_with_the_registers_of_the_kernel() {
    let mut tracee = Tracee::spawn().unwrap();
    let loaded = load(&mut tracee, Path::new("/bin/true"), &start(&["true"]));
    let regs = tracee.regs();
    let zero = [
        regs.rax,
        regs.rbx,
        regs.rcx,
        regs.rdx,
        regs.rsi,
        regs.rdi,
        regs.rbp,
        regs.r8,
        regs.r9,
        regs.r10,
        regs.r11,
        regs.r12,
        regs.r13,
        regs.r14,
        regs.r15,
        regs.fs_base,
        regs.gs_base,
        regs.ds,
        regs.es,
        regs.fs,
        regs.gs,
    ];
    assert_eq!(zero, [0; 21]);
    assert_eq!((regs.rip, regs.rsp), (loaded.start, loaded.rsp));
    assert_eq!((regs.cs, regs.ss, regs.eflags), (0x33, 0x2b, 0x202));
    assert_eq!(loaded.rsp % 16, 0);
    let extended = tracee.xsave().unwrap();
    assert_eq!(extended[..2], 0x37fu16.to_le_bytes(), "x87 control word");
    assert_eq!(extended[24..28], 0x1f80u32.to_le_bytes(), "MXCSR");
    assert!(extended[32..464].iter().all(|byte| *byte == 0));
    let name = std::fs::read_to_string(format!("/proc/{}/comm", tracee.pid())).unwrap();
    assert_eq!(name, "true\n");
}

#[test]
fn the_same_process_can_be_loaded_again_and_again() {
    let mut tracee = Tracee::spawn().unwrap();
    let first = load(&mut tracee, Path::new("/bin/true"), &start(&["true"]));
    let maps = tracee.maps().unwrap();
    for _ in 0..3 {
        tracee.exec_stub().unwrap();
        assert_eq!(load(&mut tracee, Path::new("/bin/true"), &start(&["true"])), first);
        assert_eq!(tracee.maps().unwrap(), maps);
    }
}

fn plan(bytes: &[u8], start: &Start) -> Result<Loaded, Errno> {
    let elf = Elf::from_bytes(bytes)?;
    let null = File::open("/dev/null").unwrap();
    // Nothing is mapped from it: a plan is made of headers.
    let object = Object { elf: &elf, file: null.as_fd() };
    Plan::new(object, None, start).map(|plan| plan.loaded().clone())
}

#[test]
fn files_that_are_not_programs_are_refused_by_errno() {
    let good = std::fs::read(compile("good", "int main() { return 0; }", &["-static"])).unwrap();
    let start = start(&["x"]);
    assert!(plan(&good, &start).is_ok());
    let with = |at: usize, value: &[u8]| {
        let mut bytes = good.clone();
        bytes[at..at + value.len()].copy_from_slice(value);
        plan(&bytes, &start).map(drop)
    };
    let noexec = Err(Errno(libc::ENOEXEC));
    assert_eq!(plan(b"#!/bin/sh\n", &start).map(drop), noexec);
    assert_eq!(plan(&good[..63], &start).map(drop), noexec);
    assert_eq!(plan(&good[..100], &start).map(drop), noexec);
    assert_eq!(plan(&good[..9000], &start).map(drop), Err(Errno(libc::EINVAL)), "segments beyond the end");
    assert_eq!(with(4, &[1]), noexec, "32 bits");
    assert_eq!(with(16, &[1]), noexec, "not linked");
    assert_eq!(with(18, &[183]), noexec, "another processor");
    assert_eq!(with(54, &[55]), noexec, "size of program headers");
    assert_eq!(with(56, &[0, 0]), noexec, "no program headers");
    assert_eq!(with(64 + 16, &u64::MAX.to_le_bytes()), Err(Errno(libc::EINVAL)), "an absurd address");
    // An interpreter is judged by the same eyes and another errno.
    let script = std::env::temp_dir().join(format!("gapless-not-elf-{}", std::process::id()));
    std::fs::write(&script, "text").unwrap();
    let refused = Elf::read_interp(File::open(&script).unwrap().as_fd());
    std::fs::remove_file(&script).unwrap();
    assert_eq!(refused, Err(Errno(libc::ELIBBAD)));
    assert_eq!(Elf::read(File::open("/").unwrap().as_fd()), Err(Errno(libc::EISDIR)));
}

#[test]
fn arguments_have_the_kernels_limits() {
    let good = std::fs::read(compile("limits", "int main() { return 0; }", &["-static"])).unwrap();
    let with = |argv: Vec<Vec<u8>>| plan(&good, &Start { argv, ..start(&["x"]) }).map(drop);
    let too_big = Err(Errno(libc::E2BIG));
    assert_eq!(with(vec![vec![b'a'; (128 << 10) - 1]]), Ok(()));
    assert_eq!(with(vec![vec![b'a'; 128 << 10]]), too_big);
    assert_eq!(with(vec![vec![b'a'; 100 << 10]; 19]), Ok(()));
    assert_eq!(with(vec![vec![b'a'; 100 << 10]; 21]), too_big);
    assert_eq!(with(vec![vec![]; 300_000]), too_big, "the pointers count");
    assert_eq!(with(vec![]), Ok(()));
}

/// A small program's headers with some bytes changed.
fn damaged() -> impl Strategy<Value = Vec<(usize, u8)>> {
    prop::collection::vec((0..600usize, prop_oneof![any::<u8>(), Just(0), Just(0xff)]), 1..6)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_header_gives_a_plan_within_bounds_or_an_errno(changes in damaged()) {
        static GOOD: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
        let good = GOOD.get_or_init(|| {
            std::fs::read(compile("damaged", "int main() { return 0; }", &["-static-pie"])).unwrap()
        });
        let mut bytes = good.clone();
        for (at, value) in changes {
            bytes[at] = value;
        }
        if let Ok(loaded) = plan(&bytes, &start(&["x"])) {
            for piece in &loaded.pieces {
                prop_assert!(piece.address % 4096 == 0 && piece.len % 4096 == 0 && piece.len > 0);
                prop_assert!(piece.address >= SCRATCH_END && piece.address + piece.len <= STACK_TOP - STACK_SIZE);
                prop_assert!(piece.offset.is_none_or(|offset| offset % 4096 == 0 && offset < bytes.len() as u64));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_plan_is_loaded_or_fails_with_an_error(changes in damaged()) {
        let mut bytes = std::fs::read("/bin/true").unwrap();
        for (at, value) in changes {
            bytes[at] = value;
        }
        let memfd = gapless_process::tracee::sys::memfd_create(c"damaged", 0).unwrap();
        let file = File::from(memfd);
        std::os::unix::fs::FileExt::write_all_at(&file, &bytes, 0).unwrap();
        if let Ok(elf) = Elf::read(file.as_fd()) {
            let mut tracee = Tracee::spawn().unwrap();
            if let Ok(plan) = Plan::new(Object { elf: &elf, file: file.as_fd() }, None, &start(&["x"])) {
                // Either is right; what counts is that the tracee is still in our hands.
                let _ = plan.load(&mut tracee);
                prop_assert!(tracee.native(libc::SYS_gettid, [0; 6]).unwrap() > 0);
            }
        }
    }
}
