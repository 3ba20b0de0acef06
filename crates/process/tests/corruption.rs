//! A backup that is not what its primary was must be found out by the next digest, which names the place; whatever went wrong with it.
//!
//! Each test disturbs one bit of a replaying side between a step and the digest behind it, and in another run one step earlier where the bit
//! stays as it is.

mod guests;
mod replay;

use gapless_log::{Divergence, Error, Host, Kind, Replayed, Replica};
use gapless_process::ProcessGroup;
use gapless_process::kernel::input;
use replay::{Calls, MarkAt, Recording};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Records a guest and replays it up to a mark in its middle, without the digest behind that. Answers the log's number of that digest too.
fn stopped_at_mark(name: &str, dir: &Path) -> (Recording, MarkAt, Host<ProcessGroup>) {
    let recording = replay::record(&guests::find(name), Calls::InProcess).unwrap_or_else(|e| panic!("{name}: {e}"));
    let marks = recording.marks();
    let mark = marks[marks.len() / 2].clone();
    let mut host = Host::new(ProcessGroup::backup(dir).expect("a backup"), replay::options());
    for frame in &recording.frames {
        host.feed(frame).expect("frames in order");
    }
    while host.last_mark() != Some(mark.seq) {
        host.replay_step().expect("undisturbed so far");
    }
    (recording, mark, host)
}

/// The next step is the digest, and it is the one that differs, in the part that was disturbed.
fn found_at_once(mark: &MarkAt, host: &mut Host<ProcessGroup>, part: &str) {
    match host.replay_step() {
        Err(Error::Diverged(Divergence { position, seq, expected, found })) => {
            assert_eq!((position, seq), (mark.at, mark.seq.next()), "the digest behind the mark");
            assert!(expected.contains("digest") && found.contains("digest") && expected != found);
            let named = found.split_once("; different: ").map(|(_, parts)| parts);
            assert!(named.is_some_and(|n| n.starts_with(part) && !n.contains(", ")), "{found}");
        }
        other => panic!("not found: {other:?}"),
    }
}

/// The same place, undisturbed: so it is the flipped bit that is found.
fn equal_if_left_alone(host: &mut Host<ProcessGroup>) {
    assert!(matches!(host.replay_step(), Ok(Replayed::Sync(_))));
}

fn disturbed(name: &str, part: &str, disturb: impl Fn(&mut Host<ProcessGroup>)) {
    let dir = tempfile::tempdir().expect("a directory");
    let (_, _, mut host) = stopped_at_mark(name, dir.path());
    equal_if_left_alone(&mut host);
    drop(host);
    let (_, mark, mut host) = stopped_at_mark(name, dir.path());
    disturb(&mut host);
    found_at_once(&mark, &mut host, part);
    host.replica_mut().halt();
}

fn flip_memory(host: &mut Host<ProcessGroup>, choose: impl Fn(&str) -> bool) {
    let tracee = host.replica_mut().tracees_mut().values_mut().next().expect("a thread");
    let maps = tracee.maps().expect("its mappings");
    let region = maps.iter().find(|m| m.write && choose(&m.name)).expect("such a mapping");
    // The last page of the region that is not all zero: whole ones count too, but these are certainly seen.
    let mut target = None;
    tracee
        .for_each_writable_page(|addr, _| {
            if (region.start..region.end).contains(&addr) {
                target = Some(addr);
            }
        })
        .expect("its pages");
    let at = target.expect("a page in use") + 1234;
    let mut byte = [0u8];
    tracee.peek_force(at, &mut byte).expect("a mapped page");
    tracee.poke_force(at, &[byte[0] ^ 0x10]).expect("a mapped page");
}

#[test]
fn a_bit_of_memory_that_is_mapped_for_writing_alone() {
    disturbed("write_only", "memory of process 2 at 0x70000000", |host| {
        let tracee = host.replica_mut().tracees_mut().values_mut().next().expect("a thread");
        let mut byte = [0u8];
        tracee.peek_force(0x7000_0123, &mut byte).expect("a mapped page");
        tracee.poke_force(0x7000_0123, &[byte[0] ^ 1]).expect("a mapped page");
    });
}

#[test]
fn a_bit_of_the_stack() {
    disturbed("stdio", "memory of process 2 at 0x", |host| {
        flip_memory(host, |name| name == "[stack]" || name.is_empty())
    });
}

#[test]
fn a_bit_of_a_page_that_was_never_written() {
    disturbed("brk", "memory of process 2 at 0x", |host| {
        let tracee = host.replica_mut().tracees_mut().values_mut().next().expect("a thread");
        let mut used = std::collections::BTreeSet::new();
        tracee.for_each_writable_page(|addr, _| _ = used.insert(addr)).expect("its pages");
        let maps = tracee.maps().expect("its mappings");
        let writable = maps.iter().filter(|m| m.write && m.read && !m.shared && m.inode == 0);
        let fresh = writable.flat_map(|m| (m.start..m.end).step_by(4096)).find(|page| !used.contains(page));
        tracee.poke_force(fresh.expect("a zero page") + 8, &[1]).expect("a mapped page");
    });
}

#[test]
fn a_bit_of_a_register() {
    disturbed("stdio", "registers of thread 2", |host| {
        let tracee = host.replica_mut().tracees_mut().values_mut().next().expect("a thread");
        tracee.regs_mut().r12 ^= 1 << 40;
    });
}

#[test]
fn a_bit_of_a_vector_register() {
    disturbed("stdio", "registers of thread 2", |host| {
        let tracee = host.replica_mut().tracees_mut().values_mut().next().expect("a thread");
        let mut state = tracee.xsave().expect("its extended state");
        // XMM13 begins at 160 + 13 * 16; the second bit of the header says that SSE registers are in use.
        state[160 + 13 * 16 + 5] ^= 4;
        state[512] |= 2;
        tracee.set_xsave(&state).expect("the same with a bit flipped");
    });
}

#[test]
fn a_bit_of_a_file() {
    disturbed("append", "files", |host| {
        let files = written_files(&host.replica().dir().join("files"));
        let longest = files.iter().max_by_key(|f| f.metadata().map_or(0, |m| m.len())).expect("a written file");
        let file = std::fs::File::options().read(true).write(true).open(longest).expect("the file");
        let mut byte = [0u8];
        file.read_exact_at(&mut byte, 0).expect("it has bytes");
        file.write_all_at(&[byte[0] ^ 1], 0).expect("it can be written");
    });
}

/// Files with bytes below the directory of local files.
fn written_files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).expect("a directory").map(|e| e.expect("an entry").path()) {
        if entry.is_dir() {
            found.extend(written_files(&entry));
        } else if entry.metadata().is_ok_and(|m| m.len() > 0) {
            found.push(entry);
        }
    }
    found
}

#[test]
fn a_bit_of_the_log() {
    // An input that differs is a program that goes on differently: found by the digest of the step that takes it, at the latest.
    flip_a_bit(Calls::Stopping, input::CLOCK_READ, |body| body[1] ^= 1);
    // The last byte of the last reading's difference from the one before; not to a number written with a zero at its end, which nobody writes.
    flip_a_bit(Calls::InProcess, input::CLOCK_READS, |body| {
        let last = body.last_mut().expect("readings");
        *last ^= if *last == 1 { 2 } else { 1 };
    });
}

fn flip_a_bit(calls: Calls, kind: Kind, flip: impl Fn(&mut Vec<u8>)) {
    let recording = replay::record(&guests::find("clock_gettime"), calls).expect("recorded");
    let dir = tempfile::tempdir().expect("a directory");
    let readings = recording.frames.iter().flat_map(gapless_log::Frame::entries);
    let count = readings.filter(|e| e.kind == kind).count();
    assert!(count > 4, "a guest that reads clocks: {count}");
    let mut seen = 0;
    let mut chain = 0;
    let mut host = Host::new(ProcessGroup::backup(dir.path()).expect("a backup"), replay::options());
    for frame in &recording.frames {
        let mut builder = gapless_log::FrameBuilder::new(frame.level(), frame.term(), frame.first_seq(), chain);
        for mut entry in frame.entries() {
            if entry.kind == kind {
                seen += 1;
                if seen == count / 2 {
                    flip(&mut entry.body);
                }
            }
            assert!(entry.kind != Kind::SNAPSHOT);
            builder.push(entry.at, entry.kind, &entry.body);
        }
        let changed = builder.seal(gapless_log::Seq(0)).expect("it holds entries");
        chain = changed.chain_after();
        host.feed(&changed).expect("it continues the log");
    }
    loop {
        match host.replay_step() {
            Ok(Replayed::Ended(_) | Replayed::Starved) => panic!("not found"),
            Ok(_) => {}
            Err(Error::Diverged(_)) => break,
            Err(other) => panic!("found as something else: {other}"),
        }
    }
}
