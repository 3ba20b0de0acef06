//! Small logs with every kind of frame in them.
#![allow(dead_code, reason = "each test file uses some of it")]

use gapless_log::disk::{Dice, Disk, Image, Op, Probe};
use gapless_log::{
    Base, CommitLevel, DirLock, Frame, FrameBuilder, Identity, Kind, Level, Mark, Meta, Position, Seq, Store,
    StoreOptions, Term,
};
use std::path::Path;
use std::sync::{Arc, Mutex};

pub const UUID: u128 = 0x0123_4567_89ab_cdef_0011_2233_4455_6677;

/// A meta with every field set and nothing random in it but the boot id.
pub fn meta() -> Meta {
    Meta {
        uuid: UUID,
        level: Level::Toy,
        commit: CommitLevel::Durable,
        identity: Some(Identity { level: "toy".into(), code: "1".into(), features: vec!["avx".into(), "sse".into()] }),
        life: Some([7; 24]),
        boot: gapless_log::boot_id().unwrap(),
        highest: Some((9, 4)),
        intent: Some(b"put".to_vec()),
        generation: 3,
        base: Base::default(),
    }
}

/// Makes frames of one log, each a step of a few inputs and its mark.
pub struct Steps {
    pub builder: FrameBuilder,
    pub position: u64,
    pub dice: Dice,
    pub synced: Seq,
}

impl Steps {
    pub fn new(seed: u64) -> Self {
        Self {
            builder: FrameBuilder::new(Level::Toy, Term(1), Seq(0), 0),
            position: 0,
            dice: Dice(seed),
            synced: Seq(0),
        }
    }

    /// One step with bodies of up to `body_max` bytes.
    pub fn step(&mut self, body_max: usize) -> Frame {
        for _ in 0..self.dice.below(3) {
            self.position += self.dice.below(300) as u64;
            let len = self.dice.below(body_max + 1);
            let body: Vec<u8> = (0..len).map(|_| self.dice.roll() as u8).collect();
            self.builder.push(Position(self.position), Kind(16), &body);
        }
        let mark = Mark { released: 0, said: self.position, hash: self.position.into(), ..Mark::default() }.encode();
        self.builder.push(Position(self.position), Kind::MARK, &mark);
        self.builder.seal(self.synced).unwrap()
    }

    pub fn steps(&mut self, n: usize, body_max: usize) -> Vec<Frame> {
        (0..n).map(|_| self.step(body_max)).collect()
    }
}

pub fn small(segment_bytes: u64) -> StoreOptions {
    StoreOptions { segment_bytes, disk: Disk::default() }
}

pub fn probed(segment_bytes: u64) -> (StoreOptions, Arc<Mutex<Probe>>) {
    let probe = Arc::new(Mutex::new(Probe::default()));
    (StoreOptions { segment_bytes, disk: Disk::probed(probe.clone()) }, probe)
}

pub fn create(dir: &Path, options: StoreOptions) -> Store {
    Store::create_with(DirLock::take(dir).unwrap(), &meta(), options).unwrap()
}

pub fn open(dir: &Path, options: StoreOptions) -> gapless_log::Result<(Store, gapless_log::Recovered)> {
    Store::open_with(DirLock::take(dir)?, options)
}

pub fn frames(store: &Store) -> Vec<Frame> {
    store.reader(Seq(0)).collect::<gapless_log::Result<_>>().unwrap()
}

/// Puts the files of an image into an empty directory.
pub fn materialise(image: &Image, dir: &Path) {
    std::fs::create_dir_all(dir).unwrap();
    for (path, bytes) in image {
        std::fs::write(dir.join(path.file_name().unwrap()), bytes).unwrap();
    }
}

/// A directory in memory: tests that crash thousands of times need no disk.
pub fn fast_dir() -> tempfile::TempDir {
    let shm = Path::new("/dev/shm");
    if shm.is_dir() { tempfile::tempdir_in(shm).unwrap() } else { tempfile::tempdir().unwrap() }
}

/// The files of a directory.
pub fn image(dir: &Path) -> Image {
    let files = std::fs::read_dir(dir).unwrap().map(|f| f.unwrap().path());
    files.map(|p| (p.file_name().unwrap().into(), std::fs::read(&p).unwrap())).collect()
}

/// Whatever a log is, it goes on from where it ends.
pub fn go_on(store: &mut Store) {
    let (seq, chain) = store.end();
    let mut steps = Steps::new(99);
    steps.builder = FrameBuilder::new(Level::Toy, Term(9), seq, chain);
    steps.position = 1 << 30;
    store.append(&steps.step(60)).unwrap();
    store.sync().unwrap();
}

/// The operations up to `n`; of a write also a part.
pub fn prefixes(ops: &[Op], n: usize) -> Vec<Vec<Op>> {
    let whole = ops[..=n].to_vec();
    let Op::Write(path, offset, bytes) = &ops[n] else { return vec![whole] };
    let mut half = ops[..n].to_vec();
    half.push(Op::Write(path.clone(), *offset, bytes[..bytes.len() / 2].to_vec()));
    vec![half, whole]
}
