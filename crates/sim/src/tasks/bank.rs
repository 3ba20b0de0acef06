//! Accounts that remember every operation they have seen, so that one that is lost, doubled or out of order is found at the end.

use gapless_task::{Context, From, ReplyTo, Task};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// An account.
#[derive(Clone, Default, Debug, Serialize, Deserialize)]
pub struct Account {
    /// Money.
    pub balance: i64,
    /// Operations whose money went to an account, in order.
    pub sent: Vec<(String, u64)>,
    /// Operations whose money came from an account, in order.
    pub got: Vec<(String, u64)>,
    /// Who waits for the answer of the outside.
    asked: Vec<(String, Option<ReplyTo>)>,
}

/// What an account reads. Operations have numbers of their own.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Message {
    /// Money from outside; replies with the balance.
    Deposit,
    /// Money from outside that is paid in when the outside has agreed.
    AskedDeposit { op: u64 },
    /// Money to another account; replies when it is there.
    Transfer { to: String, amount: i64, op: u64 },
    /// The same a little later.
    Slowly { ms: u64, to: String, amount: i64, op: u64, asked: Option<ReplyTo> },
    /// From another account.
    Credit { from: String, amount: i64, op: u64, asked: Option<ReplyTo> },
    /// Replies with everything.
    Tell,
}

impl Account {
    fn pay(&mut self, ctx: &mut Context<'_>, to: String, amount: i64, op: u64, asked: Option<ReplyTo>) {
        self.balance -= amount;
        self.sent.push((to.clone(), op));
        let from = ctx.id().name.clone();
        ctx.send::<Self>(&to, &serde_json::json!(Message::Credit { from, amount, op, asked }));
    }
}

impl Task for Account {
    const KIND: &'static str = "account";
    type Message = serde_json::Value;

    fn new(_: &str) -> Self {
        Self::default()
    }

    fn receive(&mut self, ctx: &mut Context<'_>, from: &From, message: serde_json::Value) -> Result<(), String> {
        if let From::Io(tag) = from {
            let at = self.asked.iter().position(|(op, _)| op == tag).ok_or("an answer that nobody waits for")?;
            let (_, asked) = self.asked.remove(at);
            self.balance += 1;
            asked.into_iter().for_each(|asked| ctx.reply_later(asked, Ok("true".to_owned())));
            return Ok(());
        }
        match serde_json::from_value(message).map_err(|e| e.to_string())? {
            Message::Deposit => {
                self.balance += 1;
                ctx.reply(&self.balance);
            }
            Message::AskedDeposit { op } => {
                self.asked.push((op.to_string(), ctx.owe()));
                ctx.io(&op.to_string(), &op);
            }
            Message::Transfer { to, amount, op } => {
                let asked = ctx.owe();
                if ctx.random().is_multiple_of(4) {
                    let ms = ctx.random() % 50;
                    ctx.timer(Duration::from_millis(ms), &Message::Slowly { ms, to, amount, op, asked });
                } else {
                    self.pay(ctx, to, amount, op, asked);
                }
            }
            Message::Slowly { to, amount, op, asked, .. } => self.pay(ctx, to, amount, op, asked),
            Message::Credit { from, amount, op, asked } => {
                self.balance += amount;
                self.got.push((from, op));
                asked.into_iter().for_each(|asked| ctx.reply_later(asked, Ok("true".to_owned())));
            }
            Message::Tell => ctx.reply(self),
        }
        Ok(())
    }
}
