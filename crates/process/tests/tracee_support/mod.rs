//! A kernel of a few lines: enough for small programs to say something and end.
#![allow(dead_code)]

use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use gapless_process::tracee::insn::{self, Answer, Kind, Trapped};
use gapless_process::tracee::loader::{Loaded, Object, Plan, Start};
use gapless_process::tracee::{Elf, Stop, Tracee, cpuid, restore_counter};

pub const LONG: Duration = Duration::from_secs(20);

/// Compiles a C program; `flags` beside the usual ones.
pub fn compile(name: &str, source: &str, flags: &[&str]) -> PathBuf {
    let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("tracee-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let (input, output) = (dir.join(format!("{name}.c")), dir.join(name));
    std::fs::write(&input, source).unwrap();
    restore_counter();
    let status = Command::new("cc").args(["-O1", "-w", "-o"]).arg(&output).arg(&input).args(flags).status().unwrap();
    assert!(status.success(), "cc failed for {name}");
    output
}

pub fn start(argv: &[&str]) -> Start {
    Start {
        argv: argv.iter().map(|arg| arg.as_bytes().to_vec()).collect(),
        envp: vec![b"PATH=/usr/bin:/bin".to_vec(), b"LANG=C".to_vec()],
        execfn: argv[0].as_bytes().to_vec(),
        random: [7; 16],
        ids: [0; 4],
        secure: false,
        hwcap: 0x178b_fbff,
        hwcap2: 2,
        signal_stack_min: 4096,
    }
}

/// Puts a program into a fresh stub.
pub fn load(tracee: &mut Tracee, program: &Path, start: &Start) -> Loaded {
    let file = File::open(program).unwrap();
    let elf = Elf::read(file.as_fd()).unwrap();
    let interp = elf.interp().map(|path| {
        let file = File::open(std::ffi::OsStr::from_bytes(path)).unwrap();
        let elf = Elf::read_interp(file.as_fd()).unwrap();
        (elf, file)
    });
    let interp = interp.as_ref().map(|(elf, file)| Object { elf, file: file.as_fd() });
    let plan = Plan::new(Object { elf: &elf, file: file.as_fd() }, interp, start).unwrap();
    plan.load(tracee).unwrap()
}

/// Patches the instructions whose results no program can compute.
pub fn patch(tracee: &mut Tracee, loaded: &Loaded) -> BTreeMap<u64, Trapped> {
    let mut table = BTreeMap::new();
    for piece in loaded.pieces.iter().filter(|piece| piece.prot & libc::PROT_EXEC != 0) {
        let sites = tracee.find_sites(piece.address, piece.len as usize).unwrap();
        tracee.patch_sites(piece.address, &sites, &mut table).unwrap();
    }
    table
}

/// The kernel: one thread, read-only files of the host, output to a buffer.
pub struct Toy {
    pub tracee: Tracee,
    pub brk_start: u64,
    pub brk: u64,
    pub tsc: u64,
    pub patched: BTreeMap<u64, Trapped>,
    pub files: Vec<Option<(File, u64)>>,
    pub output: Vec<u8>,
    pub calls: Vec<i64>,
}

impl Toy {
    pub fn new(program: &Path, argv: &[&str]) -> Toy {
        let mut tracee = Tracee::spawn().unwrap();
        let loaded = load(&mut tracee, program, &start(argv));
        let patched = patch(&mut tracee, &loaded);
        let brk_start = loaded.brk_start;
        Toy {
            tracee,
            brk_start,
            brk: brk_start,
            tsc: 0,
            patched,
            files: vec![None, None, None],
            output: vec![],
            calls: vec![],
        }
    }

    /// Runs up to the next stop that is not one of the calls below, or the end.
    pub fn run(&mut self, mut observe: impl FnMut(&mut Tracee, &Stop) -> bool) -> Stop {
        let deadline = Instant::now() + LONG;
        loop {
            let stop = self.tracee.run(Some(deadline)).unwrap();
            if observe(&mut self.tracee, &stop) {
                return stop;
            }
            if let Stop::Fault { signo: libc::SIGSEGV | libc::SIGILL, .. } = stop
                && self.answer_instruction()
            {
                continue;
            }
            let Stop::Syscall { nr, args, .. } = stop else { return stop };
            self.calls.push(nr);
            if nr == libc::SYS_exit_group || nr == libc::SYS_exit {
                self.tracee.exit_native(args[0] as i32, true).unwrap();
                return Stop::Exited(args[0] as i32 & 0xff);
            }
            if let Some(ret) = self.call(nr, args) {
                self.tracee.finish_syscall(ret);
            }
        }
    }

    /// Answers an instruction that trapped; false if it was none.
    fn answer_instruction(&mut self) -> bool {
        let rip = self.tracee.regs().rip;
        let mut bytes = [0; insn::LEN_MAX];
        let len = self.tracee.read(rip, &mut bytes).unwrap_or(0);
        let by_itself = Trapped::decode(&bytes[..len]).filter(|trapped| !trapped.is_patched());
        let Some(trapped) = self.patched.get(&rip).copied().or(by_itself) else { return false };
        let answer = match trapped.kind {
            Kind::Cpuid => Answer::Cpuid(cpuid::answer(self.tracee.regs().rax as u32, self.tracee.regs().rcx as u32)),
            _ => {
                self.tsc += 1000;
                Answer::Value(self.tsc)
            }
        };
        trapped.apply(self.tracee.regs_mut(), answer);
        true
    }

    fn call(&mut self, nr: i64, a: [u64; 6]) -> Option<i64> {
        let tracee = &mut self.tracee;
        Some(match nr {
            libc::SYS_write => {
                let mut bytes = vec![0; a[2] as usize];
                let Ok(len) = tracee.read(a[1], &mut bytes) else { return Some(-i64::from(libc::EFAULT)) };
                self.output.extend_from_slice(&bytes[..len]);
                len as i64
            }
            libc::SYS_writev => {
                let mut total = 0;
                for index in 0..a[2] {
                    let (base, len) = (a[1] + index * 16, a[1] + index * 16 + 8);
                    let mut bytes = vec![0; tracee.read_u64(len).unwrap() as usize];
                    tracee.read_exact(tracee.read_u64(base).unwrap(), &mut bytes).unwrap();
                    self.output.extend_from_slice(&bytes);
                    total += bytes.len() as i64;
                }
                total
            }
            libc::SYS_brk => self.set_brk(a[0]),
            libc::SYS_mmap if a[4] as i32 >= 0 => {
                let Some((file, _)) = self.files.get(a[4] as usize).and_then(|f| f.as_ref()) else {
                    return Some(-i64::from(libc::EBADF));
                };
                let fd = tracee.pass_fd(file.as_fd()).unwrap();
                let ret = tracee.native(nr, [a[0], a[1], a[2], a[3], fd as u64, a[5]]).unwrap();
                tracee.close_fd(fd).unwrap();
                if ret > 0 && a[2] as i32 & libc::PROT_EXEC != 0 {
                    let sites = tracee.find_sites(ret as u64, a[1] as usize & !4095).unwrap();
                    tracee.patch_sites(ret as u64, &sites, &mut self.patched).unwrap();
                }
                ret
            }
            libc::SYS_mmap
            | libc::SYS_munmap
            | libc::SYS_mprotect
            | libc::SYS_madvise
            | libc::SYS_arch_prctl
            | libc::SYS_rt_sigaction
            | libc::SYS_rt_sigprocmask
            | libc::SYS_rt_sigreturn
            | libc::SYS_sigaltstack => {
                tracee.through().unwrap();
                return None;
            }
            libc::SYS_openat => {
                let path = tracee.read_c_string(a[1], 4096).unwrap();
                match File::open(std::ffi::OsStr::from_bytes(&path)) {
                    Ok(file) => {
                        self.files.push(Some((file, 0)));
                        self.files.len() as i64 - 1
                    }
                    Err(_) => -i64::from(libc::ENOENT),
                }
            }
            libc::SYS_read | libc::SYS_pread64 => {
                let Some((file, at)) = self.files.get_mut(a[0] as usize).and_then(|f| f.as_mut()) else {
                    return Some(-i64::from(libc::EBADF));
                };
                let offset = if nr == libc::SYS_read { *at } else { a[3] };
                let mut bytes = vec![0; a[2] as usize];
                let len = std::os::unix::fs::FileExt::read_at(file, &mut bytes, offset).unwrap();
                *at += if nr == libc::SYS_read { len as u64 } else { 0 };
                tracee.write_all(a[1], &bytes[..len]).unwrap();
                len as i64
            }
            libc::SYS_newfstatat if a[0] as i32 > 2 => {
                let (file, _) = self.files[a[0] as usize].as_ref().unwrap();
                // An inode of its own, the size and a regular file's mode are all that the dynamic linker looks at.
                let mut stat = [0u8; 144];
                stat[8..16].copy_from_slice(&(a[0] + 100).to_le_bytes());
                stat[24..28].copy_from_slice(&0o100644u32.to_le_bytes());
                stat[48..56].copy_from_slice(&file.metadata().unwrap().len().to_le_bytes());
                tracee.write_all(a[2], &stat).unwrap();
                0
            }
            libc::SYS_close => {
                if let Some(file) = self.files.get_mut(a[0] as usize) {
                    *file = None;
                }
                0
            }
            libc::SYS_getppid => 4242,
            libc::SYS_getpid | libc::SYS_gettid | libc::SYS_set_tid_address => 77,
            libc::SYS_set_robust_list => 0,
            _ => -i64::from(libc::ENOSYS),
        })
    }

    fn set_brk(&mut self, to: u64) -> i64 {
        let page = |at: u64| at.div_ceil(4096) * 4096;
        let (old, new) = (page(self.brk), page(to));
        if to >= self.brk_start {
            if new > old {
                let prot = (libc::PROT_READ | libc::PROT_WRITE) as u64;
                let flags = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE) as u64;
                let args = [old, new - old, prot, flags, u64::MAX, 0];
                self.tracee.native_ok("mmap", libc::SYS_mmap, args).unwrap();
            }
            self.brk = to;
        }
        self.brk as i64
    }
}
