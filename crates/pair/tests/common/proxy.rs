//! A TCP proxy between two nodes.

use super::road::{Back, Damage, Road};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// A TCP proxy on loopback whose directions can be cut: bytes are held as long as a direction is cut, as a network that loses every
/// packet does; nothing is closed.
#[derive(Clone)]
pub struct Proxy {
    pub address: String,
    target: Arc<Mutex<String>>,
    /// Held: from the side that dialled, and towards it.
    cut: Arc<(AtomicBool, AtomicBool)>,
    dials: Arc<AtomicUsize>,
    /// Connections carried at this moment, and the most so far.
    carried: Arc<(AtomicUsize, AtomicUsize)>,
    /// What happens to bytes towards the side that dialled.
    back: Arc<Back>,
}

/// A proxy refuses more at a time: whoever needs them dials in a storm, and the test must fail for that and not for want of descriptors.
const CARRIED_MAX: usize = 64;

/// What a slow road holds is what is on its way, not megabytes in a buffer.
fn narrow(socket: &TcpStream) {
    let bytes: libc::c_int = 64 << 10;
    let len = size_of_val(&bytes) as libc::socklen_t;
    // SAFETY: `bytes` is valid for its length.
    let set = unsafe {
        libc::setsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_RCVBUF, (&raw const bytes).cast(), len)
    };
    assert_eq!(set, 0);
}

impl Proxy {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = Self {
            address: listener.local_addr().unwrap().to_string(),
            target: Arc::default(),
            cut: Arc::default(),
            dials: Arc::default(),
            carried: Arc::default(),
            back: Arc::default(),
        };
        let p = proxy.clone();
        thread::spawn(move || listener.incoming().flatten().for_each(|near| p.accepted(near)));
        proxy
    }

    pub fn set_target(&self, address: &str) {
        assert_ne!(address, self.address, "a proxy of itself dials itself without end");
        *self.target.lock().unwrap() = address.to_owned();
    }

    /// Cuts or heals what the dialling side sends, and what it is sent.
    pub fn cut(&self, forth: bool, back: bool) {
        self.cut.0.store(forth, Ordering::SeqCst);
        self.cut.1.store(back, Ordering::SeqCst);
    }

    /// How often it was dialled.
    pub fn dials(&self) -> usize {
        self.dials.load(Ordering::SeqCst)
    }

    /// Most connections at a time so far.
    pub fn carried_most(&self) -> usize {
        self.carried.1.load(Ordering::SeqCst)
    }

    fn accepted(&self, near: TcpStream) {
        self.dials.fetch_add(1, Ordering::SeqCst);
        let target = self.target.lock().unwrap().clone();
        if self.carried.0.load(Ordering::SeqCst) >= CARRIED_MAX {
            return;
        }
        let Ok(far) = TcpStream::connect(target) else { return };
        let now = self.carried.0.fetch_add(1, Ordering::SeqCst) + 1;
        self.carried.1.fetch_max(now, Ordering::SeqCst);
        near.set_nodelay(true).unwrap();
        far.set_nodelay(true).unwrap();
        if self.back.bytes_per_s.load(Ordering::SeqCst) != u64::MAX {
            narrow(&far);
        }
        let (cut, carried) = (Arc::clone(&self.cut), Arc::clone(&self.carried));
        let mut road = Road::new(Arc::clone(&self.back));
        thread::spawn(move || {
            thread::scope(|s| {
                s.spawn(|| carry(&near, &far, &|| cut.0.load(Ordering::SeqCst), &mut |_| {}));
                carry(&far, &near, &|| cut.1.load(Ordering::SeqCst), &mut |bytes| road.travel(bytes));
            });
            carried.0.fetch_sub(1, Ordering::SeqCst);
        });
    }
}

impl Proxy {
    /// Of each connection's bytes towards the side that dialled, those beyond this many are held.
    pub fn hold_after(&self, bytes: u64) {
        self.back.hold_after.store(bytes, Ordering::SeqCst);
    }

    pub fn bytes_per_s(&self, bytes: u64) {
        self.back.bytes_per_s.store(bytes, Ordering::SeqCst);
    }

    /// The next time; returns what was to be done and has not been.
    pub fn damage(&self, damage: Damage) -> Damage {
        std::mem::replace(&mut self.back.damage.lock().unwrap(), damage)
    }
}

fn carry(mut from: &TcpStream, mut to: &TcpStream, cut: &dyn Fn() -> bool, travel: &mut dyn FnMut(&mut Vec<u8>)) {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let got = from.read(&mut buffer).unwrap_or(0);
        while cut() {
            thread::sleep(Duration::from_millis(1));
        }
        let mut bytes = buffer[..got].to_vec();
        if got > 0 {
            travel(&mut bytes);
        }
        if got == 0 || to.write_all(&bytes).is_err() {
            let _ = to.shutdown(Shutdown::Both);
            let _ = from.shutdown(Shutdown::Both);
            return;
        }
    }
}
