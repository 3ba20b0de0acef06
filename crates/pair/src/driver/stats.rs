//! What one node counts and measures, for people and metrics. Nothing here decides anything.

use super::latency::Histogram;
use super::trouble::Trouble;
use crate::wire::WireError;
use crate::{Ack, Event, Life, Message, Mode, Packet, Status, Why};
use gapless_log::{Frame, Seq, Term};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Frames remembered until they are committed and executed; beyond this, old ones are forgotten.
const FLIGHT_MAX: usize = 1 << 16;

/// A sealed frame on its way.
#[derive(Clone, Copy, Debug)]
struct InFlight {
    end: Seq,
    /// Bytes of the log up to its end, as counted by this life.
    bytes: u64,
    at: Instant,
}

/// Counters of a node; they outlive its lives.
#[derive(Clone, Debug)]
pub(super) struct Stats {
    pub began: Instant,
    pub status: Option<Status>,
    pub latency: Histogram,
    pub takeovers: u64,
    pub false_alarms: u64,
    pub last_takeover: Option<Duration>,
    pub strangers: u64,
    pub last_stranger: Option<WireError>,
    unprotected: Duration,
    protected_since: Option<Instant>,
    unprotected_since: Option<Instant>,
    silent_since: Option<Instant>,
    /// Sealed, not committed.
    flight: VecDeque<InFlight>,
    /// Sealed, not executed by the other side.
    unexecuted: VecDeque<InFlight>,
    bytes: u64,
    pub acked: Ack,
    pub end: Seq,
    /// The life that said HELLO last, and its address.
    pub peer: Option<(Life, String)>,
    /// Who was given up although nothing broke.
    suspected: Option<Life>,
    /// The arbiter does not answer.
    pub arbiter: Trouble,
    /// The other side cannot be reached.
    pub dial: Trouble,
    /// No output leaves before a backup joins.
    pub held: Trouble,
}

impl Default for Stats {
    fn default() -> Self {
        Self {
            began: Instant::now(),
            status: None,
            latency: Histogram::default(),
            takeovers: 0,
            false_alarms: 0,
            last_takeover: None,
            strangers: 0,
            last_stranger: None,
            unprotected: Duration::ZERO,
            protected_since: None,
            unprotected_since: None,
            silent_since: None,
            flight: VecDeque::new(),
            unexecuted: VecDeque::new(),
            bytes: 0,
            acked: Ack::default(),
            end: Seq(0),
            peer: None,
            suspected: None,
            arbiter: Trouble::default(),
            dial: Trouble::default(),
            held: Trouble::default(),
        }
    }
}

impl Stats {
    /// What carries over to the next life.
    pub fn reborn(&self) -> Self {
        Self {
            began: self.began,
            takeovers: self.takeovers,
            false_alarms: self.false_alarms,
            strangers: self.strangers,
            last_stranger: self.last_stranger.clone(),
            ..Self::default()
        }
    }

    pub fn heard(&mut self, event: &Event) {
        let Event::Received(_, Packet { message, .. }) = event else { return };
        match message {
            Message::Ack(ack) => {
                self.acked = *ack;
                while self.unexecuted.front().is_some_and(|f| f.end <= ack.executed) {
                    self.unexecuted.pop_front();
                }
            }
            Message::Hello(hello) => self.peer = Some((hello.seat.life, hello.seat.address.clone())),
            Message::Heartbeat(beat) if self.is_backup() => self.end = self.end.max(beat.end),
            _ => {}
        }
    }

    fn is_backup(&self) -> bool {
        matches!(self.mode(), Some(Mode::Joining | Mode::Acking | Mode::Silent))
    }

    fn mode(&self) -> Option<Mode> {
        self.status.as_ref().map(|s| s.mode)
    }

    pub fn sealed(&mut self, frame: &Frame) {
        self.bytes += frame.len() as u64;
        self.end = frame.end_seq();
        let sealed = InFlight { end: frame.end_seq(), bytes: self.bytes, at: Instant::now() };
        push(&mut self.flight, sealed);
        push(&mut self.unexecuted, sealed);
    }

    pub fn appended(&mut self, frame: &Frame) {
        self.bytes += frame.len() as u64;
        self.end = self.end.max(frame.end_seq());
    }

    pub fn committed(&mut self, seq: Seq) {
        // What waited for a first backup, or for a register, says nothing of how fast a commit is.
        let since = self.protected_since.filter(|_| self.mode() == Some(Mode::Protected));
        while let Some(frame) = self.flight.front().filter(|f| f.end <= seq) {
            if since.is_some_and(|since| frame.at >= since) {
                self.latency.record(frame.at.elapsed());
            }
            self.flight.pop_front();
        }
    }

    /// Somebody connected who breaks the protocol.
    pub fn refused_bytes(&mut self, why: WireError) {
        self.strangers += 1;
        self.last_stranger = Some(why);
    }

    pub fn changed(&mut self, status: &Status) {
        if matches!(status.why, Why::Session { .. }) {
            self.acked = Ack::default();
        }
        let (now, before) = (Instant::now(), self.mode());
        let peer = self.peer.as_ref().map(|(life, _)| *life);
        match &status.why {
            Why::TookOver => self.takeovers += 1,
            Why::Handover if status.mode == Mode::Solo => self.takeovers += 1,
            Why::HeardAgain if before == Some(Mode::Silent) => self.false_alarms += 1,
            Why::NotNamed | Why::PutLost if before == Some(Mode::Silent) => self.false_alarms += 1,
            Why::Silence | Why::AckStall | Why::LagStall if before == Some(Mode::Protected) => self.suspected = peer,
            Why::Session { .. } if self.suspected.is_some() => {
                self.false_alarms += u64::from(self.suspected == peer);
                self.suspected = None;
            }
            _ => {}
        }
        match (status.mode, self.silent_since) {
            (Mode::Silent, None) => self.silent_since = Some(now),
            (Mode::Joining | Mode::Acking, _) => self.silent_since = None,
            _ => {}
        }
        let alone = matches!(status.mode, Mode::Solo | Mode::Closing);
        match (alone, self.unprotected_since) {
            (true, None) => self.unprotected_since = Some(now),
            (false, Some(since)) => {
                self.unprotected += now - since;
                self.unprotected_since = None;
            }
            _ => {}
        }
        if status.mode == Mode::Protected && before != Some(Mode::Protected) {
            self.protected_since = Some(now);
        }
        self.status = Some(status.clone());
    }

    /// The replica runs live.
    pub fn went_live(&mut self) {
        self.flight.clear();
        self.unexecuted.clear();
        self.last_takeover = self.silent_since.take().map(|since| since.elapsed());
    }

    pub fn unprotected(&self) -> Duration {
        self.unprotected + self.unprotected_since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// How far the other side's execution is behind this live side: bytes, and the age of the oldest frame it has not executed.
    pub fn lag(&self) -> (u64, Duration) {
        let Some(oldest) = self.unexecuted.front() else { return (0, Duration::ZERO) };
        let newest = self.unexecuted.back().expect("there is a front");
        (newest.bytes - oldest.bytes, oldest.at.elapsed())
    }

    pub fn term(&self) -> Term {
        self.status.as_ref().map_or(Term(0), |s| s.term)
    }
}

fn push(queue: &mut VecDeque<InFlight>, frame: InFlight) {
    if queue.len() == FLIGHT_MAX {
        queue.pop_front();
    }
    queue.push_back(frame);
}
