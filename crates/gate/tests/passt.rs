//! passt, for real: in a lab with a default route that leads nowhere.

mod common;

use common::{PATIENCE, accept, can_open_tun, pumped, until};
use gapless_gate::lab::Lab;
use gapless_gate::{Error, FRAME_BYTES_MAX, Guest, HEADER_BYTES, Passt, Port, Sent, Tap, announce};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;
use std::sync::atomic::Ordering;
use std::time::Instant;

const MAC: [u8; 6] = [0x52, 0x54, 0, 0, 0, 0x15];

/// passt takes its template from the interface of the default route.
fn outside() -> Lab {
    let lab = Lab::new().unwrap();
    lab.address("10.9.0.2/24").unwrap();
    lab.default_route("10.9.0.1".parse().unwrap()).unwrap();
    lab
}

fn forwarding(tcp: &str) -> Guest {
    Guest { tcp: vec![tcp.to_owned()], ..Guest::default() }
}

fn runs(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|rest| !rest.is_empty() && !rest.trim_start().starts_with(['Z', 'X']))
}

/// The next frame for which `f` has an answer.
fn next<T>(port: &Port, mut f: impl FnMut(&[u8]) -> Option<T>) -> T {
    let mut buf = vec![0xee; FRAME_BYTES_MAX];
    let mut answer = None;
    until("a frame comes", || {
        if let Some(length) = port.receive(&mut buf).unwrap() {
            assert_eq!(buf[..HEADER_BYTES], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0]);
            answer = f(&buf[HEADER_BYTES..length]);
        }
        answer.is_some()
    });
    answer.expect("until has seen it")
}

/// DHCPDISCOVER (RFC 2131), from 0.0.0.0 to everybody.
fn discover() -> Vec<u8> {
    let mut dhcp = vec![1, 1, 6, 0, 0xde, 0xad, 0xbe, 0xef];
    dhcp.resize(28, 0);
    dhcp.extend(MAC);
    dhcp.resize(236, 0);
    dhcp.extend([99, 130, 83, 99, 53, 1, 1, 255]);
    dhcp.resize(300, 0);
    let mut udp = vec![0, 68, 0, 67];
    udp.extend((8 + dhcp.len() as u16).to_be_bytes());
    udp.extend([0, 0]);
    udp.extend(dhcp);
    let mut ip = vec![0x45, 0];
    ip.extend((20 + udp.len() as u16).to_be_bytes());
    ip.extend([0, 0, 0, 0, 64, 17, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255]);
    let sum: u32 = ip.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1])).sum();
    let sum = !((sum & 0xffff) + (sum >> 16)) as u16;
    ip[10..12].copy_from_slice(&sum.to_be_bytes());
    let mut frame = vec![0; HEADER_BYTES];
    frame.extend([0xff; 6]);
    frame.extend(MAC);
    frame.extend([8, 0]);
    frame.extend(ip);
    frame.extend(udp);
    frame
}

#[test]
fn dhcp_offers_the_address_that_was_given() {
    let lab = outside();
    let passt = lab.enter(|| Passt::start(&Guest::default())).unwrap();
    let port = Port::Passt(passt);
    assert!(!port.offloads());
    assert_eq!(port.send(&discover()).unwrap(), Sent::Taken);
    let offered = next(&port, |ethernet| {
        // IPv4, UDP, to port 68: a reply whose `yiaddr` is what we are offered.
        let reply = ethernet.get(12..14)? == [8, 0] && ethernet[23] == 17 && ethernet[36..38] == [0, 68];
        reply.then(|| ethernet[42 + 16..42 + 20].to_vec())
    });
    assert_eq!(offered, [10, 0, 2, 15]);
}

#[test]
fn an_announcement_tells_passt_where_the_guest_is() {
    let lab = outside();
    let port = Port::Passt(lab.enter(|| Passt::start(&forwarding("127.0.0.1/6390:6379"))).unwrap());
    assert_eq!(port.send(&announce(MAC)).unwrap(), Sent::Taken);
    // Whatever passt answers first shows that it has read what was sent before.
    assert_eq!(port.send(&discover()[..]).unwrap(), Sent::Taken);
    next(&port, |_| Some(()));
    let stream = lab.enter(|| TcpStream::connect("127.0.0.1:6390")).unwrap();
    let (to, target) = next(&port, |ethernet| {
        let tcp = ethernet[12..14] == [8, 0] && ethernet[23] == 6;
        tcp.then(|| (ethernet[..6].to_vec(), ethernet[36..38].to_vec()))
    });
    assert_eq!((to, target), (MAC.to_vec(), 6379u16.to_be_bytes().to_vec()));
    drop(stream);
}

/// Sets SO_SNDBUF, of which the kernel makes twice as much (socket(7)).
fn send_buffer(stream: &TcpStream, bytes: i32) {
    let (fd, size) = (stream.as_raw_fd(), size_of::<i32>() as libc::socklen_t);
    // SAFETY: a valid integer of the size given.
    let done = unsafe { libc::setsockopt(fd, libc::SOL_SOCKET, libc::SO_SNDBUF, (&raw const bytes).cast(), size) };
    assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
}

/// A guest with a real TCP: a host of a second lab, whose TAP is pumped into passt. Large frames and frames without checksum come from it.
///
/// Bulk goes one way only, and the client speaks first: see the module documentation of `passt.rs` for what Debian 12's passt does otherwise.
#[test]
fn a_forwarded_connection_carries_bulk_out_of_the_guest() {
    if !can_open_tun() {
        return;
    }
    const MEGABYTES: usize = 64;
    // What passt reads while the socket behind it is full is lost, and sent again only after the guest's timeout, which doubles each time.
    const IN_FLIGHT_BYTES: i32 = 32 << 10;
    let (outer, inner) = (outside(), Lab::new().unwrap());
    let passt = Port::Passt(outer.enter(|| Passt::start(&forwarding("127.0.0.1/6390:6379"))).unwrap());
    inner.tap("tap0").unwrap();
    let tap = Port::Tap(inner.enter(|| Tap::open("tap0")).unwrap());
    let guest = inner.host("10.0.2.15/24").unwrap();
    assert!(guest.command("ip").args("route add default via 10.0.2.2".split(' ')).status().unwrap().success());
    let listener = guest.enter(|| TcpListener::bind("10.0.2.15:6379")).unwrap();
    let chunk: Vec<u8> = (0..1 << 20).map(|i| (i * 11 + (i >> 9)) as u8).collect();
    let request: Vec<u8> = (0..40_000).map(|i| (i * 3) as u8).collect();
    pumped([&passt, &tap], |seen| {
        // passt sends to everybody until it has heard the guest, and a TCP does not answer that.
        until("passt and the guest know each other", || {
            let _ = guest.command("bash").args(["-c", "echo > /dev/udp/10.0.2.2/9"]).status();
            seen.longest[0].load(Ordering::Relaxed) > 0
        });
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut stream = accept(&listener);
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                stream.set_write_timeout(Some(PATIENCE)).unwrap();
                send_buffer(&stream, IN_FLIGHT_BYTES);
                let mut buf = vec![0; request.len()];
                stream.read_exact(&mut buf).unwrap();
                assert!(buf == request, "the request is as it was sent");
                (0..MEGABYTES).for_each(|_| stream.write_all(&chunk).unwrap());
            });
            let mut stream = outer.enter(|| TcpStream::connect("127.0.0.1:6390")).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            stream.write_all(&request).unwrap();
            let start = Instant::now();
            let mut buf = vec![0; chunk.len()];
            for i in 0..MEGABYTES {
                stream.read_exact(&mut buf).unwrap();
                assert!(buf == chunk, "megabyte {i} is as it was sent");
            }
            let gigabits = MEGABYTES as f64 * 8.0 / 1024.0 / start.elapsed().as_secs_f64();
            let longest = seen.longest[1].load(Ordering::Relaxed);
            eprintln!("{gigabits:.2} Gbit/s, frames up to {longest}, full {}", seen.full.load(Ordering::Relaxed));
            assert!(longest > 10_000, "the guest leaves segmentation to us: {longest}");
        });
    });
}

#[test]
fn what_passt_says_is_in_the_error() {
    let lab = outside();
    let taken = lab.enter(|| TcpListener::bind("127.0.0.1:6390")).unwrap();
    let error = lab.enter(|| Passt::start(&forwarding("127.0.0.1/6390:6379"))).unwrap_err();
    assert!(matches!(error, Error::PasstEnded { .. }), "{error}");
    let said = error.to_string();
    assert!(said.contains("Failed to bind any port for") && said.contains("exit status: 1"), "{said}");
    assert!(!said.contains("syslog") && !said.contains('\n'), "{said}");
    drop(taken);

    let error = lab.enter(|| Passt::start(&forwarding("no such thing"))).unwrap_err();
    assert!(matches!(error, Error::PasstEnded { .. }), "{error}");
}

#[test]
fn a_passt_that_dies_is_an_error_of_both_ways() {
    let lab = outside();
    let passt = lab.enter(|| Passt::start(&Guest::default())).unwrap();
    // SAFETY: no pointers; it is our child and not waited for.
    assert_eq!(unsafe { libc::kill(passt.pid() as i32, libc::SIGKILL) }, 0);
    let mut buf = vec![0; FRAME_BYTES_MAX];
    let mut error = None;
    until("the end is seen", || {
        error = passt.receive(&mut buf).err();
        error.is_some()
    });
    let error = error.expect("until has seen it");
    assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe);
    assert!(error.to_string().starts_with("passt ended (signal: 9 (SIGKILL)); it said: "), "{error}");
    assert_eq!(passt.send(&announce(MAC)).unwrap_err().kind(), std::io::ErrorKind::BrokenPipe);
}

#[test]
fn it_is_gone_after_drop_and_survives_the_thread_that_started_it() {
    let lab = outside();
    let passt = lab.enter(|| Passt::start(&Guest::default())).unwrap();
    let pid = passt.pid();
    // The thread of `enter` has ended long ago.
    std::thread::sleep(std::time::Duration::from_millis(100));
    assert!(runs(pid));
    drop(passt);
    assert!(!runs(pid));
}

const PARENT: &str = "GAPLESS_GATE_TEST_PARENT";

/// Not a test of its own: the parent that [`it_is_gone_after_its_parent_was_killed`] kills.
#[test]
fn a_parent() {
    if std::env::var_os(PARENT).is_none() {
        return;
    }
    let passt = Passt::start(&Guest::default()).unwrap();
    println!("\npasst {}", passt.pid());
    std::thread::sleep(2 * PATIENCE);
}

#[test]
fn it_is_gone_after_its_parent_was_killed() {
    let lab = outside();
    let mut command = lab.command(std::env::current_exe().unwrap());
    command.args(["--exact", "a_parent", "--nocapture"]).env(PARENT, "1").stdout(Stdio::piped());
    let mut parent = command.spawn().unwrap();
    let lines = BufReader::new(parent.stdout.take().unwrap()).lines();
    let pid = lines.map(|line| line.unwrap()).find_map(|line| line.strip_prefix("passt ")?.parse().ok()).unwrap();
    assert!(runs(pid));
    parent.kill().unwrap();
    assert_eq!(parent.wait().unwrap().signal(), Some(libc::SIGKILL));
    until("passt is gone", || !runs(pid));
}
