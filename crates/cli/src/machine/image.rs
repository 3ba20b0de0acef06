//! `gapless machine image build`: a Debian for the machine, as a disk image, a kernel and an initramfs.
//!
//! It does what a person would do by hand with the package tools of a Debian host, and says each step: [`mod@mirror`] finds the mirror that the
//! host's own apt uses, [`boot`] makes the kernel and the [`archive`] with the drivers and the init, [`disk`] the system. All of it happens in a
//! directory beside the image that is gone at the end, whichever way it ends; the results get their names only when all are complete. Nothing is
//! installed on the host: what is missing is named by [`host`].

mod archive;
mod boot;
mod disk;
mod host;
mod mirror;

use crate::args::ImageBuildArgs;
use crate::out::{self, talk};
use crate::program::{self, Executed};
use crate::{Outcome, interrupt};
use gapless_log::{DirLock, Meta};
use gapless_pair::driver::alone::Extent;
use host::Host;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Debian 13, the first release that has this architecture.
const RELEASE: &str = "trixie";
const ARCHITECTURE: &str = "riscv64";

/// `gapless machine image build`.
pub fn build(args: &ImageBuildArgs) -> Outcome {
    let files = Files::new(&args.out, !args.no_disk);
    if !args.force {
        files.refuse_existing()?;
    }
    host::require(!args.no_disk)?;
    interrupt::install();
    let parent = files.kernel.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let dir = work_directory(parent)?;
    let work = Files::new(&dir.path().join("guest.img"), files.disk.is_some());
    make(args, dir.path(), &work)?;
    for (made, wanted) in work.all().zip(files.all()) {
        fs::rename(made, wanted).map_err(|e| format!("{}: {e}", wanted.display()))?;
    }
    talk!("gapless: it boots with\n  {}", files.command_line());
    let names: String = files.all().map(|f| format!("{}\n", f.display())).collect();
    out::data(&names)?;
    Ok(0)
}

fn make(args: &ImageBuildArgs, dir: &Path, files: &Files) -> Result<(), String> {
    let mut host = Host::new(dir);
    let mirror = match &args.mirror {
        Some(mirror) => mirror.clone(),
        None => mirror::of_host(&mut host)?,
    };
    let kernel = boot::Kernel::fetch(&mut host, &mirror)?;
    fs::copy(&kernel.image, &files.kernel).map_err(|e| format!("{}: {e}", files.kernel.display()))?;
    fs::write(&files.initrd, kernel.initramfs(&mut host)?).map_err(|e| format!("{}: {e}", files.initrd.display()))?;
    let Some(image) = &files.disk else { return Ok(()) };
    let plan = disk::Plan { packages: &args.packages, hostname: &args.hostname, size: args.size };
    disk::build(&mut host, &mirror, &kernel, &plan, image)
}

/// Beside the image, so that the results need only be renamed. Apt's own user must be able to enter it.
fn work_directory(parent: &Path) -> Result<tempfile::TempDir, String> {
    let fail = |e| format!("no directory to work in at {}: {e}", parent.display());
    let parent = std::path::absolute(parent).map_err(fail)?;
    let dir = tempfile::Builder::new().prefix(".gapless-image-").tempdir_in(&parent).map_err(fail)?;
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).map_err(fail)?;
    Ok(dir)
}

/// The names of what is built: `OUT.img`, `OUT.kernel`, `OUT.initrd`.
#[derive(Debug)]
struct Files {
    kernel: PathBuf,
    initrd: PathBuf,
    disk: Option<PathBuf>,
}

impl Files {
    fn new(image: &Path, disk: bool) -> Self {
        let stem =
            if image.extension().is_some_and(|e| e == "img") { image.with_extension("") } else { image.to_owned() };
        let with = |suffix| PathBuf::from([stem.as_os_str(), suffix].into_iter().collect::<OsString>());
        Self {
            kernel: with(".kernel".as_ref()),
            initrd: with(".initrd".as_ref()),
            disk: disk.then(|| image.to_owned()),
        }
    }

    fn all(&self) -> impl Iterator<Item = &PathBuf> {
        [&self.kernel, &self.initrd].into_iter().chain(&self.disk)
    }

    fn refuse_existing(&self) -> Result<(), String> {
        match self.all().find(|file| file.exists()) {
            Some(file) => Err(format!("{} exists; --force writes over it", file.display())),
            None => Ok(()),
        }
    }

    fn command_line(&self) -> String {
        let (kernel, initrd) = (self.kernel.display(), self.initrd.display());
        match &self.disk {
            Some(disk) => format!(
                "gapless machine --kernel {kernel} --initrd {initrd} --disk {} --net tap=tap0 --append \"console=ttyS0 root=/dev/vda\"",
                disk.display()
            ),
            None => format!("gapless machine --kernel {kernel} --initrd {initrd} --append \"console=ttyS0 mode=sh\""),
        }
    }
}

/// A size in bytes: digits and K, M or G.
pub fn size(text: &str) -> Result<u64, String> {
    const WRONG: &str = "not a size: use digits and K, M or G, like 1G";
    let (digits, shift) = match text.char_indices().last() {
        Some((at, 'K' | 'k')) => (&text[..at], 10),
        Some((at, 'M' | 'm')) => (&text[..at], 20),
        Some((at, 'G' | 'g')) => (&text[..at], 30),
        _ => (text, 0),
    };
    let number: u64 = digits.parse().map_err(|_| WRONG)?;
    number.checked_mul(1 << shift).filter(|&n| n > 0).ok_or_else(|| WRONG.to_owned())
}

/// The name of a Debian package (Debian Policy 5.6.7), so that nothing else gets into a tool's command line.
pub fn package(text: &str) -> Result<String, String> {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "+-.".contains(c);
    let begins = text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    if begins && text.len() >= 2 && text.chars().all(inner) {
        Ok(text.to_owned())
    } else {
        Err("not the name of a Debian package".into())
    }
}

/// An address that apt reads: a scheme and no blanks, so that nothing else gets into its configuration.
pub fn mirror(text: &str) -> Result<String, String> {
    let scheme = ["http://", "https://", "file:/"].into_iter().any(|scheme| text.starts_with(scheme));
    if scheme && text.chars().all(|c| c.is_ascii_graphic() && c != '[') {
        Ok(text.trim_end_matches('/').to_owned())
    } else {
        Err("not an address that begins with http://, https:// or file:/".into())
    }
}

/// A host's name (RFC 1123): one label or several.
pub fn hostname(text: &str) -> Result<String, String> {
    let label = |l: &str| {
        (1..=63).contains(&l.len())
            && !l.starts_with('-')
            && !l.ends_with('-')
            && l.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
    };
    if text.len() <= 64 && text.split('.').all(label) { Ok(text.to_owned()) } else { Err("not a host name".into()) }
}

/// `gapless machine image commit`: the log tells what is on the disks, however the machine ended.
pub fn commit(dir: &Path) -> Outcome {
    // Nothing may go on in the log whose disks are merged.
    let _lock = Meta::require(dir).and_then(|_| DirLock::take(dir)).map_err(crate::text)?;
    let done = match gapless_machine::disk::finish_commit(&gapless_machine::files(dir)).map_err(crate::text)? {
        Some(interrupted) => interrupted,
        None => match program::execute(dir, Extent::default(), |replica, _| replica.machine()?.commit_disks(dir))? {
            Executed::Done(_, done) => done,
            Executed::Not(status) => return Ok(status),
        },
    };
    for path in &done {
        talk!(
            "gapless: {} holds what the machine has written; a log that names this image cannot be replayed any more",
            path.display()
        );
    }
    if done.is_empty() {
        talk!("gapless: the machine has no disk that it may write to");
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, bytes) in [("1G", 1 << 30), ("512m", 512 << 20), ("3K", 3072), ("4096", 4096)] {
            assert_eq!(size(text), Ok(bytes));
        }
        for text in ["", "G", "0", "-1G", "1T", "1.5G", "99999999999999G", "1é"] {
            assert!(size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn names_of_packages_and_hosts() {
        for good in ["redis-server", "libstdc++6", "7zip"] {
            assert!(package(good).is_ok(), "{good}");
        }
        for bad in ["", "a", "-o", "Redis", "a b", "?essential", "~x"] {
            assert!(package(bad).is_err(), "{bad}");
        }
        for (name, fine) in
            [("gapless", true), ("a.b-c", true), ("-a", false), ("a..b", false), ("", false), ("a/b", false)]
        {
            assert_eq!(hostname(name).is_ok(), fine, "{name}");
        }
    }

    #[test]
    fn names_of_what_is_built() {
        let names = |out: &str, disk| {
            let files = Files::new(Path::new(out), disk);
            files.all().map(|f| f.display().to_string()).collect::<Vec<_>>()
        };
        assert_eq!(names("d/a.img", true), ["d/a.kernel", "d/a.initrd", "d/a.img"]);
        assert_eq!(names("debian13.2", true), ["debian13.2.kernel", "debian13.2.initrd", "debian13.2"]);
        assert_eq!(names("a.img", false), ["a.kernel", "a.initrd"]);
    }

    #[test]
    fn nothing_is_written_over() {
        let dir = tempfile::tempdir().expect("a directory");
        let files = Files::new(&dir.path().join("a.img"), true);
        files.refuse_existing().expect("nothing there");
        fs::write(&files.initrd, "").expect("a file");
        assert!(files.refuse_existing().unwrap_err().ends_with("a.initrd exists; --force writes over it"));
    }
}
