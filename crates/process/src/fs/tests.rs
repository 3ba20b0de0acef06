//! The model without a program: steps are carried out live, their log is replayed, and both must agree.

mod ahead;
mod differential;
mod locks;
mod overlay;
mod proc;
mod state;

use super::*;
use crate::kernel::{Credentials, Ctx, Errno, Fail, FileId, Io, Kernel, MemId, Tid, Tracees};
use crate::run::launch;
use crate::world::World;
use gapless_log::{
    Digest, Frame, Hasher, Host, Identity, Level, Options, Output, Player, Position, Progress, Recorder, Replica, Seq,
    Term,
};
use std::collections::VecDeque;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// One step: what it answers is compared between live and replay.
pub type Step = Rc<dyn Fn(&mut Kernel, &mut Ctx<'_, '_>) -> String>;

/// A step from a closure.
pub fn step(f: impl Fn(&mut Kernel, &mut Ctx<'_, '_>) -> String + 'static) -> Step {
    Rc::new(f)
}

/// The process that makes all calls unless a step changes `cx.pid`.
pub const PID: Pid = Pid(2);

/// A replica that runs steps instead of a program.
pub struct Scripted {
    pub k: Kernel,
    steps: VecDeque<Step>,
    pub answers: Vec<String>,
}

impl Scripted {
    pub fn new(log_dir: &Path, steps: &[Step], uid: u32) -> Self {
        let mut k = launch::empty(log_dir).unwrap();
        k.now = 1_000_000_000;
        for pid in [PID, Pid(3)] {
            add_process(&mut k, pid, uid);
        }
        Self { k, steps: steps.iter().cloned().collect(), answers: Vec::new() }
    }

    fn step(&mut self, io: Io<'_, '_>) -> Progress {
        let Some(step) = self.steps.pop_front() else { return Progress::Ended(0) };
        self.k.position = self.k.position.next();
        self.k.now += 1_000;
        let (mut tracees, mut zombies) = (Tracees::new(), BTreeMap::new());
        let mut cx = Ctx {
            tid: Tid(PID.0),
            pid: PID,
            tracees: &mut tracees,
            zombies: &mut zombies,
            io,
            bytes_in: 0,
            path: Vec::new(),
            code: Default::default(),
        };
        let answer = step(&mut self.k, &mut cx);
        self.answers.push(answer);
        Progress::Ran
    }
}

/// A process with this user as all its ids.
pub fn add_process(k: &mut Kernel, pid: Pid, uid: u32) {
    let creds = Credentials { uid: [uid; 4], gid: [uid; 4], groups: Vec::new() };
    let mut process = launch::first_process(&creds, 0o022, &[], MemId(1), 0);
    process.pid = pid;
    process.args = vec![b"program".to_vec(), b"argument".to_vec()];
    process.exe = b"/bin/program".to_vec();
    k.processes.insert(pid, process);
    let thread = crate::run::exec::fresh_thread(Tid(pid.0), pid);
    k.threads.insert(Tid(pid.0), thread);
}

impl Replica for Scripted {
    fn identity(&self) -> Identity {
        Identity { level: "process".into(), code: "test".into(), features: Vec::new() }
    }

    fn level(&self) -> Level {
        Level::Process
    }

    fn position(&self) -> Position {
        self.k.position
    }

    fn record(&mut self, log: &mut Recorder<'_>) -> gapless_log::Result<Progress> {
        let mut world = World::placeholder();
        Ok(self.step(Io::Live { log, world: &mut world }))
    }

    fn replay(&mut self, log: &mut Player<'_>) -> gapless_log::Result<Progress> {
        Ok(self.step(Io::Replay { log }))
    }

    fn emit(&mut self, _: Output) -> gapless_log::Result<()> {
        Ok(())
    }

    fn wait(&mut self, _: &gapless_log::Waker, _: std::time::Duration) -> gapless_log::Result<()> {
        Ok(())
    }

    fn go_live(&mut self, _: Term, _: &mut Recorder<'_>) -> gapless_log::Result<()> {
        Ok(())
    }

    fn digest(&mut self) -> gapless_log::Result<Digest> {
        let mut h = Hasher::new();
        self.k.fs.digest(&mut h)?;
        Ok(h.finish())
    }

    fn save(&mut self, _: &mut dyn Write) -> gapless_log::Result<bool> {
        Ok(false)
    }

    fn load(&mut self, _: &mut dyn Read) -> gapless_log::Result<()> {
        Ok(())
    }

    fn halt(&mut self) {}
}

/// A host directory for the program to see, and log directories.
pub struct Bench {
    pub dir: tempfile::TempDir,
}

impl Bench {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("host")).unwrap();
        Self { dir }
    }

    /// The directory that the program works in.
    pub fn host(&self) -> PathBuf {
        self.dir.path().join("host")
    }

    /// Its path with something appended, for the model.
    pub fn path(&self, below: &str) -> Vec<u8> {
        self.host().join(below).into_os_string().into_encoded_bytes()
    }

    pub fn log(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn put(&self, below: &str, content: impl AsRef<[u8]>) {
        let path = self.host().join(below);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    /// Runs the steps live; the replica at the end, and the log.
    pub fn record(&self, steps: &[Step], uid: u32) -> (Host<Scripted>, Vec<Frame>) {
        let mut host = Host::new(Scripted::new(&self.log("primary"), steps, uid), Options::default());
        host.go_live(Term(1), Seq(0), 0).unwrap();
        let mut frames = Vec::new();
        while host.ended().is_none() {
            host.record_step().unwrap();
            host.record_digest().unwrap();
            frames.extend(host.seal(Seq(0)));
        }
        (host, frames)
    }

    /// Replays a log in a directory of its own; every step's digest is compared.
    pub fn replay(&self, steps: &[Step], uid: u32, frames: &[Frame]) -> gapless_log::Result<Host<Scripted>> {
        let mut host = Host::new(Scripted::new(&self.log("backup"), steps, uid), Options::default());
        for frame in frames {
            host.feed(frame)?;
        }
        loop {
            match host.replay_step()? {
                gapless_log::Replayed::Starved | gapless_log::Replayed::Ended(_) => return Ok(host),
                _ => {}
            }
        }
    }

    /// Live, then with the host's files gone: same answers, same digests.
    pub fn check(&self, steps: &[Step]) -> Vec<String> {
        let (live, frames) = self.record(steps, 0);
        std::fs::rename(self.host(), self.dir.path().join("gone")).unwrap();
        let replayed = self.replay(steps, 0, &frames).unwrap();
        assert_eq!(replayed.replica().answers.len(), steps.len());
        assert_eq!(live.replica().answers, replayed.replica().answers);
        live.replica().answers.clone()
    }
}

/// A result as text: what it is, or the error's name.
pub fn show<T: std::fmt::Display>(r: Result<T, Fail>) -> String {
    match r {
        Ok(value) => value.to_string(),
        Err(Fail::Errno(e)) => errno_name(e.0),
        Err(Fail::Fatal(e)) => panic!("{e}"),
    }
}

/// As [`show`], for calls that answer nothing.
pub fn unit(r: Result<(), Fail>) -> String {
    show(r.map(|()| "ok"))
}

/// ENOENT and so on.
pub fn errno_name(n: i32) -> String {
    let names = [
        (libc::ENOENT, "ENOENT"),
        (libc::EEXIST, "EEXIST"),
        (libc::ENOTDIR, "ENOTDIR"),
        (libc::EISDIR, "EISDIR"),
        (libc::ENOTEMPTY, "ENOTEMPTY"),
        (libc::EACCES, "EACCES"),
        (libc::EPERM, "EPERM"),
        (libc::ELOOP, "ELOOP"),
        (libc::EINVAL, "EINVAL"),
        (libc::EBUSY, "EBUSY"),
        (libc::EAGAIN, "EAGAIN"),
        (libc::EBADF, "EBADF"),
        (libc::ENXIO, "ENXIO"),
        (libc::ENAMETOOLONG, "ENAMETOOLONG"),
    ];
    names.iter().find(|(e, _)| *e == n).map_or_else(|| format!("errno {n}"), |(_, name)| (*name).to_owned())
}

/// Opens in the calling process without a descriptor.
pub fn open_at(k: &mut Kernel, cx: &mut Ctx<'_, '_>, path: &[u8], flags: i32) -> Result<FileId, Fail> {
    open(k, cx, libc::AT_FDCWD, path, flags, 0o666)
}

/// Lets a file go.
pub fn let_go(k: &mut Kernel, cx: &mut Ctx<'_, '_>, file: FileId) {
    k.drop_file(cx, file).map_err(|_| ()).unwrap();
}

/// The whole content of a file.
pub fn slurp(k: &mut Kernel, cx: &mut Ctx<'_, '_>, path: &[u8]) -> Result<Vec<u8>, Fail> {
    let file = open_at(k, cx, path, libc::O_RDONLY)?;
    let mut out = Vec::new();
    loop {
        let part = read(k, cx, file, 1000)?;
        if part.is_empty() {
            break;
        }
        out.extend(part);
    }
    let_go(k, cx, file);
    Ok(out)
}

/// As [`slurp`], as text.
pub fn text(k: &mut Kernel, cx: &mut Ctx<'_, '_>, path: &[u8]) -> String {
    show(slurp(k, cx, path).map(|b| String::from_utf8_lossy(&b).into_owned()))
}

/// Writes a whole file.
pub fn put(k: &mut Kernel, cx: &mut Ctx<'_, '_>, path: &[u8], bytes: &[u8]) -> Result<(), Fail> {
    let file = open_at(k, cx, path, libc::O_WRONLY | libc::O_CREAT | libc::O_TRUNC)?;
    write(k, cx, file, bytes)?;
    let_go(k, cx, file);
    Ok(())
}

/// Is it this errno?
pub fn is_errno<T>(r: &Result<T, Fail>, n: i32) -> bool {
    matches!(r, Err(Fail::Errno(Errno(e))) if *e == n)
}
