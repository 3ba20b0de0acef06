//! A small key-value server that knows nothing of gapless.
//!
//! It is what `gapless demo` protects: an ordinary program, std only, that speaks
//! enough of the Redis protocol for `redis-cli` and `redis-benchmark`. One thread a
//! connection and one map behind one mutex, so a protected run exercises threads,
//! futexes, sockets and blocking reads. It keeps nothing on disk and expires nothing.

mod command;
mod resp;
mod server;
mod store;

use std::process::ExitCode;

const USAGE: &str = "\
usage: gapless-demo-server --port PORT [--bind ADDRESS]

A key-value server that speaks a part of the Redis protocol (PING ECHO SET GET
INCR INCRBY DEL EXISTS DBSIZE COMMAND CONFIG QUIT SHUTDOWN). It prints one line
with its address as soon as it accepts connections; PORT 0 takes a free port.
ADDRESS is 127.0.0.1 unless given.";

/// What the command line asked for.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    Serve { bind: String, port: u16 },
    Help,
}

fn parse_args(mut args: impl Iterator<Item = String>) -> Result<Asked, String> {
    let mut bind = "127.0.0.1".to_owned();
    let mut port = None;
    while let Some(arg) = args.next() {
        let (name, inline) = match arg.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (arg, None),
        };
        let mut value = || inline.clone().or_else(|| args.next()).ok_or_else(|| format!("{name} needs a value"));
        match name.as_str() {
            "--port" => {
                let text = value()?;
                port = Some(text.parse().map_err(|_| format!("--port: {text:?} is not a port (0 to 65535)"))?);
            }
            "--bind" => bind = value()?,
            "--help" | "-h" => return Ok(Asked::Help),
            _ => return Err(format!("unknown argument {name:?}")),
        }
    }
    let port = port.ok_or("--port is missing")?;
    Ok(Asked::Serve { bind, port })
}

fn main() -> ExitCode {
    match parse_args(std::env::args().skip(1)) {
        Ok(Asked::Help) => {
            println!("{USAGE}");
            ExitCode::SUCCESS
        }
        Ok(Asked::Serve { bind, port }) => match server::serve(&bind, port) {
            Ok(never) => match never {},
            Err(error) => {
                eprintln!("gapless-demo-server: cannot listen on {bind}:{port}: {error}");
                ExitCode::FAILURE
            }
        },
        Err(message) => {
            eprintln!("gapless-demo-server: {message}\n{USAGE}");
            ExitCode::from(2)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, expect: Result<Asked, &str>) {
        let got = parse_args(line.split_whitespace().map(str::to_owned));
        assert_eq!(got, expect.map_err(str::to_owned), "{line}");
    }

    #[test]
    fn command_lines() {
        let serve = |bind: &str, port| Ok(Asked::Serve { bind: bind.to_owned(), port });
        check("--port 6390", serve("127.0.0.1", 6390));
        check("--port=0 --bind 0.0.0.0", serve("0.0.0.0", 0));
        check("--port 1 --help", Ok(Asked::Help));
        check("", Err("--port is missing"));
        check("--port", Err("--port needs a value"));
        check("--port 65536", Err("--port: \"65536\" is not a port (0 to 65535)"));
        check("6390", Err("unknown argument \"6390\""));
    }
}
