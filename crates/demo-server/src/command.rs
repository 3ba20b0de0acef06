//! The commands: one row each, with the number of words it takes and what it does.
//!
//! Replies and error texts are those of Redis, so that its clients understand them.
//! A command that is not in the table is an error that names it.

use crate::resp::{Reply, Request, integer};
use crate::store::{NotAdded, Store};

/// What the connection does after the reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// Take the next request.
    Go,
    /// Send what was said and close.
    Close,
    /// End the whole server.
    Shutdown,
}

type Run = fn(&Store, Words) -> Reply;

struct Row {
    name: &'static str,
    words_min: usize,
    words_max: usize,
    then: Then,
    run: Run,
}

const fn row(name: &'static str, words_min: usize, words_max: usize, run: Run) -> Row {
    Row { name, words_min, words_max, then: Then::Go, run }
}

const ANY: usize = usize::MAX;

/// Words are counted with the command's name, as Redis counts them.
const COMMANDS: &[Row] = &[
    row("ping", 1, 2, ping),
    row("echo", 2, 2, |_, mut words| Reply::Bulk(words.next())),
    row("set", 3, 3, set),
    row("get", 2, 2, get),
    row("incr", 2, 2, |store, mut words| add(store, words.next(), 1)),
    row("incrby", 3, 3, incrby),
    row("del", 2, ANY, |store, words| count(words, |key| store.remove(key))),
    row("exists", 2, ANY, |store, words| count(words, |key| store.contains(key))),
    row("dbsize", 1, 1, |store, _| length(store.len())),
    row("command", 1, ANY, |_, _| Reply::Array(Vec::new())),
    row("config", 2, ANY, config),
    Row { then: Then::Close, ..row("quit", 1, ANY, |_, _| Reply::Simple("OK")) },
    Row { then: Then::Shutdown, ..row("shutdown", 1, 2, |_, _| Reply::Simple("OK")) },
];

/// The arguments of a request whose number was checked against its row.
struct Words(std::vec::IntoIter<Vec<u8>>);

impl Words {
    /// The next argument; empty past the end, which the row's count rules out.
    fn next(&mut self) -> Vec<u8> {
        self.0.next().unwrap_or_default()
    }
}

/// Carries out one request.
pub fn execute(store: &Store, request: Request) -> (Reply, Then) {
    let given = request.len();
    let mut words = request.into_iter();
    let name = words.next().unwrap_or_default();
    let Some(row) = COMMANDS.iter().find(|row| row.name.as_bytes().eq_ignore_ascii_case(&name)) else {
        return (unknown(&name), Then::Go);
    };
    if !(row.words_min..=row.words_max).contains(&given) {
        let text = format!("ERR wrong number of arguments for '{}' command", row.name);
        return (Reply::Error(text), Then::Go);
    }
    ((row.run)(store, Words(words)), row.then)
}

fn unknown(name: &[u8]) -> Reply {
    const SHOWN_MAX: usize = 128;
    let shown = &name[..name.len().min(SHOWN_MAX)];
    Reply::Error(format!("ERR unknown command '{}'", shown.escape_ascii()))
}

fn ping(_: &Store, mut words: Words) -> Reply {
    match words.0.next() {
        Some(text) => Reply::Bulk(text),
        None => Reply::Simple("PONG"),
    }
}

fn set(store: &Store, mut words: Words) -> Reply {
    store.set(words.next(), words.next());
    Reply::Simple("OK")
}

fn get(store: &Store, mut words: Words) -> Reply {
    store.get(&words.next()).map_or(Reply::Nil, Reply::Bulk)
}

fn incrby(store: &Store, mut words: Words) -> Reply {
    let key = words.next();
    match integer(&words.next()) {
        Some(by) => add(store, key, by),
        None => not_added(NotAdded::NotAnInteger),
    }
}

fn add(store: &Store, key: Vec<u8>, by: i64) -> Reply {
    store.add(key, by).map_or_else(not_added, Reply::Integer)
}

fn not_added(why: NotAdded) -> Reply {
    let text = match why {
        NotAdded::NotAnInteger => "ERR value is not an integer or out of range",
        NotAdded::Overflow => "ERR increment or decrement would overflow",
    };
    Reply::Error(text.to_owned())
}

fn count(words: Words, mut each: impl FnMut(&[u8]) -> bool) -> Reply {
    length(words.0.filter(|key| each(key)).count())
}

fn length(n: usize) -> Reply {
    Reply::Integer(i64::try_from(n).unwrap_or(i64::MAX))
}

/// Nothing can be configured; `CONFIG GET` answers the two questions of redis-benchmark.
fn config(_: &Store, mut words: Words) -> Reply {
    const SETTINGS: &[(&str, &str)] = &[("appendonly", "no"), ("save", "")];
    if !words.next().eq_ignore_ascii_case(b"get") {
        return Reply::Error("ERR only CONFIG GET is known".to_owned());
    }
    let asked: Vec<Vec<u8>> = words.0.collect();
    let found = SETTINGS
        .iter()
        .filter(|(name, _)| asked.iter().any(|a| a.eq_ignore_ascii_case(name.as_bytes())))
        .flat_map(|(name, value)| [name, value])
        .map(|text| Reply::Bulk(text.as_bytes().to_vec()))
        .collect();
    Reply::Array(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs lines of words on one store and shows each reply's bytes.
    fn check(lines: &[(&str, &str)]) {
        let store = Store::default();
        for (line, expect) in lines {
            let request = line.split(' ').map(|w| w.as_bytes().to_vec()).collect();
            let (reply, then) = execute(&store, request);
            let mut out = Vec::new();
            reply.write(&mut out);
            let got = String::from_utf8_lossy(&out).replace("\r\n", "|");
            assert_eq!(&got, expect, "{line}");
            assert_eq!(then, Then::Go, "{line}");
        }
    }

    #[test]
    fn each_command() {
        check(&[
            ("PING", "+PONG|"),
            ("ping hello", "$5|hello|"),
            ("ECHO a", "$1|a|"),
            ("GET k", "$-1|"),
            ("SET k v", "+OK|"),
            ("gEt k", "$1|v|"),
            ("INCR n", ":1|"),
            ("INCRBY n 41", ":42|"),
            ("INCRBY n -2", ":40|"),
            ("GET n", "$2|40|"),
            ("DBSIZE", ":2|"),
            ("EXISTS k n k absent", ":3|"),
            ("DEL k absent n", ":2|"),
            ("DBSIZE", ":0|"),
            ("COMMAND DOCS", "*0|"),
            ("CONFIG GET save", "*2|$4|save|$0||"),
            ("config get APPENDONLY", "*2|$10|appendonly|$2|no|"),
            ("CONFIG GET maxmemory", "*0|"),
        ]);
    }

    #[test]
    fn what_is_refused() {
        check(&[
            ("FLUSHALL", "-ERR unknown command 'FLUSHALL'|"),
            ("\r\n*", "-ERR unknown command '\\r\\n*'|"),
            ("", "-ERR unknown command ''|"),
            ("GET", "-ERR wrong number of arguments for 'get' command|"),
            ("SET k v EX 3", "-ERR wrong number of arguments for 'set' command|"),
            ("INCRBY n x", "-ERR value is not an integer or out of range|"),
            ("SET n abc", "+OK|"),
            ("INCR n", "-ERR value is not an integer or out of range|"),
            ("SET n 9223372036854775807", "+OK|"),
            ("INCR n", "-ERR increment or decrement would overflow|"),
            ("CONFIG SET save x", "-ERR only CONFIG GET is known|"),
        ]);
    }

    #[test]
    fn what_ends_a_connection() {
        let store = Store::default();
        let then = |word: &[u8]| execute(&store, vec![word.to_vec()]).1;
        assert_eq!(then(b"QUIT"), Then::Close);
        assert_eq!(then(b"shutdown"), Then::Shutdown);
        assert_eq!(then(b"PING"), Then::Go);
    }
}
