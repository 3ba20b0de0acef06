//! What a hart is when it is saved: equal states have equal bytes.

use crate::clock::Line;
use crate::hart::csr::{self, Csrs};
use crate::hart::lookaside::{Context, FetchAside, LookAside, SPACES};
use crate::hart::registers::Registers;
use crate::hart::tlb::{Saved, Tlb};
use crate::hart::{Hart, Latch, Privilege, code::StraddlePage};
use crate::memory::{Memory, PAGE_BYTES};
use gapless_log::Position;
use serde::{Deserialize, Serialize};

/// Everything architectural but the reservation, which memory keeps.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct State {
    pub x: [u64; 32],
    pub f: [u64; 32],
    pub pc: u64,
    pub privilege: Privilege,
    pub position: u64,
    pub traps: u64,
    pub line: Line,
    pub latch: Option<Latch>,
    pub csrs: Csrs,
    pub tlb: Saved,
}

impl State {
    /// Switched on.
    pub fn new() -> Self {
        Self {
            x: [0; 32],
            f: [0; 32],
            pc: 0,
            privilege: Privilege::Supervisor,
            position: 0,
            traps: 0,
            line: Line::start(),
            latch: None,
            csrs: Csrs::default(),
            tlb: Tlb::new().save(),
        }
    }

    /// A hart could have come into this state.
    fn is_valid(&self) -> bool {
        let latch = self.latch.is_none_or(|latch| latch.page % PAGE_BYTES == 0 && latch.physical % PAGE_BYTES == 0);
        let (pc, zero) = (self.pc.is_multiple_of(2), self.x[0] == 0);
        let line = self.line.is_sound(Position(self.position));
        latch && pc && zero && line && self.traps <= self.position && csr::are_valid(&self.csrs)
    }
}

impl From<State> for Hart {
    fn from(state: State) -> Self {
        let mut hart = Self {
            x: Registers::new(state.x),
            f: Registers::new(state.f),
            context: Context::new(0, false, false, false),
            fetch_context: Context::new(0, false, false, false),
            pc: state.pc,
            position: state.position,
            traps: state.traps,
            latch: state.latch,
            csrs: state.csrs,
            privilege: state.privilege,
            line: state.line,
            timer_at: 0,
            tlb: Tlb::load(state.tlb).expect("the state was checked"),
            spaces: [None; SPACES],
            next_space: 0,
            space: 0,
            epoch: None,
            second_half: 0,
            straddling: StraddlePage::new(),
            points: Default::default(),
            loads: LookAside::new(),
            stores: LookAside::new(),
            fetches: FetchAside::new(),
        };
        hart.time_timer();
        hart.enter_space();
        hart
    }
}

impl Hart {
    /// The hart's whole state but for [`crate::Memory::reservation`]. Equal states give equal bytes, whatever was executed to come there.
    pub fn save(&self) -> Vec<u8> {
        let state = State {
            x: self.x.save(),
            f: self.f.save(),
            pc: self.pc,
            privilege: self.privilege,
            position: self.position,
            traps: self.traps,
            line: self.line,
            latch: self.latch,
            csrs: self.csrs.clone(),
            tlb: self.tlb.save(),
        };
        postcard::to_stdvec(&state).expect("a state is plain data")
    }

    /// Could it have run with this memory?
    pub(crate) fn fits(&self, memory: &Memory) -> bool {
        self.latch.is_none_or(|latch| memory.page_of(latch.physical).is_some())
    }

    /// From [`Hart::save`]; none if these bytes are no hart's.
    pub fn load(bytes: &[u8]) -> Option<Self> {
        let (state, rest) = postcard::take_from_bytes::<State>(bytes).ok()?;
        let tlb = Tlb::load(state.tlb.clone()).is_some();
        (rest.is_empty() && tlb && state.is_valid()).then(|| state.into())
    }
}
