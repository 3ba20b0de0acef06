//! A whole computer survives its host: the live side of a protected machine is killed with SIGKILL at random moments of everything that a computer does,
//! and its clients notice a pause.
//!
//! What must hold each time: the other side takes over; no connection breaks; no byte is lost or doubled; what was acknowledged is there; the guest's file
//! system is clean. Moments come from a seed, which is printed; how long pauses were is printed too (`--nocapture` shows it).
//!
//! `KILLS` (10): kills over all loads together, at least one of each. `GAPLESS_TEST_SEED`: the seed.

mod support;

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use support::loads::{self, Load};
use support::machine::{Killed, Machines, check_disk};
use support::ping::Ping;
use support::site::{DEBIAN, ECHO, FSYNC, SERVERS, SERVERS_OFF, SINK, SOURCE, Site, debian};

/// A protected load is left alone at most so long before the next kill.
const CALM: Duration = Duration::from_millis(1500);
/// Instructions from power-on until a Debian rests.
const BOOT_POSITIONS: u64 = 8_000_000_000;

/// So many tenths of all kills.
fn kills(tenths: u32) -> u32 {
    let all: u32 = std::env::var("KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(10);
    (all * tenths / 10).max(1)
}

/// Numbers below what they are asked for, from a seed.
struct Dice(u64);

impl Dice {
    fn new() -> Self {
        let given = std::env::var("GAPLESS_TEST_SEED").ok().and_then(|s| s.parse().ok());
        let now = || SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_nanos() as u64;
        let seed = given.unwrap_or_else(now);
        println!("GAPLESS_TEST_SEED={seed}");
        Self(seed | 1)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % n
    }
}

/// What was measured.
#[derive(Default)]
struct Pauses {
    takeover: Vec<Duration>,
    /// From the kill until the survivor says that it is live.
    live: Vec<Duration>,
    /// Without an answer to a ping, around a kill.
    gap: Vec<Duration>,
    /// From the start of a fresh backup until it protects.
    rejoin: Vec<Duration>,
    /// Without an answer to a ping during that.
    rejoin_gap: Vec<Duration>,
}

impl Pauses {
    fn killed(&mut self, killed: &Killed, gap: Duration) {
        self.takeover.push(Duration::from_secs_f64(killed.takeover_ms / 1e3));
        self.live.push(killed.until_live);
        self.gap.push(gap);
    }

    fn show(mut self, name: &str) {
        let rows = [
            ("takeover", &mut self.takeover),
            ("kill to live", &mut self.live),
            ("ping gap", &mut self.gap),
            ("rejoin", &mut self.rejoin),
            ("ping gap while rejoining", &mut self.rejoin_gap),
        ];
        for (what, times) in rows {
            times.sort_unstable();
            if let Some(most) = times.last() {
                println!(
                    "{name}: {what}: median {:.1?}, most {most:.1?}, of {}",
                    times[(times.len() - 1) / 2],
                    times.len()
                );
            }
        }
    }
}

/// Kills the live side so often at random moments, and lets a fresh backup join after each; the machine is protected at the end.
fn kill_in_a_row(machines: &mut Machines<'_>, loads: &mut [Load], kills: u32, name: &str) {
    let mut dice = Dice::new();
    let ping = Ping::start(machines.site);
    let mut pauses = Pauses::default();
    machines.await_protected();
    ping.await_answer();
    for _ in 0..kills {
        std::thread::sleep(Duration::from_micros(dice.below(CALM.as_micros() as u64)));
        machines.await_protected();
        let killed = machines.kill_primary();
        ping.await_answer();
        pauses.killed(&killed, ping.gap(killed.at));
        loads.iter_mut().for_each(|load| load.await_more(1));
        let began = Instant::now();
        machines.rejoin();
        machines.await_protected();
        pauses.rejoin.push(began.elapsed());
        ping.await_answer();
        pauses.rejoin_gap.push(ping.gap(began));
    }
    loads.iter_mut().for_each(|load| load.await_more(1));
    pauses.show(name);
}

/// The guest's kernel has found nothing wrong with its disk.
fn guest_is_content(machines: &Machines<'_>) {
    let mut console = machines.console();
    let said = console.must("dmesg | grep -iE 'EXT4-fs (error|warning)|I/O error|BUG:|Oops' || true");
    assert_eq!(said, "", "the guest's kernel complains");
    let options = console.must("findmnt -no OPTIONS /");
    assert!(options.contains("rw"), "the root is not writable: {options:?}");
}

/// Switches a protected Debian off at its console and checks its disk.
fn switch_off(site: &Site, mut machines: Machines<'_>) {
    machines.await_protected();
    let mut console = machines.console();
    console.enter("systemctl poweroff");
    console.await_text("Power down");
    check_disk(site, &machines.finish());
}

#[test]
fn while_it_boots() {
    for _ in 0..kills(1) {
        let site = Site::new("kill-boot");
        let mut dice = Dice::new();
        let mut machines = Machines::switch_on(&site, &debian());
        machines.await_protected();
        let moment = dice.below(BOOT_POSITIONS);
        machines.await_primary("at its moment", |now| now.position > moment);
        machines.await_protected();
        let killed = machines.kill_primary();
        println!("boot, at {moment}: takeover {:.1} ms, kill to live {:.1?}", killed.takeover_ms, killed.until_live);
        machines.rejoin();
        let mut console = machines.console();
        console.enter("");
        console.await_text("login: ");
        drop(site.redis());
        console.enter("root");
        console.await_text("# ");
        assert_eq!(console.must("systemctl --failed --quiet --plain --no-legend"), "");
        guest_is_content(&machines);
        switch_off(&site, machines);
    }
}

#[test]
fn while_packages_are_installed() {
    let origin = DEBIAN.origin();
    let site = Site::new("kill-dpkg");
    let mut machines = Machines::switch_on(&site, &origin);
    machines.await_protected();
    let again = "dpkg -i /root/debs/*.deb && gapless-first && gapless-second && dpkg -P gapless-second gapless-first";
    machines.console().must(&format!(
        "(until test -e /root/stop; do ({again}) >>/root/dpkg.log 2>&1 && redis-cli INCR installed || redis-cli INCR failed; done; touch /root/stopped) >/dev/null 2>&1 & disown"
    ));
    let mut installing = [loads::counted(&site, "installed")];
    kill_in_a_row(&mut machines, &mut installing, kills(2), "dpkg");
    let mut console = machines.console();
    console.must("touch /root/stop; until test -e /root/stopped; do sleep 0.1; done");
    let [installing] = installing;
    let installed = installing.finish();
    println!("dpkg: {installed} times two packages installed and removed");
    assert_eq!(
        console.must("redis-cli --raw EXISTS failed; dpkg --audit"),
        "0",
        "{}",
        console.run("tail -50 /root/dpkg.log").1
    );
    console.must(again);
    // Each of the two says once for each time that it was configured.
    let count = |console: &mut support::console::Console, name: &str| {
        console.must(&format!("grep -c '{name} was configured' /var/log/gapless-debs"))
    };
    let times: u64 = site.redis().call(&["GET", "installed"]).expect("an answer").parse().expect("a number");
    for name in ["gapless-first", "gapless-second"] {
        assert_eq!(count(&mut console, name), (times + 1).to_string());
    }
    guest_is_content(&machines);
    switch_off(&site, machines);
}

#[test]
fn under_redis() {
    let origin = DEBIAN.origin();
    let site = Site::new("kill-redis");
    let mut machines = Machines::switch_on(&site, &origin);
    machines.await_protected();
    let mut loads: Vec<_> = (0..4).map(|n| loads::redis(&site, &format!("list{n}"))).collect();
    let idle = site.redis();
    kill_in_a_row(&mut machines, &mut loads, kills(2), "redis");
    let writes: u64 = loads::finish(loads).iter().sum();
    println!("redis: {writes} acknowledged writes, all there");
    // A connection on which nothing happened has survived too.
    let mut idle = idle;
    assert_eq!(idle.call(&["PING"]).expect("the connection stays"), "PONG");
    guest_is_content(&machines);
    switch_off(&site, machines);
}

#[test]
fn under_writes_that_are_synced() {
    let origin = SERVERS.origin();
    let site = Site::new("kill-fsync");
    let mut machines = Machines::switch_on(&site, &origin);
    let mut writing = [loads::fsync(&site, FSYNC)];
    kill_in_a_row(&mut machines, &mut writing, kills(2), "fsync");
    let [writing] = writing;
    println!("fsync: {} acknowledged records, all there", writing.finish());
    machines.console().enter(SERVERS_OFF);
    check_disk(&site, &machines.finish());
}

#[test]
fn under_iperf3() {
    let origin = DEBIAN.origin();
    let site = Site::new("kill-iperf3");
    let mut machines = Machines::switch_on(&site, &origin);
    machines.await_protected();
    let mut running = [loads::iperf(&site)];
    kill_in_a_row(&mut machines, &mut running, kills(1), "iperf3");
    let [running] = running;
    println!("iperf3: {} runs, all whole", running.finish());
    guest_is_content(&machines);
    switch_off(&site, machines);
}

#[test]
fn under_streams_of_known_bytes() {
    let origin = SERVERS.origin();
    let site = Site::new("kill-stream");
    let mut machines = Machines::switch_on(&site, &origin);
    let mut loads = [loads::echo(&site, ECHO), loads::source(&site, SOURCE), loads::sink(&site, SINK)];
    kill_in_a_row(&mut machines, &mut loads, kills(2), "stream");
    let bytes = loads::finish(loads);
    println!("stream: {bytes:?} bytes echoed, received and sent, none lost or doubled");
}

/// One machine that never stops, with everything at once.
#[test]
fn again_and_again() {
    let origin = DEBIAN.origin();
    let site = Site::new("kill-row");
    let mut machines = Machines::switch_on(&site, &origin);
    machines.await_protected();
    machines
        .console()
        .must("(while :; do dd if=/dev/zero of=/root/synced bs=4k count=64 conv=fsync 2>/dev/null; done) & disown");
    let mut loads: Vec<_> = (0..2).map(|n| loads::redis(&site, &format!("list{n}"))).collect();
    kill_in_a_row(&mut machines, &mut loads, kills(2).max(5), "in a row");
    let writes: u64 = loads::finish(loads).iter().sum();
    println!("in a row: {writes} acknowledged writes, all there");
    guest_is_content(&machines);
    switch_off(&site, machines);
}
