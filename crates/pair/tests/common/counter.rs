//! A replica that counts, its world in a file.

use gapless_log::{
    Channel, Digest, Hasher, Identity, Kind, Level, Output, Player, Position, Progress, Recorder, Replica, Result,
    Term, Waker,
};
use gapless_pair::status;
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const RANDOM: Kind = Kind(16);
const LIVE: Kind = Kind(17);
/// The status with which a counter ends.
pub const STATUS: i32 = 7;

/// Counts, mixes in random numbers of its world, and says every state. What it says goes to a file that all lives share, one line each.
pub struct Counter {
    world: Option<File>,
    /// Everything said, for who replays.
    pub said: Arc<Mutex<Vec<String>>>,
    /// Outputs said before, and the last of them, if it began with a state.
    pub loaded: Arc<Mutex<Option<(u64, String)>>>,
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
