//! Tasks in Python on two nodes: whoever is killed, node or worker, what was acknowledged happened, once; and a message that no worker survives is the
//! same dead letter on both sides.
//!
//! `KILLS`: kills of a node in one test. `MODES` (all): the modes in which it kills, with commas between them. `GAPLESS_TEST_SEED`: the seed.

mod support;

use gapless::task::{Client, TaskId};
use std::fs;
use std::time::{Duration, Instant};
use support::Area;
use support::chance::Chance;
use support::process::{Process, kill, runs, sleep_ms, traced_by};
use support::tasks::customers::Customers;
use support::tasks::kills::{Kills, kills};
use support::tasks::nodes::{Nodes, PATIENCE, Program, SHORT_LOG, Setup, modes};

/// Tasks that do what they must not.
fn troubles(shards: u16, options: &[&'static str]) -> Nodes {
    Nodes::start(Setup { program: Program::Python("trouble", options.to_vec()), ..Setup::of(shards) })
}

fn dead_letters(nodes: &Nodes) -> Vec<serde_json::Value> {
    let shown = nodes.shown(&["task", "dead-letters", "--json", "--node", &nodes.addresses.join(",")]);
    shown.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn trouble(client: &mut Client, name: &str, message: &str) -> Result<serde_json::Value, String> {
    let reply = client.call_json(TaskId::new("trouble", name), message.to_owned()).map_err(|e| e.to_string())?;
    Ok(serde_json::from_str(&reply).unwrap())
}

#[test]
fn a_python_bank_loses_nothing_whoever_is_killed() {
    for mode in modes() {
        let mut chance = Chance::new();
        let mut nodes = Nodes::start(Setup { mode, log_bytes: SHORT_LOG, ..Setup::python("account", 4) });
        let customers = Customers::come(&nodes, &chance);
        let kills = Kills { count: kills(15), before: 500, after: 2 * Customers::TURN };
        let longest = nodes.kill_live(kills, customers.crowd(), &mut chance);
        let done = customers.leave(&nodes);
        println!("{}: {done} acknowledged, {} kills, longest pause {longest:.1?}", mode.name, kills.count);
    }
}

#[test]
fn workers_that_are_killed_are_not_missed() {
    let mut nodes = Nodes::start(Setup::python("account", 2));
    nodes.await_protected();
    let load = Customers::come(&nodes, &Chance::new());
    for n in 0..6 {
        load.crowd().await_more(100, || nodes.words());
        let workers = traced_by(nodes.side(n % 2).pid());
        assert!(!workers.is_empty());
        workers.into_iter().for_each(|pid| kill(pid, libc::SIGKILL));
    }
    load.crowd().await_more(100, || nodes.words());
    nodes.await_protected();
    load.leave(&nodes);
    // Nobody has changed sides for that.
    for dir in (0..2).flat_map(|n| [0, 1].map(|node| nodes.shard_dir(node, n))) {
        let now = gapless_pair::status::query(&dir).unwrap();
        assert!(now.takeovers == 0 && now.term <= 2, "{now:?}\n{}", nodes.words());
    }
}

#[test]
fn a_message_that_no_worker_survives_is_the_same_dead_letter_on_both_sides() {
    let mut nodes = troubles(2, &["--worker-timeout", "1"]);
    nodes.await_protected();
    let mut client = nodes.client();
    let killed = "its worker failed 2 times: it was killed by signal 9";
    for name in ["one", "two", "three"] {
        assert_eq!(trouble(&mut client, name, "\"count\"").unwrap(), 1);
        assert_eq!(trouble(&mut client, name, "\"die\"").unwrap_err(), killed);
        // The task is what it was before.
        assert_eq!(trouble(&mut client, name, "\"count\"").unwrap(), 2);
    }
    let since = Instant::now();
    let hung = trouble(&mut client, "one", "\"hang\"").unwrap_err();
    assert_eq!(hung, "its worker failed 2 times: it did not answer within 1s");
    assert!((2..30).contains(&since.elapsed().as_secs()), "{:?}", since.elapsed());
    // Among the messages between tasks, too: some of these live in one shard.
    for to in ["one", "two", "three"] {
        for from in ["one", "two", "three"] {
            trouble(&mut client, from, &format!("{{\"pass_on\": [\"{to}\", \"die\"]}}")).unwrap();
        }
    }
    let counts = ["one", "two", "three"].map(|name| trouble(&mut client, name, "\"count\"").unwrap());
    let letters = dead_letters(&nodes);
    let is = |letter: &serde_json::Value, message: &str| letter["message"] == message;
    assert_eq!(letters.iter().filter(|letter| is(letter, "\"die\"")).count(), 12, "{letters:?}");
    assert_eq!(letters.iter().filter(|letter| is(letter, "\"hang\"")).count(), 1, "{letters:?}");
    assert!(letters.iter().all(|letter| letter["why"].as_str().unwrap().contains("its worker failed 2 times")));
    // The other side says the same, from the verdicts in its log: it has tried none of these messages.
    nodes.await_protected();
    for n in 0..2 {
        let dir = nodes.shard_dir(0, n);
        let cat = nodes.shown(&["log", "cat", dir.to_str().unwrap()]);
        assert!(cat.contains("verdict") && cat.contains("the next message is not read: its worker failed"), "{cat}");
        assert_eq!(nodes.gapless(&["log", "verify", dir.to_str().unwrap()]).code(), 0);
    }
    nodes.kill(0);
    assert_eq!(dead_letters(&nodes), letters);
    let mut again = nodes.client();
    let after = ["one", "two", "three"].map(|name| trouble(&mut again, name, "\"count\"").unwrap());
    assert_eq!(after.map(|n| n.as_i64().unwrap() - 1), counts.map(|n| n.as_i64().unwrap()));
    let words = nodes.words();
    assert!(!words.contains("diverged") && !words.contains("this side cannot"), "{words}");
}

#[test]
fn a_node_with_a_hanging_worker_ends_and_its_worker_with_it() {
    for signal in [libc::SIGTERM, libc::SIGKILL] {
        let mut nodes = troubles(1, &["--worker-timeout", "60"]);
        nodes.await_protected();
        // Shard 0 begins on node 0.
        let workers = traced_by(nodes.side(0).pid());
        let mut client = nodes.client();
        client.submit(TaskId::new("trouble", "one"), "\"hang\"".to_owned()).unwrap();
        client.flush();
        let since = Instant::now();
        while traced_by(nodes.side(0).pid()).is_subset(&workers) {
            assert!(since.elapsed() < PATIENCE, "no worker\n{}", nodes.words());
            sleep_ms(5);
        }
        let side = nodes.take(0);
        let workers = traced_by(side.pid());
        kill(side.pid(), signal);
        assert_eq!(side.finish().code(), 128 + signal);
        let since = Instant::now();
        while workers.iter().any(|&pid| runs(pid)) {
            assert!(since.elapsed() < Duration::from_secs(5), "{workers:?} outlived their node");
            sleep_ms(1);
        }
    }
}

/// Workers read some thousand messages a second: a backup that had ten thousand of them still to read would be in sync, and take over seconds later.
#[test]
fn a_backup_that_may_take_over_is_never_far_behind() {
    const MESSAGES: usize = 10_000;
    const BEHIND_MAX: u64 = 1 << 12;
    let mut nodes = troubles(1, &[]);
    nodes.await_protected();
    let mut client = nodes.client();
    for n in 0..MESSAGES / 1000 {
        let count = |_| client.submit(TaskId::new("trouble", "one"), "\"count\"".to_owned()).unwrap();
        let tickets: Vec<_> = (0..1000).map(count).collect();
        for (more, ticket) in (1..).zip(tickets) {
            assert_eq!(client.wait(ticket).unwrap(), (1000 * n + more).to_string());
        }
    }
    // Shard 0 begins on node 0.
    nodes.kill(1);
    nodes.spawn(1);
    nodes.await_protected();
    let behind = nodes.shards(0)[0].lag_entries;
    assert!(behind <= BEHIND_MAX, "{behind} entries");
    nodes.kill(0);
    assert_eq!(trouble(&mut nodes.client(), "one", "\"count\"").unwrap(), MESSAGES + 1);
}

#[test]
fn a_worker_that_dies_once_is_asked_again() {
    let nodes = troubles(1, &[]);
    nodes.await_protected();
    let mut client = nodes.client();
    let mark = nodes.area.join("mark");
    let once = format!("{{\"die_once\": {:?}}}", mark.display().to_string());
    assert_eq!(trouble(&mut client, "one", &once).unwrap(), 1);
    assert_eq!(trouble(&mut client, "one", "\"count\"").unwrap(), 2);
    assert!(nodes.words().contains("attempt 1 of 2: it was killed by signal 9"), "{}", nodes.words());
    nodes.await_protected();
}

#[test]
fn a_side_that_cannot_read_what_the_other_has_read_ends() {
    let mut nodes = troubles(1, &[]);
    nodes.await_protected();
    let mut client = nodes.client();
    // Shard 0 begins on node 0.
    assert_eq!(trouble(&mut client, "one", "{\"die_at\": \"node-1\"}").unwrap(), 1);
    let since = Instant::now();
    while !nodes.side(1).stderr_text().contains("this side cannot read a message that the other side has read") {
        assert!(since.elapsed() < PATIENCE, "{}", nodes.words());
        sleep_ms(5);
    }
    assert_eq!(trouble(&mut client, "one", "\"count\"").unwrap(), 2);
    assert_eq!(dead_letters(&nodes), Vec::<serde_json::Value>::new());
}

#[test]
fn a_task_that_looks_beyond_its_message_is_noticed() {
    // Outputs differ: what was read and what it led to here. States differ: which part.
    let read = "shard 0 has read 1 of session 1: trouble/one \"where\" and said Reply";
    for (message, differs) in [("\"where\"", read), ("\"remember_where\"", "tasks")] {
        let mut nodes = troubles(1, &[]);
        nodes.await_protected();
        trouble(&mut nodes.client(), "one", message).unwrap();
        let since = Instant::now();
        loop {
            let words = nodes.side(1).stderr_text();
            if words.lines().any(|line| line.contains("diverged at position 1") && line.contains(differs)) {
                break;
            }
            assert!(since.elapsed() < PATIENCE, "{message}\n{}", nodes.words());
            sleep_ms(5);
        }
        // The service goes on with the side that was live.
        assert_eq!(trouble(&mut nodes.client(), "one", "\"count\"").unwrap(), 2);
    }
}

#[test]
fn a_python_task_can_do_what_a_task_can_do() {
    let mut nodes = troubles(2, &[]);
    let mut client = nodes.client();
    let json = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
    assert_eq!(trouble(&mut client, "a", "\"refuse\"").unwrap_err(), "not today");
    let no_json = trouble(&mut client, "a", "\"no_json\"").unwrap_err();
    assert!(no_json.contains("TypeError: Object of type set is not JSON serializable"), "{no_json}");
    assert!(trouble(&mut client, "a", "no json").unwrap_err().contains("the message is not JSON"));
    // Whatever was refused has changed nothing.
    assert_eq!(trouble(&mut client, "a", "\"count\"").unwrap(), 1);
    assert_eq!(trouble(&mut client, "a", "{\"wait\": 0.05}").unwrap(), json("[\"timer\", 3]"));
    let asked = trouble(&mut client, "a", "{\"ask\": {\"of\": 7}}").unwrap();
    assert_eq!(asked, json("[{\"io\": \"outside\"}, [\"a\", \"outside\", {\"of\": 7}, true]]"));
    let asked = trouble(&mut client, "a", "{\"ask\": \"trouble\"}").unwrap();
    assert_eq!(asked, json("[{\"io\": \"outside\"}, \"the outside is closed\"]"));
    let drawn = [(); 3].map(|()| trouble(&mut client, "a", "\"draw\"").unwrap());
    assert!(drawn[0] != drawn[1] && drawn[1] != drawn[2], "{drawn:?}");
    // Both sides have drawn the same, or the backup would have left.
    nodes.await_protected();
    nodes.kill(0);
    assert_eq!(trouble(&mut nodes.client(), "a", "\"count\"").unwrap(), 11);
}

#[test]
fn the_command_line_asks_and_looks() {
    let mut nodes = Nodes::start(Setup::python("account", 2));
    nodes.await_protected();
    let at = nodes.addresses.join(",");
    let call = |name: &str, message: &str| nodes.gapless(&["task", "call", "account", name, message, "--node", &at]);
    assert_eq!(call("alice", "{\"deposit\": 100}").stdout_text(), "100\n");
    assert_eq!(call("alice", "{\"transfer\": {\"to\": \"bob\", \"amount\": 30}}").stdout_text(), "true\n");
    let refused = call("bob", "{\"steal\": 1}");
    assert_eq!((refused.code(), refused.stdout_text().as_str()), (1, ""));
    assert!(refused.stderr_text().contains("refused: an account reads"), "{}", refused.stderr_text());
    assert_eq!(call("bob", "balance").code(), 125);
    let log = nodes.dir(0).display().to_string();
    assert_eq!(nodes.shown(&["task", "call", "account", "bob", "\"balance\"", "--log", &log]), "30\n");

    let list = nodes.shown(&["task", "list", &log]);
    assert_eq!(list.lines().collect::<std::collections::BTreeSet<_>>(), ["account/alice", "account/bob"].into());
    let status: Vec<serde_json::Value> = nodes
        .shown(&["task", "status", &log, "--json"])
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(status.iter().filter(|shard| shard["role"] == "primary").count(), 1, "{status:?}");
    // A backup is told a little later than its primary that it is in sync.
    let all = "2 shards: 1 live here (1 protected), 1 in backup (1 in sync)";
    let since = std::time::Instant::now();
    while !nodes.shown(&["task", "status", &log]).contains(all) {
        assert!(since.elapsed() < PATIENCE, "{}", nodes.shown(&["task", "status", &log]));
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let cats = [0, 1].map(|n| nodes.shown(&["log", "cat", &format!("{log}/shard-00{n}")])).concat();
    assert!(cats.contains("account/alice {\"deposit\": 100}"), "{cats}");
    assert!(nodes.shown(&["log", "stat", &format!("{log}/shard-000")]).contains("of level task"));
    let replay = nodes.gapless(&["replay", &format!("{log}/shard-000")]);
    assert!(replay.stderr_text().contains("the log of a shard of tasks"), "{}", replay.stderr_text());

    // Everything goes to the other node, and this one stands by.
    assert!(nodes.gapless(&["handover", &log]).stderr_text().contains("1 shards handed over"));
    nodes.await_protected();
    assert_eq!(nodes.live(), [vec![], vec![0, 1]]);
    let side = nodes.take(0);
    kill(side.pid(), libc::SIGTERM);
    let done = side.finish();
    assert_eq!(done.code(), 128 + libc::SIGTERM, "{}", done.stderr_text());
    assert_eq!(nodes.shown(&["task", "call", "account", "bob", "\"balance\"", "--node", &at]), "30\n");
    let silent = nodes.gapless(&["task", "status", &log]);
    assert!(silent.code() == 125 && silent.stderr_text().contains("no node runs on"), "{}", silent.stderr_text());
    assert_eq!(nodes.shown(&["task", "module"]), fs::read_to_string(nodes.area.join("gapless_task.py")).unwrap());
}

#[test]
fn what_cannot_run_is_said_at_once() {
    let area = Area::new("task");
    let start = |options: &[&str], program: &[&str]| {
        let log = area.join("log").display().to_string();
        let arbiter = format!("file:{}", area.join("register").display());
        let mut args = vec!["task", "--kind", "a", "--listen", "127.0.0.1:1", "--peer", "127.0.0.1:2"];
        args.extend(["--arbiter", &arbiter, "--log", &log]);
        args.extend(options);
        args.push("--");
        args.extend(program);
        let done = Process::start(area.gapless(area.path(), args), &area.join("node")).finish();
        (done.code(), done.stderr_text())
    };
    let (code, said) = start(&[], &["no-such-program"]);
    assert!(code == 127 && said.contains("there is no such program"), "{code} {said}");
    fs::write(area.join("plain"), "").unwrap();
    let (code, said) = start(&[], &["./plain"]);
    assert!(code == 126 && said.contains("cannot be executed"), "{code} {said}");
    let (code, said) = start(&[], &["sh", "-c", "exit 3"]);
    assert!(code == 125 && said.contains("was not ready: it ended with status 3"), "{code} {said}");
    let (code, said) = start(&["--shards", "0"], &["sh"]);
    assert!(code == 2 && said.contains("--shards"), "{code} {said}");
}

#[test]
fn a_task_is_deleted_from_the_command_line_and_sessions_are_listed() {
    let mut nodes = Nodes::start(Setup::python("trouble", 2));
    nodes.await_protected();
    let at = nodes.addresses.join(",");
    let mut client = nodes.client();
    assert_eq!(trouble(&mut client, "a", "\"count\"").unwrap(), 1);
    assert_eq!(trouble(&mut client, "b", "\"count\"").unwrap(), 1);
    // A timer that nobody lives to see, and a reply that is owed.
    client.submit(TaskId::new("trouble", "a"), "{\"wait\": 86400}".to_owned()).unwrap();
    client.flush();

    let lines = |shown: String| -> Vec<serde_json::Value> {
        shown.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let asked = || lines(nodes.shown(&["task", "sessions", "--json", "--node", &at]));
    let since = Instant::now();
    while asked().iter().map(|session| session["owed"].as_u64().unwrap()).sum::<u64>() != 1 {
        assert!(since.elapsed() < PATIENCE, "{:?}", asked());
        sleep_ms(5);
    }
    let sessions = asked();
    assert_eq!(sessions.iter().map(|session| session["requests"].as_u64().unwrap()).sum::<u64>(), 3, "{sessions:?}");
    assert!(sessions.iter().all(|session| session["idle_ms"].as_u64().unwrap() < 60_000), "{sessions:?}");
    let log = nodes.dir(1).display().to_string();
    let table = nodes.shown(&["task", "sessions", &log]);
    assert_eq!(table.lines().count(), 1 + sessions.len(), "{table}");
    assert!(table.starts_with("shard     session         heard    requests  unconfirmed  owed\n"), "{table}");

    let delete = |name: &str| nodes.shown(&["task", "delete", "trouble", name, "--log", &log]);
    let went = "trouble/a: deleted, with 1 timer, no question to the outside and no unread message to itself\n";
    assert_eq!(delete("a"), went);
    assert_eq!(delete("a"), "trouble/a: there is no such task\n");
    assert_eq!(nodes.shown(&["task", "delete", "trouble", "a", "--json", "--node", &at]), "null\n");
    assert_eq!(nodes.shown(&["task", "list", &log]), "trouble/b\n");
    let json = nodes.shown(&["task", "delete", "trouble", "b", "--json", "--node", &at]);
    assert_eq!(json, "{\"timers\":0,\"questions\":0,\"messages\":0}\n");
    let refused = nodes.gapless(&["task", "delete", "trouble", "", "--node", &at]);
    assert!(refused.code() == 125 && refused.stderr_text().contains("a kind and a name of 1 to 256 bytes"));

    // Both sides have deleted it at the same position: whoever goes on knows nothing of it.
    nodes.await_protected();
    let cats = [0, 1].map(|n| nodes.shown(&["log", "cat", &format!("{log}/shard-00{n}")])).concat();
    assert!(cats.contains("deletion") && cats.contains("of trouble/a, 1 of session "), "{cats}");
    for n in 0..2 {
        assert_eq!(nodes.gapless(&["log", "verify", &format!("{log}/shard-00{n}")]).code(), 0);
    }
    nodes.kill(0);
    let mut again = nodes.client();
    assert_eq!(trouble(&mut again, "a", "\"count\"").unwrap(), 1);
    assert!(!nodes.words().contains("diverged"), "{}", nodes.words());
}

#[test]
fn a_directory_of_a_node_is_what_status_and_stop_take() {
    let mut nodes = Nodes::start(Setup::python("trouble", 2));
    nodes.await_protected();
    let log = nodes.dir(0).display().to_string();
    let roles = |command: &[&str]| -> Vec<String> {
        let lines = nodes.shown(command);
        let shards = lines.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        shards.map(|shard| format!("{} {}", shard["shard"], shard["role"])).collect()
    };
    let whole = roles(&["status", &log, "--json"]);
    assert_eq!(whole, ["0 \"primary\"", "1 \"backup\""]);
    assert_eq!(roles(&["task", "status", &log, "--json"]), whole);
    assert!(nodes.shown(&["status", &log]).contains("2 shards: 1 live here"));
    // A shard has a directory of its own, and is one log.
    assert!(nodes.shown(&["status", &format!("{log}/shard-000")]).contains("role  primary, protected"));

    assert_eq!(trouble(&mut nodes.client(), "one", "\"count\"").unwrap(), 1);
    nodes.shown(&["stop", &log]);
    let done = nodes.take(0).finish();
    assert_eq!(done.code(), 0, "{}", done.stderr_text());
    assert!(done.stderr_text().contains("stopped on request"), "{}", done.stderr_text());
    assert_eq!(trouble(&mut nodes.client(), "one", "\"count\"").unwrap(), 2, "the other one goes on");
    for command in ["status", "stop"] {
        let silent = nodes.gapless(&[command, &log]);
        let said = silent.stderr_text();
        assert!(silent.code() == 125 && said.contains("no node runs on") && said.contains("`gapless task`"), "{said}");
    }
    // Whoever is told by one shard that it stops takes the others along.
    let other = nodes.dir(1).display().to_string();
    nodes.shown(&["stop", &format!("{other}/shard-001")]);
    assert_eq!(nodes.take(1).finish().code(), 0);
}
