//! The real world of a live machine: the network port, the console, and the host's clock.
//!
//! What comes in becomes a logged event; what goes out was committed before it gets here. A backup has none of this.

pub mod console;

use crate::steer::Steer;
use console::Console;
use gapless_gate::{FRAME_BYTES_MAX, Guest, Passt, Port, Sent, Tap, announce};
use gapless_log::{Error, Result, Waker};
use std::ffi::CString;
use std::os::fd::{AsRawFd, RawFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Names on this host that a machine is given; each side of a pair has its own.
#[derive(Clone, Debug, Default)]
pub struct Local {
    /// What the guest's network device is plugged into.
    pub net: Net,
    /// Where the console is.
    pub console: ConsoleAt,
    /// Who hears of what a person should know.
    pub tell: Tell,
}

impl Local {
    /// Refuses at once what a takeover would find out too late: no network for a guest that has a card, or a TAP that cannot be opened. Whoever only
    /// replays has no console and needs none of it.
    pub(crate) fn check(&self, net: bool) -> Result<()> {
        match &self.net {
            _ if self.console == ConsoleAt::Nowhere || !net => Ok(()),
            Net::None => Err(no_network()),
            Net::Tap(name) => open_tap(name, &self.tell).map(drop),
            Net::Passt(_) => Ok(()),
        }
    }
}

fn no_network() -> Error {
    Error::Refused(
        "the machine has a network device and this side has nowhere to plug it in: give --net tap=NAME (or, alone, --net passt)".into(),
    )
}

fn open_tap(name: &str, tell: &Tell) -> Result<Tap> {
    // SAFETY: the name is a valid C string. Of this process's own network namespace, which /sys need not show.
    let fresh = CString::new(name).is_ok_and(|name| unsafe { libc::if_nametoindex(name.as_ptr()) } == 0);
    let tap = Tap::open(name).map_err(|e| Error::Level(e.to_string()))?;
    if fresh {
        let advice = format!("ip link set {name} master BRIDGE");
        tell.tell(&format!("{name} was not there and has been made: nothing is at its other end yet ({advice})"));
    }
    Ok(tap)
}

/// Tells a person something, from the hart's thread; nobody by default.
#[derive(Clone)]
pub struct Tell(Arc<dyn Fn(&str) + Send + Sync>);

impl Tell {
    /// Tells it to `person`, who must not keep the hart waiting.
    pub fn to(person: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self(Arc::new(person))
    }

    pub(crate) fn tell(&self, what: &str) {
        (self.0)(what);
    }
}

impl Default for Tell {
    fn default() -> Self {
        Self::to(|_| {})
    }
}

impl std::fmt::Debug for Tell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tell")
    }
}

/// What the network device is plugged into.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Net {
    /// Nothing.
    #[default]
    None,
    /// This TAP device.
    Tap(String),
    /// A passt of its own, which forwards these TCP ports of the host (`127.0.0.1/6390:6379`).
    Passt(Vec<String>),
}

/// Where the console is.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum ConsoleAt {
    /// Output is thrown away, and nothing comes in.
    #[default]
    Nowhere,
    /// Standard input and output.
    Terminal,
    /// A Unix socket of this name, for any number of people.
    Socket(PathBuf),
}

/// A frame that cannot leave because the port is full is tried again for so long; then it is lost, as on any wire.
const FULL_MAX: Duration = Duration::from_millis(20);
/// So many frames that came before a takeover are thrown away; a TAP holds fewer.
const STALE_FRAMES_MAX: usize = 4096;
/// The guest's new place is announced at once and again so long after going live: a bridge forwards nothing in the first milliseconds of a port's
/// life, and whoever hears it may lose a frame.
const ANNOUNCED_AFTER: [Duration; 4] =
    [Duration::from_millis(3), Duration::from_millis(20), Duration::from_millis(150), Duration::from_secs(1)];

/// The outside.
#[derive(Debug)]
pub(crate) struct World {
    port: Port,
    /// The guest takes large frames and frames without checksums; as the port was told last.
    offloads: bool,
    pub console: Console,
    pub steer: Steer,
    frame: Vec<u8>,
    /// A frame has been read and not yet given to the guest.
    waiting: Option<usize>,
    /// Typed and not yet given to the guest.
    typed: Vec<u8>,
    tell: Tell,
    announcing: Option<Announcing>,
}

/// An announcement that is repeated.
#[derive(Debug)]
struct Announcing {
    frame: Vec<u8>,
    since: Instant,
    done: usize,
}

impl Announcing {
    /// How long until the next one; `None` if there is none.
    fn left(&self) -> Option<Duration> {
        ANNOUNCED_AFTER.get(self.done).map(|after| after.saturating_sub(self.since.elapsed()))
    }
}

impl World {
    /// Opens everything that can fail. `net`: the guest has a network device.
    pub fn open(local: &Local, net: bool) -> Result<Self> {
        let port = match &local.net {
            Net::None if net => return Err(no_network()),
            Net::None => Port::None,
            _ if !net => Port::None,
            Net::Tap(name) => Port::Tap(open_tap(name, &local.tell)?),
            Net::Passt(forwarded) => {
                let guest = Guest { tcp: forwarded.clone(), ..Guest::default() };
                Port::Passt(Passt::start(&guest).map_err(|e| Error::Level(e.to_string()))?)
            }
        };
        Ok(Self {
            port,
            offloads: true,
            console: Console::open(&local.console)?,
            steer: Steer::new(Instant::now(), 0),
            frame: vec![0; FRAME_BYTES_MAX],
            waiting: None,
            typed: Vec::new(),
            tell: local.tell.clone(),
            announcing: None,
        })
    }

    /// Throws away what came while nobody was live here, and tells the network where the guest's address is now.
    pub fn take_over_address(&mut self, mac: [u8; 6]) -> Result<()> {
        for _ in 0..STALE_FRAMES_MAX {
            if self.next_frame()?.is_none() {
                break;
            }
            self.waiting = None;
        }
        let frame = announce(mac);
        self.send(&frame)?;
        self.announcing = Some(Announcing { frame, since: Instant::now(), done: 0 });
        Ok(())
    }

    fn announce_again(&mut self) -> Result<()> {
        match self.announcing.take() {
            Some(mut announcing) if announcing.left() == Some(Duration::ZERO) => {
                announcing.done += 1;
                self.send(&announcing.frame)?;
                self.announcing = Some(announcing).filter(|a| a.left().is_some());
            }
            other => self.announcing = other,
        }
        Ok(())
    }

    /// Shows what the guest has printed.
    pub fn print(&mut self, bytes: &[u8]) {
        self.console.write(bytes);
        if let Some(panic) = self.console.take_panic() {
            self.tell.tell(&format!("the guest's kernel says: {panic}"));
        }
    }

    /// Looks for what the guest has room for: frames or not, and so many bytes typed. Is there anything?
    pub fn poll(&mut self, frames: bool, typing: usize) -> Result<bool> {
        self.announce_again()?;
        self.port.flush().map_err(|e| Error::io("sending to", "the network", e))?;
        self.console.attend();
        if self.typed.is_empty() && typing > 0 {
            self.typed = self.console.read(typing);
        }
        Ok(!self.typed.is_empty() || frames && self.next_frame()?.is_some())
    }

    /// What [`World::poll`] has found typed.
    pub fn take_typed(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.typed)
    }

    /// The next frame that has arrived; it stays until [`World::taken`].
    pub fn next_frame(&mut self) -> Result<Option<&[u8]>> {
        if self.waiting.is_none() {
            self.waiting =
                self.port.receive(&mut self.frame).map_err(|e| Error::io("receiving from", "the network", e))?;
        }
        Ok(self.waiting.map(|n| &self.frame[..n]))
    }

    /// What the guest's driver takes: large frames and frames without checksums, or not.
    pub fn offers(&mut self, offloads: bool) -> Result<()> {
        if std::mem::replace(&mut self.offloads, offloads) != offloads {
            self.port.set_offloads(offloads).map_err(|e| Error::io("setting up", "the network", e))?;
        }
        Ok(())
    }

    /// The frame was logged and given to the guest.
    pub fn taken(&mut self) {
        self.waiting = None;
    }

    /// Sends a frame that is committed.
    pub fn send(&mut self, frame: &[u8]) -> Result<()> {
        let began = Instant::now();
        loop {
            match self.port.send(frame).map_err(|e| Error::io("sending to", "the network", e))? {
                Sent::Full if began.elapsed() < FULL_MAX => std::thread::sleep(Duration::from_micros(50)),
                Sent::Taken | Sent::Full | Sent::Down | Sent::Malformed => return Ok(()),
            }
        }
    }

    /// Sleeps until something comes in, the waker is woken, or the time is over. `frames`: the guest has room for one.
    pub fn wait(&mut self, waker: &Waker, at_most: Duration, frames: bool, typing: bool) {
        use std::os::fd::AsFd;
        if frames && self.waiting.is_some() {
            return;
        }
        let at_most = self.announcing.as_ref().and_then(Announcing::left).map_or(at_most, |left| left.min(at_most));
        let mut fds: Vec<RawFd> = vec![waker.as_fd().as_raw_fd()];
        fds.extend(self.port.as_fd().filter(|_| frames).map(|fd| fd.as_raw_fd()));
        self.console.attend();
        if typing && self.console.has_typed() {
            // It came just now, and its descriptor will not say so again.
            return;
        }
        self.console.descriptors(typing, &mut fds);
        sleep(&fds, at_most);
    }
}

/// Sleeps until one of the descriptors can be read or the time is over.
fn sleep(fds: &[RawFd], at_most: Duration) {
    let mut polls: Vec<_> = fds.iter().map(|&fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 }).collect();
    let time =
        libc::timespec { tv_sec: at_most.as_secs().min(3600) as libc::time_t, tv_nsec: at_most.subsec_nanos().into() };
    // SAFETY: valid pollfds and a valid time; no signal mask is given.
    unsafe { libc::ppoll(polls.as_mut_ptr(), polls.len() as libc::nfds_t, &raw const time, std::ptr::null()) };
}
