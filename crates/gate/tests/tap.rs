//! TAPs on a bridge, for real.

mod common;

use common::{PATIENCE, accept, can_open_tun, frame, poll, pumped, texts, until};
use gapless_gate::lab::Lab;
use gapless_gate::{Error, FRAME_BYTES_MAX, Port, Sent, Tap, announce};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

const A: [u8; 6] = [0x52, 0x54, 0, 0, 0, 0xa];
const B: [u8; 6] = [0x52, 0x54, 0, 0, 0, 0xb];
const ALL: [u8; 6] = [0xff; 6];

/// A lab with these TAPs, opened.
fn lab<const N: usize>(names: [&str; N]) -> (Lab, [Port; N]) {
    let lab = Lab::new().unwrap();
    let ports = names.map(|name| {
        lab.tap(name).unwrap();
        Port::Tap(lab.enter(|| Tap::open(name)).unwrap())
    });
    (lab, ports)
}

/// Waits until the bridge forwards between the ports.
fn settle(from: &Port, to: &Port) {
    until("the bridge forwards", || {
        assert_eq!(from.send(&frame(ALL, [0x52, 0x54, 0, 0, 0, 0x5e], "settle")).unwrap(), Sent::Taken);
        texts(to).contains(&"settle".to_owned())
    });
    std::thread::sleep(Duration::from_millis(5));
    texts(to);
}

#[test]
fn frames_pass_in_order_both_ways() {
    if !can_open_tun() {
        return;
    }
    let (_lab, [a, b]) = lab(["tap0", "tap1"]);
    settle(&a, &b);
    settle(&b, &a);
    for (from, to, macs) in [(&a, &b, (B, A)), (&b, &a, (A, B))] {
        let sent: Vec<_> = (0..100).map(|i| format!("frame {i}")).collect();
        for text in &sent {
            assert_eq!(from.send(&frame(macs.0, macs.1, text)).unwrap(), Sent::Taken);
        }
        let mut got = Vec::new();
        until("all frames arrive", || {
            got.extend(texts(to));
            got.len() >= sent.len()
        });
        assert_eq!(got, sent);
    }
    assert!(a.offloads() && a.as_fd().is_some());
}

#[test]
fn num_buffers_is_said_whatever_the_buffer_held() {
    if !can_open_tun() {
        return;
    }
    let (_lab, [a, b]) = lab(["tap0", "tap1"]);
    settle(&a, &b);
    assert_eq!(a.send(&frame(ALL, A, "one")).unwrap(), Sent::Taken);
    let mut buf = vec![0xee; FRAME_BYTES_MAX];
    until("the frame arrives", || b.receive(&mut buf).unwrap().is_some());
    assert_eq!(buf[..12], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0]);
}

#[test]
fn what_a_guest_gets_wrong_is_dropped() {
    if !can_open_tun() {
        return;
    }
    let (_lab, [a, b]) = lab(["tap0", "tap1"]);
    settle(&a, &b);
    let mut unknown_gso = frame(B, A, "x");
    unknown_gso[1] = 0x7f;
    let mut checksum_outside = frame(B, A, "x");
    checksum_outside[0] = 1;
    checksum_outside[6..8].copy_from_slice(&60_000u16.to_le_bytes());
    for bad in [&[][..], &[0; 12], &[0; 25], &vec![0; FRAME_BYTES_MAX + 1], &unknown_gso, &checksum_outside] {
        assert_eq!(a.send(bad).unwrap(), Sent::Malformed, "{} bytes", bad.len());
    }
    assert_eq!(a.send(&frame(ALL, A, "after")).unwrap(), Sent::Taken);
    until("a good one passes", || texts(&b) == ["after"]);
}

#[test]
fn a_tap_that_is_down_loses_frames_and_one_that_is_removed_ends() {
    if !can_open_tun() {
        return;
    }
    let (lab, [a]) = lab(["tap0"]);
    let ip = |arguments: &str| {
        assert!(lab.command("ip").args(arguments.split(' ')).status().unwrap().success(), "ip {arguments}");
    };
    ip("link set dev tap0 down");
    assert_eq!(a.send(&frame(ALL, A, "lost")).unwrap(), Sent::Down);
    assert_eq!(a.receive(&mut vec![0; FRAME_BYTES_MAX]).unwrap(), None);
    ip("link set dev tap0 up");
    assert_eq!(a.send(&frame(ALL, A, "sent")).unwrap(), Sent::Taken);
    ip("link del dev tap0");
    let error = a.send(&frame(ALL, A, "gone")).unwrap_err();
    assert_eq!(error.to_string(), "TAP tap0 was removed while it was in use; make it again and start anew");
    let error = a.receive(&mut vec![0; FRAME_BYTES_MAX]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::NotConnected);
}

#[test]
fn errors_of_open_name_the_next_step() {
    if !can_open_tun() {
        return;
    }
    let (lab, [_held]) = lab(["tap0"]);
    let error = |name: &str| lab.enter(|| Tap::open(name)).unwrap_err();
    let busy = error("tap0");
    assert!(matches!(busy, Error::Busy { .. }));
    assert_eq!(
        busy.to_string(),
        "tap0 is in use by another process (`grep -l 'tap0$' /proc/[0-9]*/fdinfo/*` names it); end that one, or choose another name"
    );
    // What the message says works.
    let finds = lab.command("sh").args(["-c", "grep -l 'tap0$' /proc/[0-9]*/fdinfo/* 2>/dev/null"]).output().unwrap();
    let ours = format!("/proc/{}/fdinfo/", std::process::id());
    assert!(String::from_utf8_lossy(&finds.stdout).contains(&ours), "{finds:?}");

    let other = error("br0");
    assert!(matches!(other, Error::NotTap { .. }));
    assert_eq!(
        other.to_string(),
        "br0 exists and is not a TAP with a single queue; choose another name, or make one: `ip tuntap add dev br0 mode tap`"
    );
    assert!(matches!(error("no/name"), Error::BadName { .. }));
}

/// Runs `f` on a thread without any right of root's.
fn unprivileged<T: Send>(f: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        scope
            .spawn(|| {
                // SAFETY: no pointers. The raw call changes this thread alone, which ends soon.
                assert_eq!(unsafe { libc::syscall(libc::SYS_setresuid, 65_534, 65_534, 65_534) }, 0);
                f()
            })
            .join()
            .unwrap()
    })
}

#[test]
fn without_rights_the_error_says_which() {
    if !can_open_tun() {
        return;
    }
    let lab = Lab::new().unwrap();
    lab.tap("tap0").unwrap();
    for name in ["tap0", "tap9"] {
        let error = lab.enter(|| unprivileged(|| Tap::open(name)).unwrap_err());
        assert!(matches!(error, Error::NotPermitted { .. }), "{error}");
        assert_eq!(
            error.to_string(),
            format!(
                "TAP {name}: not permitted: run with CAP_NET_ADMIN, or let an administrator make it yours once: \
                 `ip tuntap add dev {name} mode tap user NAME`"
            )
        );
    }
}

#[test]
fn a_tap_that_does_not_exist_is_made_and_goes_with_its_owner() {
    if !can_open_tun() {
        return;
    }
    let lab = Lab::new().unwrap();
    let exists = || lab.command("ip").args(["link", "show", "dev", "tap7"]).output().unwrap().status.success();
    let tap = lab.enter(|| Tap::open("tap7")).unwrap();
    assert_eq!(tap.name(), "tap7");
    assert!(exists());
    // It is up, but nobody looks at what comes out.
    assert_eq!(tap.send(&frame(ALL, A, "hello")).unwrap(), Sent::Taken);
    drop(tap);
    until("the device is gone", || !exists());
}

/// Sends `megabytes` over TCP from a host of one lab to a host of another; between them two TAPs and a pump. Gives the longest frames.
fn bulk(offloads: bool, megabytes: usize) -> [usize; 2] {
    let (near, [near_port]) = lab(["tap0"]);
    let (far, [far_port]) = lab(["tap0"]);
    let client = near.host("10.0.0.2/24").unwrap();
    let server = far.host("10.0.0.3/24").unwrap();
    near_port.set_offloads(offloads).unwrap();
    far_port.set_offloads(offloads).unwrap();
    let listener = server.enter(|| TcpListener::bind("10.0.0.3:5000")).unwrap();
    let chunk: Vec<u8> = (0..1 << 20).map(|i| (i * 7 + (i >> 8)) as u8).collect();
    pumped([&near_port, &far_port], |seen| {
        std::thread::scope(|scope| {
            let receiver = scope.spawn(|| {
                let mut stream = accept(&listener);
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                let mut buf = vec![0; chunk.len()];
                for i in 0..megabytes {
                    stream.read_exact(&mut buf).unwrap();
                    assert!(buf == chunk, "megabyte {i} is as it was sent");
                }
                stream.write_all(b"thanks").unwrap();
            });
            let address = "10.0.0.3:5000".parse().unwrap();
            let mut stream = client.enter(|| TcpStream::connect_timeout(&address, PATIENCE)).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            let start = Instant::now();
            for _ in 0..megabytes {
                stream.write_all(&chunk).unwrap();
            }
            let mut thanks = [0; 6];
            stream.read_exact(&mut thanks).unwrap();
            let gigabits = megabytes as f64 * 8.0 / 1024.0 / start.elapsed().as_secs_f64();
            eprintln!("offloads {offloads}: {gigabits:.2} Gbit/s, full {}", seen.full.load(Ordering::Relaxed));
            receiver.join().unwrap();
        });
        [0, 1].map(|i| seen.longest[i].load(Ordering::Relaxed))
    })
}

#[test]
fn bulk_passes_in_large_frames() {
    if !can_open_tun() {
        return;
    }
    let [longest, _] = bulk(true, 64);
    assert!(longest > 30_000, "segmentation was left to whoever is last: {longest}");
}

#[test]
fn without_offloads_no_frame_is_large() {
    if !can_open_tun() {
        return;
    }
    let [longest, back] = bulk(false, 4);
    assert!(longest <= 12 + 14 + 1500 && back <= 12 + 14 + 1500, "{longest}, {back}");
}

#[test]
fn an_announcement_moves_the_address() {
    if !can_open_tun() {
        return;
    }
    let (lab, [primary, backup]) = lab(["tap0", "tap1"]);
    let host = lab.host("10.0.0.2/24").unwrap();
    lab.tap("client").unwrap();
    let client = Port::Tap(lab.enter(|| Tap::open("client")).unwrap());
    settle(&client, &primary);
    settle(&client, &backup);
    let ask = |port: &Port, other: &Port| {
        assert_eq!(client.send(&frame(A, B, "request")).unwrap(), Sent::Taken);
        until("the guest is reached", || texts(port).contains(&"request".to_owned()));
        assert_eq!(texts(other), [""; 0], "only the guest's own port is asked");
    };

    assert_eq!(primary.send(&frame(B, A, "I am here")).unwrap(), Sent::Taken);
    until("the bridge has learnt the address", || lab.port_of(A).unwrap().as_deref() == Some("tap0"));
    texts(&backup);
    ask(&primary, &backup);

    assert_eq!(backup.send(&announce(A)).unwrap(), Sent::Taken);
    until("the address has moved", || lab.port_of(A).unwrap().as_deref() == Some("tap1"));
    ask(&backup, &primary);
    drop(host);
}

#[test]
fn polling_wakes_for_a_frame() {
    if !can_open_tun() {
        return;
    }
    let (_lab, [a, b]) = lab(["tap0", "tap1"]);
    settle(&a, &b);
    let start = Instant::now();
    assert_eq!(a.send(&frame(ALL, A, "wake")).unwrap(), Sent::Taken);
    poll([&b, &Port::None]);
    assert_eq!(texts(&b), ["wake"], "after {:?}", start.elapsed());
}
