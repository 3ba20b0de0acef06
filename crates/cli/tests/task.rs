//! The task level on two nodes that are killed, in turns or both at once, under load: whatever was acknowledged happened, once.
//!
//! `KILLS`: kills of one test. `MODES` (all): the modes in which it kills, with commas between them. `GAPLESS_TEST_SEED`: the seed.
//!
//! ```text
//! KILLS=1000 MODES=hot cargo test --release -p gapless --test task a_bank_loses_nothing_whoever -- --nocapture
//! ```

#[allow(dead_code, reason = "its main is for those who run the example")]
#[path = "../examples/bank.rs"]
mod bank;
mod support;

use bank::{Account, Message};
use gapless::task::{Client, Kinds, TaskId};
use gapless_log::{Kind, LogView, Meta, Seq};
use std::path::{Path, PathBuf};
use support::chance::Chance;
use support::tasks::customers::Customers;
use support::tasks::kills::{Kills, kills};
use support::tasks::nodes::{self, Nodes, SHORT_LOG, Setup, modes};

const DEPOSIT: i64 = 1000;

/// What a child of this test is: a node.
#[test]
fn child_process() {
    nodes::child(Kinds::new().with::<Account>());
}

fn account(n: usize) -> String {
    format!("account-{n}")
}

#[test]
fn a_task_answers_and_remembers() {
    let nodes = Nodes::start(Setup::of(2));
    let mut client = nodes.client();
    for n in 1..=100i64 {
        let balance: i64 = client.call::<Account, _>("one", &Message::Deposit(1)).unwrap();
        assert_eq!(balance, n);
    }
    let moved: bool = client.call::<Account, _>("one", &Message::Transfer { to: "two".into(), amount: 30 }).unwrap();
    assert!(moved);
    let balances = ["one", "two"].map(|name| client.call::<Account, i64>(name, &Message::Balance).unwrap());
    assert_eq!(balances, [70, 30]);
    let refused = client.call_json(TaskId::new("account", "one"), "\"nonsense\"".into()).unwrap_err().to_string();
    assert!(refused.contains("not a message for a account"), "{refused}");
    let refused = client.call_json(TaskId::new("nobody", "one"), "1".into()).unwrap_err().to_string();
    assert!(refused.contains("no kind nobody"), "{refused}");
}

#[test]
fn a_bank_loses_nothing_whoever_is_killed() {
    for mode in modes() {
        let mut chance = Chance::new();
        let mut nodes = Nodes::start(Setup { mode, log_bytes: SHORT_LOG, ..Setup::of(4) });
        let customers = Customers::come(&nodes, &chance);
        let kills = Kills { count: kills(50), before: 500, after: 2 * Customers::TURN };
        let longest = nodes.kill_live(kills, customers.crowd(), &mut chance);
        let done = customers.leave(&nodes);
        assert!(nodes.begins_at().iter().any(|at| *at > 0), "no log was shortened meanwhile");
        println!("{}: {done} acknowledged, {} kills, longest pause {longest:.1?}", mode.name, kills.count);
    }
}

/// What was acknowledged is on disk, or the system that keeps running will write it there.
#[test]
fn a_bank_loses_nothing_when_both_nodes_are_killed_at_once() {
    for mode in modes() {
        let mut chance = Chance::new();
        let mut nodes = Nodes::start(Setup { mode, log_bytes: SHORT_LOG, ..Setup::of(4) });
        let customers = Customers::come(&nodes, &chance);
        let kills = Kills { count: kills(10), before: 500, after: 2 * Customers::TURN };
        let longest = nodes.kill_both(kills, customers.crowd(), &mut chance);
        let done = customers.leave(&nodes);
        assert!(nodes.begins_at().iter().any(|at| *at > 0), "no log was shortened meanwhile");
        println!("{}: {done} acknowledged, {} times both killed, longest pause {longest:.1?}", mode.name, kills.count);
    }
}

/// Kinds of the entries of a log that somebody may be writing.
fn kinds_in(dir: &Path) -> Vec<Kind> {
    let (view, _) = LogView::open(dir).unwrap();
    let frames: Vec<_> = view.reader(Seq(0)).map_while(Result::ok).collect();
    frames.iter().flat_map(|frame| frame.entries().map(|entry| entry.kind).collect::<Vec<_>>()).collect()
}

/// Both machines were off: only a person can say that it goes on, and then channels begin another generation.
#[test]
fn after_an_accepted_loss_channels_go_on_under_another_generation() {
    let mut nodes = Nodes::start(Setup::of(2));
    let mut client = nodes.client();
    let names = [0, 1].map(|shard| {
        let homes = |n: &usize| TaskId::new("account", account(*n)).shard(2).0 == shard;
        account((0..).find(homes).unwrap())
    });
    let transfers = |client: &mut Client| {
        for (from, to) in [(0, 1), (1, 0), (0, 1)] {
            let transfer = Message::Transfer { to: names[to].clone(), amount: 10 };
            assert!(client.call::<Account, bool>(&names[from], &transfer).unwrap(), "{from} pays to {to}");
        }
        names.clone().map(|name| client.call::<Account, i64>(&name, &Message::Balance).unwrap())
    };
    for name in &names {
        let _: i64 = client.call::<Account, _>(name, &Message::Deposit(DEPOSIT)).unwrap();
    }
    assert_eq!(transfers(&mut client), [DEPOSIT - 10, DEPOSIT + 10]);
    nodes.await_protected();
    (0..2).for_each(|node| {
        nodes.kill(node);
    });
    let logs: Vec<PathBuf> = (0..2)
        .flat_map(|node| [0, 1].map(|shard| (node, shard)))
        .map(|(node, shard)| nodes.shard_dir(node, shard))
        .collect();
    for log in &logs {
        let mut meta = Meta::require(log).unwrap();
        meta.boot ^= 1;
        meta.store(log).unwrap();
    }
    nodes.setup.accept_loss = true;
    (0..2).for_each(|node| nodes.restart(node));
    assert_eq!(transfers(&mut client), [DEPOSIT - 20, DEPOSIT + 20]);
    nodes.await_protected();
    let lost = logs.iter().filter(|log| kinds_in(log).contains(&gapless_task::input::LOST)).count();
    assert!(lost >= 2, "each shard's log tells of the loss, {lost} of them do");
}
