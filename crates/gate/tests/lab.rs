//! Labs come up, reach each other, and leave nothing.

mod common;

use common::until;
use gapless_gate::lab::Lab;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Stdio;

/// Does it run? One that has ended and waits for its parent does not.
fn runs(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|rest| !rest.is_empty() && !rest.trim_start().starts_with(['Z', 'X']))
}

#[test]
fn a_host_reaches_the_lab_and_another_host_and_nothing_else() {
    let lab = Lab::new().unwrap();
    lab.address("10.0.0.1/24").unwrap();
    let (a, b) = (lab.host("10.0.0.2/24").unwrap(), lab.host("10.0.0.3/24").unwrap());
    let in_lab = lab.enter(|| TcpListener::bind("10.0.0.1:80")).unwrap();
    let in_b = b.enter(|| TcpListener::bind("10.0.0.3:80")).unwrap();
    a.enter(|| TcpStream::connect("10.0.0.1:80")).unwrap().write_all(b"x").unwrap();
    a.enter(|| TcpStream::connect("10.0.0.3:80")).unwrap().write_all(b"x").unwrap();
    assert!(a.enter(|| TcpStream::connect("192.0.2.1:80")).is_err());
    drop((in_lab, in_b));
}

#[test]
fn commands_share_a_loopback() {
    let lab = Lab::new().unwrap();
    let listener = lab.enter(|| TcpListener::bind("127.0.0.1:0")).unwrap();
    let port = listener.local_addr().unwrap().port();
    let script = format!("exec 3<>/dev/tcp/127.0.0.1/{port} && echo reached");
    let output = lab.command("bash").args(["-c", &script]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "reached\n", "{output:?}");
}

#[test]
fn labs_do_not_collide() {
    let labs: Vec<_> = (0..3).map(|_| Lab::new().unwrap()).collect();
    for lab in &labs {
        lab.address("10.0.0.1/24").unwrap();
        lab.tap("tap0").unwrap();
        drop(lab.host("10.0.0.2/24").unwrap());
    }
}

#[test]
fn a_mistake_is_explained() {
    let lab = Lab::new().unwrap();
    let error = lab.address("nonsense").unwrap_err().to_string();
    assert!(error.starts_with("`ip address add nonsense dev br0` in a lab: exit status: 1: Error:"), "{error}");
}

#[test]
fn nothing_outlives_a_lab_even_in_a_panic() {
    let mut children = Vec::new();
    let mut pids = Vec::new();
    let mut path = std::path::PathBuf::new();
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let lab = Lab::new().unwrap();
        let host = lab.host("10.0.0.2/24").unwrap();
        path = lab.path();
        for mut command in [lab.command("sh"), host.command("sh")] {
            // A shell with a child of its own, which its death does not end.
            let child = command.args(["-c", "sleep 1000 & wait"]).stdout(Stdio::null()).spawn().unwrap();
            let pid = child.id();
            children.push(child);
            pids.push(pid);
            let children = format!("/proc/{pid}/task/{pid}/children");
            let mut grandchild: Option<u32> = None;
            until("the shell has a child", || {
                let children = std::fs::read_to_string(&children).unwrap_or_default();
                grandchild = children.trim().parse().ok();
                grandchild.is_some()
            });
            pids.extend(grandchild);
        }
        assert!(pids.iter().all(|pid| runs(*pid)) && Path::exists(&path));
        panic!("on purpose");
    }));
    assert!(panic.is_err());
    assert_eq!(pids.len(), 4);
    until("all have ended", || !pids.iter().any(|pid| runs(*pid)));
    for mut child in children {
        assert_eq!(child.wait().unwrap().signal(), Some(libc::SIGKILL));
    }
}
