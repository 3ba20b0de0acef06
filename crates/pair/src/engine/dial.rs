//! Connections that are not a session yet: who dials and when, which are kept, and for how long.
//!
//! The rule it keeps: strangers cost a bounded number of connections and a bounded delay, whatever they do. Nobody is dialled in a storm; a
//! stranger's connection neither keeps a wanted one out nor keeps this side from dialling; and nobody makes this side ask its arbiter
//! more often than it would by itself. What it leaves out: what is said on a connection, which is `session`.

use super::{Action, ConnId, Engine, Micros, Role, Ticket};
use crate::Hello;

/// A connection that may become a session.
#[derive(Debug)]
pub(super) struct Conn {
    since: Micros,
    /// This side dialled it.
    dialled: bool,
    /// The other side's HELLO, while it is being answered.
    pub hello: Option<Box<Hello>>,
    /// The last ticket when it arrived: a register that was asked for later is not older than what it says.
    pub heard: Ticket,
}

/// When to dial.
#[derive(Debug, Default)]
pub(super) struct Dialler {
    /// Dialled last then, there.
    at: Micros,
    address: String,
    /// Not again before so much time has passed.
    pause: Micros,
    /// Since when there have been connections, but no session.
    crowded_since: Option<Micros>,
}

/// Reads of the register that others cause.
#[derive(Debug, Default)]
pub(super) struct ReadsAsked {
    due: bool,
    /// The pauses of those sent, one after another, are over then.
    used_until: Micros,
}

/// A connection without a session lives this many detection times.
const CONN_IDLE_DETECTS: u64 = 5;
/// Connections that may be strangers' keep this side from dialling for this many detection times: one of them may be the other side's.
const CROWD_DETECTS: u64 = 1;
/// Connections kept at once; for one more, the oldest that has said nothing is closed.
const CONNS_MAX: usize = 16;
/// So many reads that others cause may follow each other without a pause.
const READS_ASKED_AT_ONCE: u64 = 4;
/// The pause between two dials doubles from `retry` up to so many of it.
const DIAL_PAUSE_RETRIES_MAX: u64 = 16;

impl Engine {
    pub(super) fn accepted(&mut self, conn: ConnId) {
        self.connected(conn, false);
    }

    /// A dial may take long: by now the other side may have come by itself.
    pub(super) fn dialled(&mut self, conn: ConnId) {
        if self.session_conn().is_some() {
            return self.act(Action::Close(conn));
        }
        self.connected(conn, true);
    }

    fn connected(&mut self, conn: ConnId, dialled: bool) {
        if !self.make_room() {
            return self.act(Action::Close(conn));
        }
        self.conns.insert(conn, Conn { since: self.now, dialled, hello: None, heard: Ticket(0) });
        match self.role {
            Role::Owner(_) => self.connected_owner(conn),
            Role::Backup(_) => self.connected_backup(conn),
            Role::Starting | Role::Halted => {}
        }
    }

    /// Closes the oldest stranger if need be: whoever is expected speaks soon. False if there is none.
    fn make_room(&mut self) -> bool {
        if self.conns.len() < CONNS_MAX {
            return true;
        }
        let session = self.session_conn();
        let stranger = (self.conns.iter())
            .filter(|&(&id, conn)| Some(id) != session && !self.is_requesting(id) && !conn.dialled)
            .min_by_key(|&(&id, conn)| (conn.hello.is_some(), conn.since, id))
            .map(|(&id, _)| id);
        stranger.inspect(|&id| self.close(id)).is_some()
    }

    pub(super) fn tick_conns(&mut self) {
        let limit = Micros(self.config.detect.0 * CONN_IDLE_DETECTS);
        let session = self.session_conn();
        let now = self.now;
        let idle: Vec<ConnId> = (self.conns.iter())
            .filter(|&(&id, conn)| Some(id) != session && now.since(conn.since) > limit)
            .map(|(&id, _)| id)
            .collect();
        for conn in idle {
            self.close(conn);
        }
        let crowded = session.is_none() && !self.conns.is_empty();
        self.dialler.crowded_since = if crowded { Some(self.dialler.crowded_since.unwrap_or(now)) } else { None };
        if session.is_some() {
            self.dialler.pause = Micros(0);
        }
        self.read_if_due();
    }

    /// Somebody is being talked to, or may be.
    fn has_company(&self) -> bool {
        let crowd_max = Micros(self.config.detect.0 * CROWD_DETECTS);
        let crowd = self.dialler.crowded_since.map_or(Micros(0), |since| self.now.since(since));
        self.session_conn().is_some()
            || self.conns.iter().any(|(&id, conn)| conn.dialled || self.is_requesting(id))
            || !self.conns.is_empty() && crowd < crowd_max
    }

    /// Dials, unless there is company or it was done a moment ago.
    pub(super) fn dial(&mut self, address: &str) {
        if address.is_empty() || self.has_company() {
            return;
        }
        let now = self.now;
        let (shortest, longest) = (self.config.retry, Micros(self.config.retry.0 * DIAL_PAUSE_RETRIES_MAX));
        let dialler = &mut self.dialler;
        if dialler.address != address {
            (dialler.address, dialler.pause) = (address.to_owned(), Micros(0));
        }
        if now.since(dialler.at) < dialler.pause.max(shortest) {
            return;
        }
        dialler.at = now;
        dialler.pause = Micros(dialler.pause.0 * 2).max(shortest).min(longest);
        dialler.crowded_since = None;
        self.act(Action::Dial(address.to_owned()));
    }

    /// Sends a read on behalf of somebody who need not be the other side: now, or soon, if there were many.
    pub(super) fn read_soon(&mut self) {
        self.reads_asked.due = true;
        self.read_if_due();
    }

    /// One in `retry`, but those not used are saved up to [`READS_ASKED_AT_ONCE`].
    fn read_if_due(&mut self) {
        let (now, pause, idle) = (self.now, self.config.retry, self.reading.is_none());
        let asked = &mut self.reads_asked;
        if asked.due && idle && asked.used_until.since(now) < Micros(pause.0 * READS_ASKED_AT_ONCE) {
            asked.due = false;
            asked.used_until = asked.used_until.max(now).plus(pause);
            self.read();
        }
    }
}
