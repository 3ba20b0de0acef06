//! Rows of a pair: how long its clients wait when the primary dies, and how far its backup is behind.

use super::bed::{Bed, Way, processors};
use super::redis;
use super::rows::Series;
use super::stalls::Probe;
use crate::interrupt::interrupted;
use crate::local::clients::{Clients, Pace};
use std::time::{Duration, Instant};

/// A fresh backup executes the whole log, which grows: after so many kills a new pair begins.
const PAIR_KILLS: u32 = 20;
/// Full load before a kill.
const LOAD: Duration = Duration::from_millis(100);
const TICK: Duration = Duration::from_millis(1);
/// Pause between two questions how far the backup is.
const LAG_EVERY: Duration = Duration::from_millis(10);

/// The longest gap of a client that reconnects every two milliseconds, reconnecting included; also without what the host stalled in it.
pub fn takeover(bed: &mut Bed) -> Result<Series, String> {
    let probe = Probe::start(&processors())?;
    let mut series = Series::default();
    let kills = bed.sizes.kills;
    for begin in (0..kills).step_by(PAIR_KILLS as usize) {
        let mut server = redis::serve(bed, Way::Protected)?;
        let port = server.port;
        let pair = server.pair().expect("it is protected");
        let clients = Clients::start(port, 1)?;
        for kill in begin..kills.min(begin + PAIR_KILLS) {
            bed.progress.show(|| format!("kill {} of {kills}", kill + 1));
            clients.pace(Pace::Easy);
            bed.until_protected(pair)?;
            clients.pace(Pace::Full);
            let since = Instant::now();
            bed.wait("load", TICK, || Ok(since.elapsed() > LOAD))?;
            let mut killed = Instant::now();
            pair.kill_primary(|| {
                clients.watch_gaps();
                killed = Instant::now();
                clients.in_flight() > 0
            })?;
            let still = || clients.failure().map_or(Ok(()), Err);
            bed.wait("takeover", TICK, || {
                pair.look()?;
                still().map(|()| pair.has_primary())
            })?;
            let live = clients.moment();
            bed.wait("an answer of the survivor", TICK, || still().map(|()| clients.all_answered_since(live)))?;
            let gap = clients.longest_gap();
            let stalled = probe.within(killed, killed + gap);
            series.add("gap", gap.as_secs_f64() * 1e3);
            series.add("without stalls", gap.saturating_sub(stalled).as_secs_f64() * 1e3);
        }
    }
    Ok(series)
}

/// What `gapless status` says of the primary as lag: the age of the oldest part of the log that the backup is not known to have executed.
pub fn lag(bed: &mut Bed) -> Result<Series, String> {
    let mut series = Series::default();
    for round in 1..=bed.sizes.rounds {
        let rounds = bed.sizes.rounds;
        bed.progress.show(|| format!("round {round} of {rounds}"));
        let mut server = redis::serve(bed, Way::Protected)?;
        let mut load = bed.start_client(&redis::benchmark(server.port, 1, bed.sizes.requests))?;
        let pair = server.pair().expect("it is protected");
        while !load.is_over()? {
            if interrupted() {
                return Err("interrupted".into());
            }
            pair.look()?;
            series.add("lag", pair.lag()?.as_secs_f64() * 1e3);
            std::thread::sleep(LAG_EVERY);
        }
    }
    Ok(series)
}
