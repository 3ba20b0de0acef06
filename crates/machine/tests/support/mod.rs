//! Recorded histories of the small guest.

pub mod guest;

use gapless_log::{
    CommitLevel, DirLock, End, FileSink, Host, LogView, Meta, Options, Replayed, Replica, Seq, Store, StoreOptions,
    Term, Waker,
};
use gapless_machine::{Boot, Local, Machine, Origin};
use std::path::PathBuf;
use std::time::Duration;

/// A recorded log, in a directory that goes when this does.
pub struct Recorded {
    area: tempfile::TempDir,
}

impl Recorded {
    /// Of the guest that calls `WORK` so often.
    pub fn new(calls: u64) -> Self {
        let area = tempfile::tempdir().unwrap();
        let kernel = area.path().join("kernel");
        std::fs::write(&kernel, guest::image(calls)).unwrap();
        let boot =
            Boot { kernel, initrd: None, append: String::new(), memory: 64 << 20, disks: Vec::new(), net: false };
        let log = area.path().join("log");
        std::fs::create_dir(&log).unwrap();
        let machine = Machine::new(Origin::Boot(boot), &log, Local::default(), false);
        let mut meta = Meta::new(machine.level()).unwrap();
        meta.identity = Some(machine.identity());
        let store = Store::create_with(DirLock::take(&log).unwrap(), &meta, StoreOptions::default()).unwrap();
        let options = Options { digest_every: Duration::from_millis(20), ..Options::default() };
        let mut host = Host::new(machine, options);
        host.go_live(Term(1), Seq(0), 0).unwrap();
        let waker = Waker::new().unwrap();
        let mut sink = FileSink::new(store, CommitLevel::Received, waker.clone()).unwrap();
        assert_eq!(host.run_live(&mut sink, &waker).unwrap(), End::Exited(0));
        sink.close().unwrap();
        Self { area }
    }

    /// The log.
    pub fn log(&self) -> PathBuf {
        self.area.path().join("log")
    }

    /// A new place for files.
    pub fn files(&self) -> PathBuf {
        tempfile::tempdir_in(self.area.path()).unwrap().keep()
    }

    /// The position and the digest at the end of a replay without any debugger, and how many digests were compared.
    pub fn replay(&self) -> (u64, u128, u32) {
        let mut host = Host::new(Machine::backup(&self.files(), Local::default()), Options::default());
        let mut digests = 0;
        for frame in LogView::open(&self.log()).unwrap().0.reader(Seq(0)) {
            host.feed(&frame.unwrap()).unwrap();
            loop {
                match host.replay_step().unwrap() {
                    Replayed::Step(_) => {}
                    Replayed::Sync(_) => digests += 1,
                    Replayed::Starved | Replayed::Ended(_) => break,
                }
            }
        }
        let digest = host.replica_mut().digest().unwrap();
        (host.replica().position().0, digest, digests)
    }
}
