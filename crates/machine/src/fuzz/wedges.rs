//! Guests, logs and snapshots by hand: each once broke a machine, or held it up.

use super::guest::{addi, store};
use super::snapshot::{forge, good};
use super::{Bytes, TEXT_OFFSET, apply, computer, kernel, reach};
use crate::board::{Board, UART, virtio_region};
use crate::clock::{POSITION_MAX, SLOPE_ONE, SLOPES, TIME_NANOS_MAX};
use crate::computer::{Computer, JUMPS_MAX, Power, Stop};
use crate::device::Said;
use crate::device::virtio::testing::{DATA, Driver, Piece, board, parts, rings};
use crate::disk::RamDisk;
use crate::event::{self, ClockBody};
use crate::memory::RAM_BASE;
use crate::setup::{Boot, Disk, DiskImage};
use crate::snapshot::Header;
use gapless_log::Position;
use std::path::Path;

const ECALL: u32 = 0x73;
const WFI: u32 = 0x1050_0073;
const FAR: Position = Position(1_000_000);

/// `j .-bytes`, at most a few instructions back.
const fn back(bytes: u32) -> u32 {
    let offset = bytes.wrapping_neg();
    1 << 31 | (offset >> 1 & 0x3ff) << 21 | (offset >> 11 & 1) << 20 | 0xff << 12 | 0x6f
}

fn machine(code: &[u32]) -> Computer {
    computer(kernel(&code.iter().flat_map(|bits| bits.to_le_bytes()).collect::<Vec<_>>()), true)
}

/// `a7`, `a6` and the first arguments of an SBI call; the arguments also where calls do not change them, in `s2` to `s4`.
fn asks(computer: &mut Computer, extension: u64, function: u64, arguments: [u64; 3]) {
    (computer.hart.x[17], computer.hart.x[16]) = (extension, function);
    for (n, argument) in arguments.into_iter().enumerate() {
        (computer.hart.x[10 + n], computer.hart.x[18 + n]) = (argument, argument);
    }
}

/// Asks with the same arguments for ever.
const ASK_FOR_EVER: [u32; 4] = [addi(10, 18, 0), addi(11, 19, 0), ECALL, back(12)];

fn clock(computer: &mut Computer, time: u64, slope: u64) -> bool {
    let body = postcard::to_stdvec(&ClockBody { time, slope }).unwrap();
    apply(computer, event::CLOCK, &body)
}

fn booted(dir: &Path, disks: &[(&str, u64, u8)]) -> Computer {
    let kernel_path = dir.join("kernel");
    std::fs::write(&kernel_path, kernel(&back(0).to_le_bytes())).unwrap();
    let disks = disks.iter().map(|&(name, bytes, first)| {
        let path = dir.join(name);
        std::fs::write(&path, [first]).unwrap();
        std::fs::File::options().write(true).open(&path).unwrap().set_len(bytes).unwrap();
        DiskImage { path, read_only: false }
    });
    let (memory, append, disks) = (super::MEMORY_BYTES, String::new(), disks.collect());
    Computer::boot(Boot { kernel: kernel_path, initrd: None, append, memory, disks, net: false }, dir).unwrap()
}

#[test]
fn a_guest_that_reboots_at_once_lets_the_host_look_at_the_world() {
    // Registers are zero after a reset, so it asks for itself: `li a7, SRST; li a0, 1; ecall`.
    let code = [0x5352_58b7, addi(17, 17, 0x354), addi(10, 0, 1), ECALL];
    let mut computer = machine(&code);
    for boots in 1..4 {
        assert_eq!(computer.run(FAR).unwrap(), Stop::Pause);
        assert_eq!((computer.boots, computer.power), (boots, Power::On));
    }
    computer.boots = u32::MAX;
    assert_eq!(computer.run(FAR).unwrap(), Stop::Pause);
    // A kernel that does not fit is an error, not the end of the host.
    computer.setup.append = "x".repeat(2000);
    assert!(computer.run(FAR).unwrap_err().to_string().contains("2000 bytes"));
}

#[test]
fn calls_of_the_firmware_and_kicks_let_the_host_look_at_the_world() {
    let mut fences = machine(&ASK_FOR_EVER);
    asks(&mut fences, 0x5246_4e43, 1, [0, u64::MAX, 64 << 12]);
    fences.hart.x[12] = 0x1000;
    let mut kicks = machine(&[store(2, 0, 10, 0x50), back(4)]);
    kicks.hart.x[10] = virtio_region(2).base;
    for mut computer in [fences, kicks] {
        assert_eq!(computer.run(FAR).unwrap(), Stop::Pause);
        assert!(computer.position().0 < 1000, "at {}", computer.position());
    }
}

#[test]
fn what_a_guest_prints_in_one_step_has_a_limit() {
    const SAID_MAX: usize = 100_000;
    // By the firmware: 4096 bytes a call.
    let mut computer = machine(&ASK_FOR_EVER);
    asks(&mut computer, 0x4442_434e, 0, [1 << 30, RAM_BASE, 0]);
    let stops = std::iter::from_fn(|| Some(computer.run(FAR).unwrap()));
    assert!(stops.take(100).any(|stop| stop == Stop::Said));
    assert!(computer.board.said().len() < SAID_MAX, "{} things were said", computer.board.said().len());
    // By the UART: a byte an instruction.
    let mut computer = machine(&[store(0, 10, 10, 0), back(4)]);
    computer.hart.x[10] = UART.base;
    assert_eq!(computer.run(FAR).unwrap(), Stop::Said);
    let said = computer.board.said().len();
    assert!(said < SAID_MAX, "{said} things were said");
    // What nobody takes, as in a replay, does not hold it up.
    let until = Position(computer.position().0 + 1000);
    assert_eq!(reach(&mut computer, until), Stop::Limit);
    assert_eq!(computer.board.said().len(), said + 500);
}

/// Sector `n` says: the next sector to read is `n + 1`, and there is one request more.
fn chain_of_sectors(sectors: u64) -> RamDisk {
    let mut disk = RamDisk::new(sectors);
    for (n, sector) in (0..sectors).zip(disk.bytes.chunks_mut(512)) {
        sector[..8].copy_from_slice(&((n + 1) % sectors).to_le_bytes());
        sector[8..10].copy_from_slice(&(n as u16 + 2).to_le_bytes());
    }
    disk
}

#[test]
fn a_disk_that_fills_its_own_queue_does_not_run_for_ever() {
    let mut driver = Driver::start(Board::new(parts(vec![Box::new(chain_of_sectors(1 << 13))])), 0, 1, 0);
    let available_index = rings(0) + 0x4002;
    driver.add(
        0,
        &[
            Piece::Out(DATA, 16),
            Piece::In(DATA + 8, 8),
            Piece::In(available_index, 2),
            Piece::In(DATA + 0x1000, 502),
            Piece::In(DATA + 0x2000, 1),
        ],
    );
    driver.kick(0);
    let entry = RAM_BASE + TEXT_OFFSET;
    driver.write(entry, &[WFI, back(0)].map(u32::to_le_bytes).concat());
    let mut computer = machine(&[]);
    computer.board = driver.board;
    assert_eq!(computer.run(FAR).unwrap(), Stop::Idle);
    assert_eq!(computer.jumps, JUMPS_MAX);
    let due = computer.next_deadline().expect("the disk is at work");
    // From here on it takes the host's clock.
    assert!(computer.now() < due);
    assert!(clock(&mut computer, due, SLOPE_ONE));
    assert_eq!(computer.run(FAR).unwrap(), Stop::Idle);
    assert!(computer.next_deadline().is_some_and(|next| next > due));
}

#[test]
fn no_clock_entry_takes_time_to_where_it_ends() {
    let mut computer = machine(&[back(0)]);
    for (time, slope) in [
        (u64::MAX, SLOPE_ONE),
        (TIME_NANOS_MAX + 1, SLOPE_ONE),
        (1 << 40, 0),
        (1 << 40, *SLOPES.start() - 1),
        (1 << 40, u64::MAX),
    ] {
        assert!(!clock(&mut computer, time, slope), "{time} {slope}");
    }
    computer.run(Position(100)).unwrap();
    assert!(clock(&mut computer, TIME_NANOS_MAX, *SLOPES.end()));
    assert!(!clock(&mut computer, TIME_NANOS_MAX - 1, SLOPE_ONE), "back");
    // Disks and timers work there too.
    let mut driver = Driver::start(std::mem::replace(&mut computer.board, board(1)), 0, 1, 0);
    driver.at = computer.position();
    driver.add(0, &[Piece::Out(DATA, 16), Piece::In(DATA + 0x1000, 513)]);
    driver.kick(0);
    computer.board = driver.board;
    computer.hart.set_timer(u64::MAX);
    assert_eq!(reach(&mut computer, Position(10_000)), Stop::Limit);
    assert_eq!(computer.next_deadline(), None);
}

#[test]
fn frames_that_no_port_gives_are_refused() {
    let mut computer = machine(&[back(0)]);
    let content = |computer: &mut Computer, bytes: usize| {
        assert!(apply(computer, event::NET_EVENT, &[]));
        let taken = apply(computer, event::NET_CONTENT, &event::piece_body(true, &vec![0; bytes]));
        computer.frames_open = false;
        taken
    };
    let taken = [0, 11, 12, 65_565, 65_566, 1 << 20].map(|bytes| content(&mut computer, bytes));
    assert_eq!(taken, [false, false, true, true, false, false]);
    assert!(!apply(&mut computer, event::NET_CONTENT, &[]));
    assert!(!apply(&mut computer, event::NET_CONTENT, &[2; 100]));
}

/// Loads the good snapshot after a change of its header; gives the words of the refusal.
fn refusal(change: impl FnOnce(&mut Header)) -> String {
    let dir = tempfile::tempdir().unwrap();
    let forged = forge(good(), |header, _| change(header));
    match Computer::load(&mut forged.as_slice(), dir.path()) {
        Ok(_) => "it is loaded".to_owned(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn forged_snapshots_are_refused() {
    assert_eq!(refusal(|_| {}), "it is loaded");
    let check = |words: &str, change: &dyn Fn(&mut Header)| {
        let found = refusal(change);
        assert!(found.contains(words), "{found}: expected {words}");
    };
    check("memory", &|header| header.setup.memory = 0);
    check("memory", &|header| header.setup.memory = !4095);
    check("boot image", &|header| header.setup.kernel_bytes = u64::MAX);
    check("number of its disks", &|header| header.setup.disks = vec![header.setup.disks[0].clone(); 7]);
    for bytes in [0, 511, 1 << 62, !511] {
        check("size of a disk", &|header| header.setup.disks[0].bytes = bytes);
    }
    check("its clock", &|header| header.rest.line.slope = 0);
    check("its clock", &|header| header.rest.line.time = u64::MAX);
    check("its clock", &|header| header.rest.line.position = u64::MAX);
    check("what it was saying", &|header| header.said = vec![Said::Frame(vec![0; 11])]);
    check("its hart", &|header| header.hart.truncate(100));
    // The page from which it fetches lies outside of memory.
    check("its hart", &|header| {
        let page = varint(RAM_BASE + TEXT_OFFSET);
        let latch = [&page[..], &page].concat();
        let at = header.hart.windows(latch.len()).position(|window| window == latch).expect("the latch");
        header.hart.splice(at..at + latch.len(), [&page[..], &varint(0x1000)].concat());
    });
    // Its next position would be no number any more.
    check("its hart", &|header| {
        let position = varint(100);
        let at =
            header.hart.windows(3).position(|window| window == [1, position[0], 0]).expect("mode, position and traps");
        header.hart.splice(at + 1..at + 2, varint(u64::MAX));
    });
    assert_eq!(POSITION_MAX, 1 << 56);
}

fn varint(number: u64) -> Vec<u8> {
    postcard::to_stdvec(&number).unwrap()
}

#[test]
fn the_state_of_a_queue_outside_of_memory_is_refused() {
    let mut driver = Driver::start(board(1), 0, 1, 0);
    let state = driver.board.state().unwrap();
    for part in [0, 0x4000, 0x6000] {
        let ring = varint(rings(0) + part);
        let at = state.windows(ring.len()).position(|window| window == ring).expect("the ring");
        for place in [!15, 0, RAM_BASE - 16] {
            let mut forged = state.clone();
            forged.splice(at..at + ring.len(), varint(place));
            assert!(driver.board.restore(&forged).is_err(), "{part:#x} at {place:#x}");
        }
    }
    assert!(driver.board.restore(&state).is_ok());
}

#[test]
fn a_disk_that_a_snapshot_names_is_not_read_without_end() {
    let dir = tempfile::tempdir().unwrap();
    let mut computer = Computer::load(&mut &good()[..], dir.path()).unwrap();
    for path in ["/dev/zero", "/dev/tty", "/proc/self/mem", "/"] {
        let mut saved = Vec::new();
        computer.setup.disks[0] = Disk { path: path.into(), ..computer.setup.disks[0].clone() };
        computer.save(false, &mut saved).unwrap();
        let other = tempfile::tempdir().unwrap();
        let error = Computer::load(&mut saved.as_slice(), other.path()).unwrap_err().to_string();
        assert!(error.contains("is not the image of 65536 bytes"), "{error}");
    }
}

#[test]
fn what_disks_have_read_ahead_fits_into_a_snapshot() {
    const REQUEST: u32 = 254 * 65_536;
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let bytes = u64::from(REQUEST);
    let mut computer = booted(dir.path(), &[("one", bytes, 1), ("two", bytes, 2)]);
    let (mut board, position) = (std::mem::replace(&mut computer.board, board(1)), computer.position());
    for slot in 0..2 {
        let mut driver = Driver::start(board, slot, 1, 0);
        driver.at = position;
        for _ in 0..5 {
            driver.add(0, &[Piece::Out(RAM_BASE + 0x3_0000, 16), Piece::In(DATA, REQUEST), Piece::In(RAM_BASE, 1)]);
        }
        driver.kick(0);
        board = driver.board;
    }
    computer.board = board;
    let mut saved = Vec::new();
    computer.save(false, &mut saved).unwrap();
    let mut loaded = Computer::load(&mut saved.as_slice(), other.path()).unwrap();
    super::assert_same(&mut computer, &mut loaded);
}

#[test]
fn a_snapshot_has_the_image_of_its_own_disk_whoever_lived_in_the_directory_before() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for (name, first) in [("old", 1), ("new", 2)] {
        let mut saved = Vec::new();
        booted(dir.path(), &[(name, 4096, first)]).save(true, &mut saved).unwrap();
        drop(Computer::load(&mut saved.as_slice(), other.path()).unwrap());
        let image = std::fs::read(crate::files(other.path()).join("disk0.image")).unwrap();
        assert_eq!((image.len(), image[0]), (4096, first));
    }
}

#[test]
fn bytes_give_numbers_and_then_zeros() {
    let mut bytes = Bytes(&[1, 2, 3]);
    assert_eq!((bytes.number::<2>(), bytes.number::<2>(), bytes.number::<8>()), (0x201, 3, 0));
}
