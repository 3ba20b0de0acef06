//! A cable between two sides that can be cut: a TCP proxy on the loopback interface of a site.

use super::site::Site;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Carries connections to a target. A cut one is silent: nothing is lost or closed, nothing arrives.
#[derive(Clone)]
pub struct Proxy {
    pub address: String,
    target: Arc<Mutex<String>>,
    cut: Arc<AtomicBool>,
}

impl Proxy {
    /// One with no target yet.
    pub fn start(site: &Site) -> Self {
        site.lab.enter(|| {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
            let address = listener.local_addr().expect("an address").to_string();
            let proxy = Self { address, target: Arc::default(), cut: Arc::default() };
            let this = proxy.clone();
            // A thread begins in the network of the one that starts it.
            std::thread::spawn(move || listener.incoming().flatten().for_each(|near| this.carry(near)));
            proxy
        })
    }

    /// Where it leads.
    pub fn leads_to(&self, address: &str) {
        address.clone_into(&mut self.target.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Cuts or mends it.
    pub fn cut(&self, cut: bool) {
        self.cut.store(cut, Ordering::SeqCst);
    }

    fn carry(&self, near: TcpStream) {
        let target = self.target.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Ok(far) = TcpStream::connect(target) else { return };
        let (near, far) = (Arc::new(near), Arc::new(far));
        for (from, to) in [(Arc::clone(&near), Arc::clone(&far)), (far, near)] {
            let cut = Arc::clone(&self.cut);
            to.set_nodelay(true).expect("a socket");
            std::thread::spawn(move || flow(&from, &to, &cut));
        }
    }
}

fn flow(mut from: &TcpStream, mut to: &TcpStream, cut: &AtomicBool) {
    let mut buffer = vec![0; 256 << 10];
    loop {
        let n = from.read(&mut buffer).unwrap_or(0);
        while cut.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(1));
        }
        if n == 0 || to.write_all(&buffer[..n]).is_err() {
            let _ = from.shutdown(Shutdown::Both);
            let _ = to.shutdown(Shutdown::Both);
            return;
        }
    }
}
