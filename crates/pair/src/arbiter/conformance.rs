//! What every arbiter must do, as a suite that panics at the first thing that it does not do.
//!
//! Public, so that later arbiters run it too: call [`check`] from a test with a way to make clients of one empty register and a way to restart
//! whatever serves it. Nothing here knows how an arbiter works.

use super::{Arbiter, ArbiterError, PutOutcome, put_until_known};
use crate::{Expect, Life, Put, Register, Seat};
use gapless_log::Term;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Makes a client of the one register under test; clients are used from several threads at once.
pub type Client<'a> = &'a (dyn Fn() -> Box<dyn Arbiter> + Sync);

const CLIENTS: u64 = 8;
const PUTS_EACH: u64 = 25;
const PATIENCE: Duration = Duration::from_secs(20);

/// Runs the whole suite on a register that nobody has put yet. `restart` ends the service without warning (as `kill -9` would) and
/// starts it again on the same storage; for an arbiter without a service it does nothing.
///
/// # Panics
/// If the arbiter breaks a rule; the message says which.
pub fn check(client: Client<'_>, restart: &mut dyn FnMut()) {
    an_absent_register_takes_only_a_first_put(client);
    stale_puts_lose_and_change_nothing(client);
    restart();
    what_was_won_survives_a_restart(client, 2);
    let last = concurrent_puts_are_linearizable(client);
    restart();
    what_was_won_survives_a_restart(client, last);
    let last = unknown_puts_are_resolved(client);
    restart();
    what_was_won_survives_a_restart(client, last);
}

/// Two histories, so that a version of the one is never taken for the same version of the other.
const UUID: u128 = 1 << 127 | 5;

/// A register of version `v` that differs from every other `tag`'s.
fn register(v: u64, tag: u64) -> Register {
    let seat = |node: u64| Seat {
        life: Life { node, id: u128::from(node) << 64 | u128::from(v) },
        address: "a".repeat(node as usize),
    };
    Register {
        uuid: UUID,
        term: Term(v),
        generation: 0,
        owner: seat(tag),
        backup: (tag.is_multiple_of(2)).then(|| seat(tag + 1)),
        ended: (tag.is_multiple_of(3)).then_some(v as i32),
    }
}

/// A put of `new` over version `expect`, 0 for none.
fn put(expect: u64, new: &Register) -> Put {
    let expect = match expect {
        0 => Expect::Absent,
        v => Expect::At { uuid: UUID, term: Term(v) },
    };
    Put { expect, new: new.clone() }
}

/// A first register for tests of what lies around an arbiter; different for each `tag`.
pub fn example_register(tag: u64) -> Register {
    register(1, tag)
}

fn read(arbiter: &mut dyn Arbiter) -> Option<Register> {
    arbiter.read().expect("the arbiter answers")
}

fn version(arbiter: &mut dyn Arbiter) -> u64 {
    read(arbiter).map_or(0, |r| r.term.0)
}

fn an_absent_register_takes_only_a_first_put(client: Client<'_>) {
    let mut a = client();
    assert_eq!(read(&mut *a), None, "an empty register reads as none");
    let stale = a.put(&put(1, &register(2, 1))).unwrap();
    assert_eq!(stale, PutOutcome::Lost(None), "a put that expects a version loses when there is none");
    assert_eq!(read(&mut *a), None, "a lost put leaves no register behind");
    assert_eq!(a.put(&put(0, &register(1, 1))).unwrap(), PutOutcome::Won, "the first put wins");
    assert_eq!(read(&mut *client()), Some(register(1, 1)), "every client sees it, byte by byte");
    let second = a.put(&put(0, &register(1, 2))).unwrap();
    assert_eq!(second, PutOutcome::Lost(Some(register(1, 1))), "a second first put loses and is told what stands");
}

fn stale_puts_lose_and_change_nothing(client: Client<'_>) {
    let mut a = client();
    let v = version(&mut *a);
    assert_eq!(a.put(&put(v, &register(v + 1, 3))).unwrap(), PutOutcome::Won);
    let standing = register(v + 1, 3);
    for expect in [0, v, v + 2, u64::MAX - 1] {
        let lost = client().put(&put(expect, &register(expect + 1, 4))).unwrap();
        assert_eq!(lost, PutOutcome::Lost(Some(standing.clone())), "a put expecting {expect} over {} loses", v + 1);
    }
    let other = Put { expect: Expect::At { uuid: UUID + 1, term: Term(v + 1) }, new: register(v + 2, 4) };
    let lost = client().put(&other).unwrap();
    assert_eq!(lost, PutOutcome::Lost(Some(standing.clone())), "a put over the same version of another history loses");
    assert_eq!(read(&mut *a), Some(standing), "lost puts change nothing");
}

fn what_was_won_survives_a_restart(client: Client<'_>, won: u64) {
    let mut a = client();
    let v = version(&mut *a);
    assert_eq!(v, won, "version {won} was won, {v} stands after the restart");
    assert_eq!(a.put(&put(v, &register(v + 1, 5))).unwrap(), PutOutcome::Won, "puts go on after a restart");
}

/// What one operation learnt: the version that stood at a moment between its start and its end.
struct Seen {
    started: u64,
    ended: u64,
    register: Register,
    won: bool,
}

/// Versions make a register's history easy to judge: each version has one winner, everybody who sees a version sees its winner's bytes, and
/// nobody who starts after another has ended sees an older one.
fn concurrent_puts_are_linearizable(client: Client<'_>) -> u64 {
    let ticks = AtomicU64::new(1);
    let seen = Mutex::new(Vec::new());
    let first = version(&mut *client());
    std::thread::scope(|scope| {
        for c in 0..CLIENTS {
            let (ticks, seen) = (&ticks, &seen);
            scope.spawn(move || {
                let mut a = client();
                let tick = || ticks.fetch_add(1, Ordering::SeqCst);
                for _ in 0..PUTS_EACH {
                    let started = tick();
                    let standing = read(&mut *a).expect("a register stands");
                    let seen_read = Seen { started, ended: tick(), register: standing.clone(), won: false };
                    let new = register(standing.term.0 + 1, 100 + c);
                    let started = tick();
                    let (register, won) = match a.put(&put(standing.term.0, &new)).expect("the arbiter answers") {
                        PutOutcome::Won => (new, true),
                        PutOutcome::Lost(standing) => (standing.expect("registers do not vanish"), false),
                    };
                    let seen_put = Seen { started, ended: tick(), register, won };
                    seen.lock().unwrap().extend([seen_read, seen_put]);
                }
            });
        }
    });
    let seen = seen.into_inner().unwrap();
    let winners = winners(&seen);
    let last = version(&mut *client());
    assert_eq!(last - first, winners.len() as u64, "every version has its winner");
    for s in seen.iter().filter(|s| s.register.term.0 > first) {
        assert_eq!(
            winners.get(&s.register.term.0),
            Some(&&s.register),
            "version {} has one content",
            s.register.term.0
        );
    }
    let mut by_start: Vec<&Seen> = seen.iter().collect();
    by_start.sort_by_key(|s| s.started);
    for (i, later) in by_start.iter().enumerate() {
        let newest_before = by_start[..i].iter().filter(|s| s.ended < later.started).map(|s| s.register.term.0).max();
        assert!(newest_before.is_none_or(|v| v <= later.register.term.0), "a later operation saw an older version");
    }
    last
}

fn winners(seen: &[Seen]) -> BTreeMap<u64, &Register> {
    let mut winners = BTreeMap::new();
    for s in seen.iter().filter(|s| s.won) {
        let twice = winners.insert(s.register.term.0, &s.register);
        assert!(twice.is_none(), "version {} was won twice", s.register.term.0);
    }
    winners
}

/// Loses every second request or answer, so that the caller cannot know which.
struct Lossy {
    inner: Box<dyn Arbiter>,
    calls: u64,
}

impl Arbiter for Lossy {
    fn read(&mut self) -> Result<Option<Register>, ArbiterError> {
        self.inner.read()
    }

    fn put(&mut self, put: &Put) -> Result<PutOutcome, ArbiterError> {
        self.calls += 1;
        let lost = ArbiterError { arbiter: self.describe(), what: "the answer was lost".into() };
        match self.calls % 3 {
            0 => Err(lost),
            1 => {
                let _ = self.inner.put(put);
                Err(lost)
            }
            _ => self.inner.put(put),
        }
    }

    fn describe(&self) -> String {
        format!("lossy {}", self.inner.describe())
    }
}

/// Every client whose put is resolved as won is the only winner of that version, and knows it.
fn unknown_puts_are_resolved(client: Client<'_>) -> u64 {
    let first = version(&mut *client());
    let won = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for c in 0..CLIENTS / 2 {
            let won = &won;
            scope.spawn(move || {
                let mut a = Lossy { inner: client(), calls: c };
                for _ in 0..PUTS_EACH / 2 {
                    let v = version(&mut a);
                    let new = register(v + 1, 200 + c);
                    let outcome = put_until_known(&mut a, &put(v, &new), PATIENCE).expect("the arbiter answers");
                    if outcome == PutOutcome::Won {
                        won.lock().unwrap().push(v + 1);
                    }
                }
            });
        }
    });
    let mut won = won.into_inner().unwrap();
    won.sort_unstable();
    let last = version(&mut *client());
    // A put overtaken before it could be resolved counts as lost although it once stood: rule U then asks who owns the register.
    assert!(won.windows(2).all(|w| w[0] < w[1]), "a version was won twice");
    assert!(won.iter().all(|&v| v > first && v <= last), "won a version that never stood");
    assert!(!won.is_empty(), "nobody ever won");
    last
}
