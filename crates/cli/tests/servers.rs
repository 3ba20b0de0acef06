//! Servers of several processes or threads, unmodified: nginx, memcached, PostgreSQL. Killed under load by several clients; the survivor must know
//! everything that was acknowledged to any of them, and is killed again after a fresh backup has joined.

mod support;

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::io::{Error, Result};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;
use support::client::{Memcached, PATIENCE, Postgres};
use support::process::{Process, sleep_ms};
use support::serve::{Kept, http_like, keeps};
use support::{Area, Job, words};

/// Tries until it works.
fn patiently<T>(what: &str, mut attempt: impl FnMut() -> Result<T>) -> T {
    let since = Instant::now();
    loop {
        match attempt() {
            Ok(got) => return got,
            Err(e) => assert!(since.elapsed() < PATIENCE, "{what}: {e}"),
        }
        sleep_ms(10);
    }
}

fn is_root() -> bool {
    // SAFETY: a plain system call.
    unsafe { libc::geteuid() == 0 }
}

// ---- nginx ----

fn nginx(name: &str, workers: u32) {
    http_like(name, |dir, port| {
        let user = if is_root() { "user root;" } else { "" };
        let place = dir.display();
        let temporary =
            ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(|t| format!("{t}_temp_path {place}/{t};"));
        let config = format!(
            "daemon off; worker_processes {workers}; {user} pid {place}/pid; error_log stderr notice;\nevents {{ worker_connections 64; }}\n\
             http {{ access_log off; {} server {{ listen 127.0.0.1:{port}; root {place}; }} }}\n",
            temporary.join(" ")
        );
        fs::write(dir.join("nginx.conf"), config).expect("a configuration");
        words(&["nginx", "-e", "stderr", "-p", &place.to_string(), "-c", &dir.join("nginx.conf").display().to_string()])
    });
}

#[test]
fn nginx_with_two_workers() {
    nginx("nginx", 2);
}

#[test]
fn nginx_with_four_workers() {
    nginx("nginx-four", 4);
}

// ---- memcached ----

/// A client's own keys and its own counter.
struct Cache {
    port: u16,
    number: usize,
    client: Memcached,
    counted: u64,
    /// What was set and acknowledged; a key whose request has no answer yet is not in it.
    set: BTreeMap<String, String>,
}

impl Cache {
    fn counter(&self) -> String {
        format!("count-{}", self.number)
    }
}

impl Kept for Cache {
    fn begin(port: u16, number: usize) -> Self {
        let mut client = patiently("memcached", || Memcached::connect(port));
        client.set(&format!("count-{number}"), "0").expect("nothing is killed yet");
        Self { port, number, client, counted: 0, set: BTreeMap::new() }
    }

    fn run(&mut self, turns: u64) -> Result<()> {
        for _ in 0..turns {
            let next = self.counted + 1;
            assert_eq!(self.client.incr(&self.counter())?, next, "counted");
            self.counted = next;
            let (key, value) = (format!("key-{}-{}", self.number, next % 20), format!("value {next}").repeat(30));
            self.set.remove(&key);
            self.client.set(&key, &value)?;
            assert_eq!(self.client.get(&key)?.as_ref(), Some(&value), "just set: {key}");
            self.set.insert(key, value);
        }
        Ok(())
    }

    fn recheck(&mut self) {
        self.client = patiently("memcached", || Memcached::connect(self.port));
        let now = self.client.get(&self.counter()).expect("an answer").expect("the counter was set");
        let now: u64 = now.trim().parse().expect("a number");
        let was = self.counted;
        assert!(now == was || now == was + 1, "acknowledged {was}, and now {now}");
        self.counted = now;
        for (key, value) in &self.set {
            assert_eq!(self.client.get(key).expect("an answer").as_ref(), Some(value), "acknowledged: {key}");
        }
    }
}

#[test]
fn memcached_with_four_threads() {
    let job = |area: &Area, folder: &str, port: u16| {
        let mut argv = words(&["memcached", "-l", "127.0.0.1", "-U", "0", "-t", "4", "-p", &port.to_string()]);
        if is_root() {
            argv.extend(words(&["-u", "root"]));
        }
        Job::new(&area.folder(folder), argv).stateful()
    };
    keeps::<Cache>("memcached", job, libc::SIGTERM, |_, _, _| {});
}

// ---- PostgreSQL ----

/// Its user, who is trusted.
const USER: &str = "keeper";
/// Whom it runs as if the tests run as root, which it refuses to: `nobody`.
const NOBODY: u32 = 65_534;

/// Where Debian keeps the server's programs, the newest version of them.
fn postgres_programs() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let found = versions.map(|v| v.path().join("bin")).filter(|bin| bin.join("postgres").is_file());
    let number = |bin: &PathBuf| bin.parent()?.file_name()?.to_str()?.parse::<u32>().ok();
    found.max_by_key(number).expect("PostgreSQL is not installed; `scripts/test` installs all that the tests need")
}

/// A row for each turn, and a sum that all clients change in the same transaction.
struct Rows {
    port: u16,
    number: usize,
    client: Postgres,
    acknowledged: u64,
}

impl Rows {
    fn count(&mut self) -> u64 {
        let sql = format!("SELECT count(*) FROM told WHERE client = {}", self.number);
        self.client.query(&sql).expect("an answer")[0].parse().expect("a number")
    }
}

impl Kept for Rows {
    fn begin(port: u16, number: usize) -> Self {
        let mut client = patiently("PostgreSQL", || Postgres::connect(port, USER));
        if number == 0 {
            let told = "CREATE TABLE told(client int, turn int, word text, PRIMARY KEY (client, turn))";
            for sql in [told, "CREATE TABLE total(n int)", "INSERT INTO total VALUES (0)"] {
                client.query(sql).expect("nothing is killed yet");
            }
        }
        Self { port, number, client, acknowledged: 0 }
    }

    fn run(&mut self, turns: u64) -> Result<()> {
        for _ in 0..turns {
            let next = self.acknowledged + 1;
            let (number, word) = (self.number, "word".repeat(next as usize % 50));
            let sql = format!(
                "BEGIN; INSERT INTO told VALUES ({number}, {next}, '{word}'); UPDATE total SET n = n + 1; COMMIT"
            );
            self.client.query(&sql)?;
            self.acknowledged = next;
            let sql = format!("SELECT word FROM told WHERE client = {number} AND turn = {next}");
            assert_eq!(self.client.query(&sql)?, [word], "just told");
        }
        Ok(())
    }

    fn recheck(&mut self) {
        self.client = patiently("PostgreSQL", || Postgres::connect(self.port, USER));
        // A statement that was in flight may still be carried out by the process that served the lost connection.
        patiently("who served the lost connection ends", || {
            let sql =
                "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND state = 'active'";
            let active = self.client.query(sql)?;
            if active == ["1"] { Ok(()) } else { Err(Error::other(format!("{active:?} are active"))) }
        });
        let (was, now) = (self.acknowledged, self.count());
        assert!(now == was || now == was + 1, "acknowledged {was}, and now {now}");
        self.acknowledged = now;
        let sql = format!("SELECT max(turn) FROM told WHERE client = {}", self.number);
        assert_eq!(
            self.client.query(&sql).expect("an answer"),
            [if now == 0 { String::new() } else { now.to_string() }]
        );
        let sql = "SELECT (SELECT n FROM total) - (SELECT count(*) FROM told)";
        assert_eq!(self.client.query(sql).expect("an answer"), ["0"], "all or none of a transaction");
    }
}

/// Shared memory of both kinds, semaphores in it, a dozen processes, its own log on the disk, checksums of all pages.
#[test]
fn postgresql() {
    let programs = postgres_programs();
    let job = |area: &Area, folder: &str, port: u16| {
        let dir = area.folder(folder);
        let run = |command: &mut Command| {
            let done = command.output().expect("it runs");
            assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        };
        let data = dir.join("data").display().to_string();
        let mut init = area.command(programs.join("initdb"), &dir);
        init.args([
            "-D",
            &data,
            "-A",
            "trust",
            "-U",
            USER,
            "--no-sync",
            "--data-checksums",
            "--locale",
            "C",
            "-E",
            "UTF8",
        ]);
        let mut argv = Vec::new();
        if is_root() {
            for place in [area.path(), &dir] {
                fs::set_permissions(place, Permissions::from_mode(0o755)).expect("it is ours");
            }
            std::os::unix::fs::chown(&dir, Some(NOBODY), Some(NOBODY)).expect("root may do that");
            init.uid(NOBODY).gid(NOBODY);
            let become_nobody = "$) = \"$ARGV[0] $ARGV[0]\"; $( = $ARGV[0]; $< = $> = shift; exec @ARGV or die $!";
            argv = words(&["perl", "-e", become_nobody, &NOBODY.to_string()]);
        }
        run(&mut init);
        let (server, port) = (programs.join("postgres").display().to_string(), port.to_string());
        argv.extend(words(&[&server, "-D", &data, "-p", &port, "-k", &dir.display().to_string()]));
        argv.extend(words(&["-c", "listen_addresses=127.0.0.1", "-c", "shared_buffers=16MB"]));
        Job::new(&dir, argv).stateful()
    };
    let look = |area: &Area, log: &Path, job: &Job| {
        let out = area.join("exported");
        let mut export = area.gapless(area.path(), ["export"]);
        export.arg(log).arg("--state").arg(&job.cwd).arg("--to").arg(&out);
        let done = Process::start(export, &area.join("export")).finish();
        assert_eq!(done.code(), 0, "exported: {}", done.stderr_text());
        let mut check = area.command(programs.join("pg_checksums"), &out);
        check.args(["--check", "-D", "data"]);
        let done = Process::start(check, &area.join("check")).finish();
        assert_eq!(done.code(), 0, "what it left: {}{}", done.stdout_text(), done.stderr_text());
        let said = done.stdout_text();
        assert!(said.lines().any(|line| line.trim().replace(' ', "") == "Badchecksums:0"), "{said}");
        fs::remove_dir_all(&out).expect("room for the next one");
    };
    // SIGINT: without waiting for clients.
    keeps::<Rows>("postgresql", job, libc::SIGINT, look);
}
