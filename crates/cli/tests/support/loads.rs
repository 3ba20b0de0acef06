//! What keeps a guest busy while its hosts die, and proves that nothing was lost: each load knows all that it was promised, and is never disconnected.

use super::process::sleep_ms;
use super::site::{GUEST, PATIENCE, Site};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Instant;

/// A load on a thread of its own. What breaks a promise panics there, and then here.
pub struct Load {
    name: String,
    reins: Arc<Reins>,
    thread: Option<JoinHandle<()>>,
}

/// How a load is steered and tells how far it is.
#[derive(Default)]
pub struct Reins {
    stop: AtomicBool,
    done: AtomicU64,
}

impl Reins {
    /// Go on?
    pub fn on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }

    /// So much is done and acknowledged.
    pub fn done(&self, total: u64) {
        self.done.store(total, Ordering::Relaxed);
    }
}

impl Load {
    pub fn start(name: &str, work: impl FnOnce(&Reins) + Send + 'static) -> Self {
        let reins = Arc::<Reins>::default();
        let theirs = Arc::clone(&reins);
        let thread = std::thread::Builder::new().name(name.into()).spawn(move || work(&theirs)).expect("a thread");
        Self { name: name.into(), reins, thread: Some(thread) }
    }

    /// How much is done.
    pub fn done(&self) -> u64 {
        self.reins.done.load(Ordering::Relaxed)
    }

    /// Waits until so much more is done than now.
    pub fn await_more(&mut self, more: u64) {
        let (since, goal) = (Instant::now(), self.done() + more);
        while self.done() < goal {
            if self.thread.as_ref().is_some_and(JoinHandle::is_finished) {
                self.join();
                panic!("{} ended by itself", self.name);
            }
            assert!(since.elapsed() < PATIENCE, "{} stands at {} of {goal}", self.name, self.done());
            sleep_ms(2);
        }
    }

    /// Ends it; how much was done.
    pub fn finish(mut self) -> u64 {
        self.reins.stop.store(true, Ordering::Relaxed);
        self.join();
        self.done()
    }

    fn join(&mut self) {
        if let Some(Err(panic)) = self.thread.take().map(JoinHandle::join) {
            std::panic::resume_unwind(panic);
        }
    }
}

/// Ends them all; how much each has done.
pub fn finish(loads: impl IntoIterator<Item = Load>) -> Vec<u64> {
    loads.into_iter().map(Load::finish).collect()
}

/// Writes to a list in redis, one number after the other, each answered by the length of the list; at the end all of it must be there in order.
pub fn redis(site: &Site, key: &str) -> Load {
    let (key, mut redis) = (key.to_owned(), site.redis());
    Load::start(&format!("redis {key}"), move |reins| {
        let mut acknowledged = 0u64;
        while reins.on() {
            let next = (acknowledged + 1).to_string();
            let length = redis.call(&["RPUSH", &key, &next]).expect("the connection stays");
            assert_eq!(length, next, "one write, acknowledged once");
            acknowledged += 1;
            reins.done(acknowledged);
        }
        let found = redis.call_list(&["LRANGE", &key, "0", "-1"]).expect("the connection stays");
        let expected: Vec<String> = (1..=acknowledged).map(|n| n.to_string()).collect();
        assert!(found == expected, "{} of {acknowledged} acknowledged writes are there", found.len());
    })
}

/// Writes numbered records, each acknowledged when it is on the disk; at the end the file must hold them all.
pub fn fsync(site: &Site, port: u16) -> Load {
    let mut stream = BufReader::new(site.dial(port));
    Load::start("fsync", move |reins| {
        let mut ask = |what: &str| {
            stream.get_mut().write_all(what.as_bytes()).expect("the connection stays");
            let mut line = String::new();
            stream.read_line(&mut line).expect("the connection stays");
            line.trim_end().to_owned()
        };
        let mut acknowledged = 0u64;
        while reins.on() {
            assert_eq!(ask("\n"), (acknowledged + 1).to_string(), "records are numbered without a gap");
            acknowledged += 1;
            reins.done(acknowledged);
        }
        assert_eq!(ask("check\n"), format!("ok {acknowledged}"));
    })
}

/// The byte at an offset of a stream, as `stream.c` has it.
fn pattern(at: u64) -> u8 {
    (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8
}

/// Receives a stream of known bytes; counts them.
pub fn source(site: &Site, port: u16) -> Load {
    let mut stream = site.dial(port);
    Load::start("source", move |reins| {
        let (mut at, mut buffer) = (0, vec![0; 64 << 10]);
        while reins.on() {
            let n = stream.read(&mut buffer).expect("the connection stays");
            assert!(n > 0, "the connection was closed at {at}");
            let wrong = buffer[..n].iter().zip(at..).position(|(&byte, at)| byte != pattern(at));
            assert_eq!(wrong.map(|i| at + i as u64), None, "the stream differs there");
            at += n as u64;
            reins.done(at);
        }
    })
}

/// Sends a stream of known bytes; counts those that the guest has received and found right.
pub fn sink(site: &Site, port: u16) -> Load {
    let mut stream = site.dial(port);
    Load::start("sink", move |reins| {
        let answers = BufReader::new(stream.try_clone().expect("a socket"));
        std::thread::scope(|scope| {
            scope.spawn(move || {
                let mut last = 0;
                for line in answers.lines() {
                    // The end of the connection is the other thread's.
                    let Ok(line) = line else { return };
                    let at =
                        line.parse::<u64>().unwrap_or_else(|_| panic!("the guest received something else: {line}"));
                    assert!(at > last, "{at} after {last}");
                    last = at;
                    reins.done(at);
                }
            });
            let (mut at, mut buffer) = (0u64, vec![0; 64 << 10]);
            while reins.on() {
                buffer.iter_mut().zip(at..).for_each(|(byte, at)| *byte = pattern(at));
                stream.write_all(&buffer).expect("the connection stays");
                at += buffer.len() as u64;
            }
            stream.shutdown(Shutdown::Both).expect("a socket");
        });
    })
}

/// Sends random blocks to a server that sends them back; counts the bytes that came back right.
pub fn echo(site: &Site, port: u16) -> Load {
    let mut stream = site.dial(port);
    Load::start("echo", move |reins| {
        let (mut at, mut back) = (0u64, vec![0; 8 << 10]);
        while reins.on() {
            // Blocks of all sizes, each unlike the one before.
            let size = 1 + (at.wrapping_mul(0x5851_f42d_4c95_7f2d) >> 51) as usize;
            let block: Vec<u8> = (at..).take(size).map(pattern).collect();
            stream.write_all(&block).expect("the connection stays");
            stream.read_exact(&mut back[..size]).expect("the connection stays");
            assert!(back[..size] == block, "another block came back at {at}");
            at += size as u64;
            reins.done(at);
        }
    })
}

/// One run of iperf3 after the other, in both directions; each must end well.
pub fn iperf(site: &Site) -> Load {
    super::needs(&"iperf3".into());
    // The command is made anew for each run and must enter the host by itself.
    let net = site.host.path();
    Load::start("iperf3", move |reins| {
        let (mut runs, mut since) = (0, Instant::now());
        while reins.on() {
            let mut command = std::process::Command::new("nsenter");
            command.arg(format!("--net={}", net.display())).args(["iperf3", "-t", "3", "-c", &GUEST.to_string()]);
            command.args((runs % 2 == 1).then_some("-R")).stdin(Stdio::null());
            let output = command.output().expect("iperf3 runs");
            let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
            // Between two runs its server closes its port, which resets who waits there, or has not noticed yet that the last one is over: then a run does
            // not begin. One that has begun must end well.
            let begun = said.contains(" connected to ");
            if !output.status.success() && !begun && since.elapsed() < PATIENCE {
                sleep_ms(20);
                continue;
            }
            assert!(output.status.success(), "iperf3: {said}");
            since = Instant::now();
            if std::env::var_os("GAPLESS_TEST_SHOW").is_some() {
                println!("{said}");
            }
            runs += 1;
            reins.done(runs);
        }
    })
}

/// Follows a counter in redis that the guest itself raises.
pub fn counted(site: &Site, key: &str) -> Load {
    let (key, mut redis) = (key.to_owned(), site.redis());
    Load::start(&key.clone(), move |reins| {
        while reins.on() {
            let now = redis.call(&["GET", &key]).expect("the connection stays");
            reins.done(now.parse().unwrap_or(0));
            sleep_ms(20);
        }
    })
}
