//! Where packages come from: the mirror that the host's own apt uses.
//!
//! A second apt configuration for the guest's release and architecture lies beside the host's, which stays as it is; the host's settings (a
//! proxy, credentials) hold for both.

use super::host::{Host, command};
use super::{ARCHITECTURE, RELEASE};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// The keys that Debian's releases are signed with.
pub const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// The first Debian mirror that the host's apt has an index from.
pub fn of_host(host: &mut Host) -> Result<String, String> {
    let format = "$(ORIGIN)\t$(LABEL)\t$(COMPONENT)\t$(REPO_URI)";
    let text = host.ask(command("apt-get").args(["indextargets", "--format", format, "Created-By: Packages"]))?;
    choose(&text).ok_or_else(|| {
        "the apt of this host has no index of a Debian mirror: run  apt-get update  as root, or name a mirror with --mirror URL".into()
    })
}

/// Lines of origin, label, component and address; security archives have a label of their own.
fn choose(text: &str) -> Option<String> {
    text.lines()
        .find_map(|line| line.strip_prefix("Debian\tDebian\tmain\t"))
        .map(|uri| uri.trim_end_matches('/').to_owned())
}

/// The line of a sources.list for the guest.
pub fn source(mirror: &str) -> String {
    format!("deb [signed-by={KEYRING}] {mirror} {RELEASE} main")
}

/// An apt that knows the guest's packages and installs nothing.
pub struct Apt {
    config: PathBuf,
    downloads: PathBuf,
}

impl Apt {
    /// Writes the configuration and fetches the index.
    pub fn new(host: &mut Host, mirror: &str) -> Result<Self, String> {
        let dir = host.dir().join("apt");
        let apt = Self { config: dir.join("apt.conf"), downloads: dir.join("downloads") };
        let files = [
            ("sources.list", source(mirror) + "\n"),
            ("status", String::new()),
            ("apt.conf", configuration(&dir.display().to_string())),
        ];
        let directories = ["lists/partial", "cache/archives/partial", "downloads"];
        let made = directories
            .iter()
            .try_for_each(|name| fs::create_dir_all(dir.join(name)))
            .and_then(|()| files.iter().try_for_each(|(name, text)| fs::write(dir.join(name), text)));
        made.map_err(|e| format!("{}: {e}", dir.display()))?;
        host.run(apt.command("apt-get").arg("update"))?;
        Ok(apt)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = command(program);
        command.env("APT_CONFIG", &self.config).current_dir(&self.downloads);
        command
    }

    /// The first package that one depends on whose name begins so: a metapackage's newest kernel.
    pub fn dependency(&self, host: &mut Host, package: &str, begins: &str) -> Result<String, String> {
        let text = host.ask(self.command("apt-cache").args(["depends", package]))?;
        let mut named = text.lines().filter_map(|line| line.trim().strip_prefix("Depends: "));
        named.find(|name| name.starts_with(begins)).map(str::to_owned).ok_or_else(|| {
            format!("{package} depends on no package that begins with {begins}; is this a mirror of Debian {RELEASE}?")
        })
    }

    /// Downloads a package and unpacks it into a directory of its name.
    pub fn unpack(&self, host: &mut Host, package: &str) -> Result<PathBuf, String> {
        host.run(self.command("apt-get").args(["download", package]))?;
        let file = fs::read_dir(&self.downloads)
            .map_err(crate::text)?
            .flatten()
            .find(|file| file.file_name().to_string_lossy().starts_with(&format!("{package}_")))
            .ok_or_else(|| format!("apt-get download {package} left no file"))?;
        let place = host.dir().join(package);
        host.run(command("dpkg-deb").arg("--extract").arg(file.path()).arg(&place))?;
        Ok(place)
    }
}

fn configuration(dir: &str) -> String {
    format!(
        "APT::Architecture \"{ARCHITECTURE}\";\n\
         APT::Architectures {{ \"{ARCHITECTURE}\"; }};\n\
         Dir::Etc::SourceList \"{dir}/sources.list\";\n\
         Dir::Etc::SourceParts \"/dev/null\";\n\
         Dir::Etc::Preferences \"/dev/null\";\n\
         Dir::Etc::PreferencesParts \"/dev/null\";\n\
         Dir::State \"{dir}\";\n\
         Dir::State::Lists \"{dir}/lists\";\n\
         Dir::State::status \"{dir}/status\";\n\
         Dir::Cache \"{dir}/cache\";\n\
         Acquire::Languages \"none\";\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mirror_is_the_first_that_has_all_of_debian() {
        let text = "Debian\tDebian-Security\tmain\thttp://a.test/debian-security/\n\
                    Other\tOther\tmain\thttp://b.test/\n\
                    Debian\tDebian\tcontrib\thttp://c.test/debian/\n\
                    Debian\tDebian\tmain\thttp://d.test/debian/\n\
                    Debian\tDebian\tmain\thttp://e.test/debian/\n";
        assert_eq!(choose(text).as_deref(), Some("http://d.test/debian"));
        assert_eq!(choose(""), None);
    }
}
