//! virtio-blk (section 5.2): a disk.
//!
//! The rules it keeps: all that a request needs from guest memory is copied at the kick; its end is due at a time computed from the request alone, and at
//! that time the device itself copies the data and gives the buffer back, however early or late the host was. What the guest asks wrongly is answered
//! with an I/O error; an I/O error of the host is none of the guest's business and stops this side.

use super::queue::{Broken, CHAIN_DESCRIPTORS_MAX, Chain, Queue, Segment, gather, scatter, total};
use super::{Function, Mmio};
use crate::clock::TIME_NANOS_MAX;
use crate::device::Cx;
use crate::disk::{Request, SECTOR_BYTES, Storage};
use gapless_log::{Digest, chain};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::io;

/// Bytes of a segment, announced by SIZE_MAX.
const SEGMENT_BYTES_MAX: u32 = 64 << 10;
/// Data segments of a request, announced by SEG_MAX: the queue less header and status.
const SEGMENTS_MAX: u32 = 254;
/// Data of one request.
const REQUEST_BYTES_MAX: u64 = SEGMENTS_MAX as u64 * SEGMENT_BYTES_MAX as u64;
/// Data of all pending requests; what does not fit waits in the ring.
pub(crate) const PENDING_BYTES_MAX: u64 = 64 << 20;
/// Pending requests: a driver that keeps to the protocol never has more than the queue has descriptors. What is more waits in the ring.
const PENDING_MAX: usize = QUEUE_SIZE as usize;
const QUEUE_SIZE: u16 = 256;

/// No clock gets to this time, and no disk to this number of requests.
const DUE_NANOS_MAX: u64 = 2 * TIME_NANOS_MAX;
const IDS_MAX: u64 = 1 << 60;

const READ_OR_WRITE_NANOS: u64 = 60_000;
/// One byte a nanosecond: 1 GB/s.
const BYTES_PER_NANO: u64 = 1;
const FLUSH_NANOS: u64 = 200_000;

mod feature {
    pub const SIZE_MAX: u64 = 1 << 1;
    pub const SEG_MAX: u64 = 1 << 2;
    pub const RO: u64 = 1 << 5;
    pub const BLK_SIZE: u64 = 1 << 6;
    pub const FLUSH: u64 = 1 << 9;
}

mod kind {
    pub const IN: u32 = 0;
    pub const OUT: u32 = 1;
    pub const FLUSH: u32 = 4;
    pub const GET_ID: u32 = 8;
}

const STATUS_OK: u8 = 0;
const STATUS_IOERR: u8 = 1;
const STATUS_UNSUPP: u8 = 2;

const HEADER_BYTES: u64 = 16;
const ID_BYTES: usize = 20;
const CONFIG_BYTES: usize = 60;

/// What a request will be answered with.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Answer {
    status: u8,
    data: Vec<u8>,
}

/// A request that was taken and not yet given back.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Pending {
    id: u64,
    head: u16,
    /// Where data goes; the last byte is the status.
    writable: Vec<Segment>,
    /// Bytes of data, read or written.
    bytes: u64,
    due: u64,
    /// Known already; otherwise the storage has it.
    answer: Option<Answer>,
}

impl Pending {
    /// Could it have been taken, with its answer known since?
    fn is_sound(&self, next_id: u64) -> bool {
        let data = |answer: &Answer| answer.data.len() as u64 <= REQUEST_BYTES_MAX;
        self.id < next_id
            && self.writable.len() <= CHAIN_DESCRIPTORS_MAX as usize
            && self.bytes <= REQUEST_BYTES_MAX
            && self.due <= DUE_NANOS_MAX
            && self.answer.as_ref().is_some_and(data)
    }

    /// Waits for the answer if need be.
    fn settle(&mut self, storage: &mut dyn Storage) -> io::Result<()> {
        if self.answer.is_none() {
            self.answer = Some(Answer { status: STATUS_OK, data: storage.wait(self.id)? });
        }
        Ok(())
    }
}

/// What the guest asks for, after parsing.
enum Asked {
    Storage(Request),
    Answer(Answer),
}

/// The disk.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Block {
    sectors: u64,
    read_only: bool,
    serial: String,
    next_id: u64,
    last_due: u64,
    /// Every write so far: where and what.
    written: Digest,
    pending: VecDeque<Pending>,
    /// Taken and not yet handed to the storage: never across two instructions.
    #[serde(skip)]
    outgoing: Vec<(u64, Request)>,
    /// The last request handed to the storage, until it was waited for.
    #[serde(skip)]
    submitted: Option<u64>,
}

impl Block {
    /// For a storage; the guest reads `serial` (20 bytes count).
    pub fn new(storage: &dyn Storage, serial: &str) -> Self {
        Self {
            sectors: storage.bytes() / SECTOR_BYTES,
            read_only: storage.read_only(),
            serial: serial.to_owned(),
            next_id: 0,
            last_due: 0,
            written: 0,
            pending: VecDeque::new(),
            outgoing: Vec::new(),
            submitted: None,
        }
    }

    /// Hash over every write so far.
    pub fn written(&self) -> Digest {
        self.written
    }

    /// Could this disk be kept in that storage, and is the state whole?
    pub(crate) fn is_sound(&self, storage: &dyn Storage) -> bool {
        self.sectors == storage.bytes() / SECTOR_BYTES
            && self.read_only == storage.read_only()
            && self.next_id <= IDS_MAX
            && self.last_due <= DUE_NANOS_MAX
            && self.pending.len() <= PENDING_MAX
            && self.pending.iter().all(|pending| pending.is_sound(self.next_id))
            && self.pending.iter().zip(self.pending.iter().skip(1)).all(|(a, b)| a.id < b.id && a.due <= b.due)
            && self.pending_bytes() <= PENDING_BYTES_MAX
    }

    fn pending_bytes(&self) -> u64 {
        self.pending.iter().map(|pending| pending.bytes).sum()
    }

    /// Takes every request for which there is room.
    fn take(&mut self, queue: &mut Queue, cx: &mut Cx<'_>) -> Result<(), Broken> {
        let mut bytes = self.pending_bytes();
        for _ in 0..queue.waiting(cx.memory)? {
            if self.pending.len() >= PENDING_MAX || bytes + REQUEST_BYTES_MAX > PENDING_BYTES_MAX {
                break;
            }
            let Some(chain) = queue.pop(cx.memory)? else { break };
            bytes += self.accept(chain, cx)?;
        }
        queue.ask_for_kick(cx.memory)
    }

    /// Makes a request pending; returns its bytes of data.
    fn accept(&mut self, chain: Chain, cx: &Cx<'_>) -> Result<u64, Broken> {
        let asked = self.parse(&chain, cx)?;
        let (bytes, nanos) = cost(&asked);
        let id = self.next_id;
        self.next_id += 1;
        self.last_due = self.last_due.max(cx.now.nanos).saturating_add(nanos);
        let answer = match asked {
            Asked::Answer(answer) => Some(answer),
            Asked::Storage(request) => {
                self.note(&request);
                self.outgoing.push((id, request));
                None
            }
        };
        let (head, writable, due) = (chain.head, chain.writable, self.last_due);
        self.pending.push_back(Pending { id, head, writable, bytes, due, answer });
        Ok(bytes)
    }

    fn note(&mut self, request: &Request) {
        if let Request::Write { at, data } = request {
            self.written = chain(self.written, &[&at.to_le_bytes(), data]);
        }
    }

    /// A request is a header (kind u32, reserved u32, sector u64), data, and a status byte; how they are cut into descriptors does not matter.
    fn parse(&self, chain: &Chain, cx: &Cx<'_>) -> Result<Asked, Broken> {
        let mut header = [0; HEADER_BYTES as usize];
        gather(cx.memory, &chain.readable, 0, &mut header)?;
        let room = total(&chain.writable).checked_sub(1).ok_or(Broken)?;
        let given = total(&chain.readable) - HEADER_BYTES;
        let [k0, k1, k2, k3, _, _, _, _, s @ ..] = header;
        let sector = u64::from_le_bytes(s);
        Ok(match u32::from_le_bytes([k0, k1, k2, k3]) {
            kind::IN => self.read(sector, room),
            kind::OUT => return self.write(sector, given, chain, cx),
            kind::FLUSH => Asked::Storage(Request::Flush),
            kind::GET_ID => Asked::Answer(Answer { status: STATUS_OK, data: self.id(room) }),
            _ => refuse(STATUS_UNSUPP),
        })
    }

    /// Offset in bytes of a range that is on the disk.
    fn place(&self, sector: u64, bytes: u64) -> Option<u64> {
        let whole = bytes.is_multiple_of(SECTOR_BYTES) && bytes <= REQUEST_BYTES_MAX;
        let end = sector.checked_add(bytes / SECTOR_BYTES)?;
        (whole && end <= self.sectors).then_some(sector * SECTOR_BYTES)
    }

    fn read(&self, sector: u64, bytes: u64) -> Asked {
        match self.place(sector, bytes) {
            Some(at) => Asked::Storage(Request::Read { at, bytes: bytes as u32 }),
            None => refuse(STATUS_IOERR),
        }
    }

    fn write(&self, sector: u64, bytes: u64, chain: &Chain, cx: &Cx<'_>) -> Result<Asked, Broken> {
        let Some(at) = self.place(sector, bytes).filter(|_| !self.read_only) else {
            return Ok(refuse(STATUS_IOERR));
        };
        let mut data = vec![0; bytes as usize];
        gather(cx.memory, &chain.readable, HEADER_BYTES, &mut data)?;
        Ok(Asked::Storage(Request::Write { at, data }))
    }

    fn id(&self, room: u64) -> Vec<u8> {
        let mut id = self.serial.as_bytes().to_vec();
        id.resize(ID_BYTES, 0);
        id.truncate(room.min(ID_BYTES as u64) as usize);
        id
    }

    fn submit(&mut self, storage: &mut dyn Storage) -> io::Result<()> {
        for (id, request) in std::mem::take(&mut self.outgoing) {
            storage.submit(id, request)?;
            self.submitted = Some(id);
        }
        if self.pending.is_empty()
            && let Some(id) = self.submitted.take()
        {
            // The guest reset the device: what it had asked for is still done, and must not pile up.
            storage.wait(id)?;
        }
        Ok(())
    }

    /// The next request whose time has come.
    fn due(&mut self, nanos: u64, storage: &mut dyn Storage) -> io::Result<Option<Pending>> {
        if self.pending.front().is_none_or(|pending| pending.due > nanos) {
            return Ok(None);
        }
        let mut pending = self.pending.pop_front();
        if let Some(pending) = &mut pending {
            pending.settle(storage)?;
            self.submitted = self.submitted.filter(|&id| id != pending.id);
        }
        Ok(pending)
    }
}

fn refuse(status: u8) -> Asked {
    Asked::Answer(Answer { status, data: Vec::new() })
}

/// Bytes of data that a request keeps, and nanoseconds that it takes.
fn cost(asked: &Asked) -> (u64, u64) {
    let bytes = match asked {
        Asked::Storage(Request::Read { bytes, .. }) => u64::from(*bytes),
        Asked::Storage(Request::Write { data, .. }) => data.len() as u64,
        Asked::Storage(Request::Flush) => return (0, FLUSH_NANOS),
        Asked::Answer(_) => 0,
    };
    (bytes, READ_OR_WRITE_NANOS + bytes / BYTES_PER_NANO)
}

/// Gives a request back to the guest.
fn finish(pending: &Pending, queue: &mut Queue, cx: &mut Cx<'_>) -> Result<(), Broken> {
    let answer = pending.answer.as_ref().expect("settled before it is given back");
    let status_at = total(&pending.writable).checked_sub(1).ok_or(Broken)?;
    scatter(cx.memory, &pending.writable, 0, &answer.data)?;
    scatter(cx.memory, &pending.writable, status_at, &[answer.status])?;
    queue.push(cx.memory, pending.head, answer.data.len() as u32 + 1)
}

impl Function for Block {
    const ID: u32 = 2;
    const QUEUES: &'static [u16] = &[QUEUE_SIZE];

    fn features(&self) -> u64 {
        let read_only = if self.read_only { feature::RO } else { 0 };
        feature::SIZE_MAX | feature::SEG_MAX | feature::BLK_SIZE | feature::FLUSH | read_only
    }

    fn config(&self) -> Vec<u8> {
        let mut config = vec![0; CONFIG_BYTES];
        config[0..8].copy_from_slice(&self.sectors.to_le_bytes());
        config[8..12].copy_from_slice(&SEGMENT_BYTES_MAX.to_le_bytes());
        config[12..16].copy_from_slice(&SEGMENTS_MAX.to_le_bytes());
        config[20..24].copy_from_slice(&(SECTOR_BYTES as u32).to_le_bytes());
        config
    }

    fn kick(&mut self, _: usize, queue: &mut Queue, cx: &mut Cx<'_>) -> Result<(), Broken> {
        self.take(queue, cx)
    }

    fn reset(&mut self) {
        self.pending.clear();
        self.last_due = 0;
    }
}

impl Mmio<Block> {
    /// When the next request is to be given back, in nanoseconds since the machine was switched on.
    pub fn next_due(&self) -> Option<u64> {
        self.function.pending.front().map(|pending| pending.due)
    }

    /// Hands the requests taken by a store to the storage. To be called after every store.
    pub fn submit(&mut self, storage: &mut dyn Storage) -> io::Result<()> {
        self.function.submit(storage)
    }

    /// Gives back every request that is due, waiting for the storage if it is late. An error is the host's: this side stops.
    pub fn complete(&mut self, storage: &mut dyn Storage, cx: &mut Cx<'_>) -> io::Result<()> {
        let mut finished = Vec::new();
        while let Some(pending) = self.function.due(cx.now.nanos, storage)? {
            finished.push(pending);
        }
        if finished.is_empty() {
            return Ok(());
        }
        self.work(0, cx, |function, queue, cx| {
            finished.iter().try_for_each(|pending| finish(pending, queue, cx))?;
            function.take(queue, cx)
        });
        self.submit(storage)
    }

    /// Waits for the answers of all pending requests, so that the state is whole without the storage's queue.
    pub fn settle(&mut self, storage: &mut dyn Storage) -> io::Result<()> {
        assert!(self.function.outgoing.is_empty(), "requests are submitted after every store");
        self.function.pending.iter_mut().try_for_each(|pending| pending.settle(storage))?;
        self.function.submitted = None;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{DATA, Driver, Piece, SIZE, board, parts};
    use super::super::{EVENT_IDX, INDIRECT_DESC, register};
    use super::*;
    use crate::board::Board;
    use crate::disk::RamDisk;
    use Piece::{In, Out};

    const SECTORS: u64 = 64;
    const HEADER: u64 = DATA;
    const STATUS: u64 = DATA + 0x100;
    const BUFFER: u64 = DATA + 0x1000;

    fn driver(features: u64) -> Driver {
        Driver::start(board(SECTORS), 0, 1, features)
    }

    impl Driver {
        fn header(&mut self, kind: u32, sector: u64) {
            let header = [&kind.to_le_bytes()[..], &[0; 4], &sector.to_le_bytes()].concat();
            self.write(HEADER, &header);
            self.write(STATUS, &[0xff]);
        }

        /// One request from the kick to its end; its status.
        fn request(&mut self, kind: u32, sector: u64, data: &[Piece]) -> u8 {
            self.header(kind, sector);
            let pieces = [&[Out(HEADER, 16)], data, &[In(STATUS, 1)]].concat();
            let head = self.add(0, &pieces);
            self.kick(0);
            assert_eq!(self.used(0), [], "nothing is given back before its time");
            self.sleep();
            assert_eq!(self.used(0).iter().map(|used| used.0).collect::<Vec<_>>(), [head]);
            assert!(self.interrupted());
            self.read(STATUS, 1)[0]
        }
    }

    #[test]
    fn what_was_written_is_read_back_in_other_pieces() {
        let mut driver = driver(0);
        let data: Vec<u8> = (0..1024).map(|i| (i % 251) as u8).collect();
        driver.write(BUFFER, &data);
        assert_eq!(driver.request(kind::OUT, 5, &[Out(BUFFER, 100), Out(BUFFER + 100, 924)]), STATUS_OK);
        assert_eq!(driver.request(kind::IN, 5, &[In(BUFFER + 0x2000, 512), In(BUFFER + 0x1000, 512)]), STATUS_OK);
        assert_eq!(driver.read(BUFFER + 0x2000, 512), data[..512]);
        assert_eq!(driver.read(BUFFER + 0x1000, 512), data[512..]);
        assert_eq!(driver.request(kind::FLUSH, 0, &[]), STATUS_OK);
    }

    #[test]
    fn the_configuration_tells_size_and_limits() {
        let mut driver = driver(feature::SEG_MAX | feature::SIZE_MAX);
        let config: Vec<u32> = (0..6).map(|word| driver.load(register::CONFIG + 4 * word)).collect();
        assert_eq!(config, [SECTORS as u32, 0, SEGMENT_BYTES_MAX, SEGMENTS_MAX, 0, 512]);
    }

    #[test]
    fn the_serial_number_is_cut_to_the_buffer() {
        let mut driver = driver(0);
        assert_eq!(driver.request(kind::GET_ID, 0, &[In(BUFFER, 20)]), STATUS_OK);
        assert_eq!(driver.read(BUFFER, 20), b"gapless-disk-0\0\0\0\0\0\0");
        assert_eq!(driver.request(kind::GET_ID, 0, &[In(BUFFER + 64, 7)]), STATUS_OK);
        assert_eq!(driver.read(BUFFER + 64, 8), b"gapless\0");
    }

    #[test]
    fn wrong_requests_are_answered_with_an_error() {
        let mut driver = driver(0);
        assert_eq!(driver.request(kind::IN, SECTORS, &[In(BUFFER, 512)]), STATUS_IOERR);
        assert_eq!(driver.request(kind::IN, u64::MAX, &[In(BUFFER, 1024)]), STATUS_IOERR);
        assert_eq!(driver.request(kind::IN, 0, &[In(BUFFER, 500)]), STATUS_IOERR);
        assert_eq!(driver.request(kind::OUT, SECTORS - 1, &[Out(BUFFER, 1024)]), STATUS_IOERR);
        assert_eq!(driver.request(0x77, 0, &[]), STATUS_UNSUPP);
        assert!(!driver.needs_reset());
        let mut disk = RamDisk::new(SECTORS);
        disk.read_only = true;
        let mut driver = Driver::start(Board::new(parts(vec![Box::new(disk)])), 0, 1, feature::RO);
        assert_eq!(driver.request(kind::OUT, 0, &[Out(BUFFER, 512)]), STATUS_IOERR);
    }

    #[test]
    fn a_request_without_room_for_its_status_breaks_the_device_until_reset() {
        let mut driver = driver(0);
        driver.header(kind::FLUSH, 0);
        driver.add(0, &[Out(HEADER, 16)]);
        driver.kick(0);
        assert!(driver.needs_reset());
        assert_eq!(driver.load(register::INTERRUPT_STATUS), 2, "the change of configuration is told");
        driver.kick(0);
        driver.init(1, 0);
        assert_eq!(driver.request(kind::FLUSH, 0, &[]), STATUS_OK);
    }

    #[test]
    fn an_indirect_table_is_as_good_as_a_chain() {
        let mut driver = driver(INDIRECT_DESC);
        driver.header(kind::OUT, 1);
        driver.write(BUFFER, &[0x5a; 512]);
        let head = driver.add_indirect(0, &[Out(HEADER, 16), Out(BUFFER, 512), In(STATUS, 1)]);
        driver.kick(0);
        driver.sleep();
        assert_eq!(driver.used(0), [(head, 1)]);
        assert_eq!(driver.request(kind::IN, 1, &[In(BUFFER + 512, 512)]), STATUS_OK);
        assert_eq!(driver.read(BUFFER + 512, 512), [0x5a; 512]);
    }

    #[test]
    fn with_event_idx_the_driver_says_when_it_wants_an_interrupt() {
        let mut driver = driver(EVENT_IDX);
        driver.ask(0, 1);
        let mut one = |interrupt| {
            driver.header(kind::FLUSH, 0);
            driver.add(0, &[Out(HEADER, 16), In(STATUS, 1)]);
            driver.kick(0);
            driver.sleep();
            assert_eq!(driver.interrupted(), interrupt);
        };
        // Asked for the one that makes the used index 2.
        [false, true, false].into_iter().for_each(&mut one);
        assert_eq!(driver.kick_wanted_at(0), 3);
    }

    #[test]
    fn without_event_idx_a_flag_keeps_interrupts_away() {
        let mut driver = driver(0);
        driver.ask(0, 1);
        driver.header(kind::FLUSH, 0);
        driver.add(0, &[Out(HEADER, 16), In(STATUS, 1)]);
        driver.kick(0);
        driver.sleep();
        assert_eq!(driver.used(0).len(), 1);
        assert!(!driver.interrupted());
    }

    #[test]
    fn requests_are_due_one_after_the_other_at_times_computed_from_them() {
        let mut driver = driver(0);
        driver.header(kind::IN, 0);
        driver.add(0, &[Out(HEADER, 16), In(BUFFER, 4096), In(STATUS, 1)]);
        driver.add(0, &[Out(HEADER, 16), In(BUFFER, 512), In(STATUS, 1)]);
        driver.kick(0);
        let first = READ_OR_WRITE_NANOS + 4096;
        assert_eq!(driver.board.next_deadline().block, Some(first));
        driver.sleep();
        assert_eq!(driver.board.next_deadline().block, Some(first + READ_OR_WRITE_NANOS + 512));
    }

    #[test]
    fn what_does_not_fit_waits_in_the_ring() {
        let disk = RamDisk::new(REQUEST_BYTES_MAX / SECTOR_BYTES);
        let mut driver = Driver::start(Board::new(parts(vec![Box::new(disk)])), 0, 1, 0);
        driver.header(kind::IN, 0);
        let head = driver.add(0, &[Out(HEADER, 16), In(BUFFER, 2 << 20), In(BUFFER, 2 << 20), In(STATUS, 1)]);
        // The same chain in every place of the ring: the device does not mind.
        (1..SIZE).for_each(|_| driver.make_available(0, head));
        driver.kick(0);
        assert_eq!(driver.board.block(0).pending.len(), 13);
        assert!(driver.board.block(0).pending_bytes() <= PENDING_BYTES_MAX);
        let mut done = 0;
        while driver.board.next_deadline().block.is_some() {
            driver.sleep();
            done += driver.used(0).len();
        }
        assert_eq!(done, usize::from(SIZE), "without another kick");
    }

    #[test]
    fn an_error_of_the_host_is_not_the_guests() {
        let mut disk = RamDisk::new(SECTORS);
        disk.failing = true;
        let mut driver = Driver::start(Board::new(parts(vec![Box::new(disk)])), 0, 1, 0);
        driver.header(kind::FLUSH, 0);
        driver.add(0, &[Out(HEADER, 16), In(STATUS, 1)]);
        driver.kick(0);
        let due = driver.board.next_deadline().block.unwrap();
        assert!(driver.board.tick(gapless_log::Position(due)).is_err());
        assert_eq!(driver.used(0), []);
    }

    #[test]
    fn a_guest_that_asks_without_end_waits() {
        let mut driver = driver(0);
        driver.header(kind::FLUSH, 0);
        let flush = [Out(HEADER, 16), In(STATUS, 1)];
        driver.add(0, &flush);
        for _ in 0..100 {
            // The same descriptors again and again, before any of them was given back.
            (0..SIZE).for_each(|_| driver.make_available(0, 0));
            driver.kick(0);
        }
        let pending = driver.board.block(0).pending.len();
        assert!(pending <= PENDING_MAX, "{pending} requests are pending");
    }

    #[test]
    fn a_reset_forgets_what_was_under_way() {
        let mut driver = driver(0);
        driver.header(kind::FLUSH, 0);
        driver.add(0, &[Out(HEADER, 16), In(STATUS, 1)]);
        driver.kick(0);
        driver.store(register::STATUS, 0);
        assert_eq!(driver.board.next_deadline().block, None);
        driver.init(1, 0);
        assert_eq!(driver.request(kind::FLUSH, 0, &[]), STATUS_OK);
    }
}
