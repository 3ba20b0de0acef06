//! The kernel and the initramfs: Debian's kernel, the drivers that it does not have built in, busybox, and our init.

use super::ARCHITECTURE;
use super::archive::Archive;
use super::host::{Host, command};
use super::mirror::Apt;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// The first program of the guest; its own comment says what it does.
const INIT: &str = include_str!("init");
/// Drivers of the machine's devices, and the file system; what they need comes along.
const DRIVERS: &[&str] = &["virtio_mmio", "virtio_blk", "virtio_net", "virtio-rng", "ext4"];
/// "RSC\x05" at this offset: a flat RISC-V image (Linux, Documentation/arch/riscv/boot-image-header.rst), which the machine can load as it is.
const MAGIC: (usize, &[u8]) = (0x38, b"RSC\x05");

/// A kernel package, unpacked.
pub struct Kernel {
    /// The flat image.
    pub image: PathBuf,
    /// `usr/lib/modules/VERSION` of the package.
    pub modules: PathBuf,
    /// What `uname -r` will say.
    pub version: String,
    package: PathBuf,
    busybox: PathBuf,
}

impl Kernel {
    /// Downloads and unpacks the newest kernel of the release, and busybox.
    pub fn fetch(host: &mut Host, mirror: &str) -> Result<Self, String> {
        host.say(&format!("reading the index of {mirror}"));
        let apt = Apt::new(host, mirror)?;
        let name = apt.dependency(host, &format!("linux-image-{ARCHITECTURE}"), "linux-image-")?;
        host.say(&format!("downloading and unpacking {name} and busybox-static"));
        let package = apt.unpack(host, &name)?;
        let busybox = apt.unpack(host, "busybox-static")?.join("usr/bin/busybox");
        let version = name.trim_start_matches("linux-image-").to_owned();
        // The kernel's tools look in lib/modules or in usr/lib/modules, as they were built.
        if !package.join("lib").exists() {
            symlink("usr/lib", package.join("lib")).map_err(crate::text)?;
        }
        host.run(command("depmod").arg("-b").arg(&package).arg(&version))?;
        let image = package.join("boot").join(format!("vmlinux-{version}"));
        is_flat_image(&image)?;
        let modules = package.join("usr/lib/modules").join(&version);
        Ok(Self { image, modules, version, package, busybox })
    }

    /// The archive that the kernel unpacks into memory and starts `/init` from.
    pub fn initramfs(&self, host: &mut Host) -> Result<Vec<u8>, String> {
        host.say("packing the initramfs: busybox, drivers, init");
        let mut archive = Archive::default();
        for directory in ["bin", "drivers"] {
            archive.directory(directory);
        }
        archive.file("init", INIT.as_bytes(), true);
        archive.file("bin/busybox", &read(&self.busybox)?, true);
        let mut list = String::new();
        for driver in self.drivers(host)? {
            let name = driver.file_name().unwrap_or_default().to_string_lossy().trim_end_matches(".xz").to_owned();
            archive.file(&format!("drivers/{name}"), &unpacked(host, &driver)?, false);
            list += &name;
            list.push('\n');
        }
        archive.file("drivers/list", list.as_bytes(), false);
        Ok(archive.finish())
    }

    /// The files of all drivers, each after what it needs.
    fn drivers(&self, host: &mut Host) -> Result<Vec<PathBuf>, String> {
        let mut files = vec![];
        for driver in DRIVERS {
            let mut ask = command("modprobe");
            ask.arg("-d").arg(&self.package).args(["-S", &self.version, "--show-depends", driver]);
            let text = host.ask(&mut ask)?;
            for file in loaded_files(&text) {
                if !files.contains(&file) {
                    files.push(file);
                }
            }
        }
        Ok(files)
    }
}

/// From the lines of `modprobe --show-depends`: `insmod FILE [PARAMETERS]` or `builtin NAME`.
fn loaded_files(text: &str) -> impl Iterator<Item = PathBuf> {
    text.lines().filter_map(|line| line.strip_prefix("insmod ")?.split_whitespace().next()).map(PathBuf::from)
}

/// A driver as the guest loads it: unpacking it there would cost the guest's instructions.
fn unpacked(host: &mut Host, driver: &Path) -> Result<Vec<u8>, String> {
    if driver.extension().is_none_or(|e| e != "xz") {
        return read(driver);
    }
    let plain = host.dir().join("driver.ko");
    fs::copy(driver, plain.with_extension("ko.xz")).map_err(|e| format!("{}: {e}", driver.display()))?;
    host.run(command("xz").args(["--decompress", "--force"]).arg(plain.with_extension("ko.xz")))?;
    read(&plain)
}

fn is_flat_image(image: &Path) -> Result<(), String> {
    let (at, magic) = MAGIC;
    if read(image)?.get(at..at + magic.len()) == Some(magic) {
        Ok(())
    } else {
        Err(format!(
            "{} is not a flat RISC-V image: this Debian packs its kernel in a way that is not known here",
            image.display()
        ))
    }
}

fn read(file: &Path) -> Result<Vec<u8>, String> {
    fs::read(file).map_err(|e| format!("{}: {e}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_to_load() {
        let text = "builtin virtio_ring\ninsmod /k/a.ko.xz \ninsmod /k/b.ko.xz option=1\n";
        assert_eq!(loaded_files(text).collect::<Vec<_>>(), [Path::new("/k/a.ko.xz"), Path::new("/k/b.ko.xz")]);
    }

    #[test]
    fn only_a_flat_image_is_a_kernel() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("vmlinux");
        for (bytes, fine) in
            [(&b"\x7fELF"[..], false), (&[0; 64], false), (&[&[0; 0x38], &b"RSC\x05"[..]].concat(), true)]
        {
            fs::write(&file, bytes).expect("a file");
            assert_eq!(is_flat_image(&file).is_ok(), fine);
        }
    }
}
