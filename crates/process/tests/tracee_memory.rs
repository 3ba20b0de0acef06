//! Memory of a held thread: access as the kernel would grant it, and the pages that count.

mod tracee_support;

use std::collections::BTreeMap;
use std::os::fd::AsFd;

use gapless_process::tracee::{Fault, RESERVED_FDS, STACK_SIZE, STACK_TOP, StrFault, Tracee, pause_ticks, sys};

const PAGE: u64 = 4096;
const BASE: u64 = 0x20_0000;
const RW: i32 = libc::PROT_READ | libc::PROT_WRITE;

fn map(tracee: &mut Tracee, addr: u64, pages: u64, prot: i32, extra: i32, fd: i32) {
    let anonymous = if fd < 0 { libc::MAP_ANONYMOUS } else { 0 };
    let flags = libc::MAP_FIXED | anonymous | extra;
    let args = [addr, pages * PAGE, prot as u64, flags as u64, fd as i64 as u64, 0];
    assert_eq!(tracee.native_ok("mmap", libc::SYS_mmap, args).unwrap(), addr);
}

/// Writable, read-only, inaccessible, nothing.
fn four_kinds() -> Tracee {
    let mut tracee = Tracee::spawn().unwrap();
    map(&mut tracee, BASE, 1, RW, libc::MAP_PRIVATE, -1);
    map(&mut tracee, BASE + PAGE, 1, libc::PROT_READ, libc::MAP_PRIVATE, -1);
    map(&mut tracee, BASE + 2 * PAGE, 1, libc::PROT_NONE, libc::MAP_PRIVATE, -1);
    tracee
}

#[test]
fn access_is_what_the_program_itself_may_do() {
    let mut tracee = four_kinds();
    let mut bytes = [1u8; 3 * PAGE as usize];
    assert_eq!(tracee.read(BASE, &mut bytes), Ok(2 * PAGE as usize), "as far as it is readable");
    assert_eq!(tracee.write(BASE, &bytes), Ok(PAGE as usize), "as far as it is writable");
    assert_eq!(tracee.read(BASE + PAGE - 5, &mut bytes), Ok(PAGE as usize + 5));
    assert_eq!(tracee.write(BASE + PAGE - 5, &bytes), Ok(5));
    for (addr, read) in [
        (BASE + PAGE, Ok(8)),
        (BASE + 2 * PAGE, Err(Fault)),
        (BASE + 3 * PAGE, Err(Fault)),
        (0, Err(Fault)),
        (u64::MAX - 3, Err(Fault)),
        (1 << 47, Err(Fault)),
        (0xffff_ffff_ff60_0000, Err(Fault)),
    ] {
        assert_eq!(tracee.read(addr, &mut bytes[..8]), read, "{addr:#x}");
        assert_eq!(tracee.write(addr, &bytes[..8]), Err(Fault), "{addr:#x}");
    }
    assert_eq!(tracee.read(0, &mut []), Ok(0));
    assert_eq!(tracee.write_all(BASE + PAGE - 4, &[1; 8]), Err(Fault));
    assert_eq!(tracee.read_u64(BASE + 2 * PAGE - 4), Err(Fault));
}

#[test]
fn a_debugger_may_do_more() {
    let mut tracee = four_kinds();
    tracee.poke_force(BASE + PAGE + 3, b"changed").unwrap();
    let mut bytes = [0; 7];
    tracee.read_exact(BASE + PAGE + 3, &mut bytes).unwrap();
    assert_eq!(&bytes, b"changed");
    tracee.poke_force(BASE + 2 * PAGE, b"x").unwrap();
    tracee.peek_force(BASE + 2 * PAGE, &mut bytes[..1]).unwrap();
    assert_eq!(bytes[0], b'x');
    for addr in [0, BASE + 3 * PAGE, 1 << 47, u64::MAX] {
        assert_eq!(tracee.peek_force(addr, &mut bytes), Err(Fault), "{addr:#x}");
        assert_eq!(tracee.poke_force(addr, &bytes), Err(Fault), "{addr:#x}");
    }
}

#[test]
fn strings_end_at_their_zero_or_at_the_border() {
    let mut tracee = four_kinds();
    let long = vec![b'a'; PAGE as usize];
    tracee.write_all(BASE, &long).unwrap();
    assert_eq!(tracee.read_c_string(BASE, 1 << 16).unwrap(), long, "the next page is zero");
    assert_eq!(tracee.read_c_string(BASE, PAGE as usize), Err(StrFault::TooLong));
    assert_eq!(tracee.read_c_string(BASE + 2 * PAGE, 10), Err(StrFault::Fault));
    tracee.poke_force(BASE + PAGE, &long).unwrap();
    assert_eq!(tracee.read_c_string(BASE, 1 << 16), Err(StrFault::Fault));
    tracee.poke_force(BASE + 2 * PAGE - 1, &[0]).unwrap();
    assert_eq!(tracee.read_c_string(BASE, 1 << 16).unwrap().len(), 2 * PAGE as usize - 1);
}

#[test]
fn the_whole_stack_can_be_reached() {
    let mut tracee = Tracee::spawn().unwrap();
    let lowest = STACK_TOP - STACK_SIZE;
    tracee.write_u64(lowest, 7).unwrap();
    assert_eq!(tracee.read_u64(lowest), Ok(7));
    assert_eq!(tracee.write_u64(lowest - 8, 7), Err(Fault));
}

#[test]
fn descriptors_arrive_and_leave() {
    let mut tracee = Tracee::spawn().unwrap();
    let file = std::fs::File::open("/bin/true").unwrap();
    for _ in 0..100 {
        let fd = tracee.pass_fd(file.as_fd()).unwrap();
        assert_eq!(fd, 0, "the lowest free number");
        tracee.close_fd(fd).unwrap();
    }
    let open = std::fs::read_dir(format!("/proc/{}/fd", tracee.pid())).unwrap().count();
    assert_eq!(open, RESERVED_FDS.len());
    pause_ticks().unwrap();
    assert!(tracee.close_fd(5).is_err());
}

fn pages(tracee: &Tracee) -> BTreeMap<u64, Vec<u8>> {
    let mut pages = BTreeMap::new();
    tracee
        .for_each_writable_page(|addr, bytes| {
            assert_eq!(bytes.len() as u64, PAGE);
            assert!(pages.insert(addr, bytes.to_vec()).is_none());
        })
        .unwrap();
    pages
}

#[test]
fn pages_that_count_are_those_written_to() {
    let mut tracee = Tracee::spawn().unwrap();
    let file = std::fs::File::open("/lib64/ld-linux-x86-64.so.2").unwrap();
    map(&mut tracee, BASE, 5000, RW, libc::MAP_PRIVATE, -1);
    let fd = tracee.pass_fd(file.as_fd()).unwrap();
    let of_file = BASE + 6000 * PAGE;
    map(&mut tracee, of_file, 8, RW, libc::MAP_PRIVATE, fd);
    let shared = BASE + 7000 * PAGE;
    map(&mut tracee, shared, 8, RW, libc::MAP_SHARED, -1);
    tracee.read_u64(of_file).unwrap();
    tracee.read_u64(BASE + 8 * PAGE).unwrap();
    tracee.write_u64(BASE + 9 * PAGE, 0).unwrap();
    assert!(pages(&tracee).is_empty(), "reading, or writing zeros, does not count");

    let mut expected = vec![BASE + PAGE, BASE + 2 * PAGE, BASE + 4999 * PAGE, of_file + 2 * PAGE, shared + 5 * PAGE];
    for &page in &expected {
        tracee.write_u64(page + 8, page).unwrap();
    }
    // Many single pages, so that several rounds are needed.
    for index in 0..1500 {
        expected.push(BASE + (100 + 2 * index) * PAGE);
        tracee.write_u64(expected[expected.len() - 1] + 8, 1).unwrap();
    }
    expected.sort_unstable();
    let found = pages(&tracee);
    assert_eq!(found.keys().copied().collect::<Vec<_>>(), expected);
    assert_eq!(found[&(BASE + PAGE)][8..16], (BASE + PAGE).to_le_bytes());
    assert!(found[&(of_file + 2 * PAGE)][100..].iter().any(|byte| *byte != 0), "the rest of the file's page");

    tracee.native_ok("mprotect", libc::SYS_mprotect, [BASE, PAGE * 2, 1, 0, 0, 0]).unwrap();
    assert!(!pages(&tracee).contains_key(&(BASE + PAGE)), "no longer writable");
    // A shared mapping of which a part lies behind the end of its file.
    let memfd = sys::memfd_create(c"short", 0).unwrap();
    let memfd = std::fs::File::from(memfd);
    memfd.set_len(PAGE).unwrap();
    let fd = tracee.pass_fd(memfd.as_fd()).unwrap();
    map(&mut tracee, shared, 3, RW, libc::MAP_SHARED, fd);
    tracee.write_u64(shared + 8, 3).unwrap();
    let found = pages(&tracee);
    assert_eq!(found.keys().filter(|page| **page >= shared).count(), 2, "that page and shared + 5");
}

#[test]
fn walking_is_fast() {
    let mut tracee = Tracee::spawn().unwrap();
    let count = 16 << 10;
    map(&mut tracee, BASE, count, RW, libc::MAP_PRIVATE, -1);
    tracee.write_all(BASE, &vec![1u8; (count * PAGE) as usize]).unwrap();
    let begin = std::time::Instant::now();
    assert_eq!(pages(&tracee).len() as u64, count);
    let took = begin.elapsed();
    println!("{} MB walked and copied in {took:?}", (count * PAGE) >> 20);
    assert!(took < std::time::Duration::from_secs(5));
}
