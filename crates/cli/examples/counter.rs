//! The smallest service: counters that count each message once, whatever dies.
//!
//! ```text
//! counter NODES NODE ARBITER DIR [HTTP]    a node: counter 127.0.0.1:7500,127.0.0.1:7501 0 file:/tmp/c/register /tmp/c/a 127.0.0.1:7600
//! curl -d 5 -H 'Idempotency-Key: 1' http://127.0.0.1:7600/task/counter/one/add
//! ```

use gapless::task::{Context, From, Kinds, Service, Task, serve};
use serde::{Deserialize, Serialize};

/// A counter.
#[derive(Serialize, Deserialize)]
pub struct Counter(u64);

/// What a counter reads.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Message {
    /// Replies with the count after it.
    Add(u64),
    /// Replies with the count.
    Read,
}

impl Task for Counter {
    const KIND: &'static str = "counter";
    type Message = Message;

    fn new(_: &str) -> Self {
        Self(0)
    }

    fn receive(&mut self, ctx: &mut Context<'_>, _: &From, message: Message) -> Result<(), String> {
        if let Message::Add(n) = message {
            self.0 = self.0.checked_add(n).ok_or("the counter is full")?;
        }
        ctx.reply(&self.0);
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [nodes, node, arbiter, dir, rest @ ..] = &args[..] else {
        return Err("usage: counter NODES NODE ARBITER DIR [HTTP]".into());
    };
    let kinds = Kinds::new().with::<Counter>();
    let mut service = Service::new(kinds, nodes.split(','), node.parse()?, arbiter, dir);
    service.http = rest.first().cloned();
    serve(service)?.wait();
    Ok(())
}
