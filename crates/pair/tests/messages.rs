//! Packets survive the wire, and no bytes from outside panic the decoder.

use gapless_log::{FrameBuilder, Identity, Kind, Level, Position, Seq, Term};
use gapless_pair::*;
use proptest::prelude::*;
use std::sync::Arc;

fn seat(n: u64) -> Seat {
    Seat { life: Life { node: n, id: u128::from(n) << 77 | 5 }, address: format!("127.0.0.1:{n}") }
}

fn examples() -> Vec<Message> {
    let mut builder = FrameBuilder::new(Level::Toy, Term(3), Seq(10), 99);
    builder.push(Position(4), Kind(16), b"body");
    let frame = Arc::new(builder.seal(Seq(0)).expect("one entry"));
    let report = Report { position: Position(7), seq: Seq(9), expected: "a".into(), found: "b".into() };
    let hello = Hello {
        seat: seat(1),
        register: Some((7, Term(4))),
        owner: true,
        identity: Identity { level: "toy".into(), code: "1".into(), features: vec!["avx".into()] },
        commit: Commit::Durable,
        takes_state: true,
        warm: true,
        executed: Seq(8),
        points: vec![Point { seq: Seq(9), chain: u128::MAX }, Point::ZERO],
    };
    vec![
        Message::Hello(Box::new(hello)),
        Message::Welcome(Welcome { term: Term(4), backup: seat(2).life, common: Point::after(&frame), state: false }),
        Message::Refuse(Refusal::Identity("other build".into())),
        Message::Refuse(Refusal::Busy),
        Message::Refuse(Refusal::Level("machine".into())),
        Message::State(StateChunk {
            at: Point::after(&frame),
            position: Position(12),
            offset: 5,
            hash: u128::MAX - 3,
            last: true,
            bytes: vec![1, 2, 3],
        }),
        Message::Stream(frame),
        Message::Ack(Ack { received: Seq(5), durable: Seq(4), executed: Seq(3) }),
        Message::Heartbeat(Heartbeat { end: Seq(77), lag: 300 }),
        Message::Diverged(report),
        Message::Handover(Handover::Offer { term: Term(9), end: Seq(6) }),
        Message::Handover(Handover::Ready),
        Message::Bye(Bye::Ended(-3)),
    ]
}

#[test]
fn every_message_survives_the_wire() {
    for message in examples() {
        let packet = Packet::new(Nonce(0xdead_beef), message);
        let bytes = packet.encode();
        assert!(bytes.len() <= PACKET_BYTES_MAX);
        assert_eq!(Packet::decode(&bytes), Ok(packet), "{bytes:?}");
    }
}

#[test]
fn a_stream_head_and_a_frame_make_a_stream_packet() {
    let Some(Message::Stream(frame)) = examples().into_iter().find(|m| matches!(m, Message::Stream(_))) else {
        panic!("there is a STREAM example");
    };
    let mut bytes = Packet::stream_head(Nonce(4)).to_vec();
    bytes.extend_from_slice(frame.bytes());
    assert_eq!(Packet::decode(&bytes), Ok(Packet::new(Nonce(4), Message::Stream(frame))));
}

#[test]
fn every_cut_is_refused() {
    for message in examples() {
        let cuttable = !matches!(message, Message::State(_));
        let bytes = Packet::new(Nonce(1), message).encode();
        for len in 0..bytes.len() {
            let cut = Packet::decode(&bytes[..len]);
            assert!(!cuttable || cut.is_err(), "cut at {len} of {}: {cut:?}", bytes.len());
        }
        let mut longer = bytes.clone();
        longer.push(0);
        assert!(!cuttable || Packet::decode(&longer).is_err(), "a trailing byte was accepted");
    }
}

#[test]
fn another_version_is_named() {
    let Some(hello) = examples().into_iter().next() else { panic!("there are examples") };
    let mut bytes = Packet::new(Nonce::NONE, hello).encode();
    bytes[9] = 77;
    assert_eq!(Packet::decode(&bytes), Err(MessageError::Version(77)));
}

#[test]
fn a_register_survives_and_is_bounded() {
    let register =
        Register { uuid: 5, term: Term(8), generation: 1, owner: seat(1), backup: Some(seat(2)), ended: Some(3) };
    assert_eq!(Register::decode(&register.encode()), Some(register.clone()));
    let long = Seat { address: "x".repeat(ADDRESS_BYTES_MAX + 1), ..seat(1) };
    assert_eq!(Register::decode(&Register { owner: long, ..register }.encode()), None);
}

proptest! {
    #[test]
    fn random_bytes_never_panic(tag in 0u8..14, bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let mut packet = vec![tag];
        packet.extend_from_slice(&bytes);
        let _ = Packet::decode(&packet);
        let _ = Register::decode(&bytes);
        let _ = Meta::decode(&bytes);
    }

    #[test]
    fn flipped_bytes_never_panic(which in 0usize..12, at in 0usize..400, flip in 1u8..) {
        let mut bytes = Packet::new(Nonce(9), examples()[which].clone()).encode();
        let at = at % bytes.len();
        bytes[at] ^= flip;
        let _ = Packet::decode(&bytes);
    }
}
