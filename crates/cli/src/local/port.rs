//! Ports for servers on this machine.

use std::net::TcpListener;

/// A free port below the range from which the system takes the ports of outgoing connections: a client that dials a port of that range while
/// nobody listens there may be connected to itself, and then the survivor cannot listen.
pub fn free_port() -> Result<u16, String> {
    const LOWEST: u16 = 10_000;
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let outgoing = range.split_whitespace().next().and_then(|low| low.parse().ok()).unwrap_or(32_768);
    let count = outgoing.max(LOWEST + 1) - LOWEST;
    let start = (gapless_log::random_u128().map_err(|e| e.to_string())? % u128::from(count)) as u16;
    (0..count)
        .map(|i| LOWEST + ((u32::from(start) + u32::from(i)) % u32::from(count)) as u16)
        .find(|&port| TcpListener::bind(("127.0.0.1", port)).is_ok())
        .ok_or_else(|| format!("no port from {LOWEST} to {outgoing} is free on 127.0.0.1"))
}
