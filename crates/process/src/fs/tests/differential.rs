//! The model against a real file system: the same random calls, the same answers and the same tree at the end.
//!
//! The real calls are made by this thread under the file-system user id in question; the model's run over an equal tree, which stays unchanged.

use super::*;
use crate::random::Random;
use crate::syscalls::path::{change_mode, change_owner, target_at};
use crate::syscalls::{dir::mkdir_at, file::truncate_at};
use std::cell::RefCell;
use std::ffi::CString;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

const SLOTS: usize = 3;

#[derive(Clone, Debug)]
enum Op {
    Open(usize, String, i32, u32),
    Close(usize),
    Write(usize, usize),
    Read(usize, usize),
    WriteAt(usize, u64, usize),
    Seek(usize, i64, i32),
    SetLength(usize, u64),
    Allocate(usize, i32, i64, i64),
    Mkdir(String, u32),
    Rmdir(String),
    Unlink(String),
    Rename(String, String, u32),
    Link(String, String, bool),
    Symlink(String, String),
    Mkfifo(String),
    Chmod(String, u32),
    Chown(String, u32, u32),
    Truncate(String, u64),
    Stat(String, bool),
    Readlink(String),
    List(String),
    Access(String, u32),
}

struct Dice(Random);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        u64::from_le_bytes(self.0.bytes(8).try_into().unwrap()) % n
    }

    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize]
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    fn path(&mut self) -> String {
        let names = ["a", "b", "c", "d", "e", "ro", "sticky", "loop", "..", "."];
        let mut out = String::new();
        for i in 0..1 + self.below(3) {
            if i > 0 {
                out.push('/');
            }
            let name = if i == 0 { self.one(&names[..8]) } else { self.one(&names) };
            out.push_str(name);
        }
        if self.chance(7) {
            out.push('/');
        }
        out
    }

    fn op(&mut self) -> Op {
        let slot = self.below(SLOTS as u64) as usize;
        match self.below(30) {
            0..6 => {
                let mut flags = self.one(&[libc::O_RDONLY, libc::O_WRONLY, libc::O_RDWR]);
                let rare = [
                    (libc::O_CREAT, 50),
                    (libc::O_EXCL, 10),
                    (libc::O_TRUNC, 15),
                    (libc::O_APPEND, 20),
                    (libc::O_DIRECTORY, 5),
                    (libc::O_NOFOLLOW, 10),
                    (libc::O_PATH, 5),
                ];
                for (flag, percent) in rare {
                    if self.chance(percent) {
                        flags |= flag;
                    }
                }
                if self.chance(3) {
                    flags = flags & !libc::O_CREAT | libc::O_TMPFILE;
                }
                // What O_EXCL does without O_CREAT is not defined.
                if flags & libc::O_CREAT == 0 {
                    flags &= !libc::O_EXCL;
                }
                // A FIFO must not block.
                Op::Open(slot, self.path(), flags | libc::O_NONBLOCK, self.one(&[0o666, 0o600, 0o4755, 0o444]))
            }
            6 => Op::Close(slot),
            7..9 => Op::Write(slot, self.below(50) as usize),
            9..11 => Op::Read(slot, self.below(50) as usize),
            11 => Op::WriteAt(slot, self.below(100), self.below(20) as usize),
            // SEEK_DATA and SEEK_HOLE are left out: real files have holes, the model's have none.
            12 => Op::Seek(slot, self.below(60) as i64 - 20, self.one(&[0, 1, 2, 7])),
            13 => Op::SetLength(slot, self.below(80)),
            14 => {
                let mode =
                    self.one(&[0, libc::FALLOC_FL_KEEP_SIZE, libc::FALLOC_FL_KEEP_SIZE | libc::FALLOC_FL_PUNCH_HOLE]);
                Op::Allocate(slot, mode, self.below(60) as i64, self.below(60) as i64)
            }
            15..17 => Op::Mkdir(self.path(), self.one(&[0o777, 0o755, 0o2775, 0o500])),
            17 => Op::Rmdir(self.path()),
            18 => Op::Unlink(self.path()),
            19..21 => Op::Rename(self.path(), self.path(), self.one(&[0, 0, 0, 1, 2, 3])),
            21 => Op::Link(self.path(), self.path(), self.chance(30)),
            22 => Op::Symlink(self.path(), self.path()),
            23 => match self.below(3) {
                0 => Op::Mkfifo(self.path()),
                1 => Op::Access(self.path(), self.below(8) as u32),
                _ => Op::Truncate(self.path(), self.below(60)),
            },
            24 => Op::Chmod(self.path(), self.one(&[0o777, 0o700, 0o000, 0o644, 0o6755, 0o1777, 0o2711])),
            25 => Op::Chown(self.path(), self.one(&[0, 1000, u32::MAX]), self.one(&[0, 1000, u32::MAX])),
            26..28 => Op::Stat(self.path(), self.chance(50)),
            28 => Op::Readlink(self.path()),
            _ => Op::List(self.path()),
        }
    }
}

/// Levels between the outer directory and the one that paths start in, so that `..` stays inside.
const DEPTH: usize = 8;

fn plant(outer: &Path) -> PathBuf {
    let mut root = outer.to_owned();
    for _ in 0..DEPTH {
        root.push("level");
    }
    std::fs::create_dir_all(&root).unwrap();
    let mode = |p: &str, m| std::fs::set_permissions(root.join(p), std::fs::Permissions::from_mode(m)).unwrap();
    for dir in ["b", "ro", "sticky", "b/d"] {
        std::fs::create_dir(root.join(dir)).unwrap();
    }
    for (file, content) in [
        ("a", "file a"),
        ("d", "file d of root"),
        ("b/a", "inner"),
        ("ro/a", "x"),
        ("sticky/a", "y"),
        ("sticky/b", "z"),
    ] {
        std::fs::write(root.join(file), content).unwrap();
    }
    for (to, at) in [("b", "c"), ("loop", "loop"), ("../a", "b/c"), ("nowhere", "b/e")] {
        symlink(to, root.join(at)).unwrap();
    }
    for (path, m) in [
        ("", 0o777),
        ("a", 0o666),
        ("d", 0o600),
        ("b", 0o777),
        ("b/a", 0o646),
        ("ro", 0o755),
        ("sticky", 0o1777),
        ("sticky/a", 0o666),
    ] {
        mode(path, m);
    }
    std::os::unix::fs::chown(root.join("b/d"), Some(1000), Some(1000)).ok();
    std::os::unix::fs::chown(root.join("sticky/b"), Some(1000), Some(1000)).ok();
    root
}

fn last_errno() -> String {
    errno_name(std::io::Error::last_os_error().raw_os_error().unwrap())
}

fn native_result(n: i64) -> String {
    if n < 0 { last_errno() } else { n.to_string() }
}

/// The type of an open file; 0 if it is not open for more than its path.
fn file_type(fd: i32) -> u32 {
    // SAFETY: a zeroed stat is valid, and fstat fills it; F_GETFL takes no pointer.
    unsafe {
        let mut st: libc::stat = std::mem::zeroed();
        let path_only = libc::fcntl(fd, libc::F_GETFL) & libc::O_PATH != 0;
        if path_only || libc::fstat(fd, &raw mut st) < 0 { 0 } else { st.st_mode & libc::S_IFMT }
    }
}

/// The real thing.
struct Native {
    root: PathBuf,
    slots: [i32; SLOTS],
}

impl Native {
    fn path(&self, path: &str) -> CString {
        CString::new(format!("{}/{path}", self.root.display())).unwrap()
    }

    #[allow(clippy::too_many_lines)]
    fn run(&mut self, op: &Op) -> String {
        // SAFETY: plain system calls on paths and buffers that live across the call.
        unsafe {
            match op {
                Op::Open(slot, path, flags, mode) => {
                    let fd = libc::open(self.path(path).as_ptr(), *flags, *mode);
                    if fd < 0 {
                        return last_errno();
                    }
                    libc::close(self.slots[*slot]);
                    self.slots[*slot] = fd;
                    "open".into()
                }
                Op::Close(slot) => {
                    libc::close(self.slots[*slot]);
                    self.slots[*slot] = -1;
                    String::new()
                }
                Op::Write(slot, n) => native_result(libc::write(self.slots[*slot], DATA.as_ptr().cast(), *n) as i64),
                Op::Read(slot, n) => {
                    let mut buf = vec![0u8; *n];
                    match libc::read(self.slots[*slot], buf.as_mut_ptr().cast(), *n) {
                        ..0 => last_errno(),
                        got => format!("{:?}", &buf[..got as usize]),
                    }
                }
                // Whether a pipe's position or its mode is complained of first is left open.
                Op::WriteAt(slot, ..) if file_type(self.slots[*slot]) == libc::S_IFIFO => "pipe".into(),
                Op::WriteAt(slot, at, n) => {
                    native_result(libc::pwrite(self.slots[*slot], DATA.as_ptr().cast(), *n, *at as i64) as i64)
                }
                // Where a directory ends is the file system's own affair.
                Op::Seek(slot, _, 2..) if file_type(self.slots[*slot]) == libc::S_IFDIR => "directory".into(),
                Op::Seek(slot, to, whence) => native_result(libc::lseek(self.slots[*slot], *to, *whence)),
                Op::SetLength(slot, len) => native_result(libc::ftruncate(self.slots[*slot], *len as i64).into()),
                Op::Allocate(slot, mode, at, len) => {
                    native_result(libc::fallocate(self.slots[*slot], *mode, *at, *len).into())
                }
                Op::Mkdir(path, mode) => native_result(libc::mkdir(self.path(path).as_ptr(), *mode).into()),
                Op::Rmdir(path) => native_result(libc::rmdir(self.path(path).as_ptr()).into()),
                Op::Unlink(path) => native_result(libc::unlink(self.path(path).as_ptr()).into()),
                Op::Rename(from, to, flags) => {
                    let (from, to) = (self.path(from), self.path(to));
                    native_result(
                        libc::renameat2(libc::AT_FDCWD, from.as_ptr(), libc::AT_FDCWD, to.as_ptr(), *flags).into(),
                    )
                }
                Op::Link(from, to, follow) => {
                    let (from, to) = (self.path(from), self.path(to));
                    let flags = if *follow { libc::AT_SYMLINK_FOLLOW } else { 0 };
                    native_result(
                        libc::linkat(libc::AT_FDCWD, from.as_ptr(), libc::AT_FDCWD, to.as_ptr(), flags).into(),
                    )
                }
                Op::Symlink(to, at) => {
                    let to = CString::new(to.as_str()).unwrap();
                    native_result(libc::symlink(to.as_ptr(), self.path(at).as_ptr()).into())
                }
                Op::Mkfifo(path) => native_result(libc::mkfifo(self.path(path).as_ptr(), 0o644).into()),
                Op::Chmod(path, mode) => native_result(libc::chmod(self.path(path).as_ptr(), *mode).into()),
                Op::Chown(path, uid, gid) => native_result(libc::chown(self.path(path).as_ptr(), *uid, *gid).into()),
                Op::Truncate(path, len) => native_result(libc::truncate(self.path(path).as_ptr(), *len as i64).into()),
                Op::Stat(path, follow) => {
                    let mut st: libc::stat = std::mem::zeroed();
                    let flags = if *follow { 0 } else { libc::AT_SYMLINK_NOFOLLOW };
                    if libc::fstatat(libc::AT_FDCWD, self.path(path).as_ptr(), &raw mut st, flags) < 0 {
                        return last_errno();
                    }
                    describe(st.st_mode, st.st_uid, st.st_gid, st.st_nlink, st.st_size as u64)
                }
                Op::Readlink(path) => {
                    let mut buf = [0u8; 400];
                    match libc::readlink(self.path(path).as_ptr(), buf.as_mut_ptr().cast(), buf.len()) {
                        ..0 => last_errno(),
                        n => String::from_utf8_lossy(&buf[..n as usize]).into_owned(),
                    }
                }
                Op::List(path) => {
                    let fd = libc::open(self.path(path).as_ptr(), libc::O_RDONLY | libc::O_DIRECTORY);
                    if fd < 0 {
                        return last_errno();
                    }
                    let list = std::fs::read_dir(format!("/proc/self/fd/{fd}")).unwrap();
                    let mut names: Vec<String> = list.flatten().map(|e| e.file_name().into_string().unwrap()).collect();
                    libc::close(fd);
                    names.sort();
                    names.join(" ")
                }
                Op::Access(path, mode) => {
                    let path = self.path(path);
                    native_result(libc::syscall(
                        libc::SYS_faccessat2,
                        libc::AT_FDCWD,
                        path.as_ptr(),
                        *mode,
                        libc::AT_EACCESS,
                    ))
                }
            }
        }
    }
}

const DATA: &[u8] = b"The quick brown fox jumps over the lazy dog; 0123456789";

fn describe(mode: u32, uid: u32, gid: u32, nlink: u64, size: u64) -> String {
    let is_dir = mode & libc::S_IFMT == libc::S_IFDIR;
    // Links and sizes of directories are the file system's own affair.
    let (nlink, size) = if is_dir { (0, 0) } else { (nlink, size) };
    format!("{mode:o} {uid}:{gid} {nlink} {size}")
}

/// The model.
#[derive(Default)]
struct Model {
    slots: [Option<FileId>; SLOTS],
}

impl Model {
    fn run(&mut self, k: &mut Kernel, cx: &mut Ctx<'_, '_>, root: &[u8], op: &Op) -> String {
        let at = |path: &str| [root, b"/", path.as_bytes()].concat();
        let find =
            |k: &mut Kernel, cx: &mut Ctx<'_, '_>, path: &str, last| resolve(k, cx, libc::AT_FDCWD, &at(path), last);
        let zero = |r: Result<(), Fail>| show(r.map(|()| 0));
        // What the descriptor's calls check before they get here.
        let file = |want: fn(&crate::kernel::OpenFile) -> bool, k: &Kernel, slot: usize| match self.slots[slot] {
            Some(file) if want(k.file(file)) => Ok(file),
            _ => Err(errno_name(libc::EBADF)),
        };
        let any = |f: &crate::kernel::OpenFile| f.flags & libc::O_PATH == 0;
        match op {
            Op::Open(slot, path, flags, mode) => match open(k, cx, libc::AT_FDCWD, &at(path), *flags, *mode) {
                Ok(file) => {
                    if let Some(old) = self.slots[*slot].replace(file) {
                        let_go(k, cx, old);
                    }
                    "open".into()
                }
                Err(e) => show::<u8>(Err(e)),
            },
            Op::Close(slot) => {
                if let Some(old) = self.slots[*slot].take() {
                    let_go(k, cx, old);
                }
                String::new()
            }
            Op::Write(slot, n) => match file(crate::kernel::OpenFile::writable, k, *slot) {
                Ok(file) => show(crate::object::write(k, cx, file, &DATA[..*n], None)),
                Err(e) => e,
            },
            Op::Read(slot, n) => match file(crate::kernel::OpenFile::readable, k, *slot) {
                Ok(file) => show(crate::object::read(k, cx, file, *n, None).map(|b| format!("{b:?}"))),
                Err(e) => e,
            },
            Op::WriteAt(slot, ..) if self.slots[*slot].is_some_and(|f| inode_of(k, f).is_err()) => "pipe".into(),
            Op::WriteAt(slot, to, n) => match file(crate::kernel::OpenFile::writable, k, *slot) {
                Ok(file) => show(crate::object::write(k, cx, file, &DATA[..*n], Some(*to))),
                Err(e) => e,
            },
            Op::Seek(slot, to, whence) => match file(any, k, *slot) {
                Ok(file) if *whence > 1 && inode_of(k, file).is_ok_and(|id| k.fs.inode(id).is_dir()) => {
                    "directory".into()
                }
                Ok(file) => show(seek(k, file, *to, *whence)),
                Err(e) => e,
            },
            Op::SetLength(slot, len) => match file(any, k, *slot) {
                Ok(file) if !k.file(file).writable() => errno_name(libc::EINVAL),
                Ok(file) => match inode_of(k, file) {
                    Ok(id) => zero(truncate(k, cx, id, *len)),
                    Err(e) => show::<u8>(Err(e)),
                },
                Err(e) => e,
            },
            Op::Allocate(slot, mode, from, len) => match file(any, k, *slot) {
                Ok(file) => zero(allocate(k, cx, file, *mode, *from, *len)),
                Err(e) => e,
            },
            Op::Mkdir(path, mode) => zero(mkdir_at(k, cx, libc::AT_FDCWD, &at(path), *mode)),
            Op::Rmdir(path) | Op::Unlink(path) => {
                let found = find(k, cx, path, Last::Entry);
                zero(found.and_then(|f| create::remove(k, cx, &f, matches!(op, Op::Rmdir(_)))))
            }
            Op::Rename(from, to, flags) => {
                let (from, to) = (at(from), at(to));
                zero(create::rename_at(k, cx, (libc::AT_FDCWD, &from), (libc::AT_FDCWD, &to), *flags))
            }
            Op::Link(from, to, follow) => {
                let found = find(k, cx, from, if *follow { Last::Follow } else { Last::NoFollow });
                let id = found.and_then(|f| f.existing(k));
                let both = id.and_then(|id| Ok((id, find(k, cx, to, Last::Entry)?)));
                zero(both.and_then(|(id, t)| create::link_inode(k, cx, id, &t)))
            }
            Op::Symlink(to, path) => {
                let found = find(k, cx, path, Last::Entry);
                let node = Node::Symlink(to.clone().into_bytes());
                zero(found.and_then(|f| create::make_node(k, cx, &f, node, 0o777).map(|_| ())))
            }
            Op::Mkfifo(path) => {
                let found = find(k, cx, path, Last::Entry);
                zero(found.and_then(|f| create::make_node(k, cx, &f, Node::Fifo(None), 0o644).map(|_| ())))
            }
            Op::Chmod(path, mode) => {
                let target = target_at(k, cx, libc::AT_FDCWD, &at(path), 0);
                zero(target.and_then(|t| change_mode(k, PID, t, *mode).map(|_| ())))
            }
            Op::Chown(path, uid, gid) => {
                let target = target_at(k, cx, libc::AT_FDCWD, &at(path), 0);
                zero(target.and_then(|t| change_owner(k, PID, t, *uid, *gid).map(|_| ())))
            }
            Op::Truncate(path, len) => {
                let target = target_at(k, cx, libc::AT_FDCWD, &at(path), 0);
                zero(target.and_then(|t| truncate_at(k, cx, t, *len)))
            }
            Op::Stat(path, follow) => {
                let found = find(k, cx, path, if *follow { Last::Follow } else { Last::NoFollow });
                show(found.and_then(|f| f.existing(k)).map(|id| describe_inode(k, id)))
            }
            Op::Readlink(path) => {
                let found = find(k, cx, path, Last::NoFollow).and_then(|f| f.existing(k));
                show(found.and_then(|id| link_text(k, cx, id)).map(|t| String::from_utf8(t).unwrap()))
            }
            Op::List(path) => match open(k, cx, libc::AT_FDCWD, &at(path), libc::O_DIRECTORY, 0) {
                Ok(file) => {
                    let names = inode_of(k, file).and_then(|id| entries(k, cx, id, 2));
                    let_go(k, cx, file);
                    show(names.map(|names| {
                        let mut names: Vec<String> =
                            names.into_iter().map(|e| String::from_utf8(e.name).unwrap()).collect();
                        names.sort();
                        names.join(" ")
                    }))
                }
                Err(e) => show::<u8>(Err(e)),
            },
            Op::Access(path, mode) => {
                let found = find(k, cx, path, Last::Follow).and_then(|f| f.existing(k));
                zero(found.and_then(|id| path::may(k, PID, id, *mode)))
            }
        }
    }
}

fn describe_inode(k: &Kernel, id: InodeId) -> String {
    let raw = stat(k, id);
    let word = |at: usize| u64::from_le_bytes(raw[at..at + 8].try_into().unwrap());
    let half = |at: usize| u32::from_le_bytes(raw[at..at + 4].try_into().unwrap());
    describe(half(24), half(28), half(32), word(16), word(48))
}

/// Everything below a directory, in order of path.
fn native_tree(dir: &Path, below: &str, out: &mut Vec<String>) {
    let mut entries: Vec<_> = std::fs::read_dir(dir).unwrap().flatten().collect();
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let meta = entry.path().symlink_metadata().unwrap();
        let path = format!("{below}/{}", entry.file_name().to_str().unwrap());
        let what = describe(meta.mode(), meta.uid(), meta.gid(), meta.nlink(), meta.size());
        let content = if meta.is_file() { std::fs::read(entry.path()).unwrap() } else { Vec::new() };
        out.push(format!("{path} {what} {content:?}"));
        if meta.is_dir() {
            native_tree(&entry.path(), &path, out);
        }
    }
}

fn model_tree(k: &mut Kernel, cx: &mut Ctx<'_, '_>, dir: InodeId, below: &str, out: &mut Vec<String>) {
    let mut list = entries(k, cx, dir, 2).map_err(|_| ()).unwrap();
    list.sort_by(|a, b| a.name.cmp(&b.name));
    for entry in list {
        let id = path::lookup(k, cx, dir, &entry.name).map_err(|_| ()).unwrap().unwrap();
        let path = format!("{below}/{}", String::from_utf8(entry.name).unwrap());
        let content = match k.fs.inode(id).node {
            Node::Regular(_) => read_at(k, cx, id, 0, 1 << 20).map_err(|_| ()).unwrap(),
            _ => Vec::new(),
        };
        out.push(format!("{path} {} {content:?}", describe_inode(k, id)));
        if k.fs.inode(id).is_dir() {
            model_tree(k, cx, id, &path, out);
        }
    }
}

fn set_fs_user(uid: u32) {
    // SAFETY: changes only this thread's file-system ids.
    unsafe {
        libc::syscall(libc::SYS_setfsgid, uid);
        libc::syscall(libc::SYS_setfsuid, uid);
    }
}

/// The first difference, if there is one.
fn compare(seed: u64, uid: u32, count: usize) -> Result<(), String> {
    let bench = Bench::new();
    std::fs::set_permissions(bench.dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let outer = bench.dir.path().join("native");
    let root = plant(&outer);
    let model_root = plant(&bench.host()).into_os_string().into_encoded_bytes();
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    let mut dice = Dice(Random::new(key));
    let ops: Vec<Op> = (0..count).map(|_| dice.op()).collect();

    let mut native = Native { root, slots: [-1; SLOTS] };
    set_fs_user(uid);
    let expected: Vec<String> = ops.iter().map(|op| native.run(op)).collect();
    set_fs_user(0);
    let mut expected_tree = Vec::new();
    native_tree(&outer, "", &mut expected_tree);

    let mut steps: Vec<Step> = Vec::new();
    // One model for the live run and one for the replay: steps are shared, so the state restarts with the first step.
    let model = Rc::new(RefCell::new(Model::default()));
    for (i, op) in ops.iter().cloned().enumerate() {
        let (model, root) = (model.clone(), model_root.clone());
        steps.push(step(move |k, cx| {
            if i == 0 {
                *model.borrow_mut() = Model::default();
            }
            model.borrow_mut().run(k, cx, &root, &op)
        }));
    }
    let host = bench.path("");
    steps.push(step(move |k, cx| {
        for pid in [PID, Pid(3)] {
            k.process_mut(pid).creds.uid = [0; 4];
        }
        let id = resolve(k, cx, libc::AT_FDCWD, &host, Last::Follow).map_err(|_| ()).unwrap().inode.unwrap();
        let mut out = Vec::new();
        model_tree(k, cx, id, "", &mut out);
        out.join("\n")
    }));
    let (live, frames) = bench.record(&steps, uid);
    let answers = &live.replica().answers;
    for (i, op) in ops.iter().enumerate() {
        let before: Vec<String> =
            (i.saturating_sub(12)..i).map(|j| format!("{j}: {:?} -> {}", ops[j], expected[j])).collect();
        if answers[i] != expected[i] {
            let (model, real, before) = (&answers[i], &expected[i], before.join("\n"));
            return Err(format!("seed {seed} uid {uid} call {i}: {op:?}: model {model}, real {real}, after\n{before}"));
        }
    }
    let differing = answers[ops.len()].split('\n').zip(&expected_tree).find(|(model, real)| model != real);
    if answers[ops.len()] != expected_tree.join("\n") {
        return Err(format!("seed {seed} uid {uid}: the tree: {differing:?}"));
    }
    // The log alone gives the same, whatever has become of the host's files.
    std::fs::remove_dir_all(bench.host()).unwrap();
    let replayed = bench.replay(&steps, uid, &frames).unwrap();
    assert_eq!(&replayed.replica().answers, answers, "seed {seed} uid {uid}: replay");
    Ok(())
}

fn compare_all(first: u64, uid: u32) {
    let wrong: Vec<String> = (first..first + SEEDS).filter_map(|seed| compare(seed, uid, CALLS).err()).collect();
    assert!(wrong.is_empty(), "{} of {SEEDS} histories differ:\n{}", wrong.len(), wrong.join("\n\n"));
}

/// How many random histories of how many calls.
const SEEDS: u64 = 80;
const CALLS: usize = 150;

#[test]
fn as_the_user_who_runs_the_test() {
    // SAFETY: geteuid cannot fail; umask is set to what the model's process has.
    let uid = unsafe {
        libc::umask(0o022);
        libc::geteuid()
    };
    compare_all(0, uid);
}

#[test]
fn as_an_ordinary_user() {
    // SAFETY: as above.
    let uid = unsafe {
        libc::umask(0o022);
        libc::geteuid()
    };
    // Only root can become somebody else; who is not root has run this test above.
    if uid == 0 {
        compare_all(1000, 1000);
    }
}
