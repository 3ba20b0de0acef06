//! Wakes a replica that waits for the world: an eventfd that its own poll includes.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Cheap to clone; every clone wakes the same waiter. One thread waits and resets.
#[derive(Clone, Debug)]
pub struct Waker(Arc<Bell>);

#[derive(Debug)]
struct Bell {
    event: OwnedFd,
    /// The event is written, or is about to be, and has not been read since: whoever wakes now need not write, and there is something to read.
    rung: AtomicBool,
    /// What is polled instead of the event: an epoll of it and of what else wakes the waiter.
    watch: Option<OwnedFd>,
}

impl Waker {
    /// Makes a waker.
    pub fn new() -> io::Result<Self> {
        Ok(Self(Arc::new(Bell { event: event()?, rung: AtomicBool::new(false), watch: None })))
    }

    /// Makes one that other descriptors can ring too ([`Waker::watch`]).
    pub fn watching() -> io::Result<Self> {
        // SAFETY: no pointers; the result is checked.
        let watch = unsafe { owned(libc::epoll_create1(libc::EPOLL_CLOEXEC)) }?;
        let bell = Bell { event: event()?, rung: AtomicBool::new(false), watch: Some(watch) };
        control(bell.watch.as_ref(), libc::EPOLL_CTL_ADD, &bell.event)?;
        Ok(Self(Arc::new(bell)))
    }

    /// While there is something to read at this descriptor, the waiter does not sleep. Closing it ends that too.
    ///
    /// # Errors
    /// If this waker was not made with [`Waker::watching`], or as epoll_ctl(2).
    pub fn watch(&self, fd: &impl AsFd) -> io::Result<()> {
        control(self.0.watch.as_ref(), libc::EPOLL_CTL_ADD, fd)
    }

    /// No more.
    ///
    /// # Errors
    /// As [`Waker::watch`].
    pub fn unwatch(&self, fd: &impl AsFd) -> io::Result<()> {
        control(self.0.watch.as_ref(), libc::EPOLL_CTL_DEL, fd)
    }

    /// Wakes the waiter, now or at its next wait.
    pub fn wake(&self) {
        if self.0.rung.swap(true, Ordering::SeqCst) {
            return;
        }
        let one = 1u64.to_ne_bytes();
        // SAFETY: the buffer is 8 valid bytes. The counter, which is 0, takes a 1.
        unsafe { libc::write(self.0.event.as_raw_fd(), one.as_ptr().cast(), 8) };
    }

    /// Forgets wakes so far. Call after waking up and before looking at what may have changed.
    pub fn reset(&self) {
        if !self.0.rung.load(Ordering::SeqCst) {
            return;
        }
        let mut count = [0u8; 8];
        // SAFETY: the buffer is 8 valid bytes.
        let read = unsafe { libc::read(self.0.event.as_raw_fd(), count.as_mut_ptr().cast(), 8) };
        // An empty counter answers EAGAIN: whoever has rung is about to write, and then the waiter is woken once more.
        if read == 8 {
            self.0.rung.swap(false, Ordering::SeqCst);
        }
    }

    /// Sleeps until woken or until the time is over.
    pub fn wait(&self, at_most: std::time::Duration) {
        let mut poll = libc::pollfd { fd: self.as_fd().as_raw_fd(), events: libc::POLLIN, revents: 0 };
        let ms = i32::try_from(at_most.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX);
        // SAFETY: one valid pollfd.
        unsafe { libc::poll(&raw mut poll, 1, ms) };
    }
}

fn event() -> io::Result<OwnedFd> {
    // SAFETY: eventfd takes no pointers; the result is checked.
    unsafe { owned(libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK)) }
}

/// # Safety
/// A descriptor that is not negative must be fresh, and nobody else's.
unsafe fn owned(fd: i32) -> io::Result<OwnedFd> {
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the caller says so.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn control(watch: Option<&OwnedFd>, op: i32, fd: &impl AsFd) -> io::Result<()> {
    let watch = watch.ok_or(io::ErrorKind::Unsupported)?;
    let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: 0 };
    // SAFETY: the event is valid for the call.
    let done = unsafe { libc::epoll_ctl(watch.as_raw_fd(), op, fd.as_fd().as_raw_fd(), &raw mut event) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

impl AsFd for Waker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.watch.as_ref().unwrap_or(&self.0.event).as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::sync::atomic::AtomicU64;
    use std::time::{Duration, Instant};

    /// Milliseconds of a wait of at most 200.
    fn waits(waker: &Waker) -> u128 {
        let since = Instant::now();
        waker.wait(Duration::from_millis(200));
        since.elapsed().as_millis()
    }

    #[test]
    fn a_wake_is_kept_until_it_is_reset() {
        for waker in [Waker::new().unwrap(), Waker::watching().unwrap()] {
            waker.wake();
            waker.wake();
            assert!(waits(&waker) < 150 && waits(&waker) < 150);
            waker.reset();
            assert!(waits(&waker) >= 150);
            waker.wake();
            assert!(waits(&waker) < 150);
        }
    }

    #[test]
    fn a_watched_descriptor_wakes_until_it_is_read_or_unwatched() {
        let waker = Waker::watching().unwrap();
        let (read, mut write) = std::io::pipe().unwrap();
        waker.watch(&read).unwrap();
        write.write_all(b"x").unwrap();
        waker.reset();
        assert!(waits(&waker) < 150);
        waker.unwatch(&read).unwrap();
        assert!(waits(&waker) >= 150);
        assert!(Waker::new().unwrap().watch(&read).is_err());
    }

    /// Whatever a waker has done before it wakes is seen by the waiter, who never waits for the whole time.
    #[test]
    fn no_wake_is_lost() {
        const WAKERS: u64 = 3;
        const EACH: u64 = 20_000;
        let (waker, done) = (Waker::new().unwrap(), AtomicU64::new(0));
        std::thread::scope(|scope| {
            for _ in 0..WAKERS {
                scope.spawn(|| {
                    for n in 0..EACH {
                        done.fetch_add(1, Ordering::SeqCst);
                        waker.wake();
                        if n % 64 == 0 {
                            std::thread::yield_now();
                        }
                    }
                });
            }
            let mut seen = 0;
            while seen < WAKERS * EACH {
                let since = Instant::now();
                waker.wait(Duration::from_secs(20));
                assert!(since.elapsed() < Duration::from_secs(15), "asleep with {seen} seen");
                waker.reset();
                seen = done.load(Ordering::SeqCst);
            }
        });
    }
}
