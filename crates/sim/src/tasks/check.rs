//! What must be true when everything has come to rest.

use super::bank::Account;
use gapless_task::{Shard, TaskId};
use std::collections::BTreeMap;

/// All accounts, and what their shards have lost.
pub struct Rest<'a> {
    pub accounts: &'a BTreeMap<String, Account>,
    pub shards: u16,
    /// How often each shard's log has lost entries.
    pub losses: &'a [u64],
    /// Messages that a shard says were lost on their way to it, by receiver.
    pub gaps: &'a [u64],
    /// From one shard to another, where the second has heard nothing from the first since it lost entries: it cannot tell yet.
    pub doubts: &'a dyn Fn(usize, usize) -> bool,
    /// Money that was paid in, if that is known.
    pub paid: Option<i64>,
}

impl Rest<'_> {
    fn shard(&self, name: &str) -> usize {
        let Shard(shard) = TaskId::new("account", name).shard(self.shards);
        usize::from(shard)
    }

    pub fn check(&self) -> Result<(), String> {
        if let Some(paid) = self.paid {
            let sum: i64 = self.accounts.values().map(|account| account.balance).sum();
            if sum != paid {
                return Err(format!("{paid} was paid in, the sum of all accounts is {sum}"));
            }
        }
        let mut missing = vec![0; self.losses.len()];
        for (from, sender) in self.accounts {
            for (to, receiver) in self.accounts {
                let sent: Vec<u64> = sender.sent.iter().filter(|(name, _)| name == to).map(|&(_, op)| op).collect();
                let got: Vec<u64> = receiver.got.iter().filter(|(name, _)| name == from).map(|&(_, op)| op).collect();
                missing[self.shard(to)] += self.pair(from, to, &sent, &got)?;
            }
        }
        for (shard, (missing, told)) in missing.iter().zip(self.gaps).enumerate() {
            if missing > told {
                return Err(format!("shard {shard} has lost {missing} messages and tells of {told}"));
            }
        }
        Ok(())
    }

    /// How many messages from one account to another are missing and may be.
    fn pair(&self, from: &str, to: &str, sent: &[u64], got: &[u64]) -> Result<u64, String> {
        let (there, here) = (self.losses[self.shard(from)], self.losses[self.shard(to)]);
        let wrong = |what: &str| Err(format!("{from} to {to}: {what}: sent {sent:?}, read {got:?}"));
        match (there, here) {
            _ if self.shard(from) == self.shard(to) && sent != got => wrong("not the same within a shard"),
            (0, 0) if sent != got => wrong("not the same"),
            (0, 0) => Ok(0),
            // What is left of the sender's history has been read; beside it perhaps what is not left.
            (_, 0) if sent.iter().any(|op| !got.contains(op)) => wrong("something is missing"),
            (_, 0) if sent.iter().any(|op| count(got, *op) > 1 + there) => wrong("something was read too often"),
            (_, 0) => Ok(0),
            (0, _) if !is_part(got, sent) => wrong("something was read twice or out of order"),
            (0, _) if (self.doubts)(self.shard(from), self.shard(to)) => Ok(0),
            (0, _) => Ok((sent.len() - got.len()) as u64),
            _ => Ok(0),
        }
    }
}

fn count(all: &[u64], one: u64) -> u64 {
    all.iter().filter(|&&op| op == one).count() as u64
}

/// Is the first what is left of the second when some are taken out?
fn is_part(some: &[u64], all: &[u64]) -> bool {
    let mut all = all.iter();
    some.iter().all(|op| all.any(|other| other == op))
}
