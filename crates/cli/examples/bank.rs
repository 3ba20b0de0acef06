//! A bank: accounts are tasks, and a transfer is a message from one to another. Whatever dies, no money is made or lost.
//!
//! ```text
//! bank NODES NODE ARBITER DIR [SHARDS]     a node: bank 127.0.0.1:7500,127.0.0.1:7501 0 file:/tmp/bank/register /tmp/bank/a
//! ```

use gapless::task::{Context, From, Kinds, ReplyTo, Service, Task, serve};
use serde::{Deserialize, Serialize};

/// An account.
#[derive(Serialize, Deserialize)]
pub struct Account {
    balance: i64,
}

/// What an account reads.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Message {
    /// Replies with the balance.
    Balance,
    /// Money from outside.
    Deposit(i64),
    /// Money to another account; replies `true` when it is there, `false` if this one has not so much.
    Transfer {
        /// Name of that account.
        to: String,
        /// Not negative.
        amount: i64,
    },
    /// From another account.
    Credit {
        /// What it sends.
        amount: i64,
        /// The reply owed to whoever asked for the transfer.
        asked: Option<ReplyTo>,
    },
}

impl Task for Account {
    const KIND: &'static str = "account";
    type Message = Message;

    fn new(_: &str) -> Self {
        Self { balance: 0 }
    }

    fn receive(&mut self, ctx: &mut Context<'_>, _: &From, message: Message) -> Result<(), String> {
        match message {
            Message::Balance => ctx.reply(&self.balance),
            Message::Deposit(amount) => {
                self.balance += amount;
                ctx.reply(&self.balance);
            }
            Message::Transfer { to, amount } if amount >= 0 && amount <= self.balance => {
                self.balance -= amount;
                let asked = ctx.owe();
                ctx.send::<Account>(&to, &Message::Credit { amount, asked });
            }
            Message::Transfer { .. } => ctx.reply(&false),
            Message::Credit { amount, asked } => {
                self.balance += amount;
                if let Some(asked) = asked {
                    ctx.reply_later(asked, Ok("true".to_owned()));
                }
            }
        }
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [nodes, node, arbiter, dir, rest @ ..] = &args[..] else {
        return Err("usage: bank NODES NODE ARBITER DIR [SHARDS]".into());
    };
    let kinds = Kinds::new().with::<Account>();
    let mut service = Service::new(kinds, nodes.split(','), node.parse()?, arbiter, dir);
    if let Some(shards) = rest.first() {
        service.shards = shards.parse()?;
    }
    serve(service)?.wait();
    Ok(())
}
