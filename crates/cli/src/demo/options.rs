//! What a demonstration is asked to do, and the limits it keeps to.

use crate::local::port::free_port;
use clap::Args as ClapArgs;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::time::Duration;

/// Name of the program that is protected unless another is given; it is looked for beside this executable.
const SERVER: &str = "gapless-demo-server";
/// What stands for the port among a program's arguments.
const PORT_MARK: &[u8] = b"{port}";
const CLIENTS_MAX: i64 = 256;
const KILLS_MAX: i64 = 1000;

const EXAMPLES: &str = "\
Examples:
  gapless demo
  gapless demo --kills 10 --json
  gapless demo -- redis-server --port {port} --save ''

A primary and a backup run the program on this machine, as separate processes. Each client increments its own counter and sets its own keys, \
one request at a time. While requests are in flight the primary's supervisor is killed with SIGKILL, and the program under it dies with it. \
The backup takes over; a fresh backup joins the survivor and runs the whole log, and the clients go easy until it has; then comes the next kill. \
At the end both sides are killed, the program is run again from the survivor's log alone, and every value is compared with what the \
clients were told.

The program must speak the Redis protocol (PING, GET, SET, INCR, DEL). It starts in an empty directory: give its files absolute names.

Exit status: 0 nothing lost or doubled, 1 something was, 125 the demonstration could not be finished.";

/// Kill the primary under load, again and again, and count what its clients lose.
#[derive(ClapArgs, Debug)]
#[command(after_help = EXAMPLES)]
pub struct DemoArgs {
    /// Times that the primary is killed
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=KILLS_MAX))]
    pub kills: u32,
    /// Seconds of full load while protected, shared out evenly: some before each kill, some after the last
    #[arg(long, value_name = "S", default_value_t = 8)]
    pub seconds: u32,
    /// Concurrent clients, each with one request in flight
    #[arg(long, value_name = "C", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=CLIENTS_MAX))]
    pub clients: u32,
    /// Register of the pair; a file in a temporary directory unless given
    #[arg(long, value_name = "file:PATH|HOST:PORT")]
    pub arbiter: Option<String>,
    /// Leave the logs, and what the processes said, in their temporary directory
    #[arg(long)]
    pub keep: bool,
    /// The result as JSON
    #[arg(long)]
    pub json: bool,
    /// The program to protect and its arguments; {port} among them becomes the port that the clients use
    #[arg(last = true, value_name = "PROGRAM")]
    pub program: Vec<OsString>,
}

/// Everything fixed for one demonstration.
#[derive(Debug)]
pub struct Plan {
    /// The gapless executable, for the sides of the pair.
    pub gapless: PathBuf,
    /// Program and arguments with the port in them; a program that is named by a path, by an absolute one.
    pub program: Vec<OsString>,
    pub port: u16,
    pub kills: u32,
    pub clients: u32,
    /// Full load before each kill, and after the last.
    pub load: Duration,
}

impl Plan {
    pub fn new(args: &DemoArgs) -> Result<Self, String> {
        let gapless = std::env::current_exe().map_err(|e| format!("this executable cannot be found: {e}"))?;
        let port = free_port()?;
        let program = if args.program.is_empty() {
            vec![server(&gapless)?.into_os_string(), "--port".into(), port.to_string().into()]
        } else {
            let mut program = with_port(&args.program, port)?;
            program[0] = findable(&program[0])?;
            program
        };
        let load = Duration::from_secs(args.seconds.into()) / (args.kills + 1);
        Ok(Self { gapless, program, port, kills: args.kills, clients: args.clients, load })
    }

    /// The program's command line, for people.
    pub fn line(&self) -> String {
        let words: Vec<String> = self.program.iter().map(|word| word.display().to_string()).collect();
        words.join(" ")
    }
}

/// The small server: beside this executable, or one directory up when this is a test.
fn server(gapless: &std::path::Path) -> Result<PathBuf, String> {
    let beside = gapless.ancestors().skip(1).take(2).map(|dir| dir.join(SERVER));
    beside.into_iter().find(|path| path.is_file()).ok_or_else(|| {
        format!(
            "{SERVER} is not beside {}: build it with `cargo build --package {SERVER}` in the same profile, or name a program: gapless demo -- \
             redis-server --port {{port}}",
            gapless.display()
        )
    })
}

/// The same program as seen from every directory.
fn findable(name: &OsStr) -> Result<OsString, String> {
    if !name.as_bytes().contains(&b'/') {
        return Ok(name.to_owned());
    }
    std::path::absolute(name).map(PathBuf::into_os_string).map_err(|e| format!("{}: {e}", name.display()))
}

fn with_port(program: &[OsString], port: u16) -> Result<Vec<OsString>, String> {
    let replaced: Vec<OsString> = program.iter().map(|arg| replace(arg, port)).collect();
    if replaced == program {
        let name = program[0].display();
        return Err(format!(
            "no argument of {name} contains {{port}}; say where its port goes, for example: -- {name} --port {{port}}"
        ));
    }
    Ok(replaced)
}

fn replace(arg: &OsStr, port: u16) -> OsString {
    let (mut rest, mut out) = (arg.as_bytes(), Vec::new());
    while let Some(at) = rest.windows(PORT_MARK.len()).position(|w| w == PORT_MARK) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(port.to_string().as_bytes());
        rest = &rest[at + PORT_MARK.len()..];
    }
    out.extend_from_slice(rest);
    OsString::from_vec(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(program: &[&str], expect: Result<&[&str], &str>) {
        let program: Vec<OsString> = program.iter().map(OsString::from).collect();
        match (with_port(&program, 6390), expect) {
            (Ok(got), Ok(want)) => assert_eq!(got, want.iter().map(OsString::from).collect::<Vec<_>>()),
            (Err(got), Err(want)) => assert!(got.contains(want), "{got}"),
            (got, want) => panic!("{got:?} instead of {want:?}"),
        }
    }

    #[test]
    fn the_port_is_put_where_the_program_wants_it() {
        check(&["redis-server", "--port", "{port}"], Ok(&["redis-server", "--port", "6390"]));
        check(&["s", "--listen=127.0.0.1:{port}", "{port}{port}"], Ok(&["s", "--listen=127.0.0.1:6390", "63906390"]));
        check(&["redis-server"], Err("-- redis-server --port {port}"));
    }

    #[test]
    fn a_program_is_found_from_every_directory() {
        let here = std::env::current_dir().expect("there is one");
        assert_eq!(findable("redis-server".as_ref()).as_deref(), Ok("redis-server".as_ref()));
        assert_eq!(findable("/bin/x".as_ref()).as_deref(), Ok("/bin/x".as_ref()));
        assert_eq!(findable("./x".as_ref()), Ok(here.join("x").into_os_string()));
    }
}
