//! What a node is to be, and how it becomes one: as threads of the test, or as a process.

use super::counter::{Counter, Flaw};
use super::node::Proc;
use super::proxy::Proxy;
use gapless_log::{CommitLevel, Options, Result};
use gapless_pair::arbiter::parse;
use gapless_pair::driver::{Node, NodeConfig, NodeEnd, alone};
use gapless_pair::{Commit, Start, status};
use std::io::BufReader;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Everything that tells one node from another.
#[derive(Clone, Debug)]
pub struct Plan {
    pub start: Start,
    pub dir: PathBuf,
    pub arbiter: String,
    pub listen: String,
    /// Where others are told to dial; for proxies.
    pub advertise: Option<String>,
    pub peer: Option<String>,
    pub world: PathBuf,
    pub steps_max: u64,
    pub burst: u64,
    pub pause: Duration,
    pub commit: Commit,
    pub hold: bool,
    /// Files of this node's process cannot grow beyond this: its disk is full. 0 for no limit.
    pub file_bytes_max: u64,
    pub flaw: Flaw,
    /// The primary pauses while the backup is this far behind; 0 for the default.
    pub lag_entries_max: u64,
    /// Records or resumes without a pair.
    pub alone: bool,
    /// See [`Counter::saving`].
    pub ballast: Option<usize>,
    /// A fresh backup that lacks more entries than this is sent the state.
    pub state_entries_min: u64,
    /// See [`NodeConfig::attends`].
    pub attends: bool,
    /// See [`NodeConfig::shorten_bytes`]; 0 for never.
    pub shorten_bytes: u64,
    /// See [`NodeConfig::warm`].
    pub warm: bool,
}

impl Plan {
    pub fn new(start: Start, home: &Path, name: &str) -> Self {
        Self {
            start,
            dir: home.join(name),
            arbiter: format!("file:{}", home.join("register").display()),
            listen: "127.0.0.1:0".into(),
            advertise: None,
            peer: None,
            world: home.join("world"),
            steps_max: u64::MAX,
            burst: 20,
            pause: Duration::from_millis(1),
            commit: Commit::Received,
            hold: false,
            file_bytes_max: 0,
            flaw: Flaw::None,
            lag_entries_max: 0,
            alone: false,
            ballast: None,
            state_entries_min: 0,
            attends: false,
            shorten_bytes: 0,
            warm: false,
        }
    }

    /// The same, reachable only through the proxy.
    pub fn behind(self, proxy: &Proxy) -> Self {
        let listen = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        proxy.set_target(&listen);
        Self { listen, advertise: Some(proxy.address.clone()), ..self }
    }

    pub fn config(&self) -> NodeConfig {
        let mut config = NodeConfig::new(&self.dir, self.start);
        config.listen = Some(self.listen.clone());
        config.advertise.clone_from(&self.advertise);
        config.peer.clone_from(&self.peer);
        config.commit = self.commit;
        config.hold = self.hold;
        config.attends = self.attends;
        config.warm = self.warm;
        config.shorten_bytes = Some(self.shorten_bytes).filter(|bytes| *bytes > 0);
        config.state_entries_min = self.state_entries_min;
        // Loaded test machines stall for hundreds of milliseconds; what is tested here is not how soon that is noticed.
        config.detect = Duration::from_millis(1000);
        if self.lag_entries_max > 0 {
            config.lag_entries_max = self.lag_entries_max;
        }
        config
    }

    pub fn node(&self) -> Node {
        let name = self.dir.file_name().unwrap().to_string_lossy().into_owned();
        let loud = std::env::var("GAPLESS_TEST_LOUD").is_ok();
        let began = Instant::now();
        let notify = move |notice: &gapless_pair::driver::Notice| {
            let gapless_pair::driver::Notice::Changed(s) = notice else {
                if loud {
                    eprintln!("{name}: {notice:?}");
                }
                return;
            };
            if loud {
                eprintln!(
                    "{:>8.1} {name}: {:?} asking {} term {} {:?}",
                    began.elapsed().as_secs_f64() * 1e3,
                    s.mode,
                    s.asking,
                    s.term,
                    s.why
                );
            }
        };
        Node::new(self.config(), parse(&self.arbiter).unwrap(), Box::new(notify)).unwrap()
    }

    pub fn run(&self, node: Node) -> NodeEnd {
        node.run(|| Ok(self.counter().flawed(self.flaw))).unwrap()
    }

    pub fn counter(&self) -> Counter {
        Counter::new(Some(&self.world), self.steps_max, self.burst, self.pause).saving(self.ballast)
    }

    fn encode(&self) -> String {
        let start = match self.start {
            Start::Fresh => "fresh",
            Start::Resume => "resume",
            Start::Join => "join",
            Start::Auto => "auto",
        };
        [
            start.to_owned(),
            self.dir.display().to_string(),
            self.arbiter.clone(),
            self.listen.clone(),
            self.advertise.clone().unwrap_or_default(),
            self.peer.clone().unwrap_or_default(),
            self.world.display().to_string(),
            self.steps_max.to_string(),
            self.burst.to_string(),
            self.pause.as_micros().to_string(),
            u8::from(self.commit == Commit::Durable).to_string(),
            u8::from(self.hold).to_string(),
            self.file_bytes_max.to_string(),
            match self.flaw {
                Flaw::None => "none".into(),
                Flaw::Diverges => "diverges 0".into(),
                Flaw::Slow(n) => format!("slow {n}"),
                Flaw::Unprepared(n) => format!("unprepared {n}"),
                Flaw::Panics => "panics 0".into(),
            },
            self.lag_entries_max.to_string(),
            u8::from(self.alone).to_string(),
            self.ballast.map_or_else(String::new, |n| n.to_string()),
            self.state_entries_min.to_string(),
            u8::from(self.attends).to_string(),
            self.shorten_bytes.to_string(),
            u8::from(self.warm).to_string(),
        ]
        .join("|")
    }

    fn decode(text: &str) -> Self {
        let f: Vec<&str> = text.split('|').collect();
        let some = |s: &str| (!s.is_empty()).then(|| s.to_owned());
        Self {
            start: match f[0] {
                "fresh" => Start::Fresh,
                "resume" => Start::Resume,
                "join" => Start::Join,
                _ => Start::Auto,
            },
            dir: f[1].into(),
            arbiter: f[2].into(),
            listen: f[3].into(),
            advertise: some(f[4]),
            peer: some(f[5]),
            world: f[6].into(),
            steps_max: f[7].parse().unwrap(),
            burst: f[8].parse().unwrap(),
            pause: Duration::from_micros(f[9].parse().unwrap()),
            commit: if f[10] == "1" { Commit::Durable } else { Commit::Received },
            hold: f[11] == "1",
            file_bytes_max: f[12].parse().unwrap(),
            flaw: match f[13].split_once(' ') {
                Some(("diverges", _)) => Flaw::Diverges,
                Some(("slow", n)) => Flaw::Slow(n.parse().unwrap()),
                Some(("panics", _)) => Flaw::Panics,
                Some(("unprepared", n)) => Flaw::Unprepared(n.parse().unwrap()),
                _ => Flaw::None,
            },
            lag_entries_max: f[14].parse().unwrap(),
            alone: f[15] == "1",
            ballast: some(f[16]).map(|n| n.parse().unwrap()),
            state_entries_min: f[17].parse().unwrap(),
            attends: f[18] == "1",
            shorten_bytes: f[19].parse().unwrap(),
            warm: f[20] == "1",
        }
    }

    /// Runs this node as a process of its own.
    pub fn spawn(&self) -> Proc {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "child_process", "--nocapture", "--test-threads=1"]).env(PLAN, self.encode());
        command.stdout(Stdio::piped());
        if std::env::var("GAPLESS_TEST_LOUD").is_err() {
            command.stderr(Stdio::null());
        }
        Proc::start(command, &self.dir)
    }
}

const PLAN: &str = "GAPLESS_TEST_PLAN";

/// What a child process does; call it from a test named `child_process`.
pub fn child_process() {
    let Ok(plan) = std::env::var(PLAN) else { return };
    // SAFETY: prctl with these arguments takes no pointers; the child dies with the test that started it.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
    let plan = Plan::decode(&plan);
    if plan.file_bytes_max > 0 {
        let limit = libc::rlimit { rlim_cur: plan.file_bytes_max, rlim_max: plan.file_bytes_max };
        // SAFETY: `limit` is valid for the call; ignoring SIGXFSZ makes writes beyond it fail with EFBIG.
        unsafe {
            libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
            assert_eq!(libc::setrlimit(libc::RLIMIT_FSIZE, &limit), 0);
        }
    }
    if plan.alone {
        println!("SAY alone");
        println!("SAY {}", run_alone(&plan).map_or_else(|e| e.to_string(), |status| status.to_string()));
        return;
    }
    let node = plan.node();
    println!("SAY {}", node.address());
    let end = plan.run(node);
    println!("SAY {:?}", end.halt);
}

fn run_alone(plan: &Plan) -> Result<i32> {
    let replica = plan.counter();
    match plan.start {
        Start::Fresh => alone::record(&plan.dir, replica, CommitLevel::Received, Options::default()),
        _ => alone::resume(&plan.dir, replica, false, Options::default()),
    }
}
