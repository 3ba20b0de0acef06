//! virtio-blk (section 5.2): a disk.
//!
//! The rules it keeps: all that a request needs from guest memory is copied at the kick; its end is due at a time computed from the request alone, and at
//! that time the device itself copies the data and gives the buffer back, however early or late the host was. What the guest asks wrongly is answered
//! with an I/O error; an I/O error of the host is none of the guest's business and stops this side.

use super::queue::{Broken, Chain, Queue, Segment, gather, scatter, total};
use super::{Function, Mmio};
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
const PENDING_BYTES_MAX: u64 = 64 << 20;

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
            && self.pending.iter().all(|pending| pending.answer.is_some())
    }

    fn pending_bytes(&self) -> u64 {
        self.pending.iter().map(|pending| pending.bytes).sum()
    }

    /// Takes every request for which there is room.
    fn take(&mut self, queue: &mut Queue, cx: &mut Cx<'_>) -> Result<(), Broken> {
        let mut bytes = self.pending_bytes();
        for _ in 0..queue.waiting(cx.memory)? {
            if bytes + REQUEST_BYTES_MAX > PENDING_BYTES_MAX {
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
    const QUEUES: &'static [u16] = &[256];

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
