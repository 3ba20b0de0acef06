//! Properties: what is encoded is decoded, nothing else is, and no bytes make a decoder panic.

mod common;

use common::{fast_dir, small};
use gapless_log::disk::Dice;
use gapless_log::{
    Base, Channel, CommitLevel, Entry, Frame, FrameBuilder, FrameError, HEADER_BYTES, Identity, Index, Kind, Level,
    Mark, Meta, Position, Reader, Row, SegmentHeader, Seq, Term, Varint,
};
use proptest::collection::vec;
use proptest::prelude::*;

fn entries() -> impl Strategy<Value = Vec<Entry>> {
    let entry = (0u64..1 << 40, any::<u16>(), vec(any::<u8>(), 0..300));
    vec(entry, 1..20).prop_map(|list| {
        let mut at = 0;
        let entry = |(step, kind, body): (u64, u16, Vec<u8>)| {
            at += step;
            Entry { at: Position(at), kind: Kind(kind), body }
        };
        list.into_iter().map(entry).collect()
    })
}

fn seal(entries: &[Entry], term: u64, first: u64, chain: u128, synced: u64) -> Frame {
    let mut builder = FrameBuilder::new(Level::Task, Term(term), Seq(first), chain);
    entries.iter().for_each(|e| {
        builder.push(e.at, e.kind, &e.body);
    });
    builder.seal(Seq(synced)).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn a_varint_is_read_back_and_has_one_encoding(n: u64, tail in vec(any::<u8>(), 0..4)) {
        let mut bytes = Vec::new();
        bytes.put_varint(n);
        let len = bytes.len();
        bytes.extend(&tail);
        let mut reader = Reader::new(&bytes);
        prop_assert_eq!((reader.varint(), reader.remaining()), (Some(n), tail.len()));
        // Padded with a zero group it means the same and is refused.
        bytes.truncate(len);
        *bytes.last_mut().unwrap() |= 0x80;
        bytes.push(0);
        prop_assert_eq!(Reader::new(&bytes).varint(), None);
    }

    #[test]
    fn any_bytes_are_at_most_one_varint(bytes in vec(any::<u8>(), 0..12)) {
        let mut reader = Reader::new(&bytes);
        if let Some(n) = reader.varint() {
            let mut again = Vec::new();
            again.put_varint(n);
            prop_assert_eq!(&again[..], &bytes[..bytes.len() - reader.remaining()]);
        }
    }

    #[test]
    fn a_frame_is_read_back(list in entries(), term: u64, first in 0u64..1 << 60, chain: u128, synced: u64,
                            tail in vec(any::<u8>(), 0..100)) {
        let frame = seal(&list, term, first, chain, synced);
        let bytes = [frame.bytes(), &tail].concat();
        let read = Frame::decode(&bytes).unwrap();
        prop_assert_eq!(&read, &frame);
        prop_assert_eq!(read.entries().collect::<Vec<_>>(), list.clone());
        prop_assert_eq!((read.level(), read.term(), read.first_seq()), (Level::Task, Term(term), Seq(first)));
        prop_assert_eq!(read.end_seq(), Seq(first + list.len() as u64));
        prop_assert_eq!(read.first_position(), list[0].at);
        prop_assert_eq!(read.last_position(), list.last().unwrap().at);
        prop_assert_eq!((read.chain_before(), read.synced()), (chain, Seq(synced.min(first))));
        let marks = list.iter().rposition(|e| e.kind == Kind::MARK);
        prop_assert_eq!(read.last_mark(), marks.map(|n| (Seq(first + n as u64), list[n].at)));
        for len in [0, 3, 50, HEADER_BYTES, frame.len() - 1] {
            let short = matches!(Frame::decode(&bytes[..len]), Err(FrameError::Short { needed }) if needed > len);
            prop_assert!(short, "{len} bytes of {}", frame.len());
        }
    }

    #[test]
    fn a_changed_frame_is_refused(list in entries(), at: prop::sample::Index, by in 1u8..=255) {
        let mut bytes = seal(&list, 1, 0, 0, 0).bytes().to_vec();
        let at = at.index(bytes.len());
        bytes[at] ^= by;
        prop_assert!(Frame::decode(&bytes).is_err(), "byte {at}");
    }

    #[test]
    fn a_frame_that_lies_with_correct_checksums_does_not_panic(list in entries(), seed: u64) {
        // Whoever writes the checksums can write anything: the entries must still be read with care.
        let mut bytes = seal(&list, 1, 0, 0, 0).bytes().to_vec();
        let mut dice = Dice(seed);
        for _ in 0..=dice.below(4) {
            let at = 16 + dice.below(bytes.len() - 16);
            bytes[at] = dice.roll() as u8;
        }
        forge(&mut bytes);
        if let Ok(frame) = Frame::decode(&bytes) {
            prop_assert_eq!(frame.entries().count(), frame.entry_count() as usize);
            prop_assert!(frame.last_position() >= frame.first_position());
            let _ = (frame.ends_step(), frame.last_mark(), frame.end_seq());
        }
    }

    #[test]
    fn arbitrary_bytes_do_not_panic(bytes in vec(any::<u8>(), 0..400), magic in 0usize..4) {
        let mut bytes = bytes;
        let name: [&[u8]; 4] = [b"GLF1", b"GLS1", b"GLX1", b"GLM1"];
        let n = bytes.len().min(4);
        bytes[..n].copy_from_slice(&name[magic][..n]);
        let _ = (Frame::decode(&bytes), Frame::check_header(&bytes), SegmentHeader::decode(&bytes));
        let _ = (Index::decode(&bytes), Index::decode_tail(&bytes), Meta::decode(&bytes), Mark::decode(&bytes));
    }

    #[test]
    fn a_mark_is_read_back(released: u64, more in 0u64..1 << 62, hash: u128, channels in vec(any::<u64>(), 0..4)) {
        let said = released.saturating_add(more);
        let unfinished = channels.iter().filter(|_| released > 0).map(|&c| (Channel(c), c % released.max(1))).collect();
        let mark = Mark { released, said, hash, unfinished };
        prop_assert_eq!(Mark::decode(&mark.encode()), Some(mark.clone()));
        let bytes = [mark.encode(), vec![0]].concat();
        prop_assert_eq!(Mark::decode(&bytes), None);
    }

    #[test]
    fn headers_and_indexes_are_read_back(uuid: u128, first: u64, position: u64, chain: u128, offset: u64,
                                         rows in vec(any::<[u64; 3]>(), 0..40)) {
        let (first, position) = (Seq(first), Position(position));
        let header = SegmentHeader { level: Level::Machine, uuid, first_seq: first, first_position: position, chain_before: chain };
        prop_assert_eq!(SegmentHeader::decode(&header.encode()), Ok(header));
        let row = |r: &[u64; 3]| Row { seq: Seq(r[0]), position: Position(r[1]), offset: r[2] };
        let rows = rows.iter().map(row).collect();
        let index = Index { end_seq: first, last_position: position, chain_after: chain, offset, rows };
        let bytes = index.encode();
        prop_assert_eq!(Index::decode(&bytes), Ok(index));
        prop_assert_eq!(Index::decode_tail(&bytes[bytes.len() - 16..]), Ok(offset));
    }

    #[test]
    fn a_meta_is_read_back(uuid: u128, boot: u128, life: Option<[u8; 24]>, highest: Option<(u128, u64)>,
                           intent: Option<Vec<u8>>, words: Option<Vec<String>>, base: (u64, u64, u128), durable: bool) {
        let identity = words.map(|w| Identity { level: w.concat(), code: "c".into(), features: w });
        let base = Base { seq: Seq(base.0), position: Position(base.1), chain: base.2 };
        let commit = if durable { CommitLevel::Durable } else { CommitLevel::Received };
        let meta = Meta { uuid, level: Level::Process, commit, identity, life, boot, highest, intent, generation: 5, base };
        let bytes = meta.encode();
        prop_assert_eq!(Meta::decode(&bytes), Ok(meta));
        prop_assert!(Meta::decode(&bytes[..bytes.len() - 1]).is_err());
    }
}

/// Makes checksums and chain hash fit again.
fn forge(bytes: &mut [u8]) {
    let (header, payload) = bytes.split_at_mut(HEADER_BYTES);
    header[44..48].copy_from_slice(&(payload.len() as u32).to_le_bytes());
    let before = u128::from_le_bytes(header[48..64].try_into().unwrap());
    let after = gapless_log::chain(before, &[&header[..48], payload]);
    header[64..80].copy_from_slice(&after.to_le_bytes());
    let crc = crc32fast::hash(payload);
    header[80..84].copy_from_slice(&crc.to_le_bytes());
    let crc = crc32fast::hash(&header[..84]);
    header[84..88].copy_from_slice(&crc.to_le_bytes());
}

/// What one may do to a store.
#[derive(Clone, Debug)]
enum Act {
    Append(usize),
    Sync,
    Cut(prop::sample::Index),
    Reopen,
    Read(prop::sample::Index),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        6 => (0usize..400).prop_map(Act::Append),
        1 => Just(Act::Sync),
        1 => any::<prop::sample::Index>().prop_map(Act::Cut),
        1 => Just(Act::Reopen),
        1 => any::<prop::sample::Index>().prop_map(Act::Read),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn a_store_is_a_list_of_frames(acts in vec(act(), 1..80), segment_bytes in 100u64..3000, seed: u64) {
        let dir = fast_dir();
        let mut store = common::create(dir.path(), small(segment_bytes));
        let mut list: Vec<Frame> = Vec::new();
        let mut dice = Dice(seed);
        let mut term = 1;
        for act in acts {
            let (next, chain) = store.end();
            match act {
                Act::Append(len) => {
                    let at = list.last().map_or(0, |f| f.last_position().0) + dice.below(9) as u64;
                    let mut builder = FrameBuilder::new(Level::Toy, Term(term), next, chain);
                    builder.push(Position(at), Kind(20), &vec![len as u8; len]);
                    builder.push(Position(at), Kind::MARK, &Mark::default().encode());
                    let frame = builder.seal(store.synced()).unwrap();
                    store.append(&frame).unwrap();
                    list.push(frame);
                }
                Act::Sync => {
                    store.sync().unwrap();
                    prop_assert_eq!(store.synced(), next);
                }
                Act::Cut(at) => {
                    let keep = at.index(list.len() + 1);
                    let (seq, chain) = list.get(keep).map_or((next, chain), |f| (f.first_seq(), f.chain_before()));
                    store.cut(seq, chain).unwrap();
                    list.truncate(keep);
                    term += 1;
                }
                Act::Reopen => {
                    drop(store);
                    let found;
                    (store, found) = common::open(dir.path(), small(segment_bytes)).unwrap();
                    prop_assert_eq!(found.truncated, None);
                    prop_assert_eq!(found.last_mark.map(|m| (m.next, m.chain)), list.last().map(|f| (f.end_seq(), f.chain_after())));
                }
                Act::Read(at) => {
                    let seq = Seq(at.index(next.0 as usize + 1) as u64);
                    let read: Vec<Frame> = store.reader(seq).collect::<Result<_, _>>().unwrap();
                    let from = list.iter().position(|f| f.end_seq() > seq).unwrap_or(list.len());
                    prop_assert_eq!(&read[..], &list[from..]);
                }
            }
            prop_assert_eq!(store.end(), list.last().map_or((Seq(0), 0), |f| (f.end_seq(), f.chain_after())));
        }
        prop_assert_eq!(common::frames(&store), list);
        drop(store);
        let report = gapless_log::verify(dir.path()).unwrap();
        prop_assert_eq!(report.exit_status(), 0, "{}", report);
    }
}
