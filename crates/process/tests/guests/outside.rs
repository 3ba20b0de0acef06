//! Somebody outside of the group: a small server, or a socket, on the loopback that remembers everything it was told.
//!
//! It answers each line `ask N` with `answer N*N` and understands nothing else. It lives as long as the process that runs the test.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Far above what the loopback takes, also on a machine that stalls.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    Tcp,
    Udp,
}

/// A connection, or a datagram.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contact {
    pub bytes: Vec<u8>,
    /// The other side has ended it, or is gone.
    pub over: bool,
}

#[derive(Debug)]
pub struct Outside {
    pub protocol: Protocol,
    address: SocketAddr,
    seen: Seen,
}

/// Who came, in the order of their coming.
type Seen = Arc<Mutex<Vec<(SocketAddr, Contact)>>>;

impl Outside {
    /// Listens from now on.
    pub fn start(protocol: Protocol) -> Self {
        let seen = Seen::default();
        let (theirs, any) = (seen.clone(), (Ipv4Addr::LOCALHOST, 0));
        let address = match protocol {
            Protocol::Tcp => {
                let listener = TcpListener::bind(any).expect("a port");
                let address = listener.local_addr();
                std::thread::spawn(move || serve(&listener, &theirs));
                address
            }
            Protocol::Udp => {
                let socket = UdpSocket::bind(any).expect("a port");
                let address = socket.local_addr();
                std::thread::spawn(move || receive(&socket, &theirs));
                address
            }
        };
        Self { protocol, address: address.expect("bound"), seen }
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// All that was seen since the last time, when everything that is on its way has come and every connection is over.
    pub fn take(&self) -> Vec<Contact> {
        // Both kinds of queue keep their order: when this one has come, all others have.
        let last = match self.protocol {
            Protocol::Tcp => TcpStream::connect(self.address).and_then(|s| s.local_addr()),
            Protocol::Udp => UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|s| {
                s.send_to(b"the last one", self.address)?;
                s.local_addr()
            }),
        };
        let last = last.expect("the loopback");
        let since = Instant::now();
        loop {
            let mut seen = self.seen.lock().expect("nobody panics with it");
            if seen.iter().any(|(from, _)| *from == last) && seen.iter().all(|(_, contact)| contact.over) {
                seen.retain(|(from, _)| *from != last);
                return seen.drain(..).map(|(_, contact)| contact).collect();
            }
            assert!(since.elapsed() < PATIENCE, "not over after {PATIENCE:?}: {seen:?}");
            drop(seen);
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

fn serve(listener: &TcpListener, seen: &Seen) {
    while let Ok((stream, from)) = listener.accept() {
        let number = {
            let mut seen = seen.lock().expect("nobody panics with it");
            seen.push((from, Contact { bytes: Vec::new(), over: false }));
            seen.len() - 1
        };
        let seen = seen.clone();
        std::thread::spawn(move || converse(stream, &seen, number));
    }
}

/// Until the other side ends it or is gone. Its place is its own until it is over.
fn converse(mut stream: TcpStream, seen: &Seen, number: usize) {
    let (mut part, mut line) = ([0; 256], Vec::new());
    while let Ok(n @ 1..) = stream.read(&mut part) {
        seen.lock().expect("nobody panics with it")[number].1.bytes.extend_from_slice(&part[..n]);
        line.extend_from_slice(&part[..n]);
        if let Some(answer) = answer(&line) {
            line.clear();
            if stream.write_all(&answer).is_err() {
                break;
            }
        }
    }
    let _ = stream.shutdown(Shutdown::Both);
    seen.lock().expect("nobody panics with it")[number].1.over = true;
}

fn receive(socket: &UdpSocket, seen: &Seen) {
    let mut buffer = [0; 2048];
    loop {
        // Errors are those of answers to somebody who is gone.
        let Ok((n, from)) = socket.recv_from(&mut buffer) else { continue };
        let bytes = buffer[..n].to_vec();
        let answer = answer(&bytes);
        seen.lock().expect("nobody panics with it").push((from, Contact { bytes, over: true }));
        if let Some(answer) = answer {
            let _ = socket.send_to(&answer, from);
        }
    }
}

/// What a whole question is answered with.
pub fn answer(question: &[u8]) -> Option<Vec<u8>> {
    let number = std::str::from_utf8(question).ok()?.strip_prefix("ask ")?.strip_suffix('\n')?;
    let number: u64 = number.parse().ok()?;
    Some(format!("answer {}\n", number * number).into_bytes())
}
