//! What every port promises, by the ones that need no rights.

mod common;

use common::{frame, texts};
use gapless_gate::{FRAME_BYTES_MAX, Loop, Port, Sent};

const A: [u8; 6] = [2, 0, 0, 0, 0, 0xa];
const B: [u8; 6] = [2, 0, 0, 0, 0, 0xb];

fn ends() -> (Port, Port) {
    let (a, b) = Loop::pair().unwrap();
    (Port::Loop(a), Port::Loop(b))
}

#[test]
fn a_loop_carries_frames_of_every_length() {
    let (a, b) = ends();
    let mut buf = vec![0; FRAME_BYTES_MAX];
    for length in [26, 27, 72, 1526, FRAME_BYTES_MAX] {
        let sent: Vec<u8> = (0..length).map(|i| i as u8).collect();
        assert_eq!(a.send(&sent).unwrap(), Sent::Taken);
        assert_eq!(b.receive(&mut buf).unwrap(), Some(length));
        assert_eq!(buf[10..12], [1, 0]);
        assert!(buf[..10] == sent[..10] && buf[12..length] == sent[12..]);
    }
    assert_eq!(b.receive(&mut buf).unwrap(), None);
    for bad in [0, 12, 25, FRAME_BYTES_MAX + 1] {
        assert_eq!(a.send(&vec![0; bad]).unwrap(), Sent::Malformed);
    }
}

#[test]
fn a_full_loop_says_so_and_goes_on_in_order() {
    let (a, b) = ends();
    let mut sent = 0;
    while a.send(&frame(B, A, &sent.to_string())).unwrap() == Sent::Taken {
        sent += 1;
        assert!(sent < 100_000, "it is bounded");
    }
    assert!(sent > 0);
    let mut got = texts(&b);
    assert_eq!(a.send(&frame(B, A, &sent.to_string())).unwrap(), Sent::Taken);
    got.extend(texts(&b));
    assert_eq!(got, (0..=sent).map(|i| i.to_string()).collect::<Vec<_>>());
}

#[test]
fn a_cable_that_is_pulled_loses_frames() {
    let (a, b) = ends();
    drop(b);
    assert_eq!(a.send(&frame(B, A, "lost")).unwrap(), Sent::Down);
    assert_eq!(texts(&a), [""; 0]);

    let none = Port::None;
    assert_eq!(none.send(&frame(B, A, "lost")).unwrap(), Sent::Down);
    assert_eq!(texts(&none), [""; 0]);
    assert!(none.as_fd().is_none() && none.flush().unwrap() && !none.offloads());
}
