//! How fast a log grows, and how fast a network is that is logged.

use crate::redis::{LOADS, PORT, await_server};
use crate::table::{Cell, Table};
use crate::ways::{Computer, GUEST_ADDRESS};
use crate::{Sizes, say, tool};
use std::time::{Duration, Instant};

const IPERF_PORT: u16 = 5201;
/// Debian is still busy when it asks for a login.
const SETTLED_AFTER: Duration = Duration::from_secs(5);

/// Bytes of log a second while `doing` lasts, and what that measured.
fn growth<T>(
    computer: &mut Computer,
    doing: impl FnOnce(&mut Computer) -> Result<T, String>,
) -> Result<(f64, T), String> {
    let (before, began) = (computer.log_end()?.0, Instant::now());
    let measured = doing(computer)?;
    let grown = computer.log_end()?.0 - before;
    Ok((grown as f64 / began.elapsed().as_secs_f64(), measured))
}

/// Megabits a second, received by whoever receives.
fn iperf(computer: &Computer, sizes: &Sizes, reverse: bool) -> Result<f64, String> {
    let seconds = sizes.load.as_secs().max(1).to_string();
    let mut command = computer.client().command("iperf3");
    command.args(["--client", GUEST_ADDRESS, "--json", "--time", &seconds]);
    if reverse {
        command.arg("--reverse");
    }
    let said = tool::output(command, sizes.limit)?;
    let said: serde_json::Value = serde_json::from_str(&said).map_err(|e| format!("iperf3: {e}"))?;
    let rate = said["end"]["sum_received"]["bits_per_second"].as_f64();
    rate.map(|bits| bits / 1e6).ok_or_else(|| format!("iperf3: {}", said["error"]))
}

/// Of a Debian that has just asked for a login.
pub fn measure(computer: &mut Computer, sizes: &Sizes) -> Table {
    let mut table = Table::new("log of gapless recorded", ["bytes a second", "meanwhile"]);
    let mut row = |name: &str, found: Result<(f64, String), String>| {
        let (rate, meanwhile) = match found {
            Ok((rate, meanwhile)) => (Ok(rate), meanwhile),
            Err(why) => (Err(why), String::new()),
        };
        table.row(name, vec![Cell::of(rate, 0), Cell::Text(meanwhile)]);
    };
    std::thread::sleep(SETTLED_AFTER);
    say(&format!("log: idle for {} s", sizes.idle.as_secs()));
    let idle = growth(computer, |_| {
        std::thread::sleep(sizes.idle);
        Ok(())
    });
    row("Debian, idle", idle.map(|(rate, ())| (rate, format!("for {} s", sizes.idle.as_secs()))));

    say("log: redis");
    let load = LOADS[1];
    let redis = await_server(computer.client(), PORT, sizes.limit)
        .and_then(|()| growth(computer, |computer| load.ask_for_long(computer.client(), sizes)));
    row("redis GET, 8 clients", redis.map(|(rate, requests)| (rate, format!("{requests:.0} requests a second"))));

    let served = (|| {
        computer.console.type_line("root")?;
        computer.console.wait_for("# ", sizes.limit)?;
        computer.console.type_line("iperf3 --server --daemon")?;
        await_server(computer.client(), IPERF_PORT, sizes.limit)
    })();
    for (name, reverse) in [("iperf3, TCP to the guest", false), ("iperf3, TCP from the guest", true)] {
        say(&format!("log: {name}"));
        let found = served.clone().and_then(|()| growth(computer, |computer| iperf(computer, sizes, reverse)));
        row(name, found.map(|(rate, megabits)| (rate, format!("{megabits:.0} Mbit/s"))));
    }
    table
}
