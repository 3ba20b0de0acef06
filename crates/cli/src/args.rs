//! The command line as data.

use crate::machine;
use clap::{Args as ClapArgs, Parser, Subcommand};
use gapless_machine::{DiskImage, Net};
use std::ffi::OsString;
use std::path::PathBuf;

/// Keeps a program running when the machine under it dies.
///
/// A primary runs the program and logs every input it could not have computed itself; a backup runs the same program from that log;
/// no output leaves before the backup holds the log that explains it.
#[derive(Parser, Debug)]
#[command(name = "gapless", version, disable_help_subcommand = true, after_help = EXIT_STATUSES)]
pub struct Args {
    #[command(subcommand)]
    pub command: Command,
}

const EXIT_STATUSES: &str = "Exit status of run, record, resume and backup: that of the program (128 + signal if it was killed); \
127 if the program was not found, 126 if it cannot be executed, 125 if gapless itself failed, 2 if the command line is wrong; \
128 + signal if SIGINT or SIGTERM ended a side that was not live. While a program is live here, signals go to it; a machine is stopped by them.";

/// The form of an address: `HOST:PORT`. Names are resolved when they are used.
fn address(text: &str, any_port: bool) -> Result<String, String> {
    let port =
        text.rsplit_once(':').filter(|(host, _)| !host.is_empty()).and_then(|(_, port)| port.parse::<u16>().ok());
    match port {
        Some(0) if !any_port => Err("port 0 cannot be dialled; use HOST:PORT".into()),
        Some(_) => Ok(text.to_owned()),
        None => Err("not of the form HOST:PORT".into()),
    }
}

pub fn dialled(text: &str) -> Result<String, String> {
    address(text, false)
}

fn listened(text: &str) -> Result<String, String> {
    address(text, true)
}

/// Where gdb is waited for; on this host alone unless another address is given.
fn gdb(text: &str) -> Result<String, String> {
    if text.starts_with(':') { listened(&format!("127.0.0.1{text}")) } else { listened(text) }
}

#[derive(Subcommand, Debug)]
pub enum Command {
    /// Run a program protected by a backup
    #[command(
        override_usage = "gapless run [OPTIONS] --arbiter <ARBITER> --log <DIR> -- <PROGRAM> [ARGS]...",
        after_help = "\
Examples:
  gapless run --backup 10.0.0.2:7400 --listen 10.0.0.1:7400 --arbiter 10.0.0.3:7300/redis --log DIR -- redis-server --port 6390
  gapless run --unprotected-start --arbiter file:/tmp/register --log DIR -- python3 -m http.server"
    )]
    Run(RunArgs),
    /// Stand by for a primary; take over when it dies
    #[command(after_help = "\
Examples:
  gapless backup --listen 10.0.0.2:7400 --arbiter 10.0.0.3:7300/redis --log DIR
  gapless backup --listen 127.0.0.1:0 --arbiter file:/tmp/register --log DIR    (one machine)")]
    Backup(BackupArgs),
    /// Hold the register that decides who may go live (a small third process)
    #[command(after_help = "\
Examples: one witness for two programs
  gapless witness --listen 10.0.0.3:7300 --log DIR
  gapless run --arbiter 10.0.0.3:7300/redis ...
  gapless run --arbiter 10.0.0.3:7300/web ...")]
    Witness(WitnessArgs),
    /// Run a program and log to disk only
    #[command(
        override_usage = "gapless record [OPTIONS] --log <DIR> -- <PROGRAM> [ARGS]...",
        after_help = "\
Examples:
  gapless record --log DIR -- sh -c 'date; echo hello'
  gapless record --log DIR --state /srv/data -- redis-server --dir /srv/data"
    )]
    Record(RecordArgs),
    /// Run a program again from its log alone
    #[command(after_help = "\
Examples:
  gapless replay DIR --digest
  gapless replay DIR --until 1000 --json
  gapless replay DIR --gdb :1234    (a machine's: then `gdb-multiarch -ex 'target remote :1234'`)")]
    Replay(ReplayArgs),
    /// Copy the files that the program wrote, or a machine's disks, out of a log
    #[command(after_help = "\
Examples:
  gapless export DIR --to OUT
  gapless export DIR --state /srv/data --until 1000 --to OUT")]
    Export(ExportArgs),
    /// Replay a log to its end, then go live there
    #[command(after_help = "\
Examples:
  gapless resume DIR    (what `gapless record` began)
  gapless resume DIR --arbiter 10.0.0.3:7300/redis --listen 10.0.0.1:7400    (what a pair began)")]
    Resume(ResumeArgs),
    /// Show what the node on a log directory is doing
    #[command(after_help = "\
Examples:
  gapless status DIR
  gapless status DIR --json")]
    Status(StatusArgs),
    /// Hand the program over to the backup, as planned and without loss; of a node of tasks, all shards that are live there
    #[command(after_help = "\
Example: on the primary's log directory
  gapless handover DIR")]
    Handover(DirArgs),
    /// Stop the node on a log directory; a node of tasks as a whole
    #[command(after_help = "\
Example: if the node is live, its backup takes over
  gapless stop DIR")]
    Stop(DirArgs),
    /// Look into a log
    #[command(subcommand)]
    Log(LogCommand),
    /// Run a whole computer: alone, or protected by a backup
    #[command(after_help = "\
Examples:
  gapless machine --kernel debian.kernel --initrd debian.initrd --disk debian.img --net passt --append 'console=ttyS0 root=/dev/vda'
  gapless machine ... --log DIR                                  (recorded: replay, resume, debug)
  gapless machine ... --net tap=tap0 --log DIR --arbiter 10.0.0.3:7300/box --backup 10.0.0.2:7400 --listen 10.0.0.1:7400
  gapless machine --from booted.machine --log DIR ...            (what `gapless replay DIR --save booted.machine` wrote)
On the terminal, Ctrl-] and then . ends it; a protected one has its console at `gapless console DIR`.")]
    Machine(Box<MachineArgs>),
    /// Join this terminal to the console of the machine that is live on a log directory
    #[command(after_help = "\
Example: Ctrl-] and then . leaves it
  gapless console DIR")]
    Console(ConsoleArgs),
    /// Run a service of tasks, in any language, on two nodes; ask its tasks and look at them
    #[command(
        override_usage = "gapless task [OPTIONS] --kind <KIND> --listen <ADDR> --peer <ADDR> --arbiter <ARBITER> --log <DIR> -- <PROGRAM> [ARGS]...\n       gapless task <COMMAND>",
        after_help = crate::task_command::EXAMPLES
    )]
    Task(Box<crate::task_command::TaskArgs>),
    /// Tell what this host offers and how to fix each lack
    #[command(after_help = "\
Examples:
  gapless doctor
  gapless doctor --log DIR --json")]
    Doctor(DoctorArgs),
    /// Kill the primary under load, again and again, and count what its clients lose
    Demo(crate::demo::DemoArgs),
    /// Measure what gapless costs on this machine
    #[command(subcommand)]
    Bench(crate::bench::BenchCommand),
}

#[derive(Subcommand, Debug)]
pub enum LogCommand {
    /// Print entries, one a line (exit status 0 fine, 1 corrupt, 3 torn tail only)
    #[command(after_help = "\
Examples:
  gapless log cat DIR | head
  gapless log cat DIR --from 100 --until 200 --json")]
    Cat(CatArgs),
    /// Summarise a log (exit status 0 fine, 1 corrupt, 3 torn tail only)
    #[command(after_help = "\
Example:
  gapless log stat DIR")]
    Stat(LookArgs),
    /// Check every byte of a log (exit status 0 fine, 1 corrupt, 3 torn tail only)
    #[command(after_help = "\
Example:
  gapless log verify DIR && echo fine")]
    Verify(LookArgs),
}

#[derive(ClapArgs, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub struct MachineArgs {
    #[command(subcommand)]
    pub command: Option<MachineCommand>,
    /// Flat RISC-V Linux image
    #[arg(long, value_name = "IMAGE")]
    pub kernel: Option<PathBuf>,
    /// Initial ramdisk
    #[arg(long, value_name = "FILE", requires = "kernel")]
    pub initrd: Option<PathBuf>,
    /// The kernel's command line
    #[arg(long, value_name = "TEXT", default_value = "console=ttyS0", requires = "kernel")]
    pub append: String,
    /// Memory of the machine
    #[arg(long, value_name = "SIZE", default_value = "1G", value_parser = machine::memory)]
    pub memory: u64,
    /// A disk, from a raw image that is never written to: what the guest writes is kept with the log. With ,ro the guest may only read it
    #[arg(long = "disk", value_name = "FILE[,ro]", value_parser = machine::disk)]
    pub disks: Vec<DiskImage>,
    /// A network device, plugged into this TAP, or into a passt of its own that forwards these ports (unprotected runs only)
    #[arg(long, value_name = "tap=NAME|passt[=HOST/PORT:PORT,...]", value_parser = machine::net)]
    pub net: Option<Net>,
    /// Go on from a saved machine instead of switching a new one on
    #[arg(long, value_name = "FILE", conflicts_with_all = ["kernel", "disks", "memory"])]
    pub from: Option<PathBuf>,
    /// Directory for the log; without it nothing is kept
    #[arg(long, value_name = "DIR")]
    pub log: Option<PathBuf>,
    /// Output leaves only when its log is durable on disk (of both sides)
    #[arg(long)]
    pub durable: bool,
    /// Register of the pair; makes the machine a protected one
    #[arg(long, value_name = "file:PATH|HOST:PORT[/PAIR]")]
    pub arbiter: Option<String>,
    /// Address of the backup
    #[arg(long, value_name = "HOST:PORT", value_parser = dialled)]
    pub backup: Option<String>,
    /// Address at which a backup may join later
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:0", value_parser = listened)]
    pub listen: String,
    /// Let output leave before the first backup has joined
    #[arg(long)]
    pub unprotected_start: bool,
    #[command(flatten)]
    pub node: NodeArgs,
}

#[derive(ClapArgs, Debug)]
pub struct ConsoleArgs {
    /// The node's log directory
    pub dir: PathBuf,
}

#[derive(Subcommand, Debug)]
pub enum MachineCommand {
    /// Disks for the machine
    #[command(subcommand)]
    Image(ImageCommand),
}

#[derive(Subcommand, Debug)]
pub enum ImageCommand {
    /// Make a Debian for the machine: disk, kernel and initramfs
    #[command(after_help = "\
Examples:
  gapless machine image build debian.img    (and debian.kernel, debian.initrd)
  gapless machine image build --packages redis-server,iperf3 --size 2G redis.img
  gapless machine image build --no-disk guest.img    (guest.kernel and guest.initrd only; needs no root)")]
    Build(ImageBuildArgs),
    /// Write what a machine has changed on its disks into the images that they began with
    #[command(after_help = "\
Example: after the machine has ended
  gapless machine image commit DIR")]
    Commit(DirArgs),
}

/// Debian 13 for riscv64 from the mirror that this host's apt uses, with the host's package tools. root logs in on ttyS0 without a password; the
/// network asks DHCP unless the kernel's command line has `ip=ADDRESS/LENGTH[,GATEWAY[,DNS]]`; redis, if it is among the packages, listens to the
/// outside without a password. Takes a minute or two.
#[derive(ClapArgs, Debug)]
pub struct ImageBuildArgs {
    /// The disk image to make; OUT.kernel and OUT.initrd get their names from it
    #[arg(value_name = "OUT.img")]
    pub out: PathBuf,
    /// Debian packages to install in it
    #[arg(long, value_name = "NAME,...", value_delimiter = ',', value_parser = crate::machine::image::package)]
    pub packages: Vec<String>,
    /// Size of the disk
    #[arg(long, value_name = "SIZE", default_value = "1G", value_parser = crate::machine::image::size)]
    pub size: u64,
    /// Name of the machine
    #[arg(long, value_name = "NAME", default_value = "gapless", value_parser = crate::machine::image::hostname)]
    pub hostname: String,
    /// Mirror of Debian, if not the one that this host's apt uses
    #[arg(long, value_name = "URL", value_parser = crate::machine::image::mirror)]
    pub mirror: Option<String>,
    /// Only the kernel and the initramfs
    #[arg(long, conflicts_with_all = ["packages", "hostname", "size"])]
    pub no_disk: bool,
    /// Write over files that exist
    #[arg(long)]
    pub force: bool,
}

#[derive(ClapArgs, Debug)]
pub struct ProgramArgs {
    /// Directory whose contents the program keeps: copied into the log at the start, changed there from then on
    #[arg(long = "state", value_name = "DIR")]
    pub states: Vec<PathBuf>,
    /// The program and its arguments
    #[arg(required = true, trailing_var_arg = true, value_name = "PROGRAM")]
    pub program: Vec<OsString>,
}

#[derive(ClapArgs, Debug)]
pub struct RecordArgs {
    /// Directory for the log (must not hold one yet)
    #[arg(long, value_name = "DIR")]
    pub log: PathBuf,
    /// Output leaves only when its log is durable on disk
    #[arg(long)]
    pub durable: bool,
    #[command(flatten)]
    pub checks: CheckArgs,
    #[command(flatten)]
    pub program: ProgramArgs,
}

/// How often a live replica is checked.
#[derive(ClapArgs, Debug)]
pub struct CheckArgs {
    /// Log a digest of the whole program this often, in milliseconds (0: after every step, which is slow); less often where that took more than
    /// a twentieth of the time
    #[arg(long, value_name = "MS", default_value_t = 1000)]
    pub digest_every: u64,
}

impl CheckArgs {
    /// The same for the host loop of what runs alone: a frame costs little there.
    pub fn options(&self) -> gapless_log::Options {
        let digest_every = std::time::Duration::from_millis(self.digest_every);
        gapless_log::Options { digest_every, frame_outputs: 1, ..gapless_log::Options::default() }
    }
}

#[derive(ClapArgs, Debug)]
pub struct ReplayArgs {
    /// The log directory
    pub dir: PathBuf,
    /// Stop exactly at this position (exit status 4 if the log ends before it)
    #[arg(long, value_name = "POSITION")]
    pub until: Option<u64>,
    /// Print the digest of where the replay ends. Every digest in the log is compared in any case; exit status 1 at the first that differs
    #[arg(long)]
    pub digest: bool,
    /// Write the machine as it stands at the end of the replay to this file, for `gapless machine --from` (machines only)
    #[arg(long, value_name = "FILE")]
    pub save: Option<PathBuf>,
    /// Let gdb drive the replay, forwards and backwards: wait for it at this address (machines only). With --until it starts there
    #[arg(long, value_name = "[HOST]:PORT", value_parser = gdb, conflicts_with_all = ["digest", "save", "json"])]
    pub gdb: Option<String>,
    /// Print a summary as JSON
    #[arg(long)]
    pub json: bool,
}

/// The log is executed to its end, and the files that the program made or changed are written as real files: contents, modes, times, symbolic and hard
/// links. Of a machine its disks are written, as OUT/disk0.img and so on. Nothing goes live, and the log is only read. Exit status 1 if the replay differs from the log, 4 if the log ends before the position; then
/// nothing is written.
#[derive(ClapArgs, Debug)]
pub struct ExportArgs {
    /// The log directory
    pub dir: PathBuf,
    /// Only this directory, as the program knew it (one given with --state, or any other in which it wrote); its contents go directly into OUT. Without
    /// it everything that the program made or changed is written, each file under OUT and its whole path
    #[arg(long, value_name = "PATH")]
    pub state: Option<PathBuf>,
    /// Directory for the files: new or empty
    #[arg(long, value_name = "OUT")]
    pub to: PathBuf,
    /// The files as they were at this position instead of at the end
    #[arg(long, value_name = "POSITION")]
    pub until: Option<u64>,
    /// Print a summary as JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(ClapArgs, Debug)]
pub struct ResumeArgs {
    /// The log directory
    pub dir: PathBuf,
    #[command(flatten)]
    pub pair: ResumePairArgs,
}

#[derive(ClapArgs, Debug)]
pub struct ResumePairArgs {
    /// Register of the pair that the log belongs to
    #[arg(long, value_name = "file:PATH|HOST:PORT[/PAIR]")]
    pub arbiter: Option<String>,
    /// Address at which the next backup may join
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:0", value_parser = listened)]
    pub listen: String,
    /// What the network device of a machine is plugged into here
    #[arg(long, value_name = "tap=NAME|passt[=HOST/PORT:PORT,...]", value_parser = machine::net)]
    pub net: Option<Net>,
    #[command(flatten)]
    pub node: NodeArgs,
    /// Accept that acknowledged work may be lost. Every machine on which the program was ever live must be off: name them
    #[arg(long, value_name = "MACHINES")]
    pub accept_loss: Option<String>,
}

#[derive(ClapArgs, Debug)]
pub struct PairArgs {
    /// Register of the pair: a file (one machine or a shared disk) or a witness, which serves many programs, each under a PAIR of its own
    #[arg(long, value_name = "file:PATH|HOST:PORT[/PAIR]")]
    pub arbiter: String,
    /// Directory for this side's log
    #[arg(long, value_name = "DIR")]
    pub log: PathBuf,
    /// Output leaves only when its log is durable on both disks
    #[arg(long)]
    pub durable: bool,
    #[command(flatten)]
    pub node: NodeArgs,
}

/// What every node of a pair may be told, however it begins.
#[derive(ClapArgs, Debug)]
pub struct NodeArgs {
    /// Address that the other side can reach, if it is not the one listened at
    #[arg(long, value_name = "HOST:PORT", value_parser = dialled)]
    pub advertise: Option<String>,
    /// Silence after which the other side counts as dead, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 200)]
    pub detect: u64,
    #[command(flatten)]
    pub checks: CheckArgs,
}

#[derive(ClapArgs, Debug)]
pub struct RunArgs {
    /// Address of the backup
    #[arg(long, value_name = "HOST:PORT", value_parser = dialled)]
    pub backup: Option<String>,
    /// Address at which a backup may join later
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:0", value_parser = listened)]
    pub listen: String,
    /// Let output leave before the first backup has joined
    #[arg(long)]
    pub unprotected_start: bool,
    #[command(flatten)]
    pub pair: PairArgs,
    #[command(flatten)]
    pub program: ProgramArgs,
}

#[derive(ClapArgs, Debug)]
pub struct BackupArgs {
    /// Address to listen at
    #[arg(long, value_name = "HOST:PORT", value_parser = listened)]
    pub listen: String,
    /// What the network device of a machine is plugged into here
    #[arg(long, value_name = "tap=NAME", value_parser = machine::net)]
    pub net: Option<Net>,
    #[command(flatten)]
    pub pair: PairArgs,
}

#[derive(ClapArgs, Debug)]
pub struct WitnessArgs {
    /// Address to listen at
    #[arg(long, value_name = "HOST:PORT", value_parser = listened)]
    pub listen: String,
    /// Directory for the registers
    #[arg(long, value_name = "DIR")]
    pub log: PathBuf,
}

#[derive(ClapArgs, Debug)]
pub struct DirArgs {
    /// The node's log directory
    pub dir: PathBuf,
}

#[derive(ClapArgs, Debug)]
pub struct StatusArgs {
    /// The node's log directory
    #[arg(default_value = ".")]
    pub dir: PathBuf,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(ClapArgs, Debug)]
pub struct LookArgs {
    /// The log directory
    pub dir: PathBuf,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(ClapArgs, Debug)]
pub struct CatArgs {
    /// The log directory
    pub dir: PathBuf,
    /// From this position on
    #[arg(long, value_name = "POSITION", default_value_t = 0)]
    pub from: u64,
    /// Up to this position
    #[arg(long, value_name = "POSITION", default_value_t = u64::MAX, hide_default_value = true)]
    pub until: u64,
    /// One JSON object a line
    #[arg(long)]
    pub json: bool,
}

#[derive(ClapArgs, Debug)]
pub struct DoctorArgs {
    /// As JSON
    #[arg(long)]
    pub json: bool,
    /// Also measure the disk below this directory
    #[arg(long, value_name = "DIR")]
    pub log: Option<PathBuf>,
}
