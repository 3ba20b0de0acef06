//! The guest of `tiny.c` for tests: compiled once, recorded to its end, replayed by steps.

#![allow(dead_code, reason = "not every test looks at everything")]

use gapless_log::{
    Frame, Host, Kind, Mark, Options, Output, Parts, Position, Progress, Replayed, Replica, Result, Seq, Term, Waker,
};
use gapless_machine::{Boot, CONSOLE_CHANNEL, DiskImage, Local, Machine, Origin};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Longest that a live machine may take on a busy host.
const LIMIT: Duration = Duration::from_secs(60);
/// Smallest memory of a machine.
pub const MEMORY_BYTES: u64 = 64 << 20;
const DISK_BYTES: u64 = 64 << 10;

/// Which of the programs in `tiny.c`.
#[derive(Clone, Copy, Debug)]
pub enum Program {
    /// All there is, to the end.
    Everything,
    /// Shows its clock and sleeps.
    IdleClock,
    /// Shows its clock and is busy.
    BusyClock,
}

/// Compiles it into `dir`.
pub fn compile(dir: &Path, program: Program) -> PathBuf {
    let tool = |name: &str, args: &[&str]| {
        let name = format!("riscv64-linux-gnu-{name}");
        let done = Command::new(&name).args(args).current_dir(dir).output();
        let done = done.unwrap_or_else(|e| panic!("{name}: {e}; `scripts/test` installs all that the tests need"));
        assert!(done.status.success(), "{name}: {}", String::from_utf8_lossy(&done.stderr));
    };
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/../machine/tests/support/tiny.c");
    let define = format!("-DCLOCK={}", program as u8);
    let layout = "-Wl,--no-relax,--no-warn-rwx-segments,--build-id=none,-N,--section-start=.head=0x80200000,-Ttext=0x80200040,-e,guest";
    #[rustfmt::skip]
    tool("gcc", &[
        "-O2", "-Wall", "-Wextra", "-Werror", "-march=rv64gc", "-mabi=lp64d", "-mcmodel=medany", "-ffreestanding", "-fno-pic",
        "-nostdlib", "-static", layout, &define, "-o", "tiny.elf", source,
    ]);
    tool("objcopy", &["-O", "binary", "tiny.elf", "tiny"]);
    dir.join("tiny")
}

/// Digests only when told to.
pub fn options() -> Options {
    Options { digest_every: Duration::from_secs(1 << 30), ..Options::default() }
}

/// A machine to be switched on, its files in `dir`.
pub fn machine(dir: &Path, program: Program) -> Machine {
    let (kernel, disk) = (compile(dir, program), dir.join("disk"));
    std::fs::File::create(&disk).and_then(|file| file.set_len(DISK_BYTES)).expect("an empty disk");
    let disks = vec![DiskImage { path: disk, read_only: false }];
    let boot = Boot { kernel, initrd: None, append: String::new(), memory: MEMORY_BYTES, disks, net: false };
    Machine::new(Origin::Boot(boot), dir, Local::default(), true)
}

/// A live run to the end.
pub struct Recording {
    /// A frame a step, with a digest at its end.
    pub frames: Vec<Frame>,
    /// All that was said.
    pub said: Vec<Output>,
    pub status: i32,
    pub digest: u128,
    dir: tempfile::TempDir,
}

/// A mark of the log.
#[derive(Clone, Debug)]
pub struct MarkAt {
    pub at: Position,
    pub mark: Mark,
    /// Frames up to and with the one that holds it.
    pub frames: usize,
}

/// What these outputs print.
pub fn text<'a>(said: impl IntoIterator<Item = &'a Output>) -> String {
    let printed = said.into_iter().filter(|o| o.channel == CONSOLE_CHANNEL).flat_map(|o| &o.bytes);
    String::from_utf8(printed.copied().collect()).expect("it prints ASCII")
}

impl Recording {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let mut host = Host::new(machine(dir.path(), Program::Everything), options());
        host.go_live(Term(1), Seq(0), 0).expect("live");
        let run = run_live(&mut host, true).expect("a whole run");
        let digest = host.replica_mut().digest().expect("a digest");
        let Live { frames, said, status } = run;
        Self { frames, said, status, digest, dir }
    }

    /// Where it was recorded.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn marks(&self) -> Vec<MarkAt> {
        let marks = self.frames.iter().enumerate().flat_map(|(n, frame)| {
            let marks = frame.entries().filter(|e| e.kind == Kind::MARK);
            let decode = move |e: gapless_log::Entry| MarkAt {
                at: e.at,
                mark: Mark::decode(&e.body).expect("a mark"),
                frames: n + 1,
            };
            marks.map(decode).collect::<Vec<_>>()
        });
        marks.collect()
    }

    /// Positions at which the log has an entry, in order.
    pub fn entries(&self) -> Vec<Position> {
        self.frames.iter().flat_map(|f| f.entries().map(|e| e.at).collect::<Vec<_>>()).collect()
    }

    pub fn last(&self) -> Position {
        *self.entries().last().expect("entries")
    }

    /// A backup that holds the first frames and has executed nothing.
    pub fn backup(&self, frames: usize, dir: &Path) -> Host<Machine> {
        let mut host = Host::new(Machine::backup(dir, Local::default()), options());
        self.frames[..frames].iter().for_each(|frame| host.feed(frame).expect("it continues"));
        host
    }
}

/// What a live run came to.
pub struct Live {
    pub frames: Vec<Frame>,
    pub said: Vec<Output>,
    pub status: i32,
}

/// Runs a live machine to its end; every step is sealed, committed and released at once, and followed by a digest if `digests`.
pub fn run_live(host: &mut Host<Machine>, digests: bool) -> Result<Live> {
    let waker = Waker::new().expect("a waker");
    let (mut frames, mut said, since) = (Vec::new(), Vec::new(), Instant::now());
    loop {
        let before = host.next_seq();
        let progress = host.record_step()?;
        if digests && host.next_seq() != before {
            host.record_digest()?;
        }
        frames.extend(host.seal(Seq(0)));
        said.extend(host.outbox().waiting().cloned());
        host.release(host.next_seq())?;
        match progress {
            Progress::Ended(status) => return Ok(Live { frames, said, status }),
            Progress::Idle(at_most) => host.replica_mut().wait(&waker, at_most)?,
            Progress::Ran => {}
        }
        assert!(since.elapsed() < LIMIT, "not done after {LIMIT:?}; it has printed:\n{}", text(&said));
    }
}

/// Replays until the position is reached, or to the end of what is held.
pub fn replay_to(host: &mut Host<Machine>, until: Option<Position>) -> Result<Option<i32>> {
    while until.is_none_or(|until| host.replica().position() < until) {
        match host.replay_step_until(until)? {
            Some(Replayed::Starved) => return Ok(None),
            Some(Replayed::Ended(status)) => return Ok(Some(status)),
            Some(Replayed::Step(_) | Replayed::Sync(_)) | None => {}
        }
    }
    Ok(None)
}

/// The digest at each of these positions, which are in order. `between` is called before each of them.
pub fn digests_at(
    host: &mut Host<Machine>,
    positions: &[Position],
    mut between: impl FnMut(&mut Host<Machine>, Position),
) -> BTreeMap<Position, Parts> {
    let mut found = BTreeMap::new();
    for &at in positions {
        between(host, at);
        replay_to(host, Some(at)).expect("a replay");
        assert_eq!(host.replica().position(), at);
        found.insert(at, host.replica_mut().digest_parts().expect("a digest"));
    }
    found
}

/// Two digests of the same position must be the same; names what is not.
pub fn assert_same(at: Position, one: &Parts, other: &Parts, how: &str) {
    let differing: Vec<_> = one.iter().zip(other).filter(|(a, b)| a != b).map(|(a, _)| &a.0).collect();
    assert!(differing.is_empty() && one.len() == other.len(), "{how}: at position {at} differ {differing:?}");
}

/// Numbers that follow from a seed (xorshift64*).
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// One that is different each time; it is shown, and may be given as `GAPLESS_TEST_SEED`.
    pub fn fresh() -> Self {
        let seed = std::env::var("GAPLESS_TEST_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or_else(|| {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
            now.as_nanos() as u64
        });
        println!("GAPLESS_TEST_SEED={seed}");
        Self::new(seed)
    }

    pub fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        ((u128::from(self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)) * u128::from(end)) >> 64) as u64
    }

    /// So many positions before `end`, in order, each once.
    pub fn positions(&mut self, count: usize, end: Position) -> Vec<Position> {
        let mut positions: Vec<_> = (0..count).map(|_| Position(1 + self.below(end.0))).collect();
        positions.sort();
        positions.dedup();
        positions
    }
}

/// Burns processors while it lives.
pub struct Load(Arc<AtomicBool>);

impl Load {
    pub fn start(threads: usize) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        for _ in 0..threads {
            let seen = over.clone();
            std::thread::spawn(move || {
                let mut n = 0u64;
                while !seen.load(Ordering::Relaxed) {
                    n = std::hint::black_box(n.wrapping_mul(31).wrapping_add(7));
                }
            });
        }
        Self(over)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
