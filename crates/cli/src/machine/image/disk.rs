//! The disk: a minimal Debian with the packages that were asked for, set up for a machine with one console and one network card.
//!
//! root logs in on ttyS0 without a password, systemd-networkd asks DHCP for an address (the init's `ip=` comes before it), nothing wakes up by
//! itself to look for updates. If redis is among the packages, it listens to the outside.

use super::boot::Kernel;
use super::host::{Host, command};
use super::{ARCHITECTURE, RELEASE, mirror};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// What every machine needs to boot, to be logged into and to have a network.
const PACKAGES: &[&str] = &[
    "systemd-sysv",
    "systemd-resolved",
    "udev",
    "dbus",
    "login",
    "kmod",
    "procps",
    "iproute2",
    "iputils-ping",
    "e2fsprogs",
];

/// Not installed, here and later, as in Debian's own small images.
const WITHOUT: &[&str] = &[
    "path-exclude=/usr/share/doc/*",
    "path-include=/usr/share/doc/*/copyright",
    "path-exclude=/usr/share/man/*",
    "path-exclude=/usr/share/info/*",
    "path-exclude=/usr/share/locale/*",
];

const SERVICES: &[&str] = &["systemd-networkd.service", "systemd-resolved.service"];
/// Timers that read all disks or ask the mirror at some hour of the day.
const SILENT: &[&str] =
    &["apt-daily.timer", "apt-daily-upgrade.timer", "e2scrub_all.timer", "fstrim.timer", "dpkg-db-backup.timer"];
/// It would make of the init's `ip=` what the kernel's own means.
const FOREIGN: &[&str] = &["systemd-network-generator.service"];

const DHCP: &str = "[Match]\nType=ether\n\n[Network]\nDHCP=yes\n";

/// Modules of hardware that the machine has not.
const OTHER_HARDWARE: &[&str] = &[
    "sound",
    "drivers/accel",
    "drivers/ata",
    "drivers/bluetooth",
    "drivers/gpu",
    "drivers/hid",
    "drivers/hwmon",
    "drivers/iio",
    "drivers/infiniband",
    "drivers/input",
    "drivers/media",
    "drivers/mmc",
    "drivers/mtd",
    "drivers/net/can",
    "drivers/net/ethernet",
    "drivers/net/phy",
    "drivers/net/usb",
    "drivers/net/wireless",
    "drivers/scsi",
    "drivers/staging",
    "drivers/usb",
    "drivers/video",
    "net/bluetooth",
    "net/mac80211",
    "net/wireless",
];

/// What a file system needs beside its files.
const OVERHEAD: (u64, u64) = (10, 100);

/// What a user chose.
pub struct Plan<'a> {
    pub packages: &'a [String],
    pub hostname: &'a str,
    /// Bytes of the whole disk.
    pub size: u64,
}

/// Makes the image.
pub fn build(host: &mut Host, mirror: &str, kernel: &Kernel, plan: &Plan, image: &Path) -> Result<(), String> {
    let root = host.dir().join("root");
    let asked = plan.packages.iter().map(String::as_str).filter(|name| !PACKAGES.contains(name));
    let packages: Vec<&str> = PACKAGES.iter().copied().chain(asked).collect();
    host.say(&format!("installing Debian {RELEASE} with {}", packages.join(" ")));
    install(host, mirror, &packages, &root)?;
    host.say("configuring: console, network, drivers");
    modules(host, kernel, &root)?;
    configure(host, plan, &root)?;
    host.say(&format!("making a file system of {} MiB", plan.size >> 20));
    file_system(host, plan.size, &root, image)
}

/// In a mount namespace of its own, so that whatever happens to the tool, nothing of the host stays mounted below the directory that is removed.
fn install(host: &mut Host, mirror: &str, packages: &[&str], root: &Path) -> Result<(), String> {
    let mut command = command("unshare");
    command.args(["--mount", "--", "mmdebstrap", "--mode=root", "--format=directory", "--variant=minbase"]);
    command.env("TMPDIR", host.dir());
    command.arg(format!("--architectures={ARCHITECTURE}")).arg(format!("--include={}", packages.join(",")));
    for option in WITHOUT {
        command.arg(format!("--dpkgopt={option}"));
    }
    command.arg("--aptopt=Acquire::Languages \"none\"");
    command.arg(RELEASE).arg(root).arg(mirror::source(mirror));
    host.run(&mut command)
}

fn configure(host: &mut Host, plan: &Plan, root: &Path) -> Result<(), String> {
    let hostname = plan.hostname;
    write(root, "etc/hostname", &format!("{hostname}\n"))?;
    write(root, "etc/hosts", &format!("127.0.0.1 localhost\n127.0.1.1 {hostname}\n::1 localhost\n"))?;
    // The initramfs mounts the root; an identity made now spares the questions of a first boot.
    write(root, "etc/fstab", "")?;
    let identity = fs::read_to_string("/proc/sys/kernel/random/uuid").map_err(crate::text)?.replace('-', "");
    write(root, "etc/machine-id", &identity)?;
    write(root, "etc/systemd/network/90-dhcp.network", DHCP)?;
    change(root, "etc/shadow", no_password)?;
    if root.join("etc/redis/redis.conf").exists() {
        change(root, "etc/redis/redis.conf", open_redis)?;
        // Redis saves from a copy of itself, which shares almost all of its memory.
        write(root, "etc/sysctl.d/90-redis.conf", "vm.overcommit_memory = 1\n")?;
    }
    // The host's names of servers are of no use there.
    let resolv = root.join("etc/resolv.conf");
    let _ = fs::remove_file(&resolv);
    symlink("../run/systemd/resolve/stub-resolv.conf", &resolv).map_err(|e| format!("{}: {e}", resolv.display()))?;
    let mut systemctl = |verb: &str, units: &[&str]| {
        host.run(command("chroot").arg(root).arg("/usr/bin/systemctl").arg(verb).args(units))
    };
    systemctl("enable", SERVICES)?;
    systemctl("mask", &[SILENT, FOREIGN].concat())?;
    // Newer than /usr: what a first boot does after an update is done.
    ["etc/.updated", "var/.updated"].into_iter().try_for_each(|name| write(root, name, ""))
}

/// The drivers go along, so that the machine can have a firewall, tunnels, other file systems.
fn modules(host: &mut Host, kernel: &Kernel, root: &Path) -> Result<(), String> {
    let target = root.join("usr/lib/modules");
    fs::create_dir_all(&target).map_err(|e| format!("{}: {e}", target.display()))?;
    host.run(command("cp").arg("-r").arg(&kernel.modules).arg(&target))?;
    for name in OTHER_HARDWARE {
        let place = target.join(&kernel.version).join("kernel").join(name);
        if place.exists() {
            fs::remove_dir_all(&place).map_err(|e| format!("{}: {e}", place.display()))?;
        }
    }
    host.run(command("depmod").arg("-b").arg(root).arg(&kernel.version))
}

fn file_system(host: &mut Host, size: u64, root: &Path, image: &Path) -> Result<(), String> {
    let kib = host.ask(command("du").args(["--summarize", "--block-size=1K"]).arg(root))?;
    let used: u64 = kib.split_whitespace().next().and_then(|n| n.parse().ok()).ok_or("du gave no number")?;
    fits(used << 10, size)?;
    let mut command = command("mke2fs");
    // Written out now, or the guest's kernel would do it in the background.
    command.args(["-q", "-t", "ext4", "-L", "gapless", "-E", "lazy_itable_init=0,lazy_journal_init=0"]);
    command.arg("-d").arg(root).arg(image).arg(format!("{}K", size >> 10));
    host.run(&mut command)
}

fn fits(used: u64, size: u64) -> Result<(), String> {
    let (part, whole) = OVERHEAD;
    let needed = used + used / whole * part + (32 << 20);
    if needed <= size {
        return Ok(());
    }
    Err(format!("the system does not fit into {} MiB: use --size {}M or more", size >> 20, needed.div_ceil(1 << 20)))
}

/// root without a password.
fn no_password(shadow: &str) -> String {
    edited(shadow, |line| {
        let (_, rest) = line.strip_prefix("root:")?.split_once(':')?;
        Some(format!("root::{rest}"))
    })
}

/// Redis for clients anywhere: the machine's network is what its host makes of it.
fn open_redis(conf: &str) -> String {
    edited(conf, |line| {
        ["bind 0.0.0.0", "protected-mode no"]
            .into_iter()
            .find(|new| line.split(' ').next() == new.split(' ').next())
            .map(str::to_owned)
    })
}

/// The text with the lines changed for which `change` has another.
fn edited(text: &str, change: impl Fn(&str) -> Option<String>) -> String {
    text.lines().map(|line| change(line).unwrap_or_else(|| line.to_owned()) + "\n").collect()
}

fn write(root: &Path, name: &str, text: &str) -> Result<(), String> {
    let path = root.join(name);
    fs::write(&path, text).map_err(|e| format!("{}: {e}", path.display()))
}

/// In place, so that owner and mode stay.
fn change(root: &Path, name: &str, with: fn(&str) -> String) -> Result<(), String> {
    let path: PathBuf = root.join(name);
    let text = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    write(root, name, &with(&text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_has_no_password_and_nobody_else_changes() {
        let shadow = "root:*:20000:0:99999:7:::\ndaemon:*:20000:0:99999:7:::\n";
        assert_eq!(no_password(shadow), "root::20000:0:99999:7:::\ndaemon:*:20000:0:99999:7:::\n");
    }

    #[test]
    fn redis_listens_to_the_outside() {
        let conf = "# bind 1.2.3.4\nbind 127.0.0.1 -::1\nport 6379\nprotected-mode yes\n";
        assert_eq!(open_redis(conf), "# bind 1.2.3.4\nbind 0.0.0.0\nport 6379\nprotected-mode no\n");
    }

    #[test]
    fn a_disk_that_is_too_small_says_what_is_needed() {
        fits(500 << 20, 1 << 30).expect("room");
        assert_eq!(
            fits(1000 << 20, 1 << 30).unwrap_err(),
            "the system does not fit into 1024 MiB: use --size 1132M or more"
        );
    }
}
