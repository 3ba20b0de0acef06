//! The computer: hart, board and disks as one deterministic thing.
//!
//! The rule it keeps: what it does from one position to the next follows from its state and from what [`Computer::apply`] was given, and from nothing
//! else; where it was stopped in between leaves no trace. It has no clock and no network; of the host it uses memory and the files of its disks.

use crate::board::Board;
use crate::clock::Line;
use crate::device::virtio::net;
use crate::digest::PageHashes;
use crate::disks::Image;
use crate::event::{self, ClockBody};
use crate::hart::{Exit, Hart};
use crate::setup::Setup;
use gapless_log::{Error, Kind, Position, Result};
use serde::{Deserialize, Serialize};

/// What the guest wants of the power supply.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Power {
    /// On.
    On,
    /// Switched off; `failed` if the guest gave a system failure as the reason.
    Off {
        /// A system failure.
        failed: bool,
    },
    /// To be switched off and on again.
    Reboot,
}

/// Why [`Computer::run`] came back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stop {
    /// The position is reached.
    Limit,
    /// The hart waits for an interrupt that only an event or the clock can bring.
    Idle,
    /// Something was said that should leave at once, or so much that it should.
    Said,
    /// The position is not reached, but what was done may have taken long: time to look at the world.
    Pause,
    /// Switched off.
    Off,
    /// A debugger's point was hit.
    Point,
}

/// SBI calls and accesses to devices that do work after which [`Computer::run`] comes back: one of them may take as long as thousands of instructions.
const CALLS_MAX: u32 = 64;
/// Deadlines of disks to which an idle hart jumps without an entry, one after another. A guest could have its disks fill their own queues for ever.
pub(crate) const JUMPS_MAX: u32 = 1024;

/// The whole machine.
#[derive(Debug)]
pub struct Computer {
    pub(crate) hart: Hart,
    pub(crate) board: Board,
    pub(crate) setup: Setup,
    /// The hart has executed WFI and nothing has woken it since.
    pub(crate) idle: bool,
    /// How often time has jumped to a disk's deadline since the hart has become idle.
    pub(crate) jumps: u32,
    pub(crate) power: Power,
    /// Frames of a network event, until the last has come (block 240).
    pub(crate) frames_open: bool,
    /// How often it was switched on again.
    pub(crate) boots: u32,
    /// What it boots from.
    pub(crate) medium: Medium,
    /// What its disks began with.
    pub(crate) images: Vec<Image>,
    /// For digests alone.
    pub(crate) pages: PageHashes,
}

/// What a machine boots from, again after each reset.
#[derive(Debug)]
pub(crate) struct Medium {
    pub kernel: Vec<u8>,
    pub initrd: Vec<u8>,
}

impl Computer {
    /// Position of the next instruction.
    pub fn position(&self) -> Position {
        self.hart.position()
    }

    /// The guest's clock.
    pub fn now(&self) -> u64 {
        self.line().time(self.position())
    }

    /// Virtual time from the last Clock entry on.
    pub fn line(&self) -> &Line {
        &self.board.line
    }

    pub(crate) fn set_line(&mut self, line: Line) {
        self.board.line = line;
        self.hart.set_line(line);
    }

    /// Status with which the machine was switched off.
    pub fn off(&self) -> Option<i32> {
        match self.power {
            Power::Off { failed } => Some(i32::from(failed)),
            _ => None,
        }
    }

    /// Runs until the position is reached, or something has to be done outside.
    pub fn run(&mut self, until: Position) -> Result<Stop> {
        let mut calls = 0;
        loop {
            self.settle()?;
            if self.off().is_some() {
                return Ok(Stop::Off);
            }
            if self.board.take_urgent() {
                return Ok(Stop::Said);
            }
            if self.idle {
                return Ok(Stop::Idle);
            }
            if self.position() >= until {
                return Ok(Stop::Limit);
            }
            if calls >= CALLS_MAX {
                return Ok(Stop::Pause);
            }
            let due = self.board.next_deadline().nearest().map_or(u64::MAX, |nanos| self.line().position_at(nanos));
            assert!(due > self.position().0, "what is due at {due} was done at {}", self.position());
            match self.hart.run(&mut self.board, Position(due.min(until.0))) {
                Exit::Limit => {}
                Exit::Wfi => self.idle = true,
                Exit::Sbi => {
                    crate::sbi::call(self);
                    calls += 1;
                }
                Exit::Device => calls += 1,
                Exit::Point => return Ok(Stop::Point),
            }
            if self.power == Power::Reboot {
                self.power = Power::On;
                self.reboot()?;
                calls = CALLS_MAX;
            }
        }
    }

    /// Everything that follows from the position having been reached: what is due is done, and an idle hart whose next deadline is a disk's goes on at
    /// that time at once, because a disk's completion is no input.
    fn settle(&mut self) -> Result<()> {
        loop {
            self.board.tick(self.position()).map_err(|e| Error::io("on", "a disk of the machine", e))?;
            if !self.idle {
                return Ok(());
            }
            if self.hart.wakes(&self.board) {
                (self.idle, self.jumps) = (false, 0);
                return Ok(());
            }
            let deadlines = self.board.next_deadline();
            let Some(due) = deadlines.block.filter(|_| self.jumps < JUMPS_MAX) else { return Ok(()) };
            if self.hart.timer().into_iter().chain(deadlines.other).any(|other| other < due) {
                return Ok(());
            }
            self.jumps += 1;
            let line = *self.line();
            self.set_line(Line { position: self.position().0, time: due.max(self.now()), slope: line.slope });
        }
    }

    /// When an idle hart goes on by itself, in nanoseconds of the guest's clock.
    pub fn next_deadline(&self) -> Option<u64> {
        [self.hart.timer(), self.board.next_deadline().nearest()].into_iter().flatten().min()
    }

    /// The guest has room for a frame.
    pub fn wants_frame(&mut self) -> bool {
        self.board.frame_room()
    }

    /// The guest's network driver takes large frames and frames without checksums.
    pub fn takes_offloads(&self) -> bool {
        const WANTED: u64 = 1 << 1 | 1 << 7 | 1 << 8; // GUEST_CSUM, GUEST_TSO4, GUEST_TSO6
        self.board.net_features().is_some_and(|features| features & WANTED == WANTED)
    }

    /// Bytes that may be typed.
    pub fn console_room(&self) -> usize {
        self.board.console_room()
    }

    /// Takes an event at this position. An event of the network (blocks 220 to 240) is its entry and those of its frames up to the last.
    pub fn apply(&mut self, kind: Kind, body: &[u8]) -> Result<()> {
        let at = self.position();
        let bad = || event::bad(at, kind);
        if self.frames_open != (kind == event::NET_CONTENT) {
            return Err(bad());
        }
        match kind {
            event::CLOCK => {
                let ClockBody { time, slope } = postcard::from_bytes(body).map_err(|_| bad())?;
                let line = Line { position: at.0, time, slope };
                if time < self.now() || !line.is_sound(at) {
                    return Err(Error::Refused(format!(
                        "the clock entry at position {at} would set the guest's clock back, or too far"
                    )));
                }
                self.set_line(line);
            }
            event::CONSOLE => {
                self.board.receive_console(body, at);
            }
            event::NET_EVENT => self.frames_open = true,
            event::NET_CONTENT => {
                let (last, frame) =
                    event::piece(body).filter(|(_, frame)| net::FRAME_BYTES.contains(&frame.len())).ok_or_else(bad)?;
                self.board.receive_frame(frame, at);
                self.frames_open = !last;
            }
            _ => return Err(bad()),
        }
        self.settle()
    }
}
