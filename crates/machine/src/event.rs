//! Every kind of input that a machine-level log can hold: the only ways in which the world reaches the computer.
//!
//! The path of an event is that of US 2009/0007111: something arrives and is posted to the host loop (block 210); at the next safe point, between two
//! instructions, the hart stands still and the device's handler is called (220); it logs the event (230) and then the event's contents, the last of
//! them marked as the last (240). On replay the same handler is called when the hart reaches the position, and reads the contents back up to that mark.
//! So the device's queues change at exactly the same instruction on both sides.

use gapless_log::{Kind, Position};
use serde::{Deserialize, Serialize};

gapless_log::kinds! {
    /// A piece of the state that the history begins with (`snapshot.rs`): one byte, 1 if it is the last, and the bytes.
    ORIGIN = 16 "origin",
    /// Virtual time goes on along another line.
    CLOCK = 17 "clock",
    /// Bytes typed on the console.
    CONSOLE = 18 "console input",
    /// An event of the network device (block 230); its contents follow.
    NET_EVENT = 19 "network event",
    /// One received frame (block 240): one byte, 1 if it is the last of its event, and the frame with its virtio-net header.
    NET_CONTENT = 20 "network frame",
}

/// Body of a [`CLOCK`] entry: from its position on, time is this line.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ClockBody {
    /// Nanoseconds since the machine was switched on; never before the time there so far.
    pub time: u64,
    /// Nanoseconds a position, times 2^32.
    pub slope: u64,
}

/// An entry whose body is not what its kind says.
pub(crate) fn bad(at: Position, kind: Kind) -> gapless_log::Error {
    gapless_log::Error::Refused(format!("input '{}' at position {at} does not decode", name(kind)))
}

/// Splits a body into its "that was the last" and the bytes.
pub(crate) fn piece(body: &[u8]) -> Option<(bool, &[u8])> {
    match body.split_first()? {
        (0, bytes) => Some((false, bytes)),
        (1, bytes) => Some((true, bytes)),
        _ => None,
    }
}

/// A body of one piece.
pub(crate) fn piece_body(last: bool, bytes: &[u8]) -> Vec<u8> {
    let mut body = Vec::with_capacity(bytes.len() + 1);
    body.push(u8::from(last));
    body.extend_from_slice(bytes);
    body
}

/// What a body says, for a person.
pub fn describe(kind: Kind, body: &[u8]) -> Option<String> {
    match kind {
        ORIGIN => piece(body).map(|(last, bytes)| {
            format!("{} bytes of the state at the beginning{}", bytes.len(), if last { ", the last" } else { "" })
        }),
        CLOCK => postcard::from_bytes::<ClockBody>(body).ok().map(|ClockBody { time, slope }| {
            format!(
                "{}.{:09} s, {:.3} ns a position",
                time / 1_000_000_000,
                time % 1_000_000_000,
                slope as f64 / (1u64 << 32) as f64
            )
        }),
        CONSOLE => Some(format!("{:?}", String::from_utf8_lossy(body))),
        NET_EVENT => Some("frames arrived".to_owned()),
        NET_CONTENT => {
            piece(body).map(|(last, frame)| format!("{}{}", frame_words(frame), if last { ", the last" } else { "" }))
        }
        _ => None,
    }
}

/// An Ethernet frame behind its virtio-net header, in words.
fn frame_words(frame: &[u8]) -> String {
    let Some(ethernet) = frame.get(crate::NET_HEADER_BYTES..).filter(|e| e.len() >= 14) else {
        return format!("{} bytes", frame.len());
    };
    let mac = |m: &[u8]| m.iter().map(|b| format!("{b:02x}")).collect::<Vec<_>>().join(":");
    let protocol = match u16::from_be_bytes([ethernet[12], ethernet[13]]) {
        0x0800 => ip_words(&ethernet[14..]).unwrap_or_else(|| "IPv4".to_owned()),
        0x0806 => "ARP".to_owned(),
        0x86dd => "IPv6".to_owned(),
        other => format!("ethertype {other:#06x}"),
    };
    format!("{} bytes {} -> {} {protocol}", ethernet.len(), mac(&ethernet[6..12]), mac(&ethernet[..6]))
}

fn ip_words(packet: &[u8]) -> Option<String> {
    let header = usize::from(packet.first()? & 15) * 4;
    let address = |at: usize| packet.get(at..at + 4).map(|a| format!("{}.{}.{}.{}", a[0], a[1], a[2], a[3]));
    let (from, to) = (address(12)?, address(16)?);
    let port = |at: usize| packet.get(header + at..header + at + 2).map(|p| u16::from_be_bytes([p[0], p[1]]));
    Some(match packet.get(9)? {
        6 => format!("TCP {from}:{} -> {to}:{}", port(0)?, port(2)?),
        17 => format!("UDP {from}:{} -> {to}:{}", port(0)?, port(2)?),
        1 => format!("ICMP {from} -> {to}"),
        other => format!("IP protocol {other} {from} -> {to}"),
    })
}
