//! The bytes of a frame.
//!
//! ```text
//! 0        1          2         4          6            8             10            12
//! | flags  | gso type | hdr len | gso size | csum start | csum offset | num buffers | Ethernet frame, no FCS ...
//! ```
//! `struct virtio_net_hdr_v1` of the virtio specification 1.2, section 5.1.6; little-endian.

/// Length of the virtio-net header in front of every frame.
pub const HEADER_BYTES: usize = 12;
/// Length of an Ethernet header without tags.
pub const ETHERNET_BYTES: usize = 14;
/// Longest frame, header included: what segmentation offload makes of one IP packet, behind an Ethernet header with a VLAN tag.
pub const FRAME_BYTES_MAX: usize = HEADER_BYTES + ETHERNET_BYTES + 4 + 65_535;

/// Where `num_buffers` lies.
const BUFFERS_AT: usize = 10;
/// Shortest Ethernet frame, without FCS.
const ETHERNET_BYTES_MIN: usize = 60;

const BROADCAST: [u8; 6] = [0xff; 6];
const ETHERTYPE_ARP: u16 = 0x0806;
const ETHERTYPE_RARP: u16 = 0x8035;
const REQUEST: u16 = 1;
const REPLY: u16 = 2;
const REVERSE_REQUEST: u16 = 3;

/// Could this be a frame at all? A guest chooses its length.
pub(crate) fn plausible(frame: &[u8]) -> bool {
    (HEADER_BYTES + ETHERNET_BYTES..=FRAME_BYTES_MAX).contains(&frame.len())
}

/// Says in a received frame's header that it lies in one buffer, which is what the specification wants without mergeable buffers.
pub(crate) fn in_one_buffer(frame: &mut [u8]) {
    frame[BUFFERS_AT..HEADER_BYTES].copy_from_slice(&1u16.to_le_bytes());
}

/// The frame that makes bridges learn behind which port `mac` is now: a reverse ARP request to everybody (RFC 903), which asks for nothing that anybody
/// answers. QEMU and others send the same after a migration. With its header in front, ready for [`Port::send`](crate::Port::send).
///
/// A frame can be lost: send it a few times over the first second.
pub fn announce(mac: [u8; 6]) -> Vec<u8> {
    let who = Who { mac, address: [0; 4] };
    arp(ETHERTYPE_RARP, REVERSE_REQUEST, mac, who, who)
}

/// Asks who has `wanted`, from `address`. The source is the broadcast address, so that whoever learns addresses learns nothing from it.
pub(crate) fn who_has(wanted: [u8; 4], address: [u8; 4]) -> Vec<u8> {
    let asks = Who { mac: BROADCAST, address };
    arp(ETHERTYPE_ARP, REQUEST, BROADCAST, asks, Who { mac: [0; 6], address: wanted })
}

/// Is this frame (with header) an ARP reply?
pub(crate) fn is_arp_reply(frame: &[u8]) -> bool {
    let ethernet = &frame[HEADER_BYTES..];
    ethernet.get(12..14) == Some(&ETHERTYPE_ARP.to_be_bytes()) && ethernet.get(20..22) == Some(&REPLY.to_be_bytes())
}

/// One side of an ARP packet.
#[derive(Clone, Copy)]
struct Who {
    mac: [u8; 6],
    address: [u8; 4],
}

/// A broadcast ARP packet (RFC 826) for IPv4 over Ethernet, padded, behind an empty header.
fn arp(ethertype: u16, operation: u16, source: [u8; 6], sender: Who, target: Who) -> Vec<u8> {
    let mut frame = Vec::with_capacity(HEADER_BYTES + ETHERNET_BYTES_MIN);
    frame.extend_from_slice(&[0; HEADER_BYTES]);
    frame.extend_from_slice(&BROADCAST);
    frame.extend_from_slice(&source);
    frame.extend_from_slice(&ethertype.to_be_bytes());
    frame.extend_from_slice(&[0, 1, 0x08, 0x00, 6, 4]); // Ethernet, IPv4, and their lengths.
    frame.extend_from_slice(&operation.to_be_bytes());
    for who in [sender, target] {
        frame.extend_from_slice(&who.mac);
        frame.extend_from_slice(&who.address);
    }
    frame.resize(HEADER_BYTES + ETHERNET_BYTES_MIN, 0);
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_announcement_byte_for_byte() {
        let frame = announce([0x52, 0x54, 0, 1, 2, 3]);
        let hex: String = frame.iter().map(|b| format!("{b:02x}")).collect();
        let header = "00".repeat(12);
        let ethernet = "ffffffffffff 525400010203 8035";
        let rarp = "0001 0800 06 04 0003 525400010203 00000000 525400010203 00000000";
        assert_eq!(hex, format!("{header}{}{}{}", ethernet.replace(' ', ""), rarp.replace(' ', ""), "00".repeat(18)));
        assert_eq!(frame.len(), HEADER_BYTES + 60);
    }

    #[test]
    fn only_a_reply_is_a_reply() {
        let mut frame = who_has([10, 0, 2, 2], [10, 0, 2, 15]);
        assert!(!is_arp_reply(&frame));
        frame[HEADER_BYTES + 21] = 2;
        assert!(is_arp_reply(&frame));
        assert!(!is_arp_reply(&frame[..HEADER_BYTES + 20]));
        assert!(!is_arp_reply(&announce([2; 6])));
    }
}
