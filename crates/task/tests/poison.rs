//! A message that ends the process that reads it: after two deaths of a node it is a dead letter, and the service goes on.

mod common;

use common::{Do, diary_in, request, shard};
use gapless_log::{Frame, Host, Options, Replayed, Replica, Seq, Term};
use gapless_task::Said;
use gapless_task::edge::Event;
use std::path::Path;
use std::process::{Command, ExitStatus};

/// A node of one life: it goes on from the frames in the file, answers a request, meets the message, and answers another request.
#[test]
fn a_life() {
    let Some(dir) = std::env::var_os("GAPLESS_TASK_LOG") else { return };
    let log = Path::new(&dir).join("log");
    let (replica, desk) = shard(0, 1);
    let mut host = Host::new(replica, Options::default());
    let (mut bytes, mut end, mut term) = (std::fs::read(&log).unwrap_or_default(), (Seq(0), 0), 1);
    let mut rest = &bytes[..];
    while !rest.is_empty() {
        let frame = Frame::decode(rest).unwrap();
        rest = &rest[frame.len()..];
        end = (frame.end_seq(), frame.chain_after());
        host.feed(&frame).unwrap();
        term += 1;
        while matches!(host.replay_step().unwrap(), Replayed::Step(_)) {}
    }
    host.go_live(Term(term), end.0, end.1).unwrap();
    let mut step = |events: Vec<Event>| {
        desk.borrow_mut().events.extend(events);
        host.record_step().unwrap();
        for frame in host.seal(Seq(0)) {
            bytes.extend_from_slice(frame.bytes());
        }
        std::fs::write(&log, &bytes).unwrap();
        host.release(Seq(u64::MAX)).unwrap();
        std::mem::take(&mut desk.borrow_mut().emitted)
    };
    step(Vec::new());
    let to = diary_in(0, 1, 0);
    step(vec![Event::Open { nonce: 1 }, request(1, 1, 1, &to, &Do::Note(1))]);
    // The client has no reply and asks again in each life.
    let said = step(vec![request(1, 2, 2, &to, &Do::Abort(2)), request(1, 3, 2, &to, &Do::Note(3))]);
    let replies: Vec<_> = said
        .into_iter()
        .filter_map(|said| match said {
            Said::Reply { number, answer, .. } => Some((number, answer.is_ok())),
            _ => None,
        })
        .collect();
    assert_eq!(replies, [(2, false), (3, true)]);
    let state = host.replica().state().unwrap();
    let letter = state.dead_letters().next().expect("it was buried");
    assert!(letter.why.contains("ended the process"), "{}", letter.why);
    // Whoever replays that reads what this one has read, and dies of nothing.
    let (replica, _desk) = shard(0, 1);
    let mut backup = Host::new(replica, Options::default());
    let mut rest = &bytes[..];
    while !rest.is_empty() {
        let frame = Frame::decode(rest).unwrap();
        rest = &rest[frame.len()..];
        backup.feed(&frame).unwrap();
    }
    while matches!(backup.replay_step().unwrap(), Replayed::Step(_)) {}
    assert_eq!(backup.replica_mut().digest().unwrap(), host.replica_mut().digest().unwrap());
}

fn life(dir: &Path) -> ExitStatus {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["a_life", "--exact"]).env("GAPLESS_TASK_LOG", dir).env("GAPLESS_TASK_BOX", dir.join("box"));
    command.output().unwrap().status
}

#[test]
fn a_message_that_ends_the_process_is_buried_after_two_deaths() {
    use std::os::unix::process::ExitStatusExt;
    let dir = tempfile::tempdir().unwrap();
    for _ in 0..2 {
        assert_eq!(life(dir.path()).signal(), Some(libc::SIGABRT));
    }
    assert!(life(dir.path()).success(), "the third life does not read it");
}
