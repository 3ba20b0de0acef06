//! Random calls on a pair of sockets of the model and on a native pair: same answers, same readiness.

use super::*;
use crate::fs::tests::{Bench, PID, step};
use crate::kernel::FileId;
use crate::object::Object;
use proptest::prelude::*;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::rc::Rc;

#[derive(Clone, Copy, Debug)]
enum Op {
    Send { end: usize, len: usize },
    Recv { end: usize, max: usize, peek: bool },
    Shutdown { end: usize, how: i32 },
    Close { end: usize },
    Poll { end: usize },
    Error { end: usize },
}

fn op() -> impl Strategy<Value = Op> {
    let end = 0..2usize;
    prop_oneof![
        8 => (end.clone(), 0..40usize).prop_map(|(end, len)| Op::Send { end, len }),
        8 => (end.clone(), 1..30usize, any::<bool>()).prop_map(|(end, max, peek)| Op::Recv { end, max, peek }),
        1 => (end.clone(), 0..3i32).prop_map(|(end, how)| Op::Shutdown { end, how }),
        1 => end.clone().prop_map(|end| Op::Close { end }),
        6 => end.clone().prop_map(|end| Op::Poll { end }),
        1 => end.prop_map(|end| Op::Error { end }),
    ]
}

/// The bits that are compared.
const BITS: u32 = (libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLERR | libc::EPOLLHUP | libc::EPOLLRDHUP) as u32;

trait Ends {
    fn send(&mut self, end: usize, bytes: &[u8]) -> std::result::Result<usize, i32>;
    fn recv(&mut self, end: usize, max: usize, peek: bool) -> std::result::Result<Vec<u8>, i32>;
    fn shutdown(&mut self, end: usize, how: i32) -> std::result::Result<(), i32>;
    fn close(&mut self, end: usize);
    fn poll(&mut self, end: usize) -> u32;
    fn error(&mut self, end: usize) -> i32;
}

fn run(ops: &[Op], ends: &mut dyn Ends) -> Vec<String> {
    let mut open = [true, true];
    let mut out = Vec::new();
    let mut counter = 0u8;
    for &op in ops {
        let (Op::Send { end, .. }
        | Op::Recv { end, .. }
        | Op::Shutdown { end, .. }
        | Op::Close { end }
        | Op::Poll { end }
        | Op::Error { end }) = op;
        if !open[end] {
            continue;
        }
        out.push(match op {
            Op::Send { end, len } => {
                let bytes: Vec<u8> = (0..len)
                    .map(|_| {
                        counter = counter.wrapping_add(1);
                        counter
                    })
                    .collect();
                format!("{op:?} {:?}", ends.send(end, &bytes))
            }
            Op::Recv { end, max, peek } => format!("{op:?} {:?}", ends.recv(end, max, peek)),
            Op::Shutdown { end, how } => format!("{op:?} {:?}", ends.shutdown(end, how)),
            Op::Close { end } => {
                ends.close(end);
                open[end] = false;
                format!("{op:?}")
            }
            Op::Poll { end } => format!("{op:?} {:#x}", ends.poll(end) & BITS),
            Op::Error { end } => format!("{op:?} {}", ends.error(end)),
        });
    }
    out
}

struct Native([Option<OwnedFd>; 2]);

fn last() -> i32 {
    std::io::Error::last_os_error().raw_os_error().unwrap_or(0)
}

impl Native {
    fn unix(kind: i32) -> Self {
        let mut fds = [0; 2];
        // SAFETY: room for two descriptors.
        assert_eq!(unsafe { libc::socketpair(libc::AF_UNIX, kind | libc::SOCK_NONBLOCK, 0, fds.as_mut_ptr()) }, 0);
        // SAFETY: fresh descriptors.
        Self(fds.map(|fd| Some(unsafe { OwnedFd::from_raw_fd(fd) })))
    }

    fn tcp() -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let a = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (b, _) = listener.accept().unwrap();
        for s in [&a, &b] {
            s.set_nonblocking(true).unwrap();
            s.set_nodelay(true).unwrap();
        }
        Self([Some(a.into()), Some(b.into())])
    }

    fn fd(&self, end: usize) -> i32 {
        self.0[end].as_ref().expect("open").as_raw_fd()
    }
}

impl Ends for Native {
    fn send(&mut self, end: usize, bytes: &[u8]) -> std::result::Result<usize, i32> {
        // SAFETY: a valid slice.
        let n = unsafe { libc::send(self.fd(end), bytes.as_ptr().cast(), bytes.len(), libc::MSG_NOSIGNAL) };
        usize::try_from(n).map_err(|_| last())
    }

    fn recv(&mut self, end: usize, max: usize, peek: bool) -> std::result::Result<Vec<u8>, i32> {
        let mut buf = vec![0; max];
        let flags = if peek { libc::MSG_PEEK } else { 0 };
        // SAFETY: a valid buffer.
        let n = unsafe { libc::recv(self.fd(end), buf.as_mut_ptr().cast(), max, flags) };
        let n = usize::try_from(n).map_err(|_| last())?;
        buf.truncate(n);
        Ok(buf)
    }

    fn shutdown(&mut self, end: usize, how: i32) -> std::result::Result<(), i32> {
        // SAFETY: no pointers.
        if unsafe { libc::shutdown(self.fd(end), how) } == 0 { Ok(()) } else { Err(last()) }
    }

    fn close(&mut self, end: usize) {
        self.0[end] = None;
    }

    fn poll(&mut self, end: usize) -> u32 {
        let events = libc::POLLIN | libc::POLLOUT | libc::POLLRDHUP;
        let mut p = libc::pollfd { fd: self.fd(end), events, revents: 0 };
        // SAFETY: one valid pollfd.
        unsafe { libc::poll(&raw mut p, 1, 0) };
        u32::from(p.revents as u16)
    }

    fn error(&mut self, end: usize) -> i32 {
        let (mut error, mut len) = (0i32, 4);
        // SAFETY: a buffer of 4 bytes.
        unsafe {
            libc::getsockopt(self.fd(end), libc::SOL_SOCKET, libc::SO_ERROR, (&raw mut error).cast(), &raw mut len)
        };
        error
    }
}

struct Model<'a, 'b, 'c> {
    k: &'a mut Kernel,
    cx: &'a mut Ctx<'b, 'c>,
    ids: [ObjectId; 2],
}

impl Ends for Model<'_, '_, '_> {
    fn send(&mut self, end: usize, bytes: &[u8]) -> std::result::Result<usize, i32> {
        errno(net::send(self.k, self.cx, self.ids[end], bytes, None, &[], true))
    }

    fn recv(&mut self, end: usize, max: usize, peek: bool) -> std::result::Result<Vec<u8>, i32> {
        errno(net::recv(self.k, self.ids[end], max, peek)).map(|m| m.bytes)
    }

    fn shutdown(&mut self, end: usize, how: i32) -> std::result::Result<(), i32> {
        errno(net::shutdown(self.k, self.cx, self.ids[end], how))
    }

    fn close(&mut self, end: usize) {
        errno(net::close(self.k, self.cx, self.ids[end])).unwrap();
    }

    fn poll(&mut self, end: usize) -> u32 {
        net::poll(self.k, self.ids[end])
    }

    fn error(&mut self, end: usize) -> i32 {
        let raw = errno(net::get_option(self.k, self.ids[end], libc::SOL_SOCKET, libc::SO_ERROR)).unwrap();
        i32::from_le_bytes(raw.try_into().unwrap())
    }
}

/// Two sockets of the model that are joined.
fn pair(k: &mut Kernel, domain: i32, kind: i32) -> [ObjectId; 2] {
    let ids = [0, 1].map(|_| errno(net::socket(k, domain, kind, 0)).unwrap());
    net::connect_pair(k, PID, ids[0], ids[1]);
    ids
}

fn compare(ops: &[Op], domain: i32, kind: i32) {
    let mut native = if domain == libc::AF_UNIX { Native::unix(kind) } else { Native::tcp() };
    let expected = run(ops, &mut native);
    let ops: Rc<[Op]> = ops.into();
    let bench = Bench::new();
    let answers = bench.check(&[step(move |k, cx| {
        let ids = pair(k, domain, kind);
        run(&ops, &mut Model { k, cx, ids }).join("\n")
    })]);
    let found: Vec<&str> = answers[0].lines().collect();
    for (i, (e, f)) in expected.iter().zip(&found).enumerate() {
        assert_eq!(e, f, "answer {i} (native, then the model) of {expected:#?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_stream_pair_is_a_native_one(ops in prop::collection::vec(op(), 1..40)) {
        compare(&ops, libc::AF_UNIX, libc::SOCK_STREAM);
    }

    #[test]
    fn a_packet_pair_is_a_native_one(ops in prop::collection::vec(op(), 1..40)) {
        compare(&ops, libc::AF_UNIX, libc::SOCK_SEQPACKET);
    }

    #[test]
    fn a_datagram_pair_is_a_native_one(ops in prop::collection::vec(op(), 1..40)) {
        compare(&ops, libc::AF_UNIX, libc::SOCK_DGRAM);
    }

    #[test]
    fn a_connection_inside_is_a_native_one(ops in prop::collection::vec(op(), 1..40)) {
        compare(&ops, libc::AF_INET, libc::SOCK_STREAM);
    }
}

/// Descriptions that travel are held, and let go when nobody takes them.
#[test]
fn files_in_messages_are_held() {
    let bench = Bench::new();
    bench.check(&[step(|k, cx| {
        let ids = pair(k, libc::AF_UNIX, libc::SOCK_STREAM);
        let extra = pair(k, libc::AF_UNIX, libc::SOCK_STREAM);
        let file: FileId = k.open(Object::Socket(extra[0]), libc::O_RDWR);
        for text in [&b"one"[..], b"two"] {
            assert_eq!(errno(net::send(k, cx, ids[0], text, None, &[file], true)), Ok(3));
        }
        assert_eq!(k.file(file).refs, 3);
        errno(k.drop_file(cx, file)).unwrap();
        // Bytes with descriptors are not joined with others.
        let first = errno(net::recv(k, ids[1], 100, false)).unwrap();
        assert_eq!((first.bytes.as_slice(), first.files.as_slice()), (&b"one"[..], &[file][..]));
        errno(k.drop_file(cx, file)).unwrap();
        assert_eq!(k.file(file).refs, 1);
        // The second message goes with its queue, and the socket in it with the last holder.
        errno(net::close(k, cx, ids[1])).unwrap();
        assert!(!k.files.contains_key(&file));
        assert_eq!(net::poll(k, extra[1]) & libc::EPOLLHUP as u32, libc::EPOLLHUP as u32);
        errno(net::close(k, cx, ids[0])).unwrap();
        errno(net::close(k, cx, extra[1])).unwrap();
        assert!(k.net.sockets.is_empty());
        "held".to_owned()
    })]);
}
