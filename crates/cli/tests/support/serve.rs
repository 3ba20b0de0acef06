//! Everything that is asked of servers: recorded and replayed, killed under load and resumed, protected and taken over.

use super::chance::Chance;
use super::client::{await_get, get};
use super::pair::Pair;
use super::process::{self, Done, Process, sleep_ms};
use super::rounds::rounds;
use super::{Area, Job, free_port};
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// Everything that is asked of a server of files that speaks HTTP. `argv` is told its directory and port; `ended` is its status after SIGTERM.
pub fn http_like(name: &str, argv: impl Fn(&Path, u16) -> Vec<String>) {
    let area = Area::new(name);
    let small = b"small and static\n".to_vec();
    let large: Vec<u8> = (0..300_000u32).flat_map(|i| (i ^ 0x5a5a).to_le_bytes()).collect();
    let job = |folder: &str, port: u16| {
        let dir = area.folder(folder);
        fs::write(dir.join("small"), &small).expect("a file");
        fs::write(dir.join("large"), &large).expect("a file");
        Job::new(&dir, argv(&dir, port)).stateful()
    };
    let ask = |port: u16, what: &str| {
        assert!(await_get(port, "/small") == small, "{name}, {what}: the small file");
        for _ in 0..5 {
            assert!(get(port, "/small").expect("an answer") == small, "{name}, {what}: the small file again");
        }
        assert!(get(port, "/large").expect("an answer") == large, "{name}, {what}: the large file");
        let (url, mut curl) = (format!("http://127.0.0.1:{port}/small"), area.command("curl", area.path()));
        curl.args(["-sS", "--max-time", "20", &url]);
        let done = Process::start(curl, &area.join("curl")).finish();
        assert_eq!((done.code(), &done.stdout), (0, &small), "{name}, {what}: by curl: {}", done.stderr_text());
    };

    let port = free_port();
    let log = area.join("log");
    let server = Process::start(area.record(&log, &job("recorded", port)), &area.join("record"));
    ask(port, "recorded");
    let done = ends(name, server, libc::SIGTERM);
    replays(&area, name, &log, &done);

    let mut chance = Chance::new();
    for round in rounds() {
        let area = Area::new(&format!("{name}-{round}"));
        let port = free_port();
        let log = area.join("log");
        let mut server =
            Process::start(area.record(&log, &job(&format!("killed-{round}"), port)), &area.join("killed-run"));
        ask(port, "before the kill");
        server.destroy();
        let mut server = Process::start(area.resume(&log), &area.join("resumed"));
        ask(port, "resumed");
        server.destroy();

        let port = free_port();
        let mut pair = Pair::start(&area, &job(&format!("protected-{round}"), port));
        for turn in 1..=2 {
            assert!(pair.await_protected(), "{name}, turn {turn}: {}", pair.words());
            ask(port, "protected");
            // Under load: every answer that is whole is right. None need fail, if the kill comes between two requests.
            let killed = AtomicBool::new(false);
            std::thread::scope(|scope| {
                let asking = scope.spawn(|| {
                    while let Ok(body) = get(port, "/large") {
                        assert!(body == large, "{name}: an answer under load");
                        if killed.load(Ordering::Relaxed) {
                            break;
                        }
                    }
                });
                sleep_ms(chance.below(200) as u64);
                pair.kill_primary();
                killed.store(true, Ordering::Relaxed);
                asking.join().expect("what was answered is right");
            });
            ask(port, "taken over");
            pair.rejoin();
        }
        assert!(pair.await_protected(), "{name}: {}", pair.words());
        process::kill(pair.primary.process.pid(), libc::SIGTERM);
        assert_eq!(pair.finish().code(), done.code(), "{name} ended by a signal after two takeovers");
    }
}

/// What clients have told a server that keeps it, each with one request in flight.
pub trait Kept: Sized + Send {
    /// Connects, as soon as the server answers.
    fn begin(port: u16, number: usize) -> Self;

    /// Tells it something, `turns` times or until the connection breaks; what was acknowledged is remembered.
    fn run(&mut self, turns: u64) -> std::io::Result<()>;

    /// Connects again. Everything acknowledged is there; at most the one request in flight may have been done without an answer.
    fn recheck(&mut self);
}

/// Everything that is asked of a server that keeps what it is told, with `CLIENTS` clients at a time. `start` is told a name for the place and the
/// port, `stop` is a signal that ends it; what the last survivor has left is handed to `look`, by its log.
pub fn keeps<K: Kept>(
    name: &str,
    start: impl Fn(&Area, &str, u16) -> Job,
    stop: i32,
    look: impl Fn(&Area, &Path, &Job),
) {
    const CLIENTS: usize = 6;
    let area = Area::new(name);
    let begin = |port| -> Vec<K> { (0..CLIENTS).map(|number| K::begin(port, number)).collect() };
    let all = |clients: &mut Vec<K>, turns: u64, meanwhile: &mut dyn FnMut()| -> usize {
        std::thread::scope(|scope| {
            let running: Vec<_> = clients.iter_mut().map(|client| scope.spawn(move || client.run(turns))).collect();
            meanwhile();
            let ends = running.into_iter().map(|run| run.join().expect("what was acknowledged is right"));
            ends.filter(std::io::Result::is_err).count()
        })
    };

    let port = free_port();
    let (log, job) = (area.join("log"), start(&area, "recorded", port));
    let server = Process::start(area.record(&log, &job), &area.join("record"));
    let mut clients = begin(port);
    assert_eq!(all(&mut clients, 30, &mut || {}), 0, "{name}: nothing is killed here");
    clients.iter_mut().for_each(K::recheck);
    drop(clients);
    let done = ends(name, server, stop);
    look(&area, &log, &job);
    replays(&area, name, &log, &done);

    let mut chance = Chance::new();
    for round in rounds() {
        let area = Area::new(&format!("{name}-{round}"));
        let port = free_port();
        let log = area.join("log");
        let mut server = Process::start(area.record(&log, &start(&area, "killed", port)), &area.join("killed-run"));
        let mut clients = begin(port);
        let broken = all(&mut clients, u64::MAX, &mut || {
            sleep_ms(chance.below(600) as u64);
            server.destroy();
        });
        assert_eq!(broken, CLIENTS, "{name}: the connections broke");
        let mut server = Process::start(area.resume(&log), &area.join("resumed"));
        clients.iter_mut().for_each(K::recheck);
        assert_eq!(all(&mut clients, 10, &mut || {}), 0, "{name}: nothing is killed here");
        drop(clients);
        server.destroy();

        let port = free_port();
        let job = start(&area, "protected", port);
        let mut pair = Pair::start(&area, &job);
        let mut clients = begin(port);
        for turn in 1..=2 {
            assert!(pair.await_protected(), "{name}, turn {turn}: {}", pair.words());
            let broken = all(&mut clients, u64::MAX, &mut || {
                sleep_ms(chance.below(600) as u64);
                pair.kill_primary();
            });
            assert_eq!(broken, CLIENTS, "{name}: the connections broke");
            clients.iter_mut().for_each(K::recheck);
            pair.rejoin();
        }
        assert!(pair.await_protected(), "{name}: {}", pair.words());
        assert_eq!(all(&mut clients, 10, &mut || {}), 0, "{name}: nothing is killed here");
        drop(clients);
        process::kill(pair.primary.process.pid(), stop);
        let log = pair.primary.log.clone();
        assert_eq!(pair.finish().code(), done.code(), "{name} ended by a signal after two takeovers");
        look(&area, &log, &job);
    }
}

/// Ends a server by a signal.
pub fn ends(name: &str, server: Process, signal: i32) -> Done {
    process::kill(server.pid(), signal);
    let done = server.finish();
    println!("{name}: ended with {}", done.code());
    done
}

/// Its log is replayed to the same end, with digests enough that this means something.
pub fn replays(area: &Area, name: &str, log: &Path, done: &Done) {
    let replay = area.replay(log);
    assert_eq!(replay["exit_status"], done.code(), "{name} replayed: {replay}");
    assert!(replay["digests"].as_u64() > Some(2), "{name}: too little was compared: {replay}");
}
