//! A replica that counts, its world in a file, and nodes of it as threads and as processes.
#![allow(dead_code, reason = "every test binary uses its own part")]

mod road;

pub use road::Damage;

use gapless_log::inspect::{EXIT_CORRUPT, Plain, Range};
use gapless_log::{
    Channel, CommitLevel, Digest, Hasher, Identity, Kind, Level, Options, Output, Player, Position, Progress, Recorder,
    Replica, Result, Term, Waker, cat, stat, verify,
};
use gapless_pair::arbiter::parse;
use gapless_pair::driver::{Node, NodeConfig, NodeEnd, alone};
use gapless_pair::{Commit, Start, status};
use road::{Back, Road};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

const RANDOM: Kind = Kind(16);
const LIVE: Kind = Kind(17);
/// The status with which a counter ends.
pub const STATUS: i32 = 7;

/// Counts, mixes in random numbers of its world, and says every state. What it says goes to a file that all lives share, one line each.
pub struct Counter {
    world: Option<File>,
    /// Everything said, for who replays.
    said: Arc<Mutex<Vec<String>>>,
    /// Outputs said before, and the last of them, if it began with a state.
    loaded: Arc<Mutex<Option<(u64, String)>>>,
    state: u64,
    position: u64,
    lives: u64,
    /// Ends after so many steps.
    steps_max: u64,
    /// Steps between two pauses.
    burst: u64,
    pause: Duration,
    halted: bool,
    flaw: Flaw,
    trigger: PathBuf,
    /// Is there while a takeover is prepared.
    prepared: PathBuf,
    /// The next step is taken then.
    due: Instant,
    /// Saves itself, with so many bytes of ballast.
    ballast: Option<usize>,
}

/// Name of the file beside the world that shows that this process has prepared a takeover.
pub fn prepared_name(pid: u32) -> String {
    format!("prepared-{pid}")
}

/// What is wrong with a replica that executes a log.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Flaw {
    #[default]
    None,
    /// Says something else as soon as the file `trigger` is there.
    Diverges,
    /// Takes this many microseconds for a step.
    Slow(u64),
    /// Cannot prepare a takeover for so many times.
    Unprepared(u64),
    /// Panics when live as soon as the file `trigger` is there.
    Panics,
}

impl Counter {
    pub fn flawed(self, flaw: Flaw) -> Self {
        Self { flaw, ..self }
    }

    pub fn new(world: Option<&Path>, steps_max: u64, burst: u64, pause: Duration) -> Self {
        let beside = |name: &str| world.map(|w| w.with_file_name(name)).unwrap_or_default();
        let (trigger, prepared) = (beside("trigger"), beside(&prepared_name(std::process::id())));
        let world = world.map(|w| File::options().append(true).create(true).open(w).unwrap());
        Self {
            world,
            said: Arc::default(),
            loaded: Arc::default(),
            state: 0,
            position: 0,
            lives: 0,
            steps_max,
            burst,
            pause,
            halted: false,
            flaw: Flaw::None,
            trigger,
            prepared,
            due: Instant::now(),
            ballast: None,
        }
    }

    /// It can save itself; its state has so many bytes more than it needs.
    pub fn saving(self, ballast: Option<usize>) -> Self {
        Self { ballast, ..self }
    }

    fn mix(&mut self, input: u64) {
        self.state = (self.state ^ input).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
        self.position += 1;
    }

    fn progress(&self) -> Progress {
        if self.position >= self.steps_max {
            Progress::Ended(STATUS)
        } else if self.position.is_multiple_of(self.burst) {
            Progress::Idle(self.pause)
        } else {
            Progress::Ran
        }
    }

    fn speak(&self, out: &mut gapless_log::Outbox) {
        let line = format!("{:016x}", self.state);
        self.said.lock().unwrap().push(line.clone());
        out.say(Channel(0), line.into_bytes());
    }
}

impl Replica for Counter {
    fn identity(&self) -> Identity {
        Identity { level: "counter".into(), code: "1".into(), features: vec![] }
    }

    fn level(&self) -> Level {
        Level::Toy
    }

    fn position(&self) -> Position {
        Position(self.position)
    }

    fn record(&mut self, log: &mut Recorder<'_>) -> Result<Progress> {
        let left = self.due.saturating_duration_since(Instant::now());
        if !left.is_zero() {
            return Ok(Progress::Idle(left));
        }
        assert!(self.flaw != Flaw::Panics || !self.trigger.exists(), "the replica has a mistake");
        let random = gapless_log::random_u128()? as u64;
        log.input(Position(self.position), RANDOM, random.to_le_bytes().to_vec());
        self.mix(random);
        self.speak(log.out());
        let progress = self.progress();
        if let Progress::Idle(pause) = progress {
            self.due = Instant::now() + pause;
        }
        Ok(progress)
    }

    fn replay(&mut self, log: &mut Player<'_>) -> Result<Progress> {
        if log.peek().is_some_and(|e| e.kind == LIVE) {
            log.input(Position(self.position), LIVE)?;
            self.lives += 1;
            return Ok(Progress::Ran);
        }
        if self.steps_max == u64::MAX && log.peek().is_none() {
            // Who only listens does not know when it ends: this is the mark that closes the log.
            return Ok(Progress::Ended(STATUS));
        }
        let body = log.input(Position(self.position), RANDOM)?;
        match self.flaw {
            Flaw::Diverges if self.trigger.exists() => self.state ^= 1,
            Flaw::Slow(us) => std::thread::sleep(Duration::from_micros(us)),
            _ => {}
        }
        self.mix(u64::from_le_bytes(body.try_into().unwrap()));
        self.speak(log.out());
        Ok(self.progress())
    }

    fn emit(&mut self, output: Output) -> Result<()> {
        assert!(!self.halted, "a halted replica says nothing");
        let line = format!("\n{} {}", output.number, String::from_utf8(output.bytes).unwrap());
        self.world.as_mut().expect("only who has a world goes live").write_all(line.as_bytes()).unwrap();
        Ok(())
    }

    fn wait(&mut self, waker: &Waker, at_most: Duration) -> Result<()> {
        waker.wait(at_most);
        Ok(())
    }

    fn prepare(&mut self) -> Result<()> {
        match &mut self.flaw {
            Flaw::Unprepared(times) if *times > 0 => {
                *times -= 1;
                Err(gapless_log::Error::Refused("the port is busy".into()))
            }
            _ => {
                // What others can see of it, as they can see a port that is bound.
                if self.world.is_some() {
                    std::fs::write(&self.prepared, "").unwrap();
                }
                Ok(())
            }
        }
    }

    fn unprepare(&mut self) {
        let _ = std::fs::remove_file(&self.prepared);
    }

    fn go_live(&mut self, term: Term, log: &mut Recorder<'_>) -> Result<()> {
        if term != Term(1) || self.position > 0 {
            log.input(Position(self.position), LIVE, vec![]);
            self.lives += 1;
        }
        Ok(())
    }

    fn digest(&mut self) -> Result<Digest> {
        let mut h = Hasher::new();
        [self.state, self.position, self.lives].iter().for_each(|&n| h.number(n));
        Ok(h.finish())
    }

    fn saves(&self) -> bool {
        self.ballast.is_some()
    }

    fn save(&mut self, to: &mut dyn Write) -> Result<bool> {
        let Some(ballast) = self.ballast else { return Ok(false) };
        for number in [self.state, self.position, self.lives] {
            to.write_all(&number.to_le_bytes()).unwrap();
        }
        to.write_all(&ballast_of(self.state, ballast)).unwrap();
        Ok(true)
    }

    fn load(&mut self, from: &mut dyn Read) -> Result<()> {
        assert_eq!(self.position, 0, "loaded into a fresh counter");
        if self.ballast.is_none() {
            return Err(gapless_log::Error::Refused("this counter loads no state".into()));
        }
        let mut next = || {
            let mut bytes = [0; 8];
            from.read_exact(&mut bytes).map(|()| u64::from_le_bytes(bytes))
        };
        let refused = |_| gapless_log::Error::Refused("not a counter's state".into());
        (self.state, self.position, self.lives) =
            (next().map_err(refused)?, next().map_err(refused)?, next().map_err(refused)?);
        let mut ballast = Vec::new();
        from.read_to_end(&mut ballast).unwrap();
        if ballast != ballast_of(self.state, ballast.len()) {
            return Err(refused(std::io::ErrorKind::InvalidData.into()));
        }
        *self.loaded.lock().unwrap() = Some((self.position, format!("{:016x}", self.state)));
        Ok(())
    }

    fn halt(&mut self) {
        self.halted = true;
    }
}

/// Bytes that depend on the state, so that no other state's pass for them.
fn ballast_of(state: u64, bytes: usize) -> Vec<u8> {
    let word = |i: usize| (state ^ i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes();
    (0..bytes.div_ceil(8)).flat_map(word).take(bytes).collect()
}

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
        let mut child = command.spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let address = said(&mut out).expect("a node says where it listens");
        Proc { child, out, address, dir: self.dir.clone() }
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

fn said(out: &mut BufReader<std::process::ChildStdout>) -> Option<String> {
    let mut line = String::new();
    while out.read_line(&mut line).unwrap() > 0 {
        if let Some(at) = line.find("SAY ") {
            return Some(line[at + 4..].trim_end().to_owned());
        }
        line.clear();
    }
    None
}

/// A node in a process of its own.
pub struct Proc {
    child: Child,
    out: BufReader<std::process::ChildStdout>,
    pub address: String,
    pub dir: PathBuf,
}

impl Proc {
    fn signal(&self, signal: i32) {
        // SAFETY: no pointers; the process is our own child and not yet waited for.
        assert_eq!(unsafe { libc::kill(self.child.id() as i32, signal) }, 0);
    }

    pub fn stall(&self) {
        self.signal(libc::SIGSTOP);
    }

    pub fn go_on(&self) {
        self.signal(libc::SIGCONT);
    }

    /// Processor time used so far.
    pub fn cpu_ms(&self) -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
        // SAFETY: sysconf takes no pointers.
        let ticks_per_s = unsafe { libc::sysconf(libc::_SC_CLK_TCK) } as u64;
        let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
        ticks * 1000 / ticks_per_s
    }

    /// Open descriptors.
    pub fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap().count()
    }

    /// It has prepared a takeover, and has neither taken over nor given up.
    pub fn is_prepared(&self, plan: &Plan) -> bool {
        plan.world.with_file_name(prepared_name(self.child.id())).exists()
    }

    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// How the node ended, by itself.
    pub fn end(mut self) -> Option<String> {
        let end = said(&mut self.out);
        self.child.wait().unwrap();
        end
    }

    pub fn status(&self) -> Option<status::Snapshot> {
        status::query(&self.dir).ok()
    }

    pub fn wait_mode(&self, mode: &str) -> status::Snapshot {
        wait_until(&format!("{} is {mode}", self.dir.display()), || self.status().filter(|s| s.mode == mode))
    }
}

impl Drop for Proc {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until something is there; panics after a generous while.
pub fn wait_until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(started.elapsed() < Duration::from_secs(30), "still waiting until {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A counter's state in words.
const TEXT_LEN: usize = 16;

/// What was released, as the world heard it: number to text. Panics if one number was heard with two texts.
pub fn heard(world: &Path) -> BTreeMap<u64, String> {
    let mut heard = BTreeMap::new();
    for line in std::fs::read_to_string(world).unwrap_or_default().lines() {
        // A write that SIGKILL meets at the end of a page is cut there: that line was not heard, and must come again.
        let Some((number, text)) = line.split_once(' ').filter(|(_, text)| text.len() == TEXT_LEN) else { continue };
        let number: u64 = number.parse().unwrap();
        let before = heard.insert(number, text.to_owned());
        assert!(
            before.as_deref().is_none_or(|b| b == text),
            "output {number} was released as {before:?} and as {text}"
        );
    }
    heard
}

/// How many lines the world has heard so far.
pub fn heard_lines(world: &Path) -> usize {
    std::fs::read(world).map_or(0, |b| b.iter().filter(|&&c| c == b'\n').count())
}

/// S1: everything ever released is what the log of the survivor says, without a gap.
pub fn check_released(world: &Path, survivor: &Path) -> usize {
    let heard = heard(world);
    let (before, last, said) = told(survivor);
    for (i, (&number, text)) in heard.iter().enumerate() {
        assert_eq!(number, i as u64, "an output was never heard");
        if number + 1 < before {
            continue;
        }
        let logged = if number + 1 == before { Some(&last) } else { said.get((number - before) as usize) };
        assert_eq!(logged, Some(text), "output {number} was released, the survivor's log says otherwise");
    }
    heard.len()
}

/// What a log tells: how much was said before it, the last line of that (which all before it went into), and what was said in it.
fn told(dir: &Path) -> (u64, String, Vec<String>) {
    let replica = Counter::new(None, u64::MAX, u64::MAX, Duration::ZERO).saving(Some(0));
    let (said, loaded) = (Arc::clone(&replica.said), Arc::clone(&replica.loaded));
    alone::replay(dir, replica, None, true).unwrap();
    let (before, last) = loaded.lock().unwrap().take().unwrap_or_default();
    let said = std::mem::take(&mut *said.lock().unwrap());
    (before, last, said)
}

/// How much was said before a log, and what was said in it.
pub fn said_in(dir: &Path) -> (u64, Vec<String>) {
    let (before, _, said) = told(dir);
    (before, said)
}

/// Number of the entry that a directory's log begins with; 0 if it begins at the beginning.
pub fn begins_at(dir: &Path) -> u64 {
    gapless_log::Meta::load(dir).unwrap().map_or(0, |meta| meta.base.seq.0)
}

pub fn wait_more(world: &Path, lines: usize) {
    let before = heard_lines(world);
    wait_until("more is released", || (heard_lines(world) > before + lines).then_some(()));
}

pub fn wait_role(node: &Proc, role: &str) -> status::Snapshot {
    wait_until(role, || node.status().filter(|s| s.role == role))
}

/// Nothing is wrong with a directory that nobody uses: every byte of it is right, and it tells where it begins.
pub fn check_dir(dir: &Path) -> u64 {
    let report = verify(dir).unwrap();
    assert_ne!(report.exit_status(), EXIT_CORRUPT, "{report}");
    let (begins, stat) = (begins_at(dir), stat(dir, &Plain).unwrap());
    assert_eq!(stat.first.0, begins);
    assert_eq!(stat.to_string().contains("begins with a snapshot"), begins > 0, "{stat}");
    let first = cat(dir, Range::default(), &Plain).unwrap().next();
    assert!(first.is_none_or(|line| line.unwrap().seq.0 == begins));
    begins
}

/// Two directories, each always started again, killed and stalled at random; `of` changes the plan of each. For `GAPLESS_TEST_SECONDS` (6), by
/// `GAPLESS_TEST_SEED`.
pub fn random_kills(of: impl Fn(Plan) -> Plan) {
    let seconds: u64 = std::env::var("GAPLESS_TEST_SECONDS").ok().and_then(|s| s.parse().ok()).unwrap_or(6);
    let seed = std::env::var("GAPLESS_TEST_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(1u64);
    let home = tempfile::tempdir().unwrap();
    let mut roll = dice(seed);
    let plan = |i: usize, start| of(Plan::new(start, home.path(), ["left", "right"][i]));
    let mut nodes: Vec<Option<Proc>> = vec![Some(plan(0, Start::Fresh).spawn()), None];
    let world = plan(0, Start::Auto).world;
    wait_until("it runs", || (heard_lines(&world) > 0).then_some(()));
    nodes[1] = Some(plan(1, Start::Auto).spawn());
    let (started, mut kills, mut begins) = (Instant::now(), 0, BTreeSet::new());
    let revive = |nodes: &mut Vec<Option<Proc>>| {
        for (i, node) in nodes.iter_mut().enumerate() {
            if node.as_mut().is_none_or(Proc::has_ended) {
                *node = Some(plan(i, Start::Auto).spawn());
            }
        }
    };
    while started.elapsed().as_secs() < seconds {
        std::thread::sleep(Duration::from_millis(5 + roll(250)));
        let i = roll(2) as usize;
        match roll(8) {
            0 => {
                let node = nodes[i].as_ref().unwrap();
                node.stall();
                std::thread::sleep(Duration::from_millis(20 + roll(400)));
                node.go_on();
            }
            1 => nodes.iter_mut().for_each(|n| n.take().unwrap().kill()),
            _ => {
                kills += 1;
                nodes[i].take().unwrap().kill();
            }
        }
        for name in ["left", "right"] {
            begins.insert(begins_at(&home.path().join(name)));
        }
        revive(&mut nodes);
    }
    let before = heard_lines(&world);
    let survivor = wait_until("one is protected again", || {
        revive(&mut nodes);
        nodes.iter().position(|n| n.as_ref().is_some_and(|n| n.status().is_some_and(|s| s.mode == "protected")))
    });
    wait_until("it says more", || (heard_lines(&world) > before + 100).then_some(()));
    let dir = nodes[survivor].as_ref().unwrap().dir.clone();
    nodes.iter_mut().for_each(|n| n.take().unwrap().kill());
    for name in ["left", "right"] {
        check_dir(&home.path().join(name));
    }
    let released = check_released(&world, &dir);
    println!(
        "{kills} kills, logs that began at {} places; {released} outputs released, none contradicted",
        begins.len()
    );
}

/// Waits until the log has come to begin later so many times.
pub fn wait_shortened(dir: &Path, times: usize) {
    let mut begins = begins_at(dir);
    for _ in 0..times {
        begins = wait_until("the log begins later", || Some(begins_at(dir)).filter(|at| *at > begins));
    }
}

/// A TCP proxy on loopback whose directions can be cut: bytes are held as long as a direction is cut, as a network that loses every
/// packet does; nothing is closed.
#[derive(Clone)]
pub struct Proxy {
    pub address: String,
    target: Arc<Mutex<String>>,
    /// Held: from the side that dialled, and towards it.
    cut: Arc<(AtomicBool, AtomicBool)>,
    dials: Arc<AtomicUsize>,
    /// Connections carried at this moment, and the most so far.
    carried: Arc<(AtomicUsize, AtomicUsize)>,
    /// What happens to bytes towards the side that dialled.
    back: Arc<Back>,
}

/// A proxy refuses more at a time: whoever needs them dials in a storm, and the test must fail for that and not for want of descriptors.
const CARRIED_MAX: usize = 64;

/// What a slow road holds is what is on its way, not megabytes in a buffer.
fn narrow(socket: &TcpStream) {
    let bytes: libc::c_int = 64 << 10;
    let len = size_of_val(&bytes) as libc::socklen_t;
    // SAFETY: `bytes` is valid for its length.
    let set = unsafe {
        libc::setsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_RCVBUF, (&raw const bytes).cast(), len)
    };
    assert_eq!(set, 0);
}

impl Proxy {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = Self {
            address: listener.local_addr().unwrap().to_string(),
            target: Arc::default(),
            cut: Arc::default(),
            dials: Arc::default(),
            carried: Arc::default(),
            back: Arc::default(),
        };
        let p = proxy.clone();
        thread::spawn(move || listener.incoming().flatten().for_each(|near| p.accepted(near)));
        proxy
    }

    pub fn set_target(&self, address: &str) {
        assert_ne!(address, self.address, "a proxy of itself dials itself without end");
        *self.target.lock().unwrap() = address.to_owned();
    }

    /// Cuts or heals what the dialling side sends, and what it is sent.
    pub fn cut(&self, forth: bool, back: bool) {
        self.cut.0.store(forth, Ordering::SeqCst);
        self.cut.1.store(back, Ordering::SeqCst);
    }

    /// How often it was dialled.
    pub fn dials(&self) -> usize {
        self.dials.load(Ordering::SeqCst)
    }

    /// Most connections at a time so far.
    pub fn carried_most(&self) -> usize {
        self.carried.1.load(Ordering::SeqCst)
    }

    fn accepted(&self, near: TcpStream) {
        self.dials.fetch_add(1, Ordering::SeqCst);
        let target = self.target.lock().unwrap().clone();
        if self.carried.0.load(Ordering::SeqCst) >= CARRIED_MAX {
            return;
        }
        let Ok(far) = TcpStream::connect(target) else { return };
        let now = self.carried.0.fetch_add(1, Ordering::SeqCst) + 1;
        self.carried.1.fetch_max(now, Ordering::SeqCst);
        near.set_nodelay(true).unwrap();
        far.set_nodelay(true).unwrap();
        if self.back.bytes_per_s.load(Ordering::SeqCst) != u64::MAX {
            narrow(&far);
        }
        let (cut, carried) = (Arc::clone(&self.cut), Arc::clone(&self.carried));
        let mut road = Road::new(Arc::clone(&self.back));
        thread::spawn(move || {
            thread::scope(|s| {
                s.spawn(|| carry(&near, &far, &|| cut.0.load(Ordering::SeqCst), &mut |_| {}));
                carry(&far, &near, &|| cut.1.load(Ordering::SeqCst), &mut |bytes| road.travel(bytes));
            });
            carried.0.fetch_sub(1, Ordering::SeqCst);
        });
    }
}

impl Proxy {
    /// Of each connection's bytes towards the side that dialled, those beyond this many are held.
    pub fn hold_after(&self, bytes: u64) {
        self.back.hold_after.store(bytes, Ordering::SeqCst);
    }

    pub fn bytes_per_s(&self, bytes: u64) {
        self.back.bytes_per_s.store(bytes, Ordering::SeqCst);
    }

    /// The next time; returns what was to be done and has not been.
    pub fn damage(&self, damage: Damage) -> Damage {
        std::mem::replace(&mut self.back.damage.lock().unwrap(), damage)
    }
}

/// A seed gives the same numbers everywhere.
pub fn dice(mut seed: u64) -> impl FnMut(u64) -> u64 {
    move |n| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % n
    }
}

fn carry(mut from: &TcpStream, mut to: &TcpStream, cut: &dyn Fn() -> bool, travel: &mut dyn FnMut(&mut Vec<u8>)) {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let got = from.read(&mut buffer).unwrap_or(0);
        while cut() {
            thread::sleep(Duration::from_millis(1));
        }
        let mut bytes = buffer[..got].to_vec();
        if got > 0 {
            travel(&mut bytes);
        }
        if got == 0 || to.write_all(&bytes).is_err() {
            let _ = to.shutdown(Shutdown::Both);
            let _ = from.shutdown(Shutdown::Both);
            return;
        }
    }
}
