//! Every tiny guest, recorded, replayed, and taken over after every mark of its log.
//!
//! A guest verifies what it does and says so in lines that are the same in every run. So whatever happens to the machine under
//! it, the world must see the lines of an undisturbed run, and its exit status. Digests after every step, of all registers and all memory, say
//! whether a replay is the same run, not merely a similar one.
//!
//! Takeovers: after the mark, outputs that no earlier mark reports as released may have left or not. The survivor says them again; so the test takes
//! the world at both extremes: none of them left, and all of them did (then the survivor must repeat exactly those bytes). Where the world answers, because
//! it is a server outside of the group, that takes two takeovers: one in a world that the dead primary had told, one in a world that it had not.
//!
//! Every mark of every log is tried, some 790 in all. `GAPLESS_GUEST_MARKS=N` tries only N of a longer log: the first and last ones and a seeded choice
//! of the others.

mod guests;
mod replay;

use gapless_log::Error;
use gapless_process::syscalls::table::{Class, TABLE};
use guests::outside::answer;
use guests::{Contact, Protocol};
use replay::{Calls, Load, MarkAt, Recording};
use std::time::Instant;

fn marks_max() -> usize {
    std::env::var("GAPLESS_GUEST_MARKS").ok().and_then(|v| v.parse().ok()).unwrap_or(usize::MAX)
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
    let recording = match (replay::record(&guest, Calls::InProcess), refusal(&guest)) {
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
    let world = guest.outside.as_ref().map(|outside| outside.take()).unwrap_or_default();
    replays(&guest, &recording);
    if let Some(outside) = &guest.outside {
        assert!(!world.is_empty(), "{name} tells nobody anything");
        assert_eq!(outside.take(), [], "{name}: a replay has no outside");
    }
    if !guest.reads_code {
        other_path(name, &guest, &recording);
    }
    let replayed = started.elapsed();
    let marks = recording.marks();
    let chosen = choose(name, &marks, marks_max());
    let mut takeovers = 0;
    for mark in &chosen {
        let doubtful = mark.mark.released..mark.mark.said;
        takeover(name, &guest, &recording, mark, &world, mark.mark.released);
        takeovers += 1;
        if guest.outside.is_some() && recording.tells_outside(doubtful) {
            takeover(name, &guest, &recording, mark, &world, mark.mark.said);
            takeovers += 1;
        }
    }
    if guest.outside.is_some() {
        assert!(takeovers > chosen.len(), "{name}: nothing was ever in doubt");
    }
    println!(
        "{name}: {} marks, {} of them chosen, {takeovers} takeovers; recorded in {recorded:.1?}, replayed in {:.1?}, all in {:.1?}",
        marks.len(),
        chosen.len(),
        replayed - recorded,
        started.elapsed()
    );
}

/// Every digest is compared; marks compare what is said. In the log's own directory, in another, and under load.
fn replays(guest: &guests::Guest, recording: &Recording) {
    let name = &guest.name;
    let elsewhere = tempfile::tempdir().expect("a directory");
    let steps = recording.marks().len();
    let (there, elsewhere) = (recording.log.path(), elsewhere.path());
    for (how, dir, busy, calls) in [
        ("there", there, false, Calls::InProcess),
        ("elsewhere, under load", elsewhere, true, Calls::InProcess),
        ("with every call stopping", elsewhere, false, Calls::Stopping),
    ] {
        if calls == Calls::Stopping && guest.reads_code {
            continue;
        }
        let _load = busy.then(Load::start);
        let done = replay::replay(recording, dir, calls).unwrap_or_else(|e| panic!("{name} replayed {how}: {e}"));
        assert_eq!(done.status, Some(recording.status), "{name} replayed {how}");
        assert!(done.digests + 1 >= steps, "{name}: {} digests for {steps} steps", done.digests);
    }
}

/// Recorded with every call stopping it does the same, and that log is replayed as well by a side that answers calls in the process.
fn other_path(name: &str, guest: &guests::Guest, recording: &Recording) {
    let stopping =
        replay::record(guest, Calls::Stopping).unwrap_or_else(|e| panic!("{name}, every call stopping: {e}"));
    assert_eq!(stopping.status, recording.status, "{name}, every call stopping");
    assert_eq!(
        guests::stable_lines(&stopping.stdout),
        guests::stable_lines(&recording.stdout),
        "{name}, every call stopping"
    );
    if let Some(outside) = &guest.outside {
        outside.take();
    }
    let dir = tempfile::tempdir().expect("a directory");
    let done = replay::replay(&stopping, dir.path(), Calls::InProcess);
    let done = done.unwrap_or_else(|e| panic!("{name}, every call stopping, replayed in the process: {e}"));
    assert_eq!(done.status, Some(recording.status), "{name}, every call stopping, replayed in the process");
}

/// The primary dies after the mark, when `told` of its outputs have left. `world` is what an undisturbed run tells the outside.
fn takeover(name: &str, guest: &guests::Guest, recording: &Recording, mark: &MarkAt, world: &[Contact], told: u64) {
    let doubt = mark.mark.said - mark.mark.released;
    let at = format!(
        "{name}, taken over after mark {} at position {}, {} of {doubt} doubtful outputs done",
        mark.seq,
        mark.at,
        told - mark.mark.released
    );
    let before = guest.outside.as_ref().map(|outside| {
        replay::tell_outside(recording, 0..told);
        outside.take()
    });
    let after = replay::take_over(guest, recording, mark).unwrap_or_else(|e: Error| panic!("{at}: {e}"));
    if let (Some(outside), Some(before)) = (&guest.outside, before) {
        let after = outside.take();
        match outside.protocol {
            Protocol::Tcp => connections(&at, recording, mark, told, world, &before, &after),
            Protocol::Udp => datagrams(&at, recording, mark, told, world, &before, &after),
        }
    }
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

/// Connections that were closed are not made again. The one that was open is reset: its request is made again unless the answer is in the log.
fn connections(
    at: &str,
    recording: &Recording,
    mark: &MarkAt,
    told: u64,
    world: &[Contact],
    before: &[Contact],
    after: &[Contact],
) {
    let done = recording.told(told);
    assert_eq!(before.len(), done.connects, "{at}: the dead one's connections");
    assert_eq!(before[..done.closes], world[..done.closes], "{at}: its whole connections");
    let open = &before[done.closes..];
    assert!(open.len() <= 1 && open.iter().all(|c| world[done.closes].bytes.starts_with(&c.bytes)), "{at}: {open:?}");
    let is_answered = open.iter().any(|c| answer(&c.bytes).is_some_and(|a| recording.has_heard(mark.frames, &a)));
    let rest = &world[done.closes + usize::from(is_answered)..];
    assert_eq!(after, rest, "{at}: the survivor's connections, after {before:?}");
}

/// What is certain to have left is not sent again, but a question without an answer; what is in doubt is.
fn datagrams(
    at: &str,
    recording: &Recording,
    mark: &MarkAt,
    told: u64,
    world: &[Contact],
    before: &[Contact],
    after: &[Contact],
) {
    assert_eq!(before, &world[..recording.told(told).datagrams], "{at}: the dead one's datagrams");
    let certain = recording.told(mark.mark.released).datagrams;
    let is_unanswered = |c: &Contact| answer(&c.bytes).is_some_and(|a| !recording.has_heard(mark.frames, &a));
    let again = usize::from(world[..certain].last().is_some_and(is_unanswered));
    // Whoever waits too long for an answer asks once more, on a busy machine also in an undisturbed run.
    let once = |contacts: &[Contact]| {
        let mut contacts = contacts.to_vec();
        contacts.dedup_by(|a, b| a == b && answer(&a.bytes).is_some());
        contacts
    };
    assert_eq!(once(after), once(&world[certain - again..]), "{at}: the survivor's datagrams, after {before:?}");
}

macro_rules! tests {
    ($($name:ident)*) => {
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

guests::each_guest!(tests);

#[test]
fn no_guest_is_forgotten() {
    let found: Vec<String> = guests::all().into_iter().map(|g| g.name).collect();
    assert_eq!(found, NAMES);
}

/// An exec does not pay again for what an earlier one has found out.
#[test]
fn call_sites_of_files_that_are_known_are_patched_as_they_are_mapped() {
    let guest = guests::find("small_files");
    replay::record(&guest, Calls::InProcess).expect("recorded");
    let again = replay::record(&guest, Calls::AsKnown).expect("recorded");
    // None but at sites that were patched as they were mapped.
    assert!(again.figures["without a stop"] > 20, "{:?}", again.figures);
    let dir = tempfile::tempdir().expect("a directory");
    replay::replay(&again, dir.path(), Calls::Stopping).expect("the same run with every call stopping");
}

/// A thread that is stopped while it computes has had its turn: 64 more of them would each cost the patience and all memory.
#[test]
fn who_is_stopped_while_it_computes_gives_the_baton_away() {
    let recording = replay::record(&guests::find("spin_flag"), Calls::InProcess).expect("recorded");
    let entries = recording.frames.iter().flat_map(gapless_log::Frame::entries);
    let jumps = entries.filter(|e| e.kind == gapless_process::kernel::input::STATE_JUMP).count();
    // A head and one part each; the two threads wait for each other a handful of times.
    assert!((2..128).contains(&jumps), "{jumps} entries of state jumps");
}

/// Two threads that wake each other do without the supervisor, but for a stop now and then.
#[test]
fn the_baton_passes_in_the_process() {
    let figures = replay::record(&guests::find("baton"), Calls::InProcess).expect("recorded").figures;
    let (stops, others) = (figures["stops"], figures["without a stop"]);
    assert!(stops * 20 < others, "{stops} stops, {others} calls without one");
}

/// What a thread computed before its jump is no cost of the jump: it must not make the next signals wait ten times as long.
#[test]
fn a_long_computation_does_not_put_off_the_signals_behind_it() {
    let recording = replay::record(&guests::find("late_alarm"), Calls::InProcess).expect("recorded");
    let clocks: Vec<u64> = recording
        .frames
        .iter()
        .flat_map(gapless_log::Frame::entries)
        .filter(|e| e.kind == gapless_process::kernel::input::CLOCK)
        .map(|e| u64::from_le_bytes(e.body.as_slice().try_into().expect("8 bytes")))
        .collect();
    let jumps = recording.frames.iter().flat_map(gapless_log::Frame::entries);
    let jumps = jumps.filter(|e| e.kind == gapless_process::kernel::input::STATE_JUMP).count();
    // A head and one part each, one for each alarm; a few more on a machine that stalls.
    assert!(jumps < 24, "{jumps} entries of state jumps for three alarms");
    let (first, last) = (clocks[0], clocks[clocks.len() - 1]);
    // Some 50 ms each on a quiet machine; nearly 10 s each if the second before the first one counted.
    assert!(clocks.len() >= 3 && last - first < 8_000_000_000, "{clocks:?}");
}

/// What state jumps a recording holds: bytes of each.
fn jumps(recording: &Recording) -> Vec<usize> {
    let mut jumps: Vec<usize> = Vec::new();
    let mut last = None;
    let entries = recording.frames.iter().flat_map(gapless_log::Frame::entries);
    for entry in entries.filter(|e| e.kind == gapless_process::kernel::input::STATE_JUMP) {
        match jumps.last_mut().filter(|_| last == Some(entry.at)) {
            Some(bytes) => *bytes += entry.body.len(),
            None => jumps.push(entry.body.len()),
        }
        last = Some(entry.at);
    }
    jumps
}

/// However large the heap is, a jump logs all of it only once.
#[test]
fn later_jumps_log_only_what_was_written() {
    for (name, args, written) in [("jump_late", &["256"][..], 1 << 20), ("jump_heap", &["256", "20"], 4 << 20)] {
        let mut guest = guests::find(name);
        guest.args = args.iter().map(|&arg| arg.to_owned()).collect();
        let recording = replay::record(&guest, Calls::InProcess).expect("recorded");
        let jumps = jumps(&recording);
        println!("{}{name}: {} jumps of {jumps:?} bytes", recording.stdout, jumps.len());
        let (first, later) = jumps.split_first().expect("it jumps");
        assert!(*first > 256 << 20, "{name}: the first one has all");
        assert!(later.len() >= 4, "{name}: {} later ones", later.len());
        // Its pages, and a few more of stack and library.
        let most = later.iter().max().expect("there are some");
        assert!(*most < written + (256 << 10), "{name}: {most} bytes in one of the later ones");
        let dir = tempfile::tempdir().expect("a directory");
        let done = replay::replay(&recording, dir.path(), Calls::Stopping).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(done.status, Some(0), "{name}");
    }
}

/// What happens to memory between two jumps, at random: recorded with other seeds than the guest's own, and replayed.
#[test]
fn memory_is_the_same_after_jumps_whatever_happened_to_it() {
    for seed in 1..=8 {
        let mut guest = guests::find("jump_memory");
        guest.args = vec![seed.to_string(), "16".into()];
        let recording = replay::record(&guest, Calls::InProcess).unwrap_or_else(|e| panic!("seed {seed}: {e}"));
        let jumps = jumps(&recording).len();
        assert!(jumps >= 12, "seed {seed}: {jumps} jumps");
        let dir = tempfile::tempdir().expect("a directory");
        let done =
            replay::replay(&recording, dir.path(), Calls::Stopping).unwrap_or_else(|e| panic!("seed {seed}: {e}"));
        assert_eq!(done.status, Some(0), "seed {seed}");
    }
}
