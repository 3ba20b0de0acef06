//! Where protected machines are tested: a network of their own with a host that talks to the guest, and guests to start.
//!
//! ```text
//! host 10.77.0.1 -- bridge -- tap0  (sides take turns)
//!                      \----- tap1
//! ```
//! The rule it keeps: one machine at a time, because it takes both processors of a small host; all traffic is inside namespaces that vanish with the test.

use super::Area;
use super::client::Redis;
use super::process::{Process, sleep_ms};
use gapless_gate::lab::{Host, Lab};
use std::ffi::OsString;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Where the guest is.
pub const GUEST: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);
/// The guest's address as its kernel's command line has it.
pub const GUEST_IP: &str = "ip=10.77.0.2/24";
const HOST: &str = "10.77.0.1/24";
/// Longest that anything may take on a host that is busy with other things too.
pub const PATIENCE: Duration = Duration::from_secs(240);
/// Sides that exist at the same time.
const TAPS: u32 = 2;

static TURN: Mutex<()> = Mutex::new(());

/// A network and a directory.
pub struct Site {
    pub host: Host,
    pub lab: Lab,
    pub area: Area,
    _turn: Option<MutexGuard<'static, ()>>,
}

impl Site {
    /// Waits for its turn.
    pub fn new(name: &str) -> Self {
        Self::out_of_turn(name, Some(TURN.lock().unwrap_or_else(PoisonError::into_inner)))
    }

    fn out_of_turn(name: &str, turn: Option<MutexGuard<'static, ()>>) -> Self {
        let lab = Lab::new().expect("a network of its own; the tests of the machine need root");
        (0..TAPS).for_each(|n| lab.tap(&format!("tap{n}")).expect("a TAP"));
        let host = lab.host(HOST).expect("a host");
        Self { host, lab, area: Area::new(name), _turn: turn }
    }

    /// The TAP of the side that was started as the `n`th.
    pub fn tap(n: u32) -> String {
        format!("tap{}", n % TAPS)
    }

    /// `gapless` inside the network.
    pub fn gapless<S: Into<OsString>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = self.lab.command(env!("CARGO_BIN_EXE_gapless"));
        command.args(args.into_iter().map(Into::into)).current_dir(self.area.path()).env("TMPDIR", self.area.path());
        command
    }

    /// Runs `gapless` to its end: status, standard output, standard error.
    pub fn ask<S: Into<OsString>>(&self, args: impl IntoIterator<Item = S>) -> (i32, String, String) {
        let output = self.gapless(args).stdin(Stdio::null()).output().expect("gapless runs");
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        (output.status.code().unwrap_or(-1), text(output.stdout), text(output.stderr))
    }

    /// A connection from the host to the guest, as soon as it can be had.
    pub fn dial(&self, port: u16) -> TcpStream {
        let since = Instant::now();
        loop {
            let address = SocketAddr::from((GUEST, port));
            match self.host.enter(|| TcpStream::connect_timeout(&address, Duration::from_secs(2))) {
                Ok(stream) => {
                    stream.set_nodelay(true).expect("a socket");
                    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
                    stream.set_write_timeout(Some(PATIENCE)).expect("a socket");
                    return stream;
                }
                Err(e) => assert!(since.elapsed() < PATIENCE, "the guest's port {port} cannot be reached: {e}"),
            }
            sleep_ms(20);
        }
    }

    /// The guest's redis, which answers.
    pub fn redis(&self) -> Redis {
        let mut redis = Redis::over(self.dial(6379)).expect("a connection");
        assert_eq!(redis.call(&["PING"]).expect("an answer"), "PONG");
        redis
    }

    /// Frames that the machine behind this TAP has sent.
    pub fn sent_by(&self, tap: &str) -> u64 {
        let output = self.lab.command("ip").args(["-s", "-j", "link", "show", tap]).output().expect("ip runs");
        let json: serde_json::Value = serde_json::from_slice(&output.stdout).expect("ip -j prints JSON");
        json[0]["stats64"]["rx"]["packets"].as_u64().expect("a number")
    }
}

/// A file that `scripts/guest` has built.
pub fn guest(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/guest").join(name);
    assert!(path.is_file(), "{} is missing: `scripts/guest debian` builds it", path.display());
    path.canonicalize().expect("it is there")
}

/// What a machine begins with: arguments of `gapless machine`.
pub fn boot(name: &str, disk: Option<&str>, memory: &str, words: &str) -> Vec<OsString> {
    let mut args: Vec<OsString> = vec!["--kernel".into(), guest(&format!("{name}.kernel")).into()];
    args.extend(["--initrd".into(), guest(&format!("{name}.initrd")).into()]);
    if let Some(disk) = disk {
        args.extend(["--disk".into(), guest(disk).into()]);
    }
    args.extend(["--memory".into(), memory.into(), "--append".into(), format!("console=ttyS0 {words}").into()]);
    args
}

/// A Debian that is switched on.
pub fn debian() -> Vec<OsString> {
    boot("debian", Some("debian.img"), "256M", &format!("quiet root=/dev/vda {GUEST_IP}"))
}

/// A computer that was booted once for each build and saved, with a shell on its console.
pub struct Booted {
    name: &'static str,
    boot: fn() -> Vec<OsString>,
    /// What is typed at which text on the console.
    typed: &'static [(&'static str, &'static str)],
    /// A port that answers when all is up.
    port: u16,
}

/// Debian: redis and an iperf3 server are up.
pub const DEBIAN: Booted = Booted {
    name: "debian",
    boot: debian,
    typed: &[("login: ", "root"), ("# ", "stty -echo; iperf3 -s -D; sync; echo @UP$((1))")],
    port: 6379,
};

/// The initramfs of the tests: TCP servers at [`ECHO`], [`SOURCE`] and [`SINK`], and one at [`FSYNC`] that writes to a disk.
pub const SERVERS: Booted = Booted {
    name: "servers",
    boot: || boot("test", Some("scratch.img"), "128M", "quiet mode=sh"),
    typed: &[
        (
            "this is a shell",
            "stty -echo; while read -r m; do insmod /drivers/$m; done </drivers/list; mount -t ext4 /dev/vda /mnt",
        ),
        ("# ", "ip link set lo up; ip link set eth0 up; ip address add 10.77.0.2/24 dev eth0"),
        ("# ", "stream echo 7000 & stream source 7001 & stream sink 7002 & fsyncer /mnt/records 7003 &"),
        ("fsyncer: 0 records", "sync; echo @UP$((1))"),
    ],
    // Not the one that serves one client after the other: to it, the connection of the saved machine would never end.
    port: ECHO,
};

pub const ECHO: u16 = 7000;
pub const SOURCE: u16 = 7001;
pub const SINK: u16 = 7002;
pub const FSYNC: u16 = 7003;
/// Switches [`SERVERS`] off in an orderly way.
pub const SERVERS_OFF: &str = "killall fsyncer; until umount /mnt; do sleep 0.1; done; poweroff -f";

impl Booted {
    /// Arguments of `gapless machine`. Call it before a site is made.
    pub fn origin(&self) -> Vec<OsString> {
        let _one = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let key = key();
        let missing = [DEBIAN, SERVERS].into_iter().filter(|booted| !booted.file(key).exists());
        // Each takes one processor.
        std::thread::scope(|scope| missing.for_each(|booted| drop(scope.spawn(move || booted.make(key)))));
        vec!["--from".into(), self.file(key).into()]
    }

    fn file(&self, key: u64) -> PathBuf {
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("booted-{key:016x}-{}.machine", self.name))
    }

    fn make(&self, key: u64) {
        for old in std::fs::read_dir(env!("CARGO_TARGET_TMPDIR")).expect("it is there").flatten() {
            let name = old.file_name().to_string_lossy().into_owned();
            if name.starts_with("booted-") && name.contains(self.name) {
                let _ = std::fs::remove_file(old.path());
            }
        }
        let began = Instant::now();
        let site = Site::out_of_turn("boot", None);
        let log = site.area.join("log");
        self.boot_alone(&site, &log);
        let up = began.elapsed();
        let part = self.file(key).with_extension("part");
        let args: [OsString; 4] = ["replay".into(), log.into(), "--save".into(), part.clone().into()];
        let (status, _, said) = site.ask(args);
        assert_eq!(status, 0, "{said}");
        std::fs::rename(&part, self.file(key)).expect("a name");
        println!("{}: booted in {up:.1?}, replayed and saved in {:.1?}", self.name, began.elapsed().saturating_sub(up));
    }

    /// Leaves a log that ends when all is up.
    fn boot_alone(&self, site: &Site, log: &Path) {
        let mut command = site.gapless(["machine", "--net", "tap=tap0", "--log"]);
        command.arg(log).args((self.boot)());
        let (keyboard, typed) = std::io::pipe().expect("a pipe");
        let mut process = Process::start_with(command, &site.area.join("boot"), Stdio::from(keyboard), None);
        let mut seen = 0;
        for (text, answer) in self.typed.iter().copied().chain([("@UP1", "")]) {
            let since = Instant::now();
            loop {
                let said = String::from_utf8_lossy(&process.stdout()).into_owned();
                if let Some(at) = said[seen..].find(text) {
                    seen += at + text.len();
                    break;
                }
                let failed = process.ended() || since.elapsed() > PATIENCE;
                assert!(!failed, "no {text:?} on the console:\n{said}{}", process.stderr_text());
                sleep_ms(20);
            }
            std::io::Write::write_all(&mut &typed, format!("{answer}\n").as_bytes()).expect("it listens");
        }
        drop(site.dial(self.port));
        super::process::kill(process.pid(), libc::SIGTERM);
        let done = process.finish();
        assert_eq!(done.code(), 128 + libc::SIGTERM, "{}", done.stderr_text());
    }
}

/// Of this very executable and these very guests.
fn key() -> u64 {
    let mut hasher = DefaultHasher::new();
    std::fs::read(env!("CARGO_BIN_EXE_gapless")).expect("it is there").hash(&mut hasher);
    for name in ["debian.img", "debian.kernel", "test.initrd"] {
        let found = std::fs::metadata(guest(name)).expect("it is there");
        (found.len(), found.modified().expect("a time")).hash(&mut hasher);
    }
    hasher.finish()
}
