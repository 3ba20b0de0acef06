//! The host's tools: which must be there, and how they are run.
//!
//! What a tool says goes to a file; its last lines are shown if it fails. On Ctrl-C a tool is asked to end and given time to clear up.

use crate::interrupt::interrupted;
use crate::progress::Progress;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

/// A program of the host and the Debian package that brings it.
struct Tool {
    program: &'static str,
    package: &'static str,
}

const fn tool(program: &'static str, package: &'static str) -> Tool {
    Tool { program, package }
}

/// For the kernel and the initramfs.
const BOOT_TOOLS: &[Tool] = &[
    tool("apt-get", "apt"),
    tool("apt-cache", "apt"),
    tool("dpkg-deb", "dpkg"),
    tool("depmod", "kmod"),
    tool("modprobe", "kmod"),
    tool("xz", "xz-utils"),
    tool(super::mirror::KEYRING, "debian-archive-keyring"),
];

/// For the disk as well.
const DISK_TOOLS: &[Tool] = &[
    tool("mmdebstrap", "mmdebstrap"),
    tool("arch-test", "arch-test"),
    tool("mke2fs", "e2fsprogs"),
    tool("unshare", "util-linux"),
    tool("chroot", "coreutils"),
    tool("update-binfmts", "binfmt-support"),
];

/// Where Debian keeps some of them; not on everybody's PATH.
const MORE_PLACES: &str = ":/usr/sbin:/sbin";
const TICK: Duration = Duration::from_millis(50);
/// What a tool gets to clear up after it was asked to end.
const GRACE: Duration = Duration::from_secs(20);
/// How much of a tool's last words is shown.
const LAST_WORDS_BYTES: u64 = 2000;

/// Checks that the tools are there and that this user may use them, or says what to do.
pub fn require(disk: bool) -> Result<(), String> {
    let tools = BOOT_TOOLS.iter().chain(if disk { DISK_TOOLS } else { &[] });
    let missing: Vec<&Tool> = tools.filter(|tool| find(tool.program).is_none()).collect();
    if !missing.is_empty() {
        return Err(lack(&missing));
    }
    if !disk {
        return Ok(());
    }
    // SAFETY: only asks.
    if unsafe { libc::geteuid() } != 0 {
        return Err(
            "a disk's files belong to root: run this as root (sudo), or add --no-disk for the kernel and initramfs"
                .into(),
        );
    }
    can_run_guest_programs()
}

fn lack(missing: &[&Tool]) -> String {
    let distinct = |names: Vec<&'static str>| {
        names.iter().enumerate().filter(|(at, name)| !names[..*at].contains(name)).map(|(_, n)| *n).collect::<Vec<_>>()
    };
    let programs = distinct(missing.iter().map(|tool| tool.program).collect()).join(", ");
    let packages = distinct(missing.iter().map(|tool| tool.package).collect()).join(" ");
    format!(
        "missing on this host: {programs}; as root run  apt-get install {packages}  (on a Debian or one of its family)"
    )
}

/// Packages run their own programs while they are installed.
fn can_run_guest_programs() -> Result<(), String> {
    let runs = command("arch-test").arg(super::ARCHITECTURE).stdout(Stdio::null()).stderr(Stdio::null()).status();
    if runs.is_ok_and(|status| status.success()) {
        return Ok(());
    }
    let mut steps = vec![];
    if find("qemu-riscv64-static").or_else(|| find("qemu-riscv64")).is_none() {
        steps.push("apt-get install qemu-user-static");
    }
    if !Path::new("/proc/sys/fs/binfmt_misc/register").exists() {
        steps.push("mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc");
    }
    steps.push("update-binfmts --enable qemu-riscv64");
    Err(format!(
        "this host does not run {} programs, and Debian's packages run some while they are installed; as root run  {}  (in a container \
         without that right: on its host)",
        super::ARCHITECTURE,
        steps.join(" && ")
    ))
}

fn path() -> String {
    std::env::var("PATH").unwrap_or_default() + MORE_PLACES
}

fn find(program: &str) -> Option<PathBuf> {
    let executable = |p: &Path| fs::metadata(p).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0);
    if program.starts_with('/') {
        return Path::new(program).exists().then(|| program.into());
    }
    std::env::split_paths(&path()).map(|dir| dir.join(program)).find(|p| executable(p))
}

/// A tool, with messages that can be parsed.
pub fn command(program: &str) -> Command {
    let mut command = Command::new(find(program).unwrap_or_else(|| program.into()));
    command.env("PATH", path()).env("LC_ALL", "C.UTF-8").stdin(Stdio::null());
    command
}

/// Runs tools one after the other.
pub struct Host {
    dir: PathBuf,
    progress: Progress,
}

impl Host {
    /// Works in `dir`.
    pub fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), progress: Progress::new() }
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Tells a person what happens next.
    pub fn say(&mut self, text: &str) {
        self.progress.say(text);
    }

    /// Runs a tool to its end and shows its last words if it fails.
    pub fn run(&mut self, command: &mut Command) -> Result<(), String> {
        let log = self.dir.join("tool.log");
        let fail = |e| format!("{}: {e}", log.display());
        let file = File::create(&log).map_err(fail)?;
        let errors = file.try_clone().map_err(fail)?;
        let mut child =
            command.stdout(file).stderr(errors).process_group(0).spawn().map_err(|e| not_run(command, &e))?;
        let status = self.wait(&mut child, &log)?;
        self.progress.clear();
        if status.success() { Ok(()) } else { Err(failed(command, status, &last_words(&log))) }
    }

    fn wait(&mut self, child: &mut Child, log: &Path) -> Result<ExitStatus, String> {
        loop {
            if let Some(status) = child.try_wait().map_err(crate::text)? {
                return Ok(status);
            }
            if interrupted() {
                end(child);
                return Err("interrupted; nothing was built".into());
            }
            self.progress.show(|| last_words(log).lines().last().unwrap_or_default().trim().to_owned());
            std::thread::sleep(TICK);
        }
    }

    /// Runs a tool that ends soon, for what it says.
    pub fn ask(&mut self, command: &mut Command) -> Result<String, String> {
        let Output { status, stdout, stderr } = command.output().map_err(|e| not_run(command, &e))?;
        if interrupted() {
            return Err("interrupted; nothing was built".into());
        }
        if !status.success() {
            return Err(failed(command, status, &String::from_utf8_lossy(&stderr)));
        }
        String::from_utf8(stdout).map_err(|e| format!("{}: {e}", name(command)))
    }
}

/// Asks a tool and its children to end, waits, and ends what is left.
fn end(child: &mut Child) {
    let group = -libc::pid_t::try_from(child.id()).expect("a process id");
    // SAFETY: signals the group that this child leads; it has not been waited for, so the number is its own.
    unsafe { libc::kill(group, libc::SIGTERM) };
    let until = Instant::now() + GRACE;
    while matches!(child.try_wait(), Ok(None)) {
        if Instant::now() > until {
            // SAFETY: as above.
            unsafe { libc::kill(group, libc::SIGKILL) };
        }
        std::thread::sleep(TICK);
    }
}

fn name(command: &Command) -> String {
    Path::new(command.get_program()).file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn not_run(command: &Command, e: &std::io::Error) -> String {
    format!("{} could not be run: {e}", name(command))
}

fn failed(command: &Command, status: ExitStatus, words: &str) -> String {
    let how = match (status.code(), status.signal()) {
        (Some(code), _) => format!("status {code}"),
        (None, signal) => format!("signal {}", signal.unwrap_or(0)),
    };
    let words: String = words.lines().map(|line| format!("\n  {line}")).collect();
    format!("{} failed with {how}; its last words:{words}", name(command))
}

fn last_words(log: &Path) -> String {
    let mut bytes = vec![];
    let read = File::open(log).and_then(|mut file| {
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(LAST_WORDS_BYTES)))?;
        file.read_to_end(&mut bytes)
    });
    // Only words for a person: without them the rest of the message stands.
    if read.is_err() { String::new() } else { String::from_utf8_lossy(&bytes).into_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lack_names_each_package_once() {
        let missing = [&BOOT_TOOLS[3], &BOOT_TOOLS[4], &BOOT_TOOLS[5]];
        assert_eq!(
            lack(&missing),
            "missing on this host: depmod, modprobe, xz; as root run  apt-get install kmod xz-utils  (on a Debian or one of its family)"
        );
    }

    #[test]
    fn a_failing_tool_is_quoted() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut host = Host::new(dir.path());
        host.run(command("sh").args(["-c", "true"])).expect("true");
        let error = host.run(command("sh").args(["-c", "echo one; echo two >&2; exit 3"])).unwrap_err();
        assert_eq!(error, "sh failed with status 3; its last words:\n  one\n  two");
        assert_eq!(host.ask(command("sh").args(["-c", "echo word"])).expect("a word"), "word\n");
        assert!(host.run(&mut command("no-such-tool")).unwrap_err().starts_with("no-such-tool could not be run"));
    }
}
