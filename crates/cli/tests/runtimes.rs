//! Runtimes of languages and what people run in them: their schedulers, collectors, pools of processes and threads, and a compiler driven by make.
//!
//! Each is asked what `programs.rs` asks of its programs; less often where a log holds a hundred megabytes of the runtime's own files.

mod support;

use std::fs;
use std::path::Path;
use support::batch::{Batch, Kills};
use support::serve::http_like;
use support::{Area, needs, python, words};

/// Runtimes and compilers whose own files alone are a hundred megabytes or more.
const SELDOM: Kills = Kills { resumed: 2, taken_over: 1 };
/// The others.
const SOMETIMES: Kills = Kills { resumed: 3, taken_over: 2 };

/// Scripts and sources, beside this file.
fn source(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/runtimes").join(name);
    fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// A script, killed and taken over.
fn script(name: &str, interpreter: &str, file: &str, kills: Kills) {
    let text = source(file);
    Batch { name, argv: &[interpreter, file], look: &[], kills }.check(|dir| {
        fs::write(dir.join(file), &text).expect("a script");
    });
}

/// Runs a compiler, which must succeed.
fn compile(area: &Area, program: &str, args: &[&str]) {
    needs(&program.into());
    let mut command = area.command(program, area.path());
    command.args(args);
    let done = command.output().expect("it runs");
    assert!(done.status.success(), "{program}: {}", String::from_utf8_lossy(&done.stderr));
}

#[test]
fn python_asyncio() {
    script("python-asyncio", &python(), "echo.py", SOMETIMES);
}

/// Pools, queues, shared counters, events, barriers and pipes between processes that share semaphores and memory under /dev/shm.
#[test]
fn python_multiprocessing() {
    script("python-multiprocessing", &python(), "pool.py", SOMETIMES);
}

#[test]
fn perl() {
    script("perl", "perl", "mixed.pl", SOMETIMES);
}

#[test]
fn ruby() {
    script("ruby", "ruby", "mixed.rb", SOMETIMES);
}

#[test]
fn make_with_four_jobs() {
    needs(&"cc".into());
    let files = ["Makefile", "list.h", "main.c", "push.c", "sum.c", "crc.c", "shout.c"]
        .map(|name| (name, source(&format!("project/{name}"))));
    let script = source("build.sh");
    let look = ["bash", "-c", "make -q CFLAGS='-O2 -g' && ./program what was left"];
    Batch { name: "make", argv: &["bash", "build.sh"], look: &look, kills: SELDOM }.check(|dir| {
        fs::write(dir.join("build.sh"), &script).expect("a script");
        for (name, text) in &files {
            fs::write(dir.join(name), text).expect("a source");
        }
    });
}

/// Goroutines over loopback, and one that the runtime stops by SIGURG.
#[test]
fn go() {
    let area = Area::new("go-source");
    let server = go_server(&area);
    Batch { name: "go", argv: &[&server], look: &[], kills: SOMETIMES }.check(|_| {});
}

#[test]
fn go_http_server() {
    let area = Area::new("go-server-source");
    let server = go_server(&area);
    http_like("go-server", |_, port| words(&[&server, &format!("127.0.0.1:{port}")]));
}

fn go_server(area: &Area) -> String {
    let out = area.join("server").to_str().expect("a name in UTF-8").to_owned();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/runtimes/server.go");
    compile(area, "go", &["build", "-o", &out, file.to_str().expect("a name in UTF-8")]);
    out
}

#[test]
fn node_http_server() {
    let text = source("server.js");
    http_like("node-server", |dir, port| {
        fs::write(dir.join("server.js"), &text).expect("a script");
        words(&["node", "server.js", &port.to_string()])
    });
}

/// Its machine writes a piece of code at its start that asks the processor who it is, number of the core and all, and keeps the answer.
#[test]
fn java() {
    let area = Area::new("java-source");
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/runtimes/Mixed.java");
    let classes = area.folder("classes").to_str().expect("a name in UTF-8").to_owned();
    compile(&area, "javac", &["-d", &classes, file.to_str().expect("a name in UTF-8")]);
    Batch { name: "java", argv: &["java", "-cp", &classes, "Mixed"], look: &[], kills: SELDOM }.check(|_| {});
}
