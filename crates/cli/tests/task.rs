//! Tasks on two nodes that are killed in turns, under load: whatever was acknowledged happened, once.
//!
//! `KILLS` (6): kills of one test. `GAPLESS_TEST_SEED`: the seed.

#[allow(dead_code, reason = "its main is for those who run the example")]
#[path = "../examples/bank.rs"]
mod bank;
#[path = "support/crowd.rs"]
mod crowd;
#[path = "support/nodes_of_tasks.rs"]
mod nodes_of_tasks;

use bank::{Account, Message};
use crowd::Crowd;
use gapless::task::{Client, Kinds, TaskId};
use gapless_log::{Kind, LogView, Meta, Seq};
use nodes_of_tasks::{ACCEPT_LOSS, Nodes, PATIENCE, kills};
use std::path::{Path, PathBuf};

const DEPOSIT: i64 = 1000;

/// What a child of this test is: a node.
#[test]
fn child_process() {
    nodes_of_tasks::child(Kinds::new().with::<Account>());
}

fn account(n: usize) -> String {
    format!("account-{n}")
}

#[test]
fn a_task_answers_and_remembers() {
    let nodes = Nodes::start(2);
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
fn the_banks_sum_is_right_whoever_is_killed() {
    const ACCOUNTS: usize = 16;
    const CLIENTS: usize = 4;
    let mut nodes = Nodes::start(4);
    let mut client = nodes.client();
    for n in 0..ACCOUNTS {
        let _: i64 = client.call::<Account, _>(&account(n), &Message::Deposit(DEPOSIT)).unwrap();
    }
    let addresses = nodes.addresses.clone();
    let crowd = Crowd::start(CLIENTS, move |me, turns| {
        let mut client = Client::connect(addresses.clone()).unwrap().with_patience(PATIENCE);
        let (mut own, mut n) = (0i64, me);
        while turns.on() {
            n = n.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let (from, to) = ((n >> 33) % ACCOUNTS, (n >> 43) % ACCOUNTS);
            let transfer = Message::Transfer { to: account(to), amount: (n >> 53) as i64 % 50 };
            let _: bool = client.call::<Account, _>(&account(from), &transfer).unwrap();
            // Nobody else pays in here: what was acknowledged is counted exactly.
            let balance: i64 = client.call::<Account, _>(&format!("own-{me}"), &Message::Deposit(1)).unwrap();
            own += 1;
            assert_eq!(balance, own, "one deposit, acknowledged once");
            turns.did(2);
        }
        own
    });
    let kills = kills(6);
    let longest = nodes.kill_in_turns(kills, &crowd, 500, 2 * CLIENTS as u64);
    let done = crowd.done();
    let own = crowd.finish();
    for (me, own) in own.into_iter().enumerate() {
        assert_eq!(client.call::<Account, i64>(&format!("own-{me}"), &Message::Balance).unwrap(), own);
    }
    // Every transfer was replied to when the money had arrived, so nothing is on its way.
    let sum: i64 = (0..ACCOUNTS).map(|n| client.call::<Account, i64>(&account(n), &Message::Balance).unwrap()).sum();
    assert_eq!(sum, ACCOUNTS as i64 * DEPOSIT);
    println!("{done} requests, {kills} kills, longest pause {longest:.1?}");
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
    let mut nodes = Nodes::start(2);
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
    nodes.await_protected(["a", "b"]);
    (0..2).for_each(|node| nodes.kill(node));
    let logs: Vec<PathBuf> =
        ["a", "b"].iter().flat_map(|dir| (0..2).map(|n| nodes.dir(dir).join(format!("shard-{n:03}")))).collect();
    for log in &logs {
        let mut meta = Meta::require(log).unwrap();
        meta.boot ^= 1;
        meta.store(log).unwrap();
    }
    nodes.set_env(ACCEPT_LOSS, "1");
    nodes.spawn(0, "a");
    nodes.spawn(1, "b");
    assert_eq!(transfers(&mut client), [DEPOSIT - 20, DEPOSIT + 20]);
    nodes.await_protected(["a", "b"]);
    let lost = logs.iter().filter(|log| kinds_in(log).contains(&gapless_task::input::LOST)).count();
    assert!(lost >= 2, "each shard's log tells of the loss, {lost} of them do");
}
