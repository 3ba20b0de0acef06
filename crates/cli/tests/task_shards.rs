//! Shards beside each other on two nodes: who is live where, what holds up one of them and not the others, many tasks, many messages between them, and
//! disks that are full.

mod support;

use gapless::task::{Context, From, Kinds, Look, Shard, Shown, Task, TaskId};
use gapless_pair::status;
use gapless_task::wire::{self, Hello, VERSION, Welcome};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::net::TcpStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use support::process::sleep_ms;
use support::tasks::nodes::{self, Mode, Nodes, PATIENCE, Setup};
use support::tmpfs::Tmpfs;

/// Counts, passes on, and takes its time.
#[derive(Serialize, Deserialize)]
struct Worker {
    count: u64,
}

#[derive(Clone, Serialize, Deserialize)]
enum Job {
    Count,
    /// Makes this file when it begins, and takes so long.
    Slow(PathBuf, Duration),
    /// Counts, and sends so many of these to the next task of the ring of so many, which send one each as long as there are rounds left.
    Ring {
        copies: u32,
        rounds: u32,
        ring: u32,
    },
    /// Ends the process that reads it.
    Abort,
    Look,
}

impl Task for Worker {
    const KIND: &'static str = "worker";
    type Message = Job;

    fn new(_: &str) -> Self {
        Self { count: 0 }
    }

    fn receive(&mut self, ctx: &mut Context<'_>, _: &From, job: Job) -> Result<(), String> {
        match job {
            Job::Count => self.count += 1,
            Job::Slow(begun, takes) => {
                std::fs::write(begun, "").map_err(|e| e.to_string())?;
                std::thread::sleep(takes);
                self.count += 1;
            }
            Job::Ring { copies, rounds, ring } => {
                self.count += 1;
                let next = (ctx.id().name.parse::<u32>().map_err(|e| e.to_string())? + 1) % ring;
                for _ in 0..if rounds > 0 { copies } else { 0 } {
                    ctx.send::<Self>(&next.to_string(), &Job::Ring { copies: 1, rounds: rounds - 1, ring });
                }
            }
            Job::Abort => std::process::abort(),
            Job::Look => {}
        }
        ctx.reply(&self.count);
        Ok(())
    }
}

/// What a child of this test is: a node.
#[test]
fn child_process() {
    nodes::child(Kinds::new().with::<Worker>());
}

/// Names of so many workers that live in this shard.
fn names_in(shard: u16, shards: u16, count: usize) -> Vec<String> {
    let lives = |name: &String| TaskId::new(Worker::KIND, name.as_str()).shard(shards) == Shard(shard);
    (0..).map(|n| n.to_string()).filter(lives).take(count).collect()
}

/// Who holds a shard, as a node says it to a stranger.
fn who_has(address: &str, shards: u16, shard: u16) -> Welcome {
    let stream = TcpStream::connect(address).unwrap();
    wire::send(&Hello { version: VERSION, shards, shard: Shard(shard), from: None }, &stream).unwrap();
    wire::receive(&stream).unwrap()
}

#[test]
fn a_node_is_primary_for_some_shards_and_backup_for_others_and_each_has_a_term_of_its_own() {
    let mut nodes = Nodes::start(Setup::of(16));
    nodes.await_protected();
    nodes.until("in sync", || [0, 1].iter().all(|&node| nodes.shards(node).iter().all(|now| now.in_sync)));
    let roles = |nodes: &Nodes, node| -> Vec<String> { nodes.shards(node).into_iter().map(|now| now.role).collect() };
    let (first, second) = (["primary", "backup"].repeat(8), ["backup", "primary"].repeat(8));
    assert_eq!([roles(&nodes, 0), roles(&nodes, 1)], [first, second]);
    let terms = |node: usize, nodes: &Nodes| -> Vec<u64> { nodes.shards(node).iter().map(|now| now.term).collect() };
    let before = terms(1, &nodes);
    // One of them goes over, and no other.
    status::handover(&nodes.shard_dir(0, 4), PATIENCE).unwrap();
    nodes.await_protected();
    let moved: Vec<usize> = (0..16).filter(|&n| terms(1, &nodes)[n] > before[n]).collect();
    assert_eq!(moved, [4]);
    assert_eq!(nodes.live()[1], [1, 3, 4, 5, 7, 9, 11, 13, 15]);
    // Whoever is left alone is live for all of them, and says that nobody stands behind it.
    nodes.kill(0);
    let mut client = nodes.client();
    for shard in 0..16 {
        assert_eq!(client.call::<Worker, u64>(&names_in(shard, 16, 1)[0], &Job::Count).unwrap(), 1);
    }
    assert!(nodes.shards(1).iter().all(|now| now.role == "primary" && now.mode == "solo"), "{:?}", nodes.shards(1));
}

#[test]
fn a_node_that_is_not_live_for_a_shard_answers_who_is() {
    const SHARDS: u16 = 4;
    let nodes = Nodes::start(Setup::of(SHARDS));
    nodes.await_protected();
    let check = |live: usize, shard| {
        let [here, other] = [live, 1 - live].map(|node| nodes.addresses[node].clone());
        for shards in [SHARDS, 0] {
            assert_eq!(who_has(&here, shards, shard), Welcome::Here { shards: SHARDS });
            let elsewhere = Welcome::Elsewhere { shards: SHARDS, hint: Some(here.clone()) };
            assert_eq!(who_has(&other, shards, shard), elsewhere);
        }
    };
    // They begin in turns.
    (0..SHARDS).for_each(|shard| check(usize::from(shard % 2), shard));
    status::handover(&nodes.shard_dir(0, 0), PATIENCE).unwrap();
    nodes.await_protected();
    check(1, 0);
    check(0, 2);
    // One address is enough for a client: it is told the other one.
    let mut client = gapless::task::Client::connect([nodes.addresses[0].clone()]).unwrap().with_patience(PATIENCE);
    for shard in 0..SHARDS {
        assert_eq!(client.call::<Worker, u64>(&names_in(shard, SHARDS, 1)[0], &Job::Count).unwrap(), 1);
    }
    for (shards, shard, words) in [(5, 0, "has 4 shards, not 5"), (4, 4, "no shard 4"), (0, 9, "no shard 9")] {
        let Welcome::Refused(why) = who_has(&nodes.addresses[0], shards, shard) else { panic!("{shards} {shard}") };
        assert!(why.contains(words), "{why}");
    }
}

#[test]
fn a_slow_task_holds_up_its_shard_and_no_other() {
    const SHARDS: u16 = 4;
    const TAKES: Duration = Duration::from_secs(3);
    let nodes = Nodes::start(Setup::of(SHARDS));
    nodes.await_protected();
    let before = [0, 1].map(|node| nodes.shards(node).iter().map(|now| now.term).collect::<Vec<_>>());
    let (mut asking, mut client) = (nodes.client(), nodes.client());
    let beside: Vec<String> = (0..SHARDS).map(|shard| names_in(shard, SHARDS, 2).pop().unwrap()).collect();
    for name in &beside {
        assert_eq!(client.call::<Worker, u64>(name, &Job::Count).unwrap(), 1);
    }
    let begun = nodes.area.join("begun");
    let job = serde_json::to_string(&Job::Slow(begun.clone(), TAKES)).unwrap();
    let slow = asking.submit(TaskId::new(Worker::KIND, names_in(0, SHARDS, 1).pop().unwrap()), job).unwrap();
    asking.flush();
    nodes.until("begun", || begun.exists());
    let since = Instant::now();
    let mut rounds = 0;
    while since.elapsed() < TAKES / 2 {
        for name in &beside[1..] {
            let _: u64 = client.call::<Worker, _>(name, &Job::Count).unwrap();
        }
        rounds += 1;
    }
    assert!(since.elapsed() < TAKES && rounds > 10, "{rounds} rounds in {:?}", since.elapsed());
    // In its own shard it is waited for.
    assert_eq!(client.call::<Worker, u64>(&beside[0], &Job::Count).unwrap(), 2);
    assert!(since.elapsed() >= TAKES - Duration::from_millis(100), "{:?}", since.elapsed());
    assert_eq!(asking.wait(slow).unwrap(), "1");
    // A slow shard is not a dead one.
    nodes.await_protected();
    assert_eq!([0, 1].map(|node| nodes.shards(node).iter().map(|now| now.term).collect::<Vec<_>>()), before);
}

/// A life that a person has ended did not fail, so the next one begins at once, however many there were.
#[test]
fn a_shard_that_is_handed_to_and_fro_is_soon_protected_again() {
    let nodes = Nodes::start(Setup::of(1));
    nodes.await_protected();
    let took = (0..14).map(|n| {
        status::handover(&nodes.shard_dir(n % 2, 0), PATIENCE).unwrap();
        let since = Instant::now();
        nodes.await_protected();
        since.elapsed()
    });
    let took: Vec<Duration> = took.collect();
    let best = took[10..].iter().min().unwrap();
    assert!(*best < Duration::from_secs(1), "{took:.1?}");
}

/// Queues between tasks have no limit at which a sender would wait: tasks in a cycle that all have more to send than anybody takes go on.
#[test]
fn tasks_in_a_cycle_that_all_send_do_not_wait_for_each_other() {
    const SHARDS: u16 = 4;
    const RING: u32 = 8;
    const COPIES: u32 = 2000;
    const ROUNDS: u32 = 8;
    let mut nodes = Nodes::start(Setup::of(SHARDS));
    nodes.await_protected();
    let shards: BTreeSet<Shard> = (0..RING).map(|n| TaskId::new(Worker::KIND, n.to_string()).shard(SHARDS)).collect();
    assert!(shards.len() > 1, "the ring goes through several shards");
    let mut client = nodes.client();
    for n in 0..RING {
        let job = Job::Ring { copies: COPIES, rounds: ROUNDS, ring: RING };
        assert!(client.call::<Worker, u64>(&n.to_string(), &job).unwrap() >= 1);
    }
    nodes.kill(0);
    nodes.spawn(0);
    let all = u64::from(RING) * (1 + u64::from(COPIES) * u64::from(ROUNDS));
    let since = Instant::now();
    loop {
        let counts: Vec<u64> =
            (0..RING).map(|n| client.call::<Worker, u64>(&n.to_string(), &Job::Look).unwrap()).collect();
        if counts.iter().sum::<u64>() == all {
            assert!(counts.iter().all(|&count| count == all / u64::from(RING)), "{counts:?}");
            break;
        }
        assert!(counts.iter().sum::<u64>() < all && since.elapsed() < PATIENCE, "{counts:?} of {all}");
        sleep_ms(20);
    }
    assert_eq!(nodes.dead_letters(), 0);
}

#[test]
fn a_node_has_a_hundred_thousand_tasks_and_so_has_whoever_joins() {
    const TASKS: usize = 100_000;
    const SHARDS: u16 = 4;
    let mut nodes = Nodes::start(Setup::of(SHARDS));
    nodes.await_protected();
    let mut client = nodes.client();
    let count = serde_json::to_string(&Job::Count).unwrap();
    let mut under_way = std::collections::VecDeque::new();
    let since = Instant::now();
    for n in 0..TASKS {
        under_way.push_back(client.submit(TaskId::new(Worker::KIND, n.to_string()), count.clone()).unwrap());
        if under_way.len() > 1000 {
            assert_eq!(client.wait(under_way.pop_front().unwrap()).unwrap(), "1");
        }
    }
    under_way.into_iter().for_each(|ticket| assert_eq!(client.wait(ticket).unwrap(), "1"));
    println!("{TASKS} tasks were made in {:.1?}", since.elapsed());
    // Twice: the second time whoever has them has joined later, and got them as a state.
    for node in 0..2 {
        nodes.await_protected();
        nodes.kill(node);
        let looking = nodes.client();
        let mut seen = 0;
        for shard in 0..SHARDS {
            let mut after = None;
            loop {
                let Shown::Tasks { tasks, more } = looking.look(Shard(shard), &Look::Tasks { after }).unwrap() else {
                    panic!("tasks")
                };
                seen += tasks.len();
                after = tasks.last().map(|task| task.id.clone());
                if !more {
                    break;
                }
            }
        }
        assert_eq!(seen, TASKS);
        for n in (0..TASKS).step_by(997) {
            assert_eq!(client.call::<Worker, u64>(&n.to_string(), &Job::Look).unwrap(), 1);
        }
        nodes.spawn(node);
    }
}

/// Nodes are started again as often as they die of it. It may be read twice on each.
#[test]
fn a_message_that_ends_its_node_is_buried_and_both_nodes_go_on() {
    const DEATHS_MAX: u32 = 4;
    let mut nodes = Nodes::start(Setup::of(2));
    nodes.await_protected();
    let mut client = nodes.client();
    let names: Vec<String> = (0..2).flat_map(|shard| names_in(shard, 2, 2)).collect();
    for name in &names {
        assert_eq!(client.call::<Worker, u64>(name, &Job::Count).unwrap(), 1);
    }
    let (mut doomed, name) = (nodes.client(), names[0].clone());
    let asking = std::thread::spawn(move || doomed.call::<Worker, u64>(&name, &Job::Abort));
    let (mut deaths, since) = (0, Instant::now());
    while !asking.is_finished() {
        for node in 0..2 {
            if nodes.side(node).ended() {
                assert_eq!(nodes.take(node).finish().code(), 128 + libc::SIGABRT, "{}", nodes.words());
                deaths += 1;
                nodes.restart(node);
            }
        }
        assert!(since.elapsed() < PATIENCE, "{}", nodes.words());
        sleep_ms(5);
    }
    println!("{deaths} deaths");
    assert!((2..=DEATHS_MAX).contains(&deaths), "{deaths} deaths");
    let why = asking.join().unwrap().unwrap_err().to_string();
    assert_eq!(why, "it ended the process that read it 2 times");
    // Both sides know it, and read on, that task too.
    for node in 0..2 {
        nodes.await_protected();
        nodes.kill(node);
        let mut client = nodes.client();
        for name in &names {
            assert_eq!(client.call::<Worker, u64>(name, &Job::Count).unwrap(), 2 + node as u64);
        }
        assert_eq!(nodes.dead_letters(), 1);
        nodes.spawn(node);
    }
}

#[test]
fn a_directory_keeps_its_number_of_shards() {
    let mut nodes = Nodes::start(Setup::of(2));
    nodes.await_protected();
    nodes.kill(0);
    nodes.setup.shards = 3;
    nodes.restart(0);
    let done = nodes.take(0).finish();
    assert_ne!(done.code(), 0);
    let said = done.stderr_text();
    assert!(said.contains("of 2 shards, not 3; a service keeps its shards for life"), "{said}");
    nodes.setup.shards = 2;
    nodes.restart(0);
    nodes.await_protected();
}

/// First one disk, then both: whoever cannot write does not answer, says why, and goes on when there is room again.
#[test]
fn full_disks_stop_the_intake_and_lose_nothing() {
    for mode in [Mode::HOT, Mode::WARM, Mode::DURABLE] {
        let mut nodes = Nodes::new(Setup { mode, ..Setup::of(2) });
        let disks = [0, 1].map(|node| {
            let disk = Tmpfs::mount(&nodes.area.join(&format!("log-{}", node + 1)), "16m");
            nodes.spawn(node);
            disk
        });
        nodes.await_protected();
        let names: Vec<String> = (0..2).map(|shard| names_in(shard, 2, 1).pop().unwrap()).collect();
        let mut client = nodes.client();
        let mut counted = 0;
        let mut count = |client: &mut gapless::task::Client, times| {
            for _ in 0..times {
                counted += 1;
                for name in &names {
                    assert_eq!(client.call::<Worker, u64>(name, &Job::Count).unwrap(), counted);
                }
            }
        };
        let full = "No space left on device";
        count(&mut client, 100);
        disks[0].fill();
        // Also those of shard 0, which was live there.
        count(&mut client, 1000);
        nodes.until("said", || nodes.words().contains(full));
        let before = nodes.words().matches(full).count();
        disks[1].fill();
        let mut hasty = nodes.client().with_patience(Duration::from_secs(3));
        let asked = (0..1000).map(|_| hasty.call::<Worker, u64>(&names[0], &Job::Look)).find_map(Result::err);
        let refused = asked.expect("nobody can write").to_string();
        assert!(refused.starts_with("no answer: "), "{refused}");
        nodes.until("said", || nodes.words().matches(full).count() > before);
        disks.iter().for_each(Tmpfs::empty);
        count(&mut client, 100);
        nodes.await_protected();
        nodes.kill(0);
        count(&mut client, 100);
    }
}
