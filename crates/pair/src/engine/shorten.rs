//! When the own log may begin later: a state that is kept stands for everything before it, as soon as nobody will ask for that any more.
//!
//! An owner sends a joiner what it lacks from the log, and a state it has sent is continued from the log; so while there is a session the log still holds
//! everything that the session's other side has not acknowledged. Whoever comes later and lacks more begins with a state. A backup is asked for nothing.

use super::owner::{Owner, Transfer};
use super::{Action, Engine, Mutant, Role};
use crate::Point;

impl Engine {
    pub(super) fn state_kept(&mut self, at: Point) {
        if at.seq > self.log.start.seq {
            self.log.kept = Some(at);
        }
    }

    /// Lets the log begin with the state that is kept, if that is time.
    pub(super) fn shorten(&mut self) {
        let Some(at) = self.log.kept else { return };
        let free = match &self.role {
            Role::Owner(_) if self.config.breaks(Mutant::ShortenUnasked) => true,
            Role::Owner(Owner { session: Some(session), committed, .. }) => {
                session.transfer == Transfer::None && session.received() >= at.seq && *committed >= at.seq
            }
            Role::Owner(Owner { session: None, committed, .. }) => *committed >= at.seq,
            // It is written where the log is divided, and what was executed is never taken back; or nothing was, and the state comes from the owner.
            Role::Backup(_) => self.log.written >= at.seq && (self.log.executed >= at.seq || self.is_idle()),
            Role::Starting | Role::Halted => false,
        };
        if free {
            self.log.shorten(at);
            self.act(Action::ShortenLog(at));
        }
    }
}
