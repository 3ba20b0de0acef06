//! One live program, many real clients; every log is replayed at the end.

use super::*;
use std::net::{Shutdown, TcpListener, UdpSocket};
use std::sync::OnceLock;
use std::thread;

/// Programs are plain functions, so each test has a port of its own in a static.
macro_rules! port {
    () => {{
        static PORT: OnceLock<u16> = OnceLock::new();
        *PORT.get_or_init(free_port)
    }};
}

fn echo(k: &mut Kernel, cx: &mut Ctx<'_, '_>) -> bool {
    echo_turn(k, cx, port_echo())
}

fn port_echo() -> u16 {
    port!()
}

#[test]
fn two_hundred_connections_get_their_own_bytes_back() {
    let port = port_echo();
    let running = Running::start(echo);
    let clients: Vec<_> = (0..8usize)
        .map(|t| {
            thread::spawn(move || {
                let mut sockets: Vec<_> = (0..25).map(|_| client(port)).collect();
                for round in 0..4usize {
                    for (i, s) in sockets.iter_mut().enumerate() {
                        let text = vec![(t * 31 + i * 7 + round) as u8; 1 + i * 97 + round * 1000];
                        s.write_all(&text).unwrap();
                        let mut back = vec![0; text.len()];
                        s.read_exact(&mut back).unwrap();
                        assert!(back == text);
                    }
                }
            })
        })
        .collect();
    clients.into_iter().for_each(|c| c.join().unwrap());
    running.until_sockets(1);
    assert_eq!(running.entries(input::ACCEPTED).len(), 200);
    running.stop();
}

fn echo_slowly_read(k: &mut Kernel, cx: &mut Ctx<'_, '_>) -> bool {
    echo_turn(k, cx, port_slow())
}

fn port_slow() -> u16 {
    port!()
}

#[test]
fn a_client_that_does_not_read_is_not_read_either() {
    let running = Running::start(echo_slowly_read);
    let mut s = client(port_slow());
    s.set_nonblocking(true).unwrap();
    let (mut sent, mut quiet) = (0usize, 0);
    let part: Vec<u8> = (0..65_521).map(|i| i as u8).collect();
    // Everything that can hold bytes fills up, then nothing moves any more.
    while quiet < 40 {
        match s.write(&part[sent % part.len()..]) {
            Ok(n) => (sent, quiet) = (sent + n, 0),
            Err(_) => {
                quiet += 1;
                thread::sleep(Duration::from_millis(10));
            }
        }
        assert!(sent < 64 << 20, "bytes are held without end");
    }
    let logged: usize = running.entries(input::ARRIVED).iter().map(Vec::len).sum();
    assert!(logged <= sent);
    s.set_nonblocking(false).unwrap();
    let mut back = vec![0; sent];
    s.read_exact(&mut back).unwrap();
    let mut expected = part.iter().cycle();
    assert!(back.iter().all(|b| b == expected.next().unwrap()));
    drop(s);
    running.until_sockets(1);
    running.stop();
}

#[test]
fn an_end_that_is_half_closed_still_gets_everything() {
    let running = Running::start(echo_half);
    let mut s = client(port_half());
    let text: Vec<u8> = (0..3_000_000u32).map(|i| (i % 251) as u8).collect();
    let copy = text.clone();
    let mut writer = s.try_clone().unwrap();
    let writing = thread::spawn(move || {
        writer.write_all(&copy).unwrap();
        writer.shutdown(Shutdown::Write).unwrap();
    });
    let mut back = Vec::new();
    s.read_to_end(&mut back).unwrap();
    writing.join().unwrap();
    assert!(back == text);
    running.until_sockets(1);
    running.stop();
}

fn echo_half(k: &mut Kernel, cx: &mut Ctx<'_, '_>) -> bool {
    echo_turn(k, cx, port_half())
}

fn port_half() -> u16 {
    port!()
}

fn echo_reset(k: &mut Kernel, cx: &mut Ctx<'_, '_>) -> bool {
    echo_turn(k, cx, port_reset())
}

fn port_reset() -> u16 {
    port!()
}

#[test]
fn a_reset_ends_the_connection() {
    let running = Running::start(echo_reset);
    for _ in 0..10 {
        let mut s = client(port_reset());
        s.write_all(b"hello").unwrap();
        s.read_exact(&mut [0; 5]).unwrap();
        let linger = libc::linger { l_onoff: 1, l_linger: 0 };
        // SAFETY: a valid option value of the length given.
        let result = unsafe {
            let fd = std::os::fd::AsRawFd::as_raw_fd(&s);
            let size = size_of::<libc::linger>() as u32;
            libc::setsockopt(fd, libc::SOL_SOCKET, libc::SO_LINGER, (&raw const linger).cast(), size)
        };
        assert_eq!(result, 0);
    }
    running.until_sockets(1);
    let closed = running.entries(input::CLOSED);
    assert_eq!(closed.len(), 10);
    running.stop();
}

/// Connects to a server outside, tells it what it was told, and ends.
fn caller(k: &mut Kernel, cx: &mut Ctx<'_, '_>) -> bool {
    let port = port_caller();
    let Some((&id, _)) = k.net.sockets.first_key_value() else {
        if k.last_id > 0 {
            return false;
        }
        let id = errno(net::socket(k, libc::AF_INET, libc::SOCK_STREAM, 0)).unwrap();
        assert_eq!(errno(net::connect(k, cx, id, loopback(port))), Err(libc::EINPROGRESS));
        assert_eq!(errno(net::connect(k, cx, id, loopback(port))), Err(libc::EALREADY));
        assert_eq!(net::poll(k, id) & libc::EPOLLOUT as u32, 0);
        return true;
    };
    match errno(net::recv(k, id, 100, false)) {
        Ok(m) if m.bytes.is_empty() => errno(net::close(k, cx, id)).unwrap(),
        Ok(m) => {
            assert_ne!(net::poll(k, id) & libc::EPOLLOUT as u32, 0);
            assert!(errno(net::peer_addr(k, id)).unwrap() == loopback(port));
            errno(net::send(k, cx, id, &m.bytes, None, &[], true)).unwrap();
        }
        Err(libc::EAGAIN) => return false,
        Err(e) => panic!("errno {e}"),
    }
    true
}

fn port_caller() -> u16 {
    port!()
}

#[test]
fn a_connection_to_the_outside() {
    let server = TcpListener::bind(("127.0.0.1", port_caller())).unwrap();
    let running = Running::start(caller);
    let (mut s, from) = server.accept().unwrap();
    s.write_all(b"say this").unwrap();
    let mut back = [0; 8];
    s.read_exact(&mut back).unwrap();
    assert_eq!(&back, b"say this");
    let connected: crate::net::Connected = postcard::from_bytes(&running.entries(input::CONNECTED)[0]).unwrap();
    assert_eq!(connected.local, Some(from));
    s.shutdown(Shutdown::Write).unwrap();
    assert_eq!(s.read(&mut back).unwrap(), 0);
    running.until_sockets(0);
    running.stop();
}

/// Connects where nobody listens.
fn refused(k: &mut Kernel, cx: &mut Ctx<'_, '_>) -> bool {
    let Some((&id, _)) = k.net.sockets.first_key_value() else {
        if k.last_id > 0 {
            return false;
        }
        let id = errno(net::socket(k, libc::AF_INET, libc::SOCK_STREAM, 0)).unwrap();
        assert_eq!(errno(net::connect(k, cx, id, loopback(1))), Err(libc::EINPROGRESS));
        return true;
    };
    if k.net.get(id).error == 0 {
        return false;
    }
    let bits = libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLERR | libc::EPOLLHUP | libc::EPOLLRDHUP;
    assert_eq!(net::poll(k, id) & bits as u32, bits as u32);
    let error = errno(net::get_option(k, id, libc::SOL_SOCKET, libc::SO_ERROR)).unwrap();
    assert_eq!(error, libc::ECONNREFUSED.to_le_bytes());
    errno(net::close(k, cx, id)).unwrap();
    true
}

#[test]
fn a_connection_that_is_refused() {
    let running = Running::start(refused);
    for _ in 0..200 {
        if !running.entries(input::CONNECTED).is_empty() {
            break;
        }
        thread::sleep(Duration::from_millis(5));
    }
    running.until_sockets(0);
    running.stop();
}

/// Answers every datagram with its length and its bytes.
fn datagrams(k: &mut Kernel, cx: &mut Ctx<'_, '_>) -> bool {
    let Some((&id, _)) = k.net.sockets.first_key_value() else {
        let id = errno(net::socket(k, libc::AF_INET, libc::SOCK_DGRAM, 0)).unwrap();
        errno(net::bind(k, cx, id, loopback(port_udp()))).unwrap();
        return true;
    };
    let mut did = false;
    while let Ok(m) = errno(net::recv(k, id, 1000, false)) {
        let answer = [m.full.to_string().as_bytes(), b":", &m.bytes].concat();
        errno(net::send(k, cx, id, &answer, m.from, &[], true)).unwrap();
        did = true;
    }
    did
}

fn port_udp() -> u16 {
    static PORT: OnceLock<u16> = OnceLock::new();
    *PORT.get_or_init(|| UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port())
}

#[test]
fn datagrams_in_and_out() {
    let running = Running::start(datagrams);
    // The program binds in its first turn.
    thread::sleep(Duration::from_millis(100));
    let s = UdpSocket::bind("127.0.0.1:0").unwrap();
    s.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    for len in [0usize, 1, 500, 1000, 4000] {
        s.send_to(&vec![7; len], ("127.0.0.1", port_udp())).unwrap();
        let mut back = vec![0; 5000];
        let (n, from) = s.recv_from(&mut back).unwrap();
        assert_eq!(from.port(), port_udp());
        let expected = [len.to_string().as_bytes(), b":", &vec![7; len.min(1000)]].concat();
        assert!(back[..n] == expected);
    }
    running.stop();
}

/// Sends much more than fits, as fast as there is room, to whoever connects.
fn flood(k: &mut Kernel, cx: &mut Ctx<'_, '_>) -> bool {
    let (listener, mut did) = listener(k, cx, port_flood());
    while net::accept(k, listener).is_ok() {
        did = true;
    }
    for id in others(k) {
        // The position in the flood is kept where the model keeps things: in an option.
        let key = (libc::SOL_SOCKET, libc::SO_MARK);
        let mut at = k.net.get(id).int_option(key.0, key.1).unwrap_or(0) as usize;
        while at < FLOOD_BYTES {
            let part: Vec<u8> = (at..(at + 100_000).min(FLOOD_BYTES)).map(|i| (i % 253) as u8).collect();
            match errno(net::send(k, cx, id, &part, None, &[], true)) {
                Ok(n) => (at, did) = (at + n, true),
                Err(libc::EAGAIN) => break,
                Err(e) => panic!("errno {e}"),
            }
        }
        k.net.get_mut(id).options.insert(key, (at as i32).to_le_bytes().to_vec());
        if at == FLOOD_BYTES {
            errno(net::close(k, cx, id)).unwrap();
            did = true;
        }
    }
    did
}

const FLOOD_BYTES: usize = 12_000_000;

fn port_flood() -> u16 {
    port!()
}

#[test]
fn a_slow_reader_slows_the_writer_and_gets_everything_after_the_close() {
    let running = Running::start(flood);
    let mut s = client(port_flood());
    thread::sleep(Duration::from_millis(300));
    // Nobody has read: the program has been stopped by the lack of room.
    assert_eq!(running.sockets.load(Ordering::SeqCst), 2);
    let mut back = Vec::new();
    s.read_to_end(&mut back).unwrap();
    assert_eq!(back.len(), FLOOD_BYTES);
    assert!(back.iter().enumerate().all(|(i, &b)| b == (i % 253) as u8));
    running.until_sockets(1);
    running.stop();
}
