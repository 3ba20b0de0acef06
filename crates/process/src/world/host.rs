//! What a live replica asks its host: clocks, limits, standard streams. The unsafe edge of `world`.

use crate::kernel::{Credentials, Hardware, Limit};
use crate::object::stdio::Description;
use crate::run::launch::{Command, Launch};
use std::io;
use std::sync::OnceLock;
use std::time::Duration;

fn clock(which: libc::clockid_t) -> u64 {
    let mut t = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: a valid timespec to write to; the clocks asked for always exist.
    unsafe { libc::clock_gettime(which, &raw mut t) };
    t.tv_sec as u64 * 1_000_000_000 + t.tv_nsec as u64
}

/// The host's monotonic clock in nanoseconds.
pub fn monotonic() -> u64 {
    clock(libc::CLOCK_MONOTONIC)
}

/// How fast the host's monotonic clock goes by the time stamp counter.
#[derive(Debug, Default)]
pub struct CounterRate {
    /// The host's clock goes by the counter.
    steady: bool,
    /// Both, when they were first looked at.
    first: Option<(u64, u64)>,
    /// The fewest ticks that a look at both has taken.
    least: Option<u64>,
}

/// Looks at both clocks until one was not disturbed: the first ones, which say what that takes, and each later time.
const FIRST_LOOKS: u32 = 16;
const LOOKS_MAX: u32 = 3;
/// A look that takes so many times the fewest ticks was disturbed.
const DISTURBED: u64 = 4;

/// Nanoseconds between two looks before their difference is a rate: the looks themselves are some hundred apart.
const RATE_NANOS_MIN: u64 = 100_000_000;

impl CounterRate {
    /// Unknown yet; of no use where the host's clock goes by something else.
    pub fn of_this_host() -> Self {
        let source = std::fs::read_to_string("/sys/devices/system/clocksource/clocksource0/current_clocksource");
        Self { steady: source.is_ok_and(|name| matches!(name.trim(), "tsc" | "kvm-clock")), first: None, least: None }
    }

    /// Both clocks at one moment; `None` if the thread lost its processor between the two looks each time. The counter is the later one, so that what
    /// is reckoned from both is never ahead of the clock.
    pub fn look(&mut self, counter: impl Fn() -> Option<u64>, clock: impl Fn() -> u64) -> Option<(u64, u64)> {
        if !self.steady {
            return None;
        }
        let once = || {
            let (before, nanos, after) = (counter()?, clock(), counter()?);
            Some((after.checked_sub(before)?, (after, nanos)))
        };
        let Some(least) = self.least else {
            let (ticks, both) = (0..FIRST_LOOKS).filter_map(|_| once()).min()?;
            self.least = Some(ticks);
            return Some(both);
        };
        let good = (0..LOOKS_MAX).filter_map(|_| once()).find(|(ticks, _)| *ticks <= least.saturating_mul(DISTURBED));
        let (ticks, both) = good?;
        self.least = Some(least.min(ticks));
        Some(both)
    }

    /// Both clocks now; nanoseconds a tick, times 2^32, once enough time has passed to know it.
    pub fn measure(&mut self, counter: u64, nanos: u64) -> Option<u64> {
        if !self.steady {
            return None;
        }
        let (counter_first, nanos_first) = *self.first.get_or_insert((counter, nanos));
        let (Some(ticks), Some(passed)) = (counter.checked_sub(counter_first), nanos.checked_sub(nanos_first)) else {
            // One of them went back: the machine under us is another one.
            self.first = None;
            return None;
        };
        (passed >= RATE_NANOS_MIN && ticks > 0).then(|| ((u128::from(passed) << 32) / u128::from(ticks)) as u64)
    }
}

/// Would reading this descriptor not block?
pub fn readable(fd: i32) -> bool {
    ready(fd, libc::POLLIN)
}

/// Would writing (a little) to this descriptor not block?
pub fn writable(fd: i32) -> bool {
    ready(fd, libc::POLLOUT)
}

fn ready(fd: i32, events: i16) -> bool {
    let mut poll = libc::pollfd { fd, events, revents: 0 };
    // SAFETY: one valid pollfd.
    unsafe { libc::poll(&raw mut poll, 1, 0) > 0 }
}

/// Sleeps until one of the descriptors is ready for its events or the time is over.
pub fn sleep(fds: &[(i32, i16)], at_most: Duration) {
    let mut polls: Vec<_> = fds.iter().map(|&(fd, events)| libc::pollfd { fd, events, revents: 0 }).collect();
    let timeout = libc::timespec {
        tv_sec: at_most.as_secs() as libc::time_t,
        tv_nsec: libc::c_long::from(at_most.subsec_nanos()),
    };
    // SAFETY: valid pollfds and timeout; no signal mask.
    unsafe { libc::ppoll(polls.as_mut_ptr(), polls.len() as libc::nfds_t, &raw const timeout, std::ptr::null()) };
}

/// Reads standard input; empty at its end, `None` if nothing could be read now.
pub fn read_stdin(fd: i32, max: usize) -> Option<Vec<u8>> {
    let mut buf = vec![0u8; max];
    // SAFETY: the buffer has `max` valid bytes.
    let n = unsafe { libc::read(fd, buf.as_mut_ptr().cast(), max) };
    match n {
        0.. => {
            buf.truncate(n as usize);
            Some(buf)
        }
        _ => match io::Error::last_os_error().kind() {
            io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock => None,
            // As good as its end: nothing will come any more.
            _ => Some(Vec::new()),
        },
    }
}

/// Writes; answers how many bytes are gone, `None` if none could be written now.
pub fn write_some(fd: i32, bytes: &[u8]) -> Result<Option<usize>, i32> {
    // SAFETY: the slice is valid.
    let n = unsafe { libc::write(fd, bytes.as_ptr().cast(), bytes.len()) };
    if let Ok(n) = usize::try_from(n) {
        return Ok(Some(n));
    }
    let error = io::Error::last_os_error();
    match error.kind() {
        io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock => Ok(None),
        _ => Err(error.raw_os_error().unwrap_or(libc::EIO)),
    }
}

impl super::World {
    /// struct sysinfo as raw bytes.
    pub fn sysinfo(&self) -> Vec<u8> {
        let mut raw = vec![0u8; size_of::<libc::sysinfo>()];
        // SAFETY: the buffer is as long as the struct that is written to it.
        unsafe { libc::sysinfo(raw.as_mut_ptr().cast()) };
        raw
    }

    /// What stands behind the standard streams.
    pub fn describe_stdio(&self) -> Vec<Description> {
        (0..3).map(|number| describe(self.streams.fd(number))).collect()
    }

    /// The first entry of a log.
    pub fn describe_launch(&self, command: Command) -> Launch {
        let now = self.clock();
        Launch {
            argv: command.argv,
            env: command.env,
            cwd: command.cwd,
            states: command.states,
            seed: entropy(),
            now,
            realtime_offset: clock(libc::CLOCK_REALTIME) as i64 - now as i64,
            creds: credentials(),
            umask: umask(),
            limits: limits(),
            hardware: hardware(),
            hostname: hostname(),
        }
    }
}

fn describe(fd: i32) -> Description {
    // SAFETY: all-zero is a valid value of these plain C structs.
    let (mut stat, mut winsize): (libc::stat, [u8; 8]) = unsafe { (std::mem::zeroed(), [0; 8]) };
    // SAFETY: a valid struct to write to.
    if unsafe { libc::fstat(fd, &raw mut stat) } != 0 {
        return Description::default();
    }
    let mut termios = [0u8; 36];
    // SAFETY: TCGETS writes the kernel's termios (36 bytes), TIOCGWINSZ 8 bytes.
    let terminal = unsafe { libc::ioctl(fd, libc::TCGETS, termios.as_mut_ptr()) } == 0;
    if terminal {
        // SAFETY: see above.
        unsafe { libc::ioctl(fd, libc::TIOCGWINSZ, winsize.as_mut_ptr()) };
    }
    Description {
        open: true,
        mode: stat.st_mode,
        rdev: stat.st_rdev,
        // SAFETY: takes no pointers.
        flags: unsafe { libc::fcntl(fd, libc::F_GETFL) },
        termios: terminal.then(|| termios.to_vec()),
        winsize,
    }
}

fn entropy() -> [u8; 32] {
    let mut seed = [0u8; 32];
    // SAFETY: 32 valid bytes; a request this small is always filled.
    let n = unsafe { libc::getrandom(seed.as_mut_ptr().cast(), seed.len(), 0) };
    assert_eq!(n, 32, "getrandom fills a small buffer");
    seed
}

fn credentials() -> Credentials {
    let (mut u, mut g) = ([0u32; 4], [0u32; 4]);
    let mut groups = vec![0u32; 65536];
    // SAFETY: all pointers are valid; getgroups is told the length.
    let count = unsafe {
        libc::getresuid(&raw mut u[0], &raw mut u[1], &raw mut u[2]);
        libc::getresgid(&raw mut g[0], &raw mut g[1], &raw mut g[2]);
        libc::getgroups(groups.len() as i32, groups.as_mut_ptr())
    };
    groups.truncate(count.max(0) as usize);
    (u[3], g[3]) = (u[1], g[1]);
    Credentials { uid: u, gid: g, groups }
}

fn umask() -> u32 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("Umask:"));
    line.and_then(|v| u32::from_str_radix(v.trim(), 8).ok()).unwrap_or(0o022)
}

/// Limit of descriptors that this process was started with: what the program is told.
static FILES: OnceLock<libc::rlimit> = OnceLock::new();

/// Every connection of the program is a descriptor of ours: takes as many as the hard limit allows.
pub fn raise_file_limit() {
    FILES.get_or_init(|| {
        let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: a valid struct to write to, then one to read; raising the soft limit to the hard one is always allowed.
        unsafe {
            libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit);
            let raised = libc::rlimit { rlim_cur: limit.rlim_max, rlim_max: limit.rlim_max };
            libc::setrlimit(libc::RLIMIT_NOFILE, &raw const raised);
        }
        limit
    });
}

fn limits() -> Vec<(u32, Limit)> {
    (0..16)
        .map(|resource: u32| {
            let mut limit = libc::rlimit { rlim_cur: u64::MAX, rlim_max: u64::MAX };
            // SAFETY: a valid struct to write to.
            unsafe { libc::getrlimit(resource, &raw mut limit) };
            if resource == libc::RLIMIT_NOFILE {
                limit = FILES.get().copied().unwrap_or(limit);
            }
            if resource == libc::RLIMIT_STACK {
                // The stack is mapped with this size on every host.
                limit.rlim_cur = limit.rlim_cur.min(crate::tracee::STACK_SIZE);
            }
            (resource, Limit { soft: limit.rlim_cur, hard: limit.rlim_max })
        })
        .collect()
}

fn hardware() -> Hardware {
    // SAFETY: getauxval only reads our own auxiliary vector.
    let aux = |kind| unsafe { libc::getauxval(kind) };
    Hardware { hwcap: aux(libc::AT_HWCAP), hwcap2: aux(libc::AT_HWCAP2), signal_stack_min: aux(libc::AT_MINSIGSTKSZ) }
}

fn hostname() -> Vec<u8> {
    let mut raw = vec![0u8; 65];
    // SAFETY: 65 valid bytes.
    unsafe { libc::gethostname(raw.as_mut_ptr().cast(), raw.len()) };
    raw.truncate(raw.iter().position(|&b| b == 0).unwrap_or(raw.len()));
    raw
}

/// Processor features that code on one side may use and the other side must therefore have.
pub fn cpu_features() -> Vec<String> {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let flags = info.lines().find_map(|l| l.strip_prefix("flags")).unwrap_or_default();
    let relevant = |f: &&str| {
        [
            "sse", "ssse", "avx", "aes", "bmi", "sha", "fma", "f16c", "popcnt", "movbe", "pclmul", "vaes", "gfni",
            "vpcl", "adx", "xsave", "erms", "fsrm",
        ]
        .iter()
        .any(|p| f.starts_with(p))
    };
    let mut features: Vec<String> = flags.split_whitespace().filter(relevant).map(str::to_owned).collect();
    features.sort();
    features.dedup();
    features
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_known_after_a_while_and_forgotten_when_the_counter_goes_back() {
        let mut rate = CounterRate { steady: true, ..CounterRate::default() };
        assert_eq!(rate.measure(1_000, 5), None);
        assert_eq!(rate.measure(2_000, 505), None);
        assert_eq!(rate.measure(1_000 + 400_000_000, 5 + 200_000_000), Some(1 << 31));
        assert_eq!(rate.measure(7, 300_000_000), None);
        assert_eq!(rate.measure(8, 300_000_001), None);
        assert_eq!(rate.measure(8 + 100_000_000, 300_000_001 + 200_000_000), Some(2 << 32));
        assert_eq!(CounterRate::default().measure(1, 1), None);
    }

    #[test]
    fn a_look_that_was_disturbed_counts_for_nothing() {
        use std::cell::Cell;
        let mut rate = CounterRate { steady: true, ..CounterRate::default() };
        // Each clock read takes 100 ticks, but for those in which the thread loses its processor.
        let (ticks, reads, lost) = (Cell::new(0u64), Cell::new(0u32), Cell::new(1u32));
        let counter = || Some(ticks.get());
        let clock = || {
            reads.set(reads.get() + 1);
            let nanos = ticks.get() * 2;
            ticks.set(ticks.get() + if reads.get() <= lost.get() { 20_000_000 } else { 100 });
            nanos
        };
        let at_one_moment = |(counter, nanos): (u64, u64)| counter * 2 - nanos <= 200;
        assert!(at_one_moment(rate.look(counter, clock).expect("the second look was good")));
        lost.set(reads.get() + 2);
        assert!(at_one_moment(rate.look(counter, clock).expect("the third look was good")));
        lost.set(reads.get() + 3);
        assert_eq!(rate.look(counter, clock), None);
        assert!(rate.look(counter, clock).is_some());
    }
}
