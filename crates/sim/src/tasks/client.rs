//! A client that has one request under way with each shard, and sends it again until it hears what became of it.

use super::bank::Message;
use gapless_task::edge::{Caller, Event};
use gapless_task::{Answer, Session, Shard, TaskId};
use std::collections::BTreeMap;

/// What it wants.
#[derive(Clone, Debug)]
pub struct Op {
    pub to: TaskId,
    pub message: Message,
}

/// The conversation with one shard.
#[derive(Default)]
pub struct Talk {
    pub session: Option<Session>,
    pub nonce: u64,
    pub last: u64,
    pub open: Option<Op>,
    /// Deposits that were acknowledged.
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
            (Some(session), Some(op)) => Event::Request {
                by,
                session,
                number: self.last,
                below: self.last,
                to: op.to.clone(),
                body: serde_json::to_string(&op.message).expect("plain data"),
            },
            _ => Event::Open { nonce: self.nonce },
        }
    }

    /// The reply to the request that is under way; `Err` says what is wrong with it.
    pub fn hear(&mut self, session: Session, number: u64, answer: &Answer) -> Result<bool, String> {
        if self.session != Some(session) || self.last != number {
            return Ok(false);
        }
        let Some(op) = self.open.take() else { return Ok(false) };
        let answer = answer.as_ref().map_err(|why| format!("{op:?} was refused: {why}"))?;
        if let Message::Deposit = op.message {
            self.deposits += 1;
            let balance: i64 = answer.parse().map_err(|_| format!("a balance of {answer}"))?;
            if !self.unsure && balance != self.deposits {
                return Err(format!("{} deposits to {} were acknowledged, it has {balance}", self.deposits, op.to));
            }
        }
        Ok(true)
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
