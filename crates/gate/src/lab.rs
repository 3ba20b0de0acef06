//! Small networks out of namespaces, for tests and demonstrations: a bridge, TAPs on it, hosts behind cables.
//!
//! ```text
//!   Lab: namespace with a bridge          Host: a namespace each
//!   +----------------------------+        +--------------+
//!   | tap0  tap1  ...  br0  v0 --|--------|-- eth0       |
//!   +----------------------------+        +--------------+
//! ```
//! The processes of a pair run in the lab ([`Lab::command`]), where they share a loopback interface and each open a TAP of their own; clients run in a
//! host. Needs root and the `ip` and `bridge` tools of iproute2. IPv6 is off, so that no frame flows that nobody asked for.
//!
//! The namespaces have no names: they exist by descriptors of this process and by the processes in them, so nothing collides and nothing is left, not
//! even after a SIGKILL. What is dropped ends the processes in it. To look into one that lives: `nsenter --net=PATH` with [`Lab::path`].

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

const BRIDGE: &str = "br0";
/// How often the processes of a namespace are looked for until none is left, a millisecond apart.
const KILL_ROUNDS_MAX: usize = 1000;

/// A namespace with a bridge. Dropping it ends every process in it and takes it down.
#[derive(Debug)]
pub struct Lab {
    namespace: Namespace,
    cables: AtomicUsize,
}

/// A namespace of its own that hangs on a lab's bridge by a cable. Dropping it ends every process in it and takes it down.
#[derive(Debug)]
pub struct Host {
    namespace: Namespace,
}

impl Lab {
    /// A lab with an empty bridge that has no address.
    pub fn new() -> io::Result<Self> {
        let namespace = Namespace::new()?;
        namespace.ip(&format!("link add {BRIDGE} type bridge stp_state 0 forward_delay 0 mcast_snooping 0"))?;
        namespace.ip(&format!("link set dev {BRIDGE} up"))?;
        Ok(Self { namespace, cables: AtomicUsize::new(0) })
    }

    /// Gives the lab itself an address on its bridge: `10.0.0.1/24`.
    pub fn address(&self, address: &str) -> io::Result<()> {
        self.namespace.ip(&format!("address add {address} dev {BRIDGE}"))
    }

    /// Lets everything that is on no network of the lab go to `gateway`.
    pub fn default_route(&self, gateway: Ipv4Addr) -> io::Result<()> {
        self.namespace.ip(&format!("route add default via {gateway}"))
    }

    /// Makes a TAP on the bridge, for [`Tap::open`](crate::Tap::open) by a process in the lab or within [`Lab::enter`].
    pub fn tap(&self, name: &str) -> io::Result<()> {
        self.namespace.ip(&format!("tuntap add dev {name} mode tap"))?;
        self.namespace.ip(&format!("link set dev {name} master {BRIDGE} up"))
    }

    /// Adds a host with this address (`10.0.0.2/24`) on its `eth0`.
    pub fn host(&self, address: &str) -> io::Result<Host> {
        let host = Host { namespace: Namespace::new()? };
        let cable = format!("v{}", self.cables.fetch_add(1, Ordering::Relaxed));
        let there = host.namespace.path();
        self.namespace
            .ip(&format!("link add {cable} type veth peer name eth0 netns {}", there.display()))
            .and_then(|()| self.namespace.ip(&format!("link set dev {cable} master {BRIDGE} up")))?;
        host.namespace.ip(&format!("address add {address} dev eth0"))?;
        host.namespace.ip("link set dev eth0 up")?;
        Ok(host)
    }

    /// The port (`tap0`, `v0`) behind which the bridge has learnt `mac`, if it has.
    pub fn port_of(&self, mac: [u8; 6]) -> io::Result<Option<String>> {
        let mac = mac.map(|b| format!("{b:02x}")).join(":");
        let table = self.namespace.run("bridge", &format!("fdb show br {BRIDGE}"))?;
        // 52:54:00:00:00:01 dev tap0 master br0
        let mut rows = table.lines().map(|row| row.split_whitespace().collect::<Vec<_>>());
        let row = rows.find(|row| row.first() == Some(&mac.as_str()) && !row.contains(&"permanent"));
        Ok(row.and_then(|row| row.get(2).map(|port| (*port).to_owned())))
    }

    /// A command that will run in the lab.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        self.namespace.command(program)
    }

    /// Runs `f` on a thread in the lab: sockets and TAPs that it opens stay there, processes that it starts too.
    pub fn enter<T: Send>(&self, f: impl FnOnce() -> T + Send) -> T {
        self.namespace.enter(f)
    }

    /// Where the namespace can be opened while it lives.
    pub fn path(&self) -> PathBuf {
        self.namespace.path()
    }
}

impl Host {
    /// A command that will run in this host.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        self.namespace.command(program)
    }

    /// Runs `f` on a thread in this host: sockets that it opens stay there, processes that it starts too.
    pub fn enter<T: Send>(&self, f: impl FnOnce() -> T + Send) -> T {
        self.namespace.enter(f)
    }

    /// Where the namespace can be opened while it lives.
    pub fn path(&self) -> PathBuf {
        self.namespace.path()
    }
}

/// A network namespace without a name, loopback up.
#[derive(Debug)]
struct Namespace {
    file: Arc<File>,
}

impl Namespace {
    fn new() -> io::Result<Self> {
        let file = on_a_thread(|| {
            // SAFETY: no pointers; it concerns this thread only, which ends soon.
            if unsafe { libc::unshare(libc::CLONE_NEWNET) } < 0 {
                let e = io::Error::last_os_error();
                return Err(io::Error::new(e.kind(), format!("make a network namespace: {e}; run as root")));
            }
            for which in ["all", "default"] {
                // Absent where the kernel has no IPv6, which is as good.
                let _ = fs::write(format!("/proc/sys/net/ipv6/conf/{which}/disable_ipv6"), "1");
            }
            File::open("/proc/thread-self/ns/net")
        })?;
        let namespace = Self { file: Arc::new(file) };
        namespace.ip("link set dev lo up")?;
        Ok(namespace)
    }

    fn path(&self) -> PathBuf {
        format!("/proc/{}/fd/{}", std::process::id(), self.file.as_raw_fd()).into()
    }

    fn ip(&self, arguments: &str) -> io::Result<()> {
        self.run("ip", arguments).map(|_| ())
    }

    /// Runs a short command in the namespace; what it wrote, or why it failed.
    fn run(&self, program: &str, arguments: &str) -> io::Result<String> {
        let mut command = self.command(program);
        let output = command.args(arguments.split_whitespace()).stdin(Stdio::null()).output().map_err(|e| {
            io::Error::new(e.kind(), format!("{program}: {e}; it comes with iproute2: `apt-get install iproute2`"))
        })?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let said = String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ");
        Err(io::Error::other(format!("`{program} {arguments}` in a lab: {}: {said}", output.status)))
    }

    fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        let file = Arc::clone(&self.file);
        // SAFETY: between fork and exec only one system call is made, which is async-signal-safe.
        unsafe { command.pre_exec(move || join(&file)) };
        command
    }

    fn enter<T: Send>(&self, f: impl FnOnce() -> T + Send) -> T {
        on_a_thread(|| {
            join(&self.file).expect("whoever made a namespace may join it");
            f()
        })
    }

    /// The other processes in it that still run.
    fn processes(&self) -> io::Result<Vec<i32>> {
        let ours = self.file.metadata()?;
        let inside = |pid: &i32| {
            let theirs = fs::metadata(format!("/proc/{pid}/ns/net"));
            theirs.is_ok_and(|theirs| (theirs.dev(), theirs.ino()) == (ours.dev(), ours.ino()))
        };
        let names = fs::read_dir("/proc")?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        Ok(names.filter(|pid| *pid != std::process::id() as i32).filter(inside).collect())
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        for _ in 0..KILL_ROUNDS_MAX {
            // One that is only waited for by its parent has left its namespaces.
            let Ok(processes) = self.processes() else { return };
            if processes.is_empty() {
                return;
            }
            for pid in processes {
                // SAFETY: no pointers. It was in this namespace just now, where only what was started there can be.
                unsafe { libc::kill(pid, libc::SIGKILL) };
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

fn join(namespace: &File) -> io::Result<()> {
    // SAFETY: no pointers; the descriptor is open.
    let result = unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Runs `f` on a thread of its own, whose namespaces are nobody else's; a panic goes on here.
fn on_a_thread<T: Send>(f: impl FnOnce() -> T + Send) -> T {
    let result = std::thread::scope(|scope| scope.spawn(f).join());
    result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
