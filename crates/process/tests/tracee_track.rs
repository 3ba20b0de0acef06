//! What of an address space counts as written: everything that anybody wrote to, and everything that came there since.

mod tracee_support;

use std::collections::BTreeSet;
use std::os::fd::AsFd;

use gapless_process::tracee::{Tracee, Tracker, sys};

const PAGE: u64 = 4096;
const BASE: u64 = 0x2000_0000;
/// Pages of the tracked mapping.
const COUNT: u64 = 1024;
const RW: i32 = libc::PROT_READ | libc::PROT_WRITE;
const MAP_ANYWHERE: i32 = libc::MAP_ANONYMOUS;

fn map(tracee: &mut Tracee, page: u64, pages: u64, flags: i32, fd: i32) {
    let flags = flags | libc::MAP_FIXED;
    let args = [at(page), pages * PAGE, RW as u64, flags as u64, fd as u64, 0];
    tracee.native_ok("mmap", libc::SYS_mmap, args).unwrap();
}

fn call(tracee: &mut Tracee, nr: i64, args: [u64; 5]) {
    let [a, b, c, d, e] = args;
    tracee.native_ok("a memory call", nr, [a, b, c, d, e, 0]).unwrap();
}

fn at(page: u64) -> u64 {
    BASE + page * PAGE
}

fn write(tracee: &mut Tracee, page: u64) {
    tracee.write_u64(at(page) + 8, page + 1).unwrap();
}

/// Numbers of the pages from BASE on that were written since the last look.
fn written(tracee: &Tracee, tracker: Option<&Tracker>) -> Vec<u64> {
    let mut pages = BTreeSet::new();
    let visit = |addr: u64, page: &[u8]| {
        assert_eq!(page.len() as u64, PAGE);
        if (BASE..BASE + 64 * COUNT * PAGE).contains(&addr) {
            assert!(pages.insert((addr - BASE) / PAGE), "page {addr:#x} twice");
        }
    };
    tracee.for_each_written_page(tracker, visit).unwrap();
    pages.into_iter().collect()
}

/// A tracee of which `COUNT` pages from BASE on hold something, and were looked at.
fn tracked(flags: i32, fd: Option<&std::fs::File>) -> (Tracee, Tracker) {
    let mut tracee = Tracee::spawn().unwrap();
    let fd = fd.map_or(-1, |file| tracee.pass_fd(file.as_fd()).unwrap());
    map(&mut tracee, 0, COUNT, flags, fd);
    (0..COUNT).for_each(|page| write(&mut tracee, page));
    let tracker = tracee.track().unwrap().expect("a kernel of 6.7 or newer");
    assert_eq!(written(&tracee, Some(&tracker)), (0..COUNT).collect::<Vec<_>>(), "at first all");
    assert_eq!(written(&tracee, Some(&tracker)), [0; 0], "then none");
    (tracee, tracker)
}

/// Something is done to memory of which all pages have been looked at; then exactly these count.
fn check(what: &str, act: fn(&mut Tracee, &Tracker), expected: &[u64]) {
    let (mut tracee, tracker) = tracked(libc::MAP_PRIVATE | MAP_ANYWHERE, None);
    act(&mut tracee, &tracker);
    assert_eq!(written(&tracee, Some(&tracker)), expected, "{what}");
    write(&mut tracee, 2);
    assert_eq!(written(&tracee, Some(&tracker)), [2], "{what}, and then one write");
}

#[test]
fn whoever_writes_is_seen() {
    check("a copy into it", |t, _| t.write_u64(at(7), 1).unwrap(), &[7]);
    check("a copy across a border", |t, _| t.write_u64(at(8) - 4, 1).unwrap(), &[7, 8]);
    check("a write as a debugger's", |t, _| t.poke_force(at(7), b"x").unwrap(), &[7]);
    check("the same value", |t, _| t.write_u64(at(7) + 8, 8).unwrap(), &[7]);
    check("zeros", |t, _| t.write_all(at(7), &[0; 4096]).unwrap(), &[7]);
    check("a read", |t, _| _ = t.read_u64(at(7)).unwrap(), &[]);
    let by_the_kernel = |t: &mut Tracee, _: &Tracker| call(t, libc::SYS_clock_gettime, [0, at(7), 0, 0, 0]);
    check("the kernel", by_the_kernel, &[7]);
    let forced = |t: &mut Tracee, _: &Tracker| {
        call(t, libc::SYS_mprotect, [at(7), PAGE, libc::PROT_READ as u64, 0, 0]);
        t.poke_force(at(7), b"x").unwrap();
        call(t, libc::SYS_mprotect, [at(7), PAGE, RW as u64, 0, 0]);
    };
    check("a write past the protection", forced, &[7]);
}

#[test]
fn what_comes_anew_counts() {
    let protect = |t: &mut Tracee, _: &Tracker| {
        for prot in [libc::PROT_NONE, libc::PROT_READ, RW] {
            call(t, libc::SYS_mprotect, [at(5), 9 * PAGE, prot as u64, 0, 0]);
        }
    };
    check("other rights alone", protect, &[]);
    let protect_and_write = |t: &mut Tracee, _: &Tracker| {
        call(t, libc::SYS_mprotect, [at(5), 9 * PAGE, 0, 0, 0]);
        call(t, libc::SYS_mprotect, [at(5), 9 * PAGE, RW as u64, 0, 0]);
        write(t, 6);
    };
    check("other rights and a write", protect_and_write, &[6]);
    let dropped = |t: &mut Tracee, _: &Tracker| {
        call(t, libc::SYS_madvise, [at(5), 3 * PAGE, libc::MADV_DONTNEED as u64, 0, 0]);
        t.read_u64(at(5)).unwrap();
        write(t, 6);
    };
    check("dropped pages: one read, one written", dropped, &[6]);
    let replaced = |t: &mut Tracee, _: &Tracker| {
        call(t, libc::SYS_munmap, [at(5), 3 * PAGE, 0, 0, 0]);
        map(t, 5, 3, libc::MAP_PRIVATE | MAP_ANYWHERE, -1);
        write(t, 6);
    };
    check("unmapped and mapped again", replaced, &[6]);
    let mapped_over = |t: &mut Tracee, tracker: &Tracker| {
        map(t, 5, 3, libc::MAP_PRIVATE | MAP_ANYWHERE, -1);
        tracker.mapped(at(5), at(8));
        write(t, 6);
    };
    check("mapped over, and told", mapped_over, &[6]);
    let moved = |t: &mut Tracee, tracker: &Tracker| {
        let flags = (libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED) as u64;
        tracker.moves(at(5), at(8));
        call(t, libc::SYS_mremap, [at(5), 3 * PAGE, 3 * PAGE, flags, at(2000)]);
    };
    check("moved", moved, &[2000, 2001, 2002]);
    let moved_back = |t: &mut Tracee, tracker: &Tracker| {
        let flags = (libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED) as u64;
        for (from, to) in [(5, 2000), (2000, 5)] {
            tracker.moves(at(from), at(from + 3));
            call(t, libc::SYS_mremap, [at(from), 3 * PAGE, 3 * PAGE, flags, at(to)]);
            tracker.mapped(at(to), at(to + 3));
        }
        // It is one mapping again with what lies around it, and that is still tracked.
        write(t, 20);
    };
    check("moved there and back", moved_back, &[5, 6, 7, 20]);
    let grown = |t: &mut Tracee, _: &Tracker| {
        call(t, libc::SYS_mremap, [at(0), COUNT * PAGE, (COUNT + 8) * PAGE, 0, 0]);
        write(t, COUNT + 3);
    };
    check("grown in place", grown, &[COUNT + 3]);
    let shrunk = |t: &mut Tracee, _: &Tracker| {
        call(t, libc::SYS_munmap, [at(COUNT - 8), 8 * PAGE, 0, 0, 0]);
        map(t, COUNT - 8, 16, libc::MAP_PRIVATE | MAP_ANYWHERE, -1);
        write(t, COUNT - 8);
        write(t, COUNT + 7);
    };
    check("shrunk and grown again, as a heap", shrunk, &[COUNT - 8, COUNT + 7]);
    let beside = |t: &mut Tracee, tracker: &Tracker| {
        map(t, COUNT, 2, libc::MAP_PRIVATE | MAP_ANYWHERE, -1);
        tracker.mapped(at(COUNT), at(COUNT + 2));
        write(t, COUNT + 1);
        let around = t.maps().unwrap().into_iter().find(|m| m.start <= at(5) && at(5) < m.end).unwrap();
        assert_eq!((around.start, around.end), (at(0), at(COUNT + 2)), "it merged with its neighbour");
    };
    check("mapped beside it", beside, &[COUNT + 1]);
}

#[test]
fn huge_pages_are_seen_by_small_ones() {
    let mut tracee = Tracee::spawn().unwrap();
    map(&mut tracee, 0, COUNT, libc::MAP_PRIVATE | MAP_ANYWHERE, -1);
    call(&mut tracee, libc::SYS_madvise, [at(0), COUNT * PAGE, libc::MADV_HUGEPAGE as u64, 0, 0]);
    (0..COUNT).for_each(|page| write(&mut tracee, page));
    let tracker = tracee.track().unwrap().expect("a kernel of 6.7 or newer");
    assert_eq!(written(&tracee, Some(&tracker)).len() as u64, COUNT);
    assert_eq!(written(&tracee, Some(&tracker)), [0; 0]);
    write(&mut tracee, 700);
    assert_eq!(written(&tracee, Some(&tracker)), [700]);
}

#[test]
fn a_fork_is_tracked_by_itself() {
    let (mut parent, tracker) = tracked(libc::MAP_PRIVATE | MAP_ANYWHERE, None);
    write(&mut parent, 3);
    let mut child = parent.clone_native(libc::SIGCHLD as u64, 0, 0).unwrap().unwrap();
    write(&mut child, 4);
    write(&mut parent, 5);
    assert_eq!(written(&parent, Some(&tracker)), [3, 5]);
    assert_eq!(written(&child, None).len() as u64, COUNT, "nothing is known of it");
    let own = child.track().unwrap().unwrap();
    assert_eq!(written(&child, Some(&own)).len() as u64, COUNT);
    write(&mut parent, 6);
    write(&mut child, 7);
    assert_eq!(written(&parent, Some(&tracker)), [6]);
    assert_eq!(written(&child, Some(&own)), [7]);
    // Another image: the old one's tracker knows nothing of it, so all of it counts.
    child.exec_stub().unwrap();
    map(&mut child, 0, 8, libc::MAP_PRIVATE | MAP_ANYWHERE, -1);
    write(&mut child, 1);
    assert_eq!(written(&child, Some(&own)), [1]);
    assert_eq!(written(&child, Some(&own)), [1], "and again");
}

fn file_of(pages: u64) -> std::fs::File {
    let file = tempfile::tempfile().unwrap();
    file.set_len(pages * PAGE).unwrap();
    file
}

#[test]
fn a_private_file_shows_through_where_nobody_wrote() {
    let file = file_of(COUNT + 8);
    let mut tracee = Tracee::spawn().unwrap();
    let fd = tracee.pass_fd(file.as_fd()).unwrap();
    map(&mut tracee, 0, COUNT, libc::MAP_PRIVATE, fd);
    for page in 0..8 {
        tracee.read_u64(at(page)).unwrap();
    }
    write(&mut tracee, 2);
    write(&mut tracee, 3);
    let tracker = tracee.track().unwrap().unwrap();
    assert_eq!(written(&tracee, Some(&tracker)), [2, 3]);
    write(&mut tracee, 5);
    tracee.write_u64(at(6), 0).unwrap();
    assert_eq!(written(&tracee, Some(&tracker)), [5, 6], "also where the same value was written");
    call(&mut tracee, libc::SYS_madvise, [at(2), 2 * PAGE, libc::MADV_DONTNEED as u64, 0, 0]);
    assert_eq!(written(&tracee, Some(&tracker)), [0; 0]);
    let mut used = Vec::new();
    tracee.for_each_writable_page(|addr, _| used.push(addr)).unwrap();
    used.retain(|addr| (at(0)..at(COUNT)).contains(addr));
    assert_eq!(used, [at(5), at(6)], "a mark that is left is no page");
    write(&mut tracee, 2);
    assert_eq!(written(&tracee, Some(&tracker)), [2]);
}

#[test]
fn shared_memory_counts_where_this_process_wrote() {
    let memfd = || std::fs::File::from(sys::memfd_create(c"shared", 0).unwrap());
    for file in [None, Some(file_of(COUNT)), Some(memfd())] {
        if let Some(file) = &file {
            file.set_len(COUNT * PAGE).unwrap();
        }
        let flags = libc::MAP_SHARED | if file.is_some() { 0 } else { MAP_ANYWHERE };
        let (mut parent, tracker) = tracked(flags, file.as_ref());
        let mut child = parent.clone_native(libc::SIGCHLD as u64, 0, 0).unwrap().unwrap();
        write(&mut child, 4);
        write(&mut parent, 5);
        assert_eq!(written(&parent, Some(&tracker)), [5]);
        assert_eq!(parent.read_u64(at(4) + 8), Ok(5), "the other's write is there");
        let own = child.track().unwrap().unwrap();
        assert_eq!(written(&child, Some(&own)).len() as u64, COUNT, "all at first, touched here or not");
        write(&mut child, 6);
        assert_eq!((written(&child, Some(&own)), written(&parent, Some(&tracker))), (vec![6], vec![]));
        // The kernel takes pages out of the process's tables: one that was written before is lost from sight, and so counts; marks stay.
        write(&mut child, 6);
        call(&mut child, libc::SYS_madvise, [at(0), COUNT * PAGE, libc::MADV_DONTNEED as u64, 0, 0]);
        write(&mut child, 9);
        assert_eq!(written(&child, Some(&own)), [6, 9]);
    }
}
