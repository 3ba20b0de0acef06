//! A client that has one request under way with each shard, and sends it again until it hears what became of it.

use super::bank::Message;
use gapless_task::edge::{Caller, Event};
use gapless_task::{Answer, Session, Shard, TaskId};
use std::collections::BTreeMap;

/// What it wants.
#[derive(Clone, Debug)]
pub struct Op {
    pub to: TaskId,
    /// `None`: that it be deleted.
    pub message: Option<Message>,
}

/// The conversation with one shard.
#[derive(Default)]
pub struct Talk {
    pub session: Option<Session>,
    pub nonce: u64,
    pub last: u64,
    pub open: Option<Op>,
    /// Deposits to its own account that were acknowledged, since that was deleted last.
    pub deposits: i64,
    /// It does not know what became of some.
    pub unsure: bool,
}

#[derive(Default)]
pub struct Client {
    pub talks: BTreeMap<Shard, Talk>,
}

impl Talk {
    /// Asks again, or for the first time.
    pub fn event(&self, by: Caller) -> Event {
        match (self.session, &self.open) {
            (Some(session), Some(op)) => {
                let (number, below, to) = (self.last, self.last, op.to.clone());
                match &op.message {
                    Some(message) => {
                        let body = serde_json::to_string(message).expect("plain data");
                        Event::Request { by, session, number, below, to, body }
                    }
                    None => Event::Delete { by, session, number, below, task: to },
                }
            }
            _ => Event::Open { nonce: self.nonce },
        }
    }

    /// The reply to the request that is under way: how much money it has brought in. `Err` says what is wrong with it.
    pub fn hear(&mut self, session: Session, number: u64, answer: &Answer) -> Result<Option<i64>, String> {
        if self.session != Some(session) || self.last != number {
            return Ok(None);
        }
        let Some(op) = self.open.take() else { return Ok(None) };
        let answer = answer.as_ref().map_err(|why| format!("{op:?} was refused: {why}"))?;
        Ok(Some(match op.message {
            Some(Message::Deposit) => {
                self.deposits += 1;
                let balance: i64 = answer.parse().map_err(|_| format!("a balance of {answer}"))?;
                if !self.unsure && balance != self.deposits {
                    return Err(format!("{} deposits to {} were acknowledged, it has {balance}", self.deposits, op.to));
                }
                1
            }
            Some(Message::AskedDeposit { .. }) => 1,
            Some(_) => 0,
            None => {
                let was_there = answer != "null";
                if !self.unsure && was_there != (self.deposits > 0) {
                    return Err(format!("{} deposits to {} were deleted, with it went {answer}", self.deposits, op.to));
                }
                -std::mem::take(&mut self.deposits)
            }
        }))
    }

    /// The request was not taken: nobody knows what became of it.
    pub fn refused(&mut self, session: Session, number: u64) -> bool {
        let mine = self.session == Some(session) && self.last == number && self.open.is_some();
        if mine {
            // A session that is opened is another one, whatever is told again about this one.
            (self.session, self.open, self.unsure, self.nonce) = (None, None, true, 0);
        }
        mine
    }
}
