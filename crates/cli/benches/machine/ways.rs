//! The ways to run one guest, each a row of decisions; what is measured does not know which one it looks at.

use crate::console::Console;
use crate::support::process::{Process, sleep_ms};
use crate::support::{Area, DEADLINE};
use gapless_gate::lab::{Host, Lab};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

pub const GUEST_ADDRESS: &str = "10.0.0.50";
const CLIENT_ADDRESS: &str = "10.0.0.2/24";
const MEMORY: &str = "512M";
const QEMU: &str = "qemu-system-riscv64";
const TAPS: [&str; 2] = ["tap0", "tap1"];

/// Who runs the guest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// QEMU's translator on one thread.
    Qemu,
    /// The same, counting instructions.
    QemuCounting,
    /// The same, recording.
    QemuRecording,
    /// gapless, the log thrown away at the end.
    Alone,
    /// gapless with a log.
    Recorded,
    /// gapless with a backup on the same processors.
    Protected,
}

pub const WAYS: [Way; 6] =
    [Way::Qemu, Way::QemuCounting, Way::QemuRecording, Way::Alone, Way::Recorded, Way::Protected];

/// What is run.
pub struct Guest {
    pub kernel: PathBuf,
    pub initrd: PathBuf,
    pub disk: Option<PathBuf>,
    pub append: String,
    /// It has a network device, and a host beside it.
    pub net: bool,
}

impl Guest {
    /// Our programs: what is said behind `mode=`.
    pub fn test(mode: &str) -> Self {
        Self {
            kernel: guest_file("test.kernel"),
            initrd: guest_file("test.initrd"),
            disk: None,
            append: format!("console=ttyS0 mode={mode}"),
            net: false,
        }
    }

    /// Debian, and its network.
    pub fn debian() -> Self {
        Self {
            kernel: guest_file("debian.kernel"),
            initrd: guest_file("debian.initrd"),
            disk: Some(guest_file("debian.img")),
            append: format!("console=ttyS0 root=/dev/vda ip={GUEST_ADDRESS}/24"),
            net: true,
        }
    }

    /// The servers on Debian's disk, and nothing else of it.
    pub fn serving() -> Self {
        let Self { disk, append, net, .. } = Self::debian();
        Self { disk, append: format!("{append} mode=serve"), net, ..Self::test("serve") }
    }
}

/// A file that `scripts/guest debian` has built.
pub fn guest_file(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/guest").join(name);
    assert!(path.exists(), "{} is missing: run `scripts/guest debian`", path.display());
    path
}

/// A bridge with the computer's TAPs, and a host on it that asks.
pub struct Network {
    pub client: Host,
    pub lab: Lab,
}

impl Network {
    pub fn new() -> Result<Self, String> {
        let make = || {
            let lab = Lab::new()?;
            TAPS.iter().try_for_each(|tap| lab.tap(tap))?;
            std::io::Result::Ok(Self { client: lab.host(CLIENT_ADDRESS)?, lab })
        };
        make().map_err(|e| e.to_string())
    }
}

/// One side of a pair.
pub struct Side {
    pub process: Process,
    pub log: PathBuf,
}

/// A computer that runs. Dropping it ends its processes, then its network and its files.
pub struct Computer {
    pub console: Console,
    pub live: Side,
    pub backup: Option<Side>,
    pub network: Option<Arc<Network>>,
    pub began: Instant,
    area: Area,
    sides: u32,
}

impl Way {
    pub fn name(self) -> &'static str {
        match self {
            Self::Qemu => "QEMU",
            Self::QemuCounting => "QEMU icount",
            Self::QemuRecording => "QEMU rr=record",
            Self::Alone => "gapless alone",
            Self::Recorded => "gapless recorded",
            Self::Protected => "gapless protected",
        }
    }

    /// Switches a computer on.
    pub fn start(self, guest: &Guest) -> Result<Computer, String> {
        let area = Area::new("bench-machine");
        let network = if guest.net { Some(Arc::new(Network::new()?)) } else { None };
        let log = area.join("side-1");
        let (program, arguments) = match self {
            Self::Qemu | Self::QemuCounting | Self::QemuRecording => (QEMU, self.qemu(guest, &area)),
            Self::Alone | Self::Recorded | Self::Protected => {
                (env!("CARGO_BIN_EXE_gapless"), self.gapless(guest, &log, &area))
            }
        };
        if program == QEMU && qemu_version().is_none() {
            return Err("not installed (apt-get install qemu-system-misc)".into());
        }
        let mut command = network.as_ref().map_or_else(|| Command::new(program), |net| net.lab.command(program));
        // Temporary disks and logs are files of the area too.
        command.args(arguments).env("TMPDIR", area.path());
        let began = Instant::now();
        let mut process = Process::start_with(command, &log, Stdio::piped(), Some(Stdio::piped()));
        let child = process.child();
        let (to, from) = (child.stdin.take().expect("piped"), child.stdout.take().expect("piped"));
        let live = Side { process, log };
        let console = Console::new(from, to);
        let mut computer = Computer { console, live, backup: None, network, began, area, sides: 1 };
        if self == Self::Protected {
            computer.await_register()?;
            computer.join_backup();
            computer.console = Console::connect(&computer.live.log.join("console"), DEADLINE)?;
        }
        Ok(computer)
    }

    fn qemu(self, guest: &Guest, area: &Area) -> Vec<OsString> {
        let mut words = Words::default();
        words.add("-machine virt -accel tcg,thread=single -display none -monitor none -serial stdio -no-reboot");
        words.add("-global virtio-mmio.force-legacy=false");
        words.add(&format!("-m {MEMORY}"));
        words.pair("-kernel", &guest.kernel).pair("-initrd", &guest.initrd).pair("-append", &guest.append);
        // A guest that talks to the outside needs a clock that goes with the host's.
        let shift = if guest.net { "shift=auto" } else { "shift=0,sleep=off" };
        match self {
            Self::QemuCounting => words.pair("-icount", shift),
            Self::QemuRecording => {
                words.pair("-icount", format!("shift=auto,rr=record,rrfile={}", area.join("qemu.rr").display()))
            }
            _ => &mut words,
        };
        let records = self == Self::QemuRecording;
        if let Some(disk) = &guest.disk {
            let of = if records { "image" } else { "disk" };
            words.pair("-drive", format!("if=none,id={of},file={},format=raw,snapshot=on", disk.display()));
            if records {
                words.add("-drive driver=blkreplay,if=none,image=image,id=disk");
            }
            words.add("-device virtio-blk-device,drive=disk");
        }
        if guest.net {
            words.add(&format!("-netdev tap,id=net,ifname={},script=no,downscript=no", TAPS[0]));
            words.add("-device virtio-net-device,netdev=net");
            if records {
                words.add("-object filter-replay,id=replay,netdev=net");
            }
        }
        words.0
    }

    fn gapless(self, guest: &Guest, log: &Path, area: &Area) -> Vec<OsString> {
        let mut words = Words::default();
        words.add(&format!("machine --memory {MEMORY}"));
        words.pair("--kernel", &guest.kernel).pair("--initrd", &guest.initrd).pair("--append", &guest.append);
        if let Some(disk) = &guest.disk {
            words.pair("--disk", disk);
        }
        if guest.net {
            words.add(&format!("--net tap={}", TAPS[0]));
        }
        if self != Self::Alone {
            words.pair("--log", log);
        }
        if self == Self::Protected {
            words.pair("--arbiter", register(area));
        }
        words.0
    }
}

/// The register that decides who may go live.
fn register(area: &Area) -> String {
    format!("file:{}", area.join("register").display())
}

/// QEMU's first line about itself, if it is there.
pub fn qemu_version() -> Option<String> {
    let said = Command::new(QEMU).arg("--version").output().ok()?;
    String::from_utf8_lossy(&said.stdout).lines().next().map(str::to_owned)
}

/// A command line.
#[derive(Default)]
struct Words(Vec<OsString>);

impl Words {
    fn add(&mut self, words: &str) -> &mut Self {
        self.0.extend(words.split_whitespace().map(Into::into));
        self
    }

    fn pair(&mut self, name: &str, value: impl Into<OsString>) -> &mut Self {
        self.0.extend([name.into(), value.into()]);
        self
    }
}

impl Computer {
    /// Waits for a text on the console: when it was there. Otherwise what the computer's own process said is shown too.
    pub fn hear(&mut self, wanted: &str, limit: Duration) -> Result<Instant, String> {
        let heard = self.console.wait_for(wanted, limit);
        if heard.is_err() {
            eprintln!("  and its process said: {}", self.live.process.stderr_text().trim());
        }
        heard
    }

    /// Where the host that asks is.
    pub fn client(&self) -> &Host {
        &self.network.as_ref().expect("a guest with a network").client
    }

    fn await_register(&mut self) -> Result<(), String> {
        let path = self.area.join("register");
        self.poll("register", DEADLINE, |_| path.exists().then_some(()))
    }

    /// Starts a fresh backup.
    pub fn join_backup(&mut self) {
        // The first side has the first TAP; whoever joins has the one that the live side has not.
        let tap = TAPS[self.sides as usize % TAPS.len()];
        self.sides += 1;
        let log = self.area.join(&format!("side-{}", self.sides));
        let mut words = Words::default();
        words.add("backup --listen 127.0.0.1:0").pair("--arbiter", register(&self.area)).pair("--log", &log);
        let program = env!("CARGO_BIN_EXE_gapless");
        let mut command = match &self.network {
            Some(network) => {
                words.add(&format!("--net tap={tap}"));
                network.lab.command(program)
            }
            None => Command::new(program),
        };
        command.args(words.0).env("TMPDIR", self.area.path());
        self.backup = Some(Side { process: Process::start(command, &log), log });
    }

    /// What the live side of a pair says of itself.
    pub fn status(&self) -> Result<gapless_pair::status::Snapshot, String> {
        gapless_pair::status::query(&self.live.log).map_err(|e| e.to_string())
    }

    /// How long it takes until a backup could take over.
    pub fn await_protected(&mut self, limit: Duration) -> Result<Duration, String> {
        let since = Instant::now();
        self.poll("protected", limit, |this| this.status().ok().filter(|now| now.mode == "protected").map(drop))?;
        Ok(since.elapsed())
    }

    /// Kills the live side; the other one is on its own now.
    pub fn kill_live(&mut self) {
        let survivor = self.backup.take().expect("there is a backup");
        std::mem::replace(&mut self.live, survivor).process.destroy();
    }

    /// Asks every few milliseconds until there is an answer.
    pub fn poll<T>(
        &mut self,
        what: &str,
        limit: Duration,
        mut ask: impl FnMut(&mut Self) -> Option<T>,
    ) -> Result<T, String> {
        let since = Instant::now();
        loop {
            if let Some(answer) = ask(self) {
                return Ok(answer);
            }
            if self.live.process.ended() || since.elapsed() > limit {
                return Err(format!("not {what} after {:.0?}: {}", since.elapsed(), self.live.process.stderr_text()));
            }
            sleep_ms(2);
        }
    }

    /// Bytes of its log, and the position of its last entry.
    pub fn log_end(&self) -> Result<(u64, u64), String> {
        let (view, _) = gapless_log::LogView::open(&self.live.log).map_err(|e| e.to_string())?;
        Ok((view.segments().iter().map(|segment| segment.bytes).sum(), view.last_position().0))
    }

    /// Waits until it has switched itself off.
    pub fn await_off(&mut self, limit: Duration) -> Result<Instant, String> {
        let since = Instant::now();
        while !self.live.process.ended() {
            if since.elapsed() > limit {
                return Err(format!("over {} s", limit.as_secs()));
            }
            sleep_ms(2);
        }
        Ok(Instant::now())
    }
}
