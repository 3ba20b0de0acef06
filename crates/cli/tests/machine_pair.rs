//! A protected computer in all that is not a sudden death: handover, power off, reset, a panic of its kernel, partitions, a backup that lags, signals, and
//! what a person sees of it.

mod support;

use gapless_gate::Tap;
use std::time::{Duration, Instant};
use support::loads::{self, Load};

use support::machine::{Machines, Manner, check_disk, number};
use support::ping::Ping;
use support::process::{self, sleep_ms};
use support::proxy::Proxy;
use support::site::{DEBIAN, ECHO, FSYNC, PATIENCE, SERVERS, SERVERS_OFF, SINK, SOURCE, Site, boot};
use support::tmpfs::Tmpfs;

/// Long enough to see that something does not happen.
const QUIET: Duration = Duration::from_secs(2);
/// Exit status when gapless itself fails.
const FAILED: i32 = 125;

fn streams(site: &Site) -> [Load; 3] {
    [loads::echo(site, ECHO), loads::source(site, SOURCE), loads::sink(site, SINK)]
}

#[test]
fn a_planned_takeover_loses_no_byte() {
    let origin = SERVERS.origin();
    let site = Site::new("handover");
    let mut machines = Machines::switch_on(&site, &origin);
    let mut loads = streams(&site);
    let ping = Ping::start(&site);
    for _ in 0..2 {
        machines.await_protected();
        loads.iter_mut().for_each(|load| load.await_more(1));
        ping.await_answer();
        let began = Instant::now();
        let (status, out, said) = site.ask(["handover".into(), machines.primary.log.clone().into_os_string()]);
        assert_eq!((status, out.as_str()), (0, ""), "{said}");
        let former = machines.handed_over();
        assert_eq!(former.code(), 0, "{}", former.stderr_text());
        machines.await_primary("live", |now| now.role == "primary" && now.mode == "solo");
        ping.await_answer();
        println!("handover: ping gap {:.1?}", ping.gap(began));
        loads.iter_mut().for_each(|load| load.await_more(1));
        machines.rejoin();
    }
    machines.await_protected();
    loads::finish(loads);
}

#[test]
fn reset_goes_on_and_power_off_ends_both_sides() {
    const UP: &str = "this is a shell";
    let site = Site::new("power");
    let mut machines = Machines::switch_on(&site, &boot("test", None, "128M", "quiet mode=sh"));
    let mut console = machines.console();
    console.await_text(UP);
    assert_eq!(console.must("echo $((6*7))"), "42");
    let early = machines.await_protected();
    console.enter("reboot -f");
    console.await_text(UP);
    let late = machines.await_protected();
    assert!(late.position > early.position && late.life == early.life, "{early:?}, {late:?}");
    // The backup has followed through the reset.
    machines.kill_primary();
    machines.rejoin();
    machines.await_protected();
    let mut console = machines.console();
    assert_eq!(console.must("echo $((7*7))"), "49");
    console.enter("reboot -f");
    console.await_text(UP);
    machines.await_protected();
    console.enter("poweroff -f");
    machines.finish();
}

/// Moments of its joining, from its start until it is a backup.
#[test]
fn a_joiner_that_dies_while_it_joins_costs_nothing() {
    let origin = SERVERS.origin();
    let site = Site::new("joiner");
    let mut machines = Machines::switch_on(&site, &origin);
    machines.await_protected();
    let mut loads = streams(&site);
    let took = {
        machines.kill_primary();
        let since = Instant::now();
        machines.rejoin();
        machines.await_protected();
        since.elapsed()
    };
    for n in 0..6 {
        let mut joiner = machines.backup.take().expect("it is there");
        joiner.process.destroy();
        // The first ones may not even have made it.
        let _ = std::fs::remove_dir_all(&joiner.log);
        machines.await_primary("alone", |now| now.mode == "solo");
        loads.iter_mut().for_each(|load| load.await_more(1));
        machines.rejoin();
        std::thread::sleep(took * n / 6);
    }
    machines.await_protected();
    machines.kill_primary();
    loads.iter_mut().for_each(|load| load.await_more(1));
    loads::finish(loads);
}

/// What was acknowledged is in the log of the one who owned the machine, and connections outlive even this.
#[test]
fn both_sides_are_killed_and_the_owners_directory_goes_on() {
    let origin = SERVERS.origin();
    let site = Site::new("both");
    let mut machines = Machines::switch_on(&site, &origin);
    machines.await_protected();
    let mut writing = loads::fsync(&site, FSYNC);
    for _ in 0..2 {
        writing.await_more(20);
        machines.await_protected();
        machines.kill_both_and_resume();
        writing.await_more(20);
        machines.await_protected();
        machines.kill_primary();
        writing.await_more(20);
        machines.rejoin();
    }
    machines.await_protected();
    println!("both killed: {} acknowledged records, all there", writing.finish());
    machines.console().enter(SERVERS_OFF);
    check_disk(&site, &machines.finish());
}

/// Neither the log nor the disks of the live side can grow any more: it ends and says why, and the other one goes on.
#[test]
fn a_full_disk_of_the_live_side_hands_over_to_the_other() {
    let origin = SERVERS.origin();
    let site = Site::new("full");
    let small = Tmpfs::mount(&site.area.join("side-1"), "400m");
    let mut machines = Machines::switch_on(&site, &origin);
    machines.await_protected();
    let mut writing = loads::fsync(&site, FSYNC);
    writing.await_more(20);
    small.fill();
    let former = machines.handed_over();
    let said = former.stderr_text();
    assert_eq!(former.code(), FAILED, "{said}");
    assert!(said.contains("No space left on device"), "{said}");
    machines.await_primary("live", |now| now.role == "primary" && now.last_takeover_ms.is_some());
    writing.await_more(20);
    drop(small);
    machines.rejoin();
    machines.await_protected();
    println!("full disk: {} acknowledged records, all there", writing.finish());
    machines.console().enter(SERVERS_OFF);
    check_disk(&site, &machines.finish());
}

/// Within ten milliseconds of where it was, one second after a takeover and after a rejoin; and it never goes backward.
#[test]
fn the_guests_clock_goes_on_through_a_takeover() {
    const OFF_MAX: i64 = 10_000;
    let origin = DEBIAN.origin();
    let site = Site::new("clock");
    let mut machines = Machines::switch_on(&site, &origin);
    machines.await_protected();
    let mut redis = site.redis();
    let began = Instant::now();
    let mut last = 0;
    // The guest's clock less the host's in microseconds, as the quickest of some answers has it.
    let mut offset = || {
        let answers = (0..50).map(|_| {
            let asked = Instant::now();
            let time = redis.call_list(&["TIME"]).expect("the connection stays");
            let took = asked.elapsed();
            let part = |n: usize| time[n].parse::<i64>().expect("a number");
            let (guest, host) = (part(0) * 1_000_000 + part(1), (asked - began + took / 2).as_micros() as i64);
            assert!(guest > last, "the clock goes backward: {guest} after {last}");
            last = guest;
            sleep_ms(2);
            (took, guest - host)
        });
        answers.min().expect("some").1
    };
    let steady = offset();
    for n in 0..3 {
        machines.kill_primary();
        offset();
        std::thread::sleep(Duration::from_secs(1));
        let off = offset() - steady;
        println!("clock, a second after takeover {n}: off by {off} us");
        assert!(off.abs() <= OFF_MAX, "off by {off} us");
        machines.rejoin();
        machines.await_protected();
        offset();
        std::thread::sleep(Duration::from_secs(1));
        let off = offset() - steady;
        println!("clock, a second after rejoin {n}: off by {off} us");
        assert!(off.abs() <= OFF_MAX, "off by {off} us");
    }
}

#[test]
fn a_panic_of_the_guest_is_told() {
    let site = Site::new("panic");
    let mut machines = Machines::switch_on(&site, &boot("test", None, "128M", "quiet mode=panic"));
    let told = "gapless: the guest's kernel says: Kernel panic - not syncing";
    let since = Instant::now();
    while !machines.primary.process.stderr_text().contains(told) {
        assert!(since.elapsed() < PATIENCE, "{}", machines.words());
        sleep_ms(20);
    }
    // It hangs, as the computer that it is: a person decides.
    machines.await_protected();
}

#[test]
fn signals_end_a_side_and_the_other_goes_on() {
    let origin = SERVERS.origin();
    let site = Site::new("signals");
    let mut machines = Machines::switch_on(&site, &origin);
    machines.await_protected();
    let mut loads = streams(&site);
    let stopped = |done: process::Done| assert_eq!(done.code(), 128 + libc::SIGTERM, "{}", done.stderr_text());

    let backup = machines.backup.take().expect("it is there");
    process::kill(backup.process.pid(), libc::SIGTERM);
    stopped(backup.process.finish());
    machines.await_primary("alone", |now| now.mode == "solo");
    loads.iter_mut().for_each(|load| load.await_more(1));

    machines.rejoin();
    machines.await_protected();
    process::kill(machines.primary.process.pid(), libc::SIGTERM);
    stopped(machines.handed_over());
    machines.await_primary("live", |now| now.role == "primary");
    loads.iter_mut().for_each(|load| load.await_more(1));
    loads::finish(loads);

    process::kill(machines.primary.process.pid(), libc::SIGTERM);
    stopped(machines.primary.process.finish());
    // Nobody holds the network any more.
    site.lab.enter(|| (0..2).for_each(|n| drop(Tap::open(&Site::tap(n)).expect("it is free"))));
}

#[test]
fn a_person_sees_what_happens() {
    let origin = SERVERS.origin();
    let site = Site::new("looks");
    let mut machines = Machines::switch_on(&site, &origin);
    let mut writing = loads::fsync(&site, FSYNC);
    writing.await_more(5);
    machines.await_protected();
    let backup = machines.backup.as_ref().expect("it is there");
    let since = Instant::now();
    // It may be told a little later than the primary.
    while !Machines::status(backup).is_some_and(|now| now.in_sync) {
        assert!(since.elapsed() < PATIENCE, "{}", machines.words());
        sleep_ms(5);
    }
    for (side, role) in [(&machines.primary, "primary, protected"), (backup, "backup, acking, in sync")] {
        let (status, out, said) = site.ask(["status".into(), side.log.clone().into_os_string()]);
        assert_eq!(status, 0, "{said}");
        assert!(out.contains(role) && out.contains("commit latency"), "{out}");
    }
    writing.finish();
    machines.console().enter(SERVERS_OFF);
    let log = machines.finish();
    let (status, out, said) = site.ask(["log".into(), "cat".into(), log.clone().into_os_string()]);
    assert_eq!(status, 0, "{said}");
    for what in ["origin", "clock", "network event", "network frame", "mark", "console"] {
        assert!(out.lines().any(|line| line.contains(what)), "no {what} in the log:\n{}", &out[..out.len().min(4000)]);
    }
    let (status, out, said) = site.ask(["log".into(), "verify".into(), log.clone().into_os_string()]);
    assert_eq!(status, 0, "{out}{said}");
    // A log that came with its disks has no image to merge into, and says what to do instead.
    let (status, _, said) = site.ask(["machine".into(), "image".into(), "commit".into(), log.clone().into_os_string()]);
    assert_eq!(status, FAILED, "{said}");
    assert!(said.contains("gapless export"), "{said}");
    check_disk(&site, &log);
}

/// Both directions cut: one of the two goes on, and only one; after that both are a pair again.
#[test]
fn a_partition_leaves_one_that_speaks() {
    let origin = SERVERS.origin();
    let site = Site::new("partition");
    let cables = [Proxy::start(&site), Proxy::start(&site)];
    let behind = |cable: &Proxy| Manner { advertise: Some(cable.address.clone()), ..Manner::default() };
    let mut machines = Machines::switch_on_with(&site, &origin, &behind(&cables[0]), &behind(&cables[1]));
    let connect = |machines: &Machines<'_>| {
        let sides = [Some(&machines.primary), machines.backup.as_ref()];
        for side in sides.into_iter().flatten() {
            let since = Instant::now();
            let now = loop {
                match Machines::status(side) {
                    Some(now) if !now.address.is_empty() => break now,
                    now => assert!(since.elapsed() < PATIENCE, "it listens nowhere: {now:?}; {}", machines.words()),
                }
                sleep_ms(5);
            };
            // Sides take turns at the cables as they do at the TAPs.
            cables[(number(side) as usize + 1) % 2].leads_to(&now.address);
        }
    };
    connect(&machines);
    machines.await_protected();
    let mut writing = loads::fsync(&site, FSYNC);
    for round in 0..2 {
        writing.await_more(20);
        machines.await_protected();
        cables.iter().for_each(|cable| cable.cut(true));
        let since = Instant::now();
        let sides = |machines: &Machines<'_>| {
            let solo = |side| Machines::status(side).is_some_and(|now| now.mode == "solo" && !now.asking);
            (solo(&machines.primary), machines.backup.as_ref().is_some_and(solo))
        };
        let (first, second) = loop {
            let (first, second) = sides(&machines);
            if first || second {
                break (first, second);
            }
            assert!(since.elapsed() < PATIENCE, "nobody goes on: {}", machines.words());
            sleep_ms(2);
        };
        assert!(first != second, "two are live: {}", machines.words());
        println!(
            "partition {round}: the {} went on after {:.1?}",
            if first { "primary" } else { "backup" },
            since.elapsed()
        );
        // The records that are acknowledged from now on are the winner's; the other one says nothing to the network.
        let quiet = if first { machines.backup.as_ref() } else { Some(&machines.primary) }.expect("it is there");
        let tap = Site::tap(number(quiet));
        writing.await_more(20);
        let before = site.sent_by(&tap);
        std::thread::sleep(QUIET);
        writing.await_more(20);
        assert_eq!(site.sent_by(&tap), before, "the side that lost speaks");
        assert_eq!(sides(&machines), (first, second), "{}", machines.words());
        cables.iter().for_each(|cable| cable.cut(false));
        if second {
            let deposed = machines.handed_over();
            assert_eq!(deposed.code(), FAILED, "{}", deposed.stderr_text());
            // The cable that is not the winner's, whoever has won before.
            machines.rejoin_with(&behind(&cables[number(&machines.primary) as usize % 2]));
            connect(&machines);
        }
        machines.await_protected();
    }
    println!("partition: {} acknowledged records, all there", writing.finish());
    machines.console().enter(SERVERS_OFF);
    check_disk(&site, &machines.finish());
}

#[test]
fn a_backup_that_stands_still_costs_protection_and_nothing_else() {
    let origin = SERVERS.origin();
    let site = Site::new("still");
    let mut machines = Machines::switch_on(&site, &origin);
    let mut writing = loads::fsync(&site, FSYNC);
    machines.await_protected();
    let pid = machines.backup.as_ref().expect("it is there").process.pid();
    process::kill(pid, libc::SIGSTOP);
    machines.await_primary("alone", |now| now.mode == "solo");
    writing.await_more(20);
    process::kill(pid, libc::SIGCONT);
    let now = machines.await_protected();
    assert_eq!(now.false_alarms, 1, "{now:?}");
    machines.kill_primary();
    writing.await_more(20);
    writing.finish();
    machines.console().enter(SERVERS_OFF);
    check_disk(&site, &machines.finish());
}

/// It gets a tenth of a processor that it shares with something that never rests: the primary is slowed down, or lets it go; no record is lost.
#[test]
fn a_slow_backup_slows_the_primary_down() {
    let origin = SERVERS.origin();
    let site = Site::new("slow");
    let slow =
        Manner { through: ["nice", "-n", "10", "taskset", "-c", "0"].map(Into::into).to_vec(), ..Manner::default() };
    let mut machines = Machines::switch_on_with(&site, &origin, &Manner::default(), &slow);
    machines.await_protected();
    let mut command = site.lab.command("taskset");
    command.args(["-c", "0", "sh", "-c", "while :; do :; done"]);
    let hog = process::Process::start(command, &site.area.join("hog"));
    let mut writing = loads::fsync(&site, FSYNC);
    let mut lags = Vec::new();
    for _ in 0..30 {
        writing.await_more(5);
        let now = Machines::status(&machines.primary).expect("it is there");
        if now.mode == "protected" {
            lags.push(now.lag_entries);
        }
    }
    lags.sort_unstable();
    println!("slow backup: protected {} times of 30, lag at most {:?} entries", lags.len(), lags.last());
    // The limit and what may come in one step.
    assert!(lags.iter().all(|&lag| lag < 2 * 512), "{lags:?}");
    drop(hog);
    machines.await_protected();
    let killed = machines.kill_primary();
    println!("slow backup: takeover {:.1} ms", killed.takeover_ms);
    writing.await_more(20);
    writing.finish();
    machines.console().enter(SERVERS_OFF);
    check_disk(&site, &machines.finish());
}
