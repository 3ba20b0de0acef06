//! Two nodes of a task service, each a child of the test that uses them.
//!
//! The test has a test `child_process` that calls [`child`], and nothing else.

#![allow(dead_code, reason = "no test uses all of it")]

use super::crowd::Crowd;
use gapless::task::{Client, Kinds, Service, serve};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub const PATIENCE: Duration = Duration::from_secs(60);
/// In the environment of a node: it forgets keys so many seconds after the reply.
pub const KEYS_KEPT: &str = "GAPLESS_TASK_KEYS_KEPT";

/// In the environment of a node: it accepts that the end of a log was lost.
pub const ACCEPT_LOSS: &str = "GAPLESS_TASK_ACCEPT_LOSS";

/// `KILLS`, or so many.
pub fn kills(usual: u32) -> u32 {
    std::env::var("KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(usual)
}

/// A node, if this is the child of a test; nothing, if it is the test.
pub fn child(kinds: Kinds) {
    let Ok(args) = std::env::var("GAPLESS_TASK_NODE") else { return };
    let args: Vec<&str> = args.split(' ').collect();
    let mut service = Service::new(kinds, args[0].split(','), args[1].parse().unwrap(), args[2], args[3]);
    service.shards = args[4].parse().unwrap();
    service.http = Some(args[5].to_owned());
    if let Ok(seconds) = std::env::var(KEYS_KEPT) {
        service.http_keys_kept = Duration::from_secs(seconds.parse().unwrap());
    }
    service.accept_loss = std::env::var_os(ACCEPT_LOSS).is_some();
    // Other tests run beside this one.
    service.detect = Duration::from_millis(1000);
    serve(service).unwrap().wait();
}

/// Two nodes of one service.
pub struct Nodes {
    home: tempfile::TempDir,
    pub addresses: Vec<String>,
    /// Where they listen for HTTP.
    pub http: Vec<String>,
    shards: u16,
    /// Of their environment.
    env: Vec<(&'static str, String)>,
    children: [Option<Child>; 2],
    started: u32,
}

impl Nodes {
    pub fn start(shards: u16) -> Self {
        Self::start_with(shards, &[])
    }

    pub fn start_with(shards: u16, env: &[(&'static str, String)]) -> Self {
        let mut nodes = Self::of(shards, env);
        nodes.spawn(0, "a");
        nodes.spawn(1, "b");
        nodes
    }

    /// Neither runs yet.
    pub fn of(shards: u16, env: &[(&'static str, String)]) -> Self {
        let home = tempfile::tempdir().unwrap();
        let free = [(); 4].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let mut addresses: Vec<String> = free.iter().map(|l| l.local_addr().unwrap().to_string()).collect();
        drop(free);
        let http = addresses.split_off(2);
        Self { home, addresses, http, shards, env: env.to_vec(), children: [None, None], started: 0 }
    }

    /// For nodes that are spawned from now on.
    pub fn set_env(&mut self, name: &'static str, value: &str) {
        self.env.push((name, value.to_owned()));
    }

    pub fn dir(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    pub fn spawn(&mut self, node: usize, dir: &str) {
        let args = [
            self.addresses.join(","),
            node.to_string(),
            format!("file:{}", self.dir("register").display()),
            self.dir(dir).display().to_string(),
            self.shards.to_string(),
            self.http[node].clone(),
        ];
        self.started += 1;
        let log = std::fs::File::create(self.dir(&format!("node-{}.err", self.started))).unwrap();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["child_process", "--exact", "--nocapture"]).env("GAPLESS_TASK_NODE", args.join(" "));
        command.envs(self.env.iter().cloned());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let dies_with_us = || {
            // SAFETY: a plain system call between fork and exec.
            unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
            Ok(())
        };
        // SAFETY: see above.
        unsafe { std::os::unix::process::CommandExt::pre_exec(&mut command, dies_with_us) };
        self.children[node] = Some(command.spawn().unwrap());
    }

    pub fn kill(&mut self, node: usize) {
        if let Some(mut child) = self.children[node].take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    pub fn client(&self) -> Client {
        Client::connect(self.addresses.clone()).unwrap().with_patience(PATIENCE)
    }

    /// Waits until every shard has a live side and a backup that may take over.
    pub fn await_protected(&self, dirs: [&str; 2]) {
        let since = Instant::now();
        for shard in 0..self.shards {
            loop {
                let modes = dirs.map(|dir| {
                    let dir = self.dir(dir).join(format!("shard-{shard:03}"));
                    gapless_pair::status::query(&dir).map(|s| s.mode).unwrap_or_default()
                });
                if modes.iter().any(|mode| mode == "protected") {
                    break;
                }
                assert!(since.elapsed() < PATIENCE, "shard {shard} is not protected: {modes:?}\n{}", self.words());
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }

    /// Kills nodes in turns, each time when both sides can take over and the crowd has done `before` more; then lets it do `after` more. The longest that
    /// these took.
    pub fn kill_in_turns<T: Send + 'static>(
        &mut self,
        kills: u32,
        crowd: &Crowd<T>,
        before: u64,
        after: u64,
    ) -> Duration {
        let mut dirs = ["a".to_owned(), "b".to_owned()];
        let mut longest = Duration::ZERO;
        for kill in 0..kills {
            self.await_protected([&dirs[0], &dirs[1]]);
            crowd.await_more(before, || self.words());
            let victim = kill as usize % 2;
            self.kill(victim);
            let killed = Instant::now();
            crowd.await_more(after, || self.words());
            longest = longest.max(killed.elapsed());
            dirs[victim] = format!("dir-{kill}");
            self.spawn(victim, &dirs[victim]);
        }
        longest
    }

    pub fn words(&self) -> String {
        let words = |n| std::fs::read_to_string(self.dir(&format!("node-{n}.err"))).unwrap_or_default();
        (1..=self.started).map(|n| format!("node {n}:\n{}", words(n))).collect()
    }
}

impl Drop for Nodes {
    fn drop(&mut self) {
        (0..2).for_each(|node| self.kill(node));
        if std::thread::panicking() {
            eprintln!("{}", self.words());
        }
    }
}
