//! What a pair adds, as a client with an open connection sees it.

use crate::redis::{PORT, await_server};
use crate::table::{Cell, Table};
use crate::ways::{Computer, GUEST_ADDRESS};
use crate::{Sizes, say};
use gapless_gate::lab::Host;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Nothing takes longer.
const ANSWER_MAX: Duration = Duration::from_secs(20);
/// Before and after what is measured.
const AROUND: Duration = Duration::from_millis(500);

/// Asks over one connection until told to stop: the longest wait for an answer.
fn longest_wait(client: &Host, over: &AtomicBool) -> Result<f64, String> {
    client.enter(|| {
        let ask = || {
            let mut stream = TcpStream::connect((GUEST_ADDRESS, PORT))?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(ANSWER_MAX))?;
            let (mut longest, mut answer) = (Duration::ZERO, [0; 7]);
            while !over.load(Ordering::Relaxed) {
                let asked = Instant::now();
                stream.write_all(b"PING\r\n")?;
                stream.read_exact(&mut answer)?;
                longest = longest.max(asked.elapsed());
            }
            std::io::Result::Ok(longest.as_secs_f64() * 1e3)
        };
        ask().map_err(|e| e.to_string())
    })
}

/// The longest wait of a client while `doing` lasts, in milliseconds, and what that measured.
fn watched<T: Send>(
    computer: &mut Computer,
    doing: impl FnOnce(&mut Computer) -> Result<T, String>,
) -> Result<(f64, T), String> {
    let network = Arc::clone(computer.network.as_ref().expect("a guest with a network"));
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| longest_wait(&network.client, &over));
        std::thread::sleep(AROUND);
        let measured = doing(computer);
        std::thread::sleep(AROUND);
        over.store(true, Ordering::Relaxed);
        let longest = asking.join().expect("the client does not panic")?;
        Ok((longest, measured?))
    })
}

/// Kills the live side: how long the other one took from noticing it to being live, in milliseconds.
fn take_over(computer: &mut Computer) -> Result<f64, String> {
    computer.kill_live();
    computer.poll("live", ANSWER_MAX, |computer| computer.status().ok()?.last_takeover_ms)
}

/// Starts a fresh backup: how long until it could take over, in milliseconds.
fn rejoin(computer: &mut Computer) -> Result<f64, String> {
    computer.join_backup();
    Ok(computer.await_protected(ANSWER_MAX)?.as_secs_f64() * 1e3)
}

/// Of a protected Debian that has booted.
pub fn measure(computer: &mut Computer, sizes: &Sizes) -> Table {
    let mut table =
        Table::new("a pair with a Debian in it, milliseconds", ["it took", "longest wait of a client's request"]);
    let mut row = |name: &str, found: Result<(f64, f64), String>| {
        let (longest, took) = found.map_or_else(|why| (Err(why.clone()), Err(why)), |(l, took)| (Ok(l), Ok(took)));
        table.row(name, vec![Cell::of(took, 1), Cell::of(longest, 1)]);
    };
    say("pair: undisturbed, killed, joined");
    let quiet = await_server(computer.client(), PORT, sizes.limit)
        .and_then(|()| computer.await_protected(ANSWER_MAX))
        .and_then(|_| {
            watched(computer, |_| {
                std::thread::sleep(sizes.load);
                Ok(sizes.load.as_secs_f64() * 1e3)
            })
        });
    row("undisturbed", quiet);
    row("takeover after SIGKILL of the primary, from noticing it", watched(computer, take_over));
    row("a fresh backup joins, until it is in sync", watched(computer, rejoin));
    table
}
