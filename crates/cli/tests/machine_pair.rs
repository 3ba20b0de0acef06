//! A protected computer in what is not a sudden death: a planned takeover, a panic of its kernel, a backup that stands still.

mod support;

use std::ffi::OsString;
use std::time::Instant;
use support::loads;
use support::machine::{Machines, check_disk};
use support::ping::Ping;
use support::process::{self, sleep_ms};
use support::site::{GUEST_IP, PATIENCE, Site, boot};

/// First port of the test guests' servers.
const PORT: u16 = 7000;

fn streams() -> Vec<OsString> {
    boot("test", None, "128M", &format!("quiet mode=stream port={PORT} {GUEST_IP}"))
}

fn records() -> Vec<OsString> {
    boot("test", Some("scratch.img"), "128M", &format!("quiet mode=fsync port={PORT} {GUEST_IP}"))
}

#[test]
fn a_planned_takeover_loses_no_byte() {
    let site = Site::new("handover");
    let mut machines = Machines::switch_on(&site, &streams());
    let mut loads = [loads::echo(&site, PORT), loads::source(&site, PORT + 1), loads::sink(&site, PORT + 2)];
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
fn a_backup_that_stands_still_costs_protection_and_nothing_else() {
    let site = Site::new("still");
    let mut machines = Machines::switch_on(&site, &records());
    let mut writing = loads::fsync(&site, PORT);
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
    machines.console().enter("poweroff");
    check_disk(&site, &machines.finish());
}
