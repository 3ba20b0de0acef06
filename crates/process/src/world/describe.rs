//! Inputs in words, for `log cat`.

use crate::fs::{Named, content_in_words, contents_in_words, look_in_words, looks_in_words};
use crate::kernel::{ObjectId, input};
use crate::net::{Accepted, Connected, Datagram};
use crate::object::stdio::Description;
use gapless_log::{Kind, Reader};
use std::net::SocketAddr;

/// Bytes of a text that are shown.
const SHOWN_BYTES_MAX: usize = 48;

/// What an input of this level says; `None` if its bytes alone must do.
pub fn describe(kind: Kind, body: &[u8]) -> Option<String> {
    let mut r = Reader::new(body);
    Some(match kind {
        input::ARRIVED => {
            let id = r.varint()?;
            let bytes = r.bytes(r.remaining())?;
            if bytes.is_empty() { format!("object {id}: end") } else { format!("object {id}: {}", shown(bytes)) }
        }
        input::DRAINED => format!("object {}: {} bytes gone", r.varint()?, r.varint()?),
        input::CLOSED => {
            let (id, errno): (ObjectId, i32) = postcard::from_bytes(body).ok()?;
            format!("object {}: {}", id.0, error(errno))
        }
        input::ACCEPTED => {
            let a: Accepted = postcard::from_bytes(body).ok()?;
            format!("object {} at {}: object {} from {}", a.listener.0, a.local, a.id.0, a.peer)
        }
        input::CONNECTED => {
            let c: Connected = postcard::from_bytes(body).ok()?;
            match c.local {
                Some(local) => format!("object {} as {local}", c.id.0),
                None => format!("object {}: {}", c.id.0, error(c.error)),
            }
        }
        input::DATAGRAM => {
            let d: Datagram = postcard::from_bytes(body).ok()?;
            format!("object {} from {}: {}", d.id.0, d.from, shown(&d.bytes))
        }
        input::BOUND => match postcard::from_bytes::<Result<SocketAddr, i32>>(body) {
            Ok(Ok(addr)) => addr.to_string(),
            Ok(Err(errno)) => error(errno),
            // listen(2) answers nothing if all is well.
            Err(_) if body == [0] => "listening".to_owned(),
            Err(_) => return None,
        },
        input::SIGNAL => format!("signal {}", postcard::from_bytes::<i32>(body).ok()?),
        input::CLOCK | input::CLOCK_READ => {
            let nanos = u64::from_le_bytes(body.try_into().ok()?);
            format!("{}.{:09} s", nanos / 1_000_000_000, nanos % 1_000_000_000)
        }
        input::CLOCK_READS => {
            let mut r = Reader::new(body);
            let (mut count, mut nanos) = (0u64, 0u64);
            while !r.is_empty() {
                let (_, after) = (r.varint()?, r.varint()?);
                (count, nanos) = (count + 1, nanos.saturating_add(after));
            }
            format!("{count} within {nanos} ns")
        }
        input::LAUNCH => launch(&postcard::from_bytes(body).ok()?),
        input::CONTENT => content_in_words(body),
        input::HOST_PATH => look_in_words(&postcard::from_bytes(body).ok()?),
        input::HOST_AHEAD => looks_in_words(body)?,
        input::CONTENTS => contents_in_words(body)?,
        input::HOST_READ => match exactly::<Result<Vec<u8>, i32>>(body) {
            Some(Ok(bytes)) => shown(&bytes),
            Some(Err(errno)) => error(errno),
            // A file of /proc or /sys says whether more follows.
            None => shown(&exactly::<Result<(Vec<u8>, bool), i32>>(body)?.ok()?.0),
        },
        input::HOST_DIR => match postcard::from_bytes::<Result<(Vec<Named>, bool), i32>>(body).ok()? {
            Ok((names, more)) => format!("{} names{}", names.len(), if more { ", more follow" } else { "" }),
            Err(errno) => error(errno),
        },
        input::OPTION if body.len() == size_of::<libc::sysinfo>() => "sysinfo".to_owned(),
        input::OPTION => {
            let streams = exactly::<Vec<Description>>(body)?;
            let streams: Vec<_> =
                streams.iter().enumerate().map(|(n, stream)| format!("{n} {}", stand(stream))).collect();
            format!("standard streams: {}", streams.join(", "))
        }
        _ => return None,
    })
}

/// Decodes what must be all of it.
fn exactly<T: serde::de::DeserializeOwned>(body: &[u8]) -> Option<T> {
    postcard::take_from_bytes(body).ok().filter(|(_, rest)| rest.is_empty()).map(|(value, _)| value)
}

/// What stands behind a standard stream.
fn stand(stream: &Description) -> &'static str {
    match stream.mode & libc::S_IFMT {
        _ if !stream.open => "closed",
        libc::S_IFREG => "file",
        libc::S_IFIFO => "pipe",
        libc::S_IFSOCK => "socket",
        libc::S_IFCHR if stream.termios.is_some() => "terminal",
        libc::S_IFCHR => "device",
        _ => "something else",
    }
}

fn launch(launch: &crate::run::launch::Launch) -> String {
    let words = |list: &[Vec<u8>]| {
        let words: Vec<_> = list.iter().map(|word| format!("\"{}\"", word.escape_ascii())).collect();
        words.join(" ")
    };
    let states = match launch.states.len() {
        0 => String::new(),
        _ => format!(", state {}", words(&launch.states)),
    };
    format!(
        "{} in \"{}\" as user {}{states}; {} variables",
        words(&launch.argv),
        launch.cwd.escape_ascii(),
        launch.creds.uid[0],
        launch.env.len()
    )
}

fn error(errno: i32) -> String {
    std::io::Error::from_raw_os_error(errno).to_string()
}

fn shown(bytes: &[u8]) -> String {
    let more = if bytes.len() > SHOWN_BYTES_MAX { ".." } else { "" };
    format!("{} bytes \"{}\"{more}", bytes.len(), bytes[..bytes.len().min(SHOWN_BYTES_MAX)].escape_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::encode;

    #[test]
    fn inputs_read_as_sentences() {
        let said = |kind, body: &[u8]| describe(kind, body).unwrap();
        let to: SocketAddr = "127.0.0.1:6390".parse().unwrap();
        let from: SocketAddr = "10.0.0.1:40000".parse().unwrap();
        assert_eq!(
            said(input::ARRIVED, &super::super::outside::arrived(ObjectId(12), b"INCR k\r\n")),
            "object 12: 8 bytes \"INCR k\\r\\n\""
        );
        assert_eq!(said(input::ARRIVED, &super::super::outside::arrived(ObjectId(12), b"")), "object 12: end");
        assert_eq!(said(input::DRAINED, &super::super::drained(ObjectId(3), 300)), "object 3: 300 bytes gone");
        assert_eq!(
            said(input::CLOSED, &encode(&(ObjectId(3), libc::ECONNRESET))),
            "object 3: Connection reset by peer (os error 104)"
        );
        let accepted = Accepted { listener: ObjectId(9), id: ObjectId(10), peer: from, local: to };
        assert_eq!(
            said(input::ACCEPTED, &encode(&accepted)),
            "object 9 at 127.0.0.1:6390: object 10 from 10.0.0.1:40000"
        );
        let refused = Connected { id: ObjectId(4), error: libc::ECONNREFUSED, local: None };
        assert_eq!(said(input::CONNECTED, &encode(&refused)), "object 4: Connection refused (os error 111)");
        assert_eq!(said(input::BOUND, &encode(&Ok::<_, i32>(to))), "127.0.0.1:6390");
        assert_eq!(said(input::BOUND, &encode(&Ok::<(), i32>(()))), "listening");
        assert_eq!(said(input::CLOCK, &1_500_000_001u64.to_le_bytes()), "1.500000001 s");
        let launch = crate::run::launch::Launch {
            argv: vec![b"redis-server".to_vec(), b"--dir=a b".to_vec()],
            env: vec![b"A=1".to_vec()],
            cwd: b"/srv".to_vec(),
            states: vec![b"/srv/data".to_vec()],
            seed: [0; 32],
            now: 0,
            realtime_offset: 0,
            creds: Default::default(),
            umask: 0o022,
            limits: Vec::new(),
            hardware: Default::default(),
            hostname: Vec::new(),
        };
        assert_eq!(
            said(input::LAUNCH, &encode(&launch)),
            "\"redis-server\" \"--dir=a b\" in \"/srv\" as user 0, state \"/srv/data\"; 1 variables"
        );
        assert_eq!(said(input::CONTENT, b"#!/bin/sh\necho some text"), "24 bytes of it");
        assert_eq!(said(input::HOST_PATH, &[0]), "nothing there");
        assert_eq!(said(input::HOST_AHEAD, &[1, 1, b'a', 0]), "0 of 1 names found");
        assert_eq!(said(input::CONTENTS, &[1, 0, 9, 9]), "1 files, 2 bytes");
        assert_eq!(said(input::HOST_READ, &encode(&Ok::<_, i32>(b"1 2".to_vec()))), "3 bytes \"1 2\"");
        assert_eq!(said(input::HOST_READ, &encode(&Ok::<_, i32>((b"1 2".to_vec(), false)))), "3 bytes \"1 2\"");
        let names = vec![(b"a".to_vec(), 8u8, 1u64), (b"b".to_vec(), 8, 300)];
        assert_eq!(said(input::HOST_DIR, &encode(&Ok::<_, i32>((names, true)))), "2 names, more follow");
        let pipe = Description { open: true, mode: libc::S_IFIFO, ..Description::default() };
        let streams = vec![Description::default(), pipe];
        assert_eq!(said(input::OPTION, &encode(&streams)), "standard streams: 0 closed, 1 pipe");
        assert_eq!(describe(input::ARRIVED, &[0xff]), None);
        assert_eq!(describe(input::ACCEPTED, b"junk"), None);
    }

    #[test]
    fn bytes_are_encoded_as_every_other_output() {
        for len in [0usize, 1, 127, 128, 70_000] {
            let output = super::super::Output::Bytes(vec![7; len]);
            let raw = super::super::Output::encode_bytes(&vec![7; len]);
            assert_eq!(raw, encode(&output));
            assert_eq!(super::super::said(&raw), Some(output));
        }
        assert_eq!(super::super::said(&[]), None);
        assert_eq!(super::super::said(&[0, 5, 1]), None);
        assert_eq!(super::super::said(&encode(&super::super::Output::Reset)), Some(super::super::Output::Reset));
    }
}
