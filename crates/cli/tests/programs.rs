//! Real programs, unmodified: recorded and replayed with equal digests, killed and resumed, protected and taken over.
//!
//! Batch programs are killed at positions spread over their whole run; what both lives wrote together must be what an undisturbed native run writes.
//! Servers are killed under load; the survivor must know everything that was acknowledged, and is killed again after a fresh backup has joined.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use support::batch::{batch, batch_that_leaves};
use support::chance::Chance;
use support::client::Redis;
use support::pair::Pair;
use support::process::{self, Process, sleep_ms};
use support::rounds::rounds;
use support::serve::{ends, http_like, replays};
use support::{Area, Job, free_port, python, words};

/// Compiles a Rust source with the compiler that builds the tests' workspace.
fn rustc(source: &Path, out: &Path, more: &[&str]) {
    let compiler = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let mut command = Command::new(compiler);
    command.args(["--edition", "2024", "-O", "-o"]).arg(out).args(more).arg(source);
    let done = command.output().expect("rustc runs");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

/// The demonstration's server, linked dynamically or statically.
fn demo_server(dir: &Path, is_static: bool) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../demo-server/src/main.rs");
    let out = dir.join("demo-server");
    rustc(&source, &out, if is_static { &["-C", "target-feature=+crt-static"] } else { &[] });
    out
}

// ---- batch programs ----

#[test]
fn sqlite3() {
    let mut script =
        String::from("PRAGMA journal_mode;\nCREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT, n INTEGER);\n");
    for i in 0..160 {
        script +=
            &format!("INSERT INTO t(name, n) VALUES ('row {i}', {});\nSELECT changes(), max(id) FROM t;\n", i * i);
    }
    script += "BEGIN;\nUPDATE t SET n = n + 1;\nCREATE INDEX by_name ON t(name);\nCOMMIT;\nDELETE FROM t WHERE id % 7 = 0;\nVACUUM;\n";
    script += "SELECT count(*), sum(n), min(name), max(name) FROM t;\nPRAGMA integrity_check;\n";
    let look = ["sqlite3", "-batch", "data.db", "PRAGMA integrity_check; SELECT * FROM t;"];
    batch_that_leaves("sqlite3", &["sqlite3", "-batch", "data.db", ".read script.sql"], &look, |dir| {
        fs::write(dir.join("script.sql"), &script).expect("a script");
    });
}

#[test]
fn python_computing() {
    let script = "\
import hashlib, sys
state, lines = b'seed', 0
for i in range(60):
    for _ in range(400):
        state = hashlib.sha256(state).digest()
    table = {str(k): (k * k) % 9973 for k in range(300)}
    print(i, state.hex()[:16], sum(table.values()), flush=True)
sys.exit(7)
";
    batch("python-computing", &[&python(), "script.py"], |dir| {
        fs::write(dir.join("script.py"), script).expect("a script")
    });
}

#[test]
fn python_threads() {
    let script = "\
import queue, threading, time
work, done, lock, total = queue.Queue(), queue.Queue(), threading.Lock(), [0]
def worker():
    while True:
        n = work.get()
        if n is None:
            return
        with lock:
            total[0] += n
        done.put(n * n)
threads = [threading.Thread(target=worker) for _ in range(4)]
for t in threads: t.start()
for turn in range(20):
    for n in range(10): work.put(turn * 10 + n)
    print(turn, sum(done.get() for _ in range(10)), flush=True)
    time.sleep(0.01)
for _ in threads: work.put(None)
for t in threads: t.join()
print('total', total[0])
";
    batch("python-threads", &[&python(), "script.py"], |dir| {
        fs::write(dir.join("script.py"), script).expect("a script")
    });
}

#[test]
fn bash() {
    let script = "\
set -u
trap 'echo trapped' USR1
for i in 1 2 3 4 5; do
    (sleep 0.02; echo \"job $i\" > job-$i) &
done
wait
cat job-*
seq 1 500 | grep 7 | sort -r | head -n 5
kill -USR1 $$
x=$(printf '%s\\n' a b c | tr a-z A-Z | tr -d '\\n'); echo \"$x\"
for i in 1 2 3 4 5 6; do echo \"turn $i\"; sleep 0.03; done
sleep 60 & pid=$!
kill $pid; wait $pid; echo \"status $?\"
while read -r line; do echo \"<$line>\"; done <<< \"$(seq 3)\"
exit 5
";
    batch("bash", &["bash", "script.sh"], |dir| fs::write(dir.join("script.sh"), script).expect("a script"));
}

#[test]
fn git() {
    let script = "\
set -e
git init -q -b main repo
cd repo
git config user.name Somebody; git config user.email somebody@example.org
git config gc.auto 0
for i in 1 2 3 4; do
    export GIT_AUTHOR_DATE=\"2026-01-0${i}T00:00:00Z\" GIT_COMMITTER_DATE=\"2026-01-0${i}T00:00:00Z\"
    echo \"line $i\" >> file
    mkdir -p dir-$i; echo $i > dir-$i/deep
    git add -A
    git commit -q -m \"change $i\"
    git rev-parse HEAD
done
git log --format='%H %an %ad %s' --date=iso
git status --short
git diff --stat HEAD~2
git fsck --full --strict
";
    let look =
        ["bash", "-c", "cd repo && git log --stat && git fsck --full --strict && git status --short && cat file"];
    batch_that_leaves("git", &["bash", "script.sh"], &look, |dir| {
        fs::write(dir.join("script.sh"), script).expect("a script")
    });
}

/// Standard library only, no interpreter, nothing dynamic.
const TINY: &str = r#"
use std::{collections::BTreeMap, fs, io::Write, sync::mpsc, thread, time::Duration};
fn main() {
    let (send, receive) = mpsc::channel();
    for worker in 0..3u64 {
        let send = send.clone();
        thread::spawn(move || for n in 0..20u64 {
            send.send((worker, n, (0..2000).fold(n, |h, x| h.wrapping_mul(31) ^ x))).unwrap();
            thread::sleep(Duration::from_millis(10));
        });
    }
    drop(send);
    let mut seen: BTreeMap<(u64, u64), u64> = BTreeMap::new();
    let mut file = fs::File::create("seen").unwrap();
    for (worker, n, hash) in receive {
        seen.insert((n, worker), hash);
        writeln!(file, "{worker} {n}").unwrap();
        if seen.len() % 3 == 0 { println!("{}", seen.len()); }
    }
    for ((n, worker), hash) in &seen { println!("{n} {worker} {hash:x}"); }
    println!("{}", fs::read_to_string("seen").unwrap().lines().count());
    std::process::exit(3);
}
"#;

#[test]
fn static_rust() {
    let area = Area::new("static-rust-source");
    let (source, out) = (area.join("tiny.rs"), area.join("tiny"));
    fs::write(&source, TINY).expect("a source");
    rustc(&source, &out, &["-C", "target-feature=+crt-static"]);
    let program = out.to_str().expect("a name in UTF-8").to_owned();
    batch("static-rust", &[&program], |_| {});
}

#[test]
fn static_c() {
    let area = Area::new("static-c-source");
    let (source, out) = (area.join("tiny.c"), area.join("tiny"));
    let text = "#include <stdio.h>\n#include <unistd.h>\n#include <sys/wait.h>\nint main(void) {\n  for (int i = 0; i < 30; i++) {\n\
                int p[2]; char c; if (pipe(p)) return 1; pid_t pid = fork();\n    if (!pid) { c = 'a' + i % 26; _exit(write(p[1], &c, 1) != 1); }\n\
                int st; if (read(p[0], &c, 1) != 1 || waitpid(pid, &st, 0) != pid) return 2;\n    close(p[0]); close(p[1]);\n\
                printf(\"%d %c %d\\n\", i, c, st); fflush(stdout); usleep(10000);\n  }\n  return 4;\n}\n";
    fs::write(&source, text).expect("a source");
    let done = Command::new("cc").args(["-static", "-O1", "-o"]).arg(&out).arg(&source).output();
    let done =
        done.unwrap_or_else(|e| panic!("cc cannot be run ({e}); `scripts/test` installs all that the tests need"));
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let program = out.to_str().expect("a name in UTF-8").to_owned();
    batch("static-c", &[&program], |_| {});
}

// ---- servers ----

/// A key that is counted up and one that is set, by one client with one request in flight: what must hold at the survivor.
struct Load {
    port: u16,
    client: Redis,
    acknowledged: u64,
    /// What was set and acknowledged; a key whose SET has no answer yet is not in it.
    set: BTreeMap<String, String>,
}

impl Load {
    fn new(port: u16) -> Self {
        Self { port, client: Redis::await_ready(port), acknowledged: 0, set: BTreeMap::new() }
    }

    /// Counts up until something breaks, or `turns` times.
    fn run(&mut self, turns: u64) -> std::io::Result<()> {
        for _ in 0..turns {
            let next = self.acknowledged + 1;
            assert_eq!(self.client.call(&["INCR", "n"])?, next.to_string(), "counted");
            self.acknowledged = next;
            let (key, value) = (format!("k{}", next % 50), format!("v{next}"));
            self.set.remove(&key);
            assert_eq!(self.client.call(&["SET", &key, &value])?, "OK");
            self.set.insert(key, value);
        }
        Ok(())
    }

    /// Everything acknowledged is there, and nothing is in flight.
    fn verify(&mut self) {
        let n = if self.acknowledged == 0 { "(nil)".to_owned() } else { self.acknowledged.to_string() };
        assert_eq!(self.client.call(&["GET", "n"]).expect("an answer"), n);
        for (key, value) in &self.set {
            assert_eq!(&self.client.call(&["GET", key]).expect("an answer"), value, "acknowledged: {key}");
        }
    }

    /// Connects again; at most the one request in flight may have been done without an answer.
    fn recheck(&mut self) {
        self.client = Redis::await_ready(self.port);
        let answer = self.client.call(&["GET", "n"]).expect("an answer");
        let now: u64 = if answer == "(nil)" { 0 } else { answer.parse().expect("a number") };
        let was = self.acknowledged;
        assert!(now == was || now == was + 1, "acknowledged {was}, and now {now}");
        self.acknowledged = now;
        self.verify();
    }
}

/// Everything that is asked of a server that speaks the Redis protocol. `more` is asked of a server that runs, after each part of the load.
fn redis_like(name: &str, argv: impl Fn(u16) -> Vec<String>, more: impl Fn(&mut Redis)) {
    let area = Area::new(name);
    let job = |folder: &str, port| Job::new(&area.folder(folder), argv(port)).stateful();

    // Recorded, ended by a signal to gapless, replayed.
    let port = free_port();
    let log = area.join("log");
    let server = Process::start(area.record(&log, &job("recorded", port)), &area.join("record"));
    let mut load = Load::new(port);
    load.run(100).expect("nothing is killed here");
    more(&mut load.client);
    load.verify();
    let done = ends(name, server, libc::SIGTERM);
    replays(&area, name, &log, &done);

    let mut chance = Chance::new();
    for round in rounds() {
        let area = Area::new(&format!("{name}-{round}"));
        // Killed while it is recorded, resumed.
        let port = free_port();
        let log = area.join("log");
        let mut server =
            Process::start(area.record(&log, &job(&format!("killed-{round}"), port)), &area.join("killed-run"));
        let mut load = Load::new(port);
        load.run(20).expect("nothing is killed yet");
        more(&mut load.client);
        load.verify();
        let killed = std::thread::scope(|scope| {
            let loading = scope.spawn(|| load.run(u64::MAX));
            sleep_ms(chance.below(300) as u64);
            server.destroy();
            loading.join().expect("what was counted is right")
        });
        assert!(killed.is_err(), "the connection broke");
        let mut server = Process::start(area.resume(&log), &area.join("resumed"));
        load.recheck();
        load.run(20).expect("nothing is killed here");
        more(&mut load.client);
        load.verify();
        server.destroy();

        // Protected: killed under load, joined by a fresh backup, killed again.
        let port = free_port();
        let mut pair = Pair::start(&area, &job(&format!("protected-{round}"), port));
        let mut load = Load::new(port);
        for turn in 1..=2 {
            assert!(pair.await_protected(), "{name}, turn {turn}: {}", pair.words());
            load.run(20).unwrap_or_else(|e| panic!("{name}, turn {turn}: {e}; {}", pair.words()));
            more(&mut load.client);
            load.verify();
            let killed = std::thread::scope(|scope| {
                let loading = scope.spawn(|| load.run(u64::MAX));
                sleep_ms(chance.below(300) as u64);
                pair.kill_primary();
                loading.join().expect("what was counted is right")
            });
            assert!(killed.is_err(), "the connection broke");
            load.recheck();
            // First of all: what more asks must hold of what the dead one has left.
            more(&mut load.client);
            load.verify();
            pair.rejoin();
        }
        load.run(20).expect("nothing is killed here");
        more(&mut load.client);
        load.verify();
        println!("{name}: {} acknowledged through two takeovers", load.acknowledged);
        assert!(pair.await_protected(), "{name}: {}", pair.words());
        process::kill(pair.primary.process.pid(), libc::SIGTERM);
        assert_eq!(pair.finish().code(), done.code(), "{name} ended by a signal after two takeovers");
    }
}

#[test]
fn the_demo_server() {
    let area = Area::new("demo-server-source");
    let server = demo_server(area.path(), false).to_str().expect("a name in UTF-8").to_owned();
    redis_like("demo-server", |port| words(&[&server, "--port", &port.to_string()]), |_| {});
}

#[test]
fn the_demo_server_linked_statically() {
    let area = Area::new("static-server-source");
    let server = demo_server(area.path(), true).to_str().expect("a name in UTF-8").to_owned();
    redis_like("static-demo-server", |port| words(&[&server, "--port", &port.to_string()]), |_| {});
}

fn redis_server(port: u16, more: &[&str]) -> Vec<String> {
    let mut argv = words(&["redis-server", "--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""]);
    argv.extend(words(more));
    argv
}

#[test]
fn redis_without_persistence() {
    redis_like("redis", |port| redis_server(port, &[]), |_| {});
}

#[test]
fn redis_with_appendonly() {
    let more = ["--appendonly", "yes", "--appendfsync", "everysec", "--enable-debug-command", "local"];
    let argv = |port| redis_server(port, &more);
    redis_like("redis-aof", argv, |client| {
        let info = client.call(&["INFO", "persistence"]).expect("an answer");
        assert!(info.contains("aof_enabled:1") && info.contains("aof_last_write_status:ok"), "{info}");
        // Forgets all data and loads the file; what was acknowledged must be in it.
        assert_eq!(client.call(&["DEBUG", "LOADAOF"]).expect("an answer"), "OK");
    });
}

#[test]
fn redis_saving_by_fork() {
    redis_like(
        "redis-bgsave",
        |port| redis_server(port, &[]),
        |client| {
            let before = client.call(&["INFO", "stats"]).expect("an answer");
            let started = client.call(&["BGSAVE"]).expect("an answer");
            assert!(started.starts_with("Background saving"), "{started}\n{before}");
            let since = Instant::now();
            loop {
                let info = client.call(&["INFO", "persistence"]).expect("an answer");
                if info.contains("rdb_bgsave_in_progress:0") {
                    assert!(info.contains("rdb_last_bgsave_status:ok"), "{info}");
                    break;
                }
                assert!(since.elapsed() < Duration::from_secs(20), "the save ends: {info}");
                sleep_ms(10);
            }
            // What was saved loads again.
            assert_eq!(client.call(&["SAVE"]).expect("an answer"), "OK");
        },
    );
}

/// Waits for what INFO says of the save.
fn await_save(client: &mut Redis, wanted: &str) {
    let since = Instant::now();
    loop {
        let info = client.call(&["INFO", "persistence"]).expect("an answer");
        if info.contains(wanted) {
            return;
        }
        assert!(since.elapsed() < support::DEADLINE, "not {wanted}: {info}");
        sleep_ms(5);
    }
}

/// A server whose child saves slowly, and is killed with it in the middle.
struct Saving {
    load: Load,
    /// What the file must hold: the counter and the number of keys.
    saved: [String; 2],
    last_save: String,
}

impl Saving {
    /// Keys, each of which takes the child a millisecond.
    const KEYS: &str = "1500";

    fn argv(port: u16) -> Vec<String> {
        redis_server(port, &["--rdb-key-save-delay", "1000", "--enable-debug-command", "local"])
    }

    /// Fills the server and lets it save.
    fn start(port: u16) -> Self {
        let mut load = Load::new(port);
        load.run(30).expect("nothing is killed yet");
        let client = &mut load.client;
        let mut ask = |words: &[&str]| client.call(words).expect("an answer");
        assert_eq!(ask(&["DEBUG", "POPULATE", Self::KEYS, "filler", "100"]), "OK");
        let (saved, last_save) = ([ask(&["GET", "n"]), ask(&["DBSIZE"])], ask(&["LASTSAVE"]));
        let started = ask(&["BGSAVE"]);
        assert!(started.starts_with("Background saving"), "{started}");
        await_save(&mut load.client, "rdb_bgsave_in_progress:1");
        Self { load, saved, last_save }
    }

    /// Runs load until `kill` has killed the server in the middle of the save.
    fn kill(&mut self, kill: impl FnOnce()) {
        sleep_ms(200);
        await_save(&mut self.load.client, "rdb_bgsave_in_progress:1");
        let load = &mut self.load;
        let killed = std::thread::scope(|scope| {
            let loading = scope.spawn(|| load.run(u64::MAX));
            sleep_ms(50);
            kill();
            loading.join().expect("what was counted is right")
        });
        assert!(killed.is_err(), "the connection broke");
    }

    /// The survivor has everything acknowledged, ends the save, and what is in the file is what was there when it began.
    fn survive(&mut self) {
        self.load.recheck();
        self.load.run(10).expect("nothing is killed here");
        let client = &mut self.load.client;
        await_save(client, "rdb_bgsave_in_progress:0");
        await_save(client, "rdb_last_bgsave_status:ok");
        let mut ask = |words: &[&str]| client.call(words).expect("an answer");
        assert_ne!(ask(&["LASTSAVE"]), self.last_save, "the save that was under way is done");
        // Forgets all data and loads the file.
        assert_eq!(ask(&["DEBUG", "RELOAD", "NOSAVE"]), "OK");
        assert_eq!([ask(&["GET", "n"]), ask(&["DBSIZE"])], self.saved, "what was saved");
        assert_eq!(ask(&["GET", "filler:7"]).len(), 100, "a value that was saved");
    }
}

#[test]
fn redis_killed_while_it_saves() {
    let area = Area::new("redis-saving");
    let job = |folder: &str, port| Job::new(&area.folder(folder), Saving::argv(port)).stateful();

    let port = free_port();
    let log = area.join("log");
    let mut server = Process::start(area.record(&log, &job("killed", port)), &area.join("killed-run"));
    let mut saving = Saving::start(port);
    saving.kill(|| _ = server.destroy());
    let mut server = Process::start(area.resume(&log), &area.join("resumed"));
    saving.survive();
    server.destroy();

    let port = free_port();
    let mut pair = Pair::start(&area, &job("protected", port));
    assert!(pair.await_protected(), "{}", pair.words());
    let mut saving = Saving::start(port);
    saving.kill(|| _ = pair.kill_primary());
    saving.survive();
    process::kill(pair.primary.process.pid(), libc::SIGTERM);
    assert_eq!(pair.finish().code(), 0, "ended by a signal after the takeover");
}

// ---- servers that speak HTTP ----

#[test]
fn python_http_server() {
    let python = python();
    http_like("http-server", |_, port| {
        words(&[&python, "-u", "-m", "http.server", "--bind", "127.0.0.1", &port.to_string()])
    });
}

// ---- a client ----

/// Serves one body, slowly, to whoever connects.
fn slow_source(body: &[u8], pause: Duration) -> (u16, std::thread::JoinHandle<()>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let (port, body) = (listener.local_addr().expect("bound").port(), body.to_vec());
    let thread = std::thread::spawn(move || {
        let Ok((mut stream, _)) = listener.accept() else { return };
        let mut asked = Vec::new();
        let mut part = [0; 1024];
        while !asked.ends_with(b"\r\n\r\n") {
            match stream.read(&mut part) {
                Ok(n) if n > 0 => asked.extend_from_slice(&part[..n]),
                _ => return,
            }
        }
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
        let _ = stream.write_all(head.as_bytes());
        for part in body.chunks(body.len() / 20) {
            if stream.write_all(part).is_err() {
                return;
            }
            std::thread::sleep(pause);
        }
    });
    (port, thread)
}

/// Its own connection breaks at a takeover, and its exit status says so.
#[test]
fn curl() {
    /// "Failure in receiving network data."
    const RECEIVE_ERROR: i32 = 56;
    let area = Area::new("curl");
    let body: Vec<u8> = (0..250_000u32).flat_map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    let job = |port: u16| Job::new(area.path(), ["curl", "-sS", &format!("http://127.0.0.1:{port}/body")]);

    let (port, source) = slow_source(&body, Duration::from_millis(5));
    let log = area.join("log");
    let done = Process::start(area.record(&log, &job(port)), &area.join("record")).finish();
    assert_eq!(done.code(), 0, "recorded: {}", done.stderr_text());
    assert!(done.stdout == body, "{} bytes were fetched", done.stdout.len());
    source.join().expect("the source has served");
    let replay = area.replay(&log);
    assert_eq!(replay["exit_status"], 0, "replayed without any source: {replay}");

    // Killed while fetching, resumed.
    let (port, source) = slow_source(&body, Duration::from_millis(200));
    let log = area.join("log-killed");
    let mut first = Process::start(area.record(&log, &job(port)), &area.join("killed-run"));
    let since = Instant::now();
    while first.stdout().len() < body.len() / 10 {
        assert!(since.elapsed() < support::DEADLINE, "it fetches: {}", first.stderr_text());
        sleep_ms(5);
    }
    let first = first.destroy();
    let second = Process::start(area.resume(&log), &area.join("resumed")).finish();
    assert_eq!(second.code(), RECEIVE_ERROR, "resumed: {}", second.stderr_text());
    assert!(body.starts_with(&first.stdout), "what was written is right");
    source.join().expect("the source has noticed");
    area.replay(&log);

    // Protected, taken over.
    let (port, source) = slow_source(&body, Duration::from_millis(200));
    let mut pair = Pair::start(&area, &job(port));
    assert!(pair.await_protected(), "{}", pair.words());
    let since = Instant::now();
    while pair.primary.process.stdout().len() < body.len() / 10 {
        assert!(since.elapsed() < support::DEADLINE, "it fetches: {}", pair.words());
        sleep_ms(5);
    }
    let first = pair.kill_primary();
    let second = pair.finish();
    assert_eq!(second.code(), RECEIVE_ERROR, "taken over: {}", second.stderr_text());
    assert!(body.starts_with(&first.stdout), "what was written is right");
    source.join().expect("the source has noticed");
}
