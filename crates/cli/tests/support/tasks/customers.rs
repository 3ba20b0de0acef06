//! A bank's customers, who notice whatever is lost or done twice. Accounts may be in any language: they read the same JSON.

use super::nodes::{Nodes, PATIENCE};
use crate::support::chance::Chance;
use crate::support::crowd::Crowd;
use gapless::task::{Client, TaskId};

const ACCOUNTS: usize = 16;
/// How many customers there are.
const CUSTOMERS: usize = 4;
const DEPOSIT: i64 = 1000;

/// Each transfers between the bank's accounts, and pays into one of its own, over and over.
pub struct Customers(Crowd<i64>);

/// Asks an account. A request has no key: the client numbers what it asks.
fn ask(client: &mut Client, name: &str, message: &str) -> serde_json::Value {
    let reply = client.call_json(TaskId::new("account", name), message.to_owned());
    serde_json::from_str(&reply.unwrap_or_else(|e| panic!("{name} {message}: {e}"))).expect("JSON")
}

fn account(n: usize) -> String {
    format!("account-{n}")
}

fn own(me: usize) -> String {
    format!("own-{me}")
}

impl Customers {
    /// What each does in one turn.
    pub const TURN: u64 = 2;

    pub fn come(nodes: &Nodes, chance: &Chance) -> Self {
        let mut client = nodes.client();
        for n in 0..ACCOUNTS {
            ask(&mut client, &account(n), &format!("{{\"deposit\": {DEPOSIT}}}"));
        }
        let (addresses, chance) = (nodes.addresses.clone(), chance.clone());
        Self(Crowd::start(CUSTOMERS, move |me, turns| {
            let mut client = Client::connect(addresses.clone()).expect("a node answers").with_patience(PATIENCE);
            let mut chance = chance.branch(me);
            let mut balance = 0;
            while turns.on() {
                let [from, to] = [(); 2].map(|()| account(chance.below(ACCOUNTS)));
                let amount = chance.below(50);
                let transfer = format!("{{\"transfer\": {{\"to\": \"{to}\", \"amount\": {amount}}}}}");
                assert!(ask(&mut client, &from, &transfer).is_boolean());
                // Nobody else pays in here: what was acknowledged is counted exactly.
                balance += 1;
                assert_eq!(ask(&mut client, &own(me), "{\"deposit\": 1}"), balance, "one deposit, acknowledged once");
                turns.did(Self::TURN);
            }
            balance
        }))
    }

    pub fn crowd(&self) -> &Crowd<i64> {
        &self.0
    }

    /// Ends it; nothing was lost or done twice. How much was acknowledged.
    pub fn leave(self, nodes: &Nodes) -> u64 {
        let crowd = self.0;
        let mut client = nodes.client();
        let mut done = 0;
        for (me, balance) in crowd.finish().into_iter().enumerate() {
            assert_eq!(ask(&mut client, &own(me), "\"balance\""), balance);
            done += balance as u64 * Self::TURN;
        }
        // Every transfer was replied to when the money had arrived, so nothing is on its way.
        let mut balance = |n| ask(&mut client, &account(n), "\"balance\"").as_i64().expect("a number");
        assert_eq!((0..ACCOUNTS).map(&mut balance).sum::<i64>(), ACCOUNTS as i64 * DEPOSIT, "the bank's sum");
        assert_eq!(nodes.dead_letters(), 0, "{}", nodes.words());
        done
    }
}
