//! The host's files under the model's: seen once, never changed.

use super::super::host;
use super::*;
use std::os::unix::fs::MetadataExt;

#[test]
fn a_host_file_is_read_once_and_kept() {
    let bench = Bench::new();
    bench.put("a", "first");
    let (path, real) = (bench.path("a"), bench.host().join("a"));
    let (p1, p2, p3) = (path.clone(), path.clone(), bench.path("b"));
    let steps = [
        step(move |k, cx| text(k, cx, &p1)),
        // The host changes behind the program's back; only the live side ever looks.
        step(move |_, cx| {
            if cx.io.is_live() {
                std::fs::write(&real, "second").unwrap();
                std::fs::write(real.with_file_name("b"), "late").unwrap();
            }
            String::new()
        }),
        step(move |k, cx| text(k, cx, &p2)),
        step(move |k, cx| text(k, cx, &p3)),
    ];
    assert_eq!(bench.check(&steps), ["first", "", "first", "late"]);
}

#[test]
fn absence_is_remembered_too() {
    let bench = Bench::new();
    let real = bench.host().join("a");
    let (p1, p2) = (bench.path("a"), bench.path("a"));
    let steps = [
        step(move |k, cx| text(k, cx, &p1)),
        step(move |_, cx| {
            if cx.io.is_live() {
                std::fs::write(&real, "late").unwrap();
            }
            String::new()
        }),
        step(move |k, cx| text(k, cx, &p2)),
    ];
    assert_eq!(bench.check(&steps), ["ENOENT", "", "ENOENT"]);
}

#[test]
fn writing_copies_up_and_leaves_the_host_alone() {
    let bench = Bench::new();
    bench.put("d/a", "hello world");
    let (p1, p2, p3) = (bench.path("d/a"), bench.path("d/a"), bench.path("d/new"));
    let steps = [
        step(move |k, cx| {
            let file = open_at(k, cx, &p1, libc::O_RDWR).map_err(|_| ()).unwrap();
            let n = show(write(k, cx, file, b"HELLO"));
            let rest = show(read(k, cx, file, 100).map(|b| String::from_utf8(b).unwrap()));
            let_go(k, cx, file);
            format!("{n}{rest}")
        }),
        step(move |k, cx| text(k, cx, &p2)),
        step(move |k, cx| unit(put(k, cx, &p3, b"made here"))),
    ];
    let real = bench.dir.path().join("gone/d");
    assert_eq!(bench.check(&steps), ["5 world", "HELLO world", "ok"]);
    assert_eq!(std::fs::read_to_string(real.join("a")).unwrap(), "hello world");
    assert!(!real.join("new").exists());
}

#[test]
fn one_content_is_logged_once() {
    let bench = Bench::new();
    let big: Vec<u8> = (0..1_200_000_u32).flat_map(|n| n.to_le_bytes()).collect();
    bench.put("a", &big);
    bench.put("b", &big);
    let paths = [bench.path("a"), bench.path("b")];
    let steps: Vec<Step> = paths
        .into_iter()
        .map(|path| step(move |k, cx| show(slurp(k, cx, &path).map(|b| gapless_log::hash(&b).to_string()))))
        .collect();
    let (_, frames) = bench.record(&steps, 0);
    let bytes: usize = frames.iter().flat_map(|f| f.entries()).map(|e| e.body.len()).sum();
    assert!(bytes > big.len() && bytes < big.len() + 4096, "{bytes} logged for {} of content", big.len());
    let answers = bench.check(&steps);
    assert_eq!(answers[0], gapless_log::hash(&big).to_string());
    assert_eq!(answers[0], answers[1]);
}

/// Names and d_types in the order in which they are read, a few at a time, while `between` runs after the first portion.
fn list_slowly(
    k: &mut Kernel,
    cx: &mut Ctx<'_, '_>,
    dir: &[u8],
    mut between: impl FnMut(&mut Kernel, &mut Ctx<'_, '_>),
) -> String {
    let id = resolve(k, cx, libc::AT_FDCWD, dir, Last::Follow).map_err(|_| ()).unwrap().inode.unwrap();
    let mut at = 0;
    let mut out = Vec::new();
    loop {
        let entries = entries(k, cx, id, at).map_err(|_| ()).unwrap();
        let Some(portion) = entries.chunks(2).next() else { break };
        for entry in portion {
            out.push(String::from_utf8(entry.name.clone()).unwrap());
            at = entry.next;
        }
        if out.len() == 4 {
            between(k, cx);
        }
    }
    out.join(" ")
}

#[test]
fn a_host_file_has_its_number_there_and_no_two_files_have_one() {
    let bench = Bench::new();
    for name in ["a", "b"] {
        bench.put(name, name);
    }
    let [of_a, of_b] = ["a", "b"].map(|name| std::fs::metadata(bench.host().join(name)).unwrap().ino());
    let (dir, made) = (bench.path(""), bench.path("c"));
    let steps = [step(move |k, cx| {
        let id = resolve(k, cx, libc::AT_FDCWD, &dir, Last::Follow).map_err(|_| ()).unwrap().inode.unwrap();
        let listed = entries(k, cx, id, 2).map_err(|_| ()).unwrap();
        assert_eq!(listed.iter().map(|entry| entry.ino).collect::<Vec<_>>(), [of_a, of_b]);
        unit(put(k, cx, &made, b"the program's"));
        let ino = |k: &mut Kernel, cx: &mut Ctx<'_, '_>, name: &str| {
            let path = [&dir[..], name.as_bytes()].concat();
            let found = resolve(k, cx, libc::AT_FDCWD, &path, Last::Follow).map_err(|_| ()).unwrap();
            stat_number(&stat(k, found.inode.unwrap()))
        };
        let mut numbers = ["a", "b", "c"].map(|name| ino(k, cx, name)).to_vec();
        assert_eq!(numbers[..2], [of_a, of_b]);
        // Another device's file with the same number, and one with a number of its own that is too large.
        for number in [of_a, of_a, u64::MAX] {
            let seen = host::Seen {
                kind: Kind::Regular,
                mode: 0o644,
                uid: 0,
                gid: 0,
                nlink: 1,
                size: 1,
                modified: 0,
                changed: 0,
                identity: (1, number),
                target: Vec::new(),
            };
            let other = host::adopt(k, id, b"d", b"/d".to_vec(), seen, InodeId::of_host(number));
            numbers.push(stat_number(&stat(k, other)));
        }
        numbers.sort_unstable();
        numbers.dedup();
        numbers.len().to_string()
    })];
    assert_eq!(bench.check(&steps), ["6"]);
}

/// st_ino.
fn stat_number(stat: &[u8; 144]) -> u64 {
    u64::from_le_bytes(stat[8..16].try_into().unwrap())
}

#[test]
fn listings_survive_removal_and_show_whiteouts() {
    let bench = Bench::new();
    for name in ["a", "b", "c", "d", "e", "f"] {
        bench.put(name, name);
    }
    let dir = bench.path("");
    let (p1, p2, below) = (dir.clone(), dir.clone(), dir.clone());
    let steps = [
        step(move |k, cx| {
            list_slowly(k, cx, &p1, |k, cx| {
                for name in ["a", "b", "c", "e"] {
                    let path = [&below[..], name.as_bytes()].concat();
                    let at = resolve(k, cx, libc::AT_FDCWD, &path, Last::NoFollow).map_err(|_| ()).unwrap();
                    create::remove(k, cx, &at, false).map_err(|_| ()).unwrap();
                }
                put(k, cx, &[&below[..], b"new"].concat(), b"").map_err(|_| ()).unwrap();
            })
        }),
        step(move |k, cx| list_slowly(k, cx, &p2, |_, _| {})),
    ];
    assert_eq!(bench.check(&steps), [". .. a b d f new", ". .. d f new"]);
}

#[test]
fn hard_links_of_the_host_are_one_file() {
    let bench = Bench::new();
    bench.put("a", "one");
    std::fs::hard_link(bench.host().join("a"), bench.host().join("b")).unwrap();
    let (a, b, b2) = (bench.path("a"), bench.path("b"), bench.path("b"));
    let steps = [
        step(move |k, cx| text(k, cx, &b)),
        step(move |k, cx| unit(put(k, cx, &a, b"both"))),
        step(move |k, cx| text(k, cx, &b2)),
    ];
    assert_eq!(bench.check(&steps), ["one", "ok", "both"]);
}

#[test]
fn a_file_lives_while_it_is_open() {
    let bench = Bench::new();
    bench.put("a", "content");
    let path = bench.path("a");
    let steps = [step(move |k, cx| {
        let before = k.fs.inodes.len();
        let file = open_at(k, cx, &path, libc::O_RDWR).map_err(|_| ()).unwrap();
        let at = resolve(k, cx, libc::AT_FDCWD, &path, Last::NoFollow).map_err(|_| ()).unwrap();
        create::remove(k, cx, &at, false).map_err(|_| ()).unwrap();
        let gone = text(k, cx, &path);
        let seen = show(read(k, cx, file, 100).map(|b| String::from_utf8(b).unwrap()));
        let n = show(write_at(k, cx, inode_of(k, file).map_err(|_| ()).unwrap(), 0, b"x"));
        let name = String::from_utf8(path_of(k, inode_of(k, file).map_err(|_| ()).unwrap())).unwrap();
        let_go(k, cx, file);
        let left = k.fs.inodes.len() as i64 - before as i64;
        // What is left are the directories on the way.
        format!("{gone} {seen} {n} {} {}", name.ends_with("/a (deleted)"), left < 8)
    })];
    assert_eq!(bench.check(&steps), ["ENOENT content 1 true true"]);
}

#[test]
fn devices_behave() {
    let bench = Bench::new();
    let steps = [
        step(|k, cx| text(k, cx, b"/dev/null")),
        step(|k, cx| {
            let file = open_at(k, cx, b"/dev/zero", libc::O_RDWR).map_err(|_| ()).unwrap();
            let zeroes = show(read(k, cx, file, 5).map(|b| format!("{b:?}")));
            let_go(k, cx, file);
            zeroes
        }),
        step(|k, cx| {
            let file = open_at(k, cx, b"/dev/full", libc::O_WRONLY).map_err(|_| ()).unwrap();
            let answer = show(write(k, cx, file, b"x"));
            let_go(k, cx, file);
            answer
        }),
        step(|k, cx| {
            let file = open_at(k, cx, b"/dev/urandom", libc::O_RDONLY).map_err(|_| ()).unwrap();
            let bytes = show(read(k, cx, file, 8).map(|b| format!("{b:?}")));
            let_go(k, cx, file);
            bytes
        }),
        step(|k, cx| text(k, cx, b"/dev/tty")),
        step(|k, cx| text(k, cx, b"/dev/sda")),
        step(|k, cx| unit(put(k, cx, b"/dev/shm/segment", b"shared"))),
        step(|k, cx| text(k, cx, b"/dev/shm/segment")),
    ];
    let answers = bench.check(&steps);
    assert_eq!(answers[..3], ["", "[0, 0, 0, 0, 0]", "errno 28"]);
    assert_eq!(answers[4..], ["ENXIO", "ENOENT", "ok", "shared"]);
}

#[test]
fn a_shared_mapping_and_writes_are_one() {
    let bench = Bench::new();
    bench.put("a", "0123456789");
    let path = bench.path("a");
    let steps = [step(move |k, cx| {
        use std::os::unix::fs::FileExt;
        let file = open_at(k, cx, &path, libc::O_RDWR).map_err(|_| ()).unwrap();
        let (_, fd) = fd_for_map(k, cx, file, true, true).map_err(|_| ()).unwrap();
        // What the tracee would do through its mapping, done through the descriptor.
        let real = std::fs::File::from(fd);
        real.write_all_at(b"AB", 0).unwrap();
        let id = inode_of(k, file).map_err(|_| ()).unwrap();
        write_at(k, cx, id, 8, b"YZ").map_err(|_| ()).unwrap();
        let seen = show(read_at(k, cx, id, 0, 100).map(|b| String::from_utf8(b).unwrap()));
        let mut buf = [0; 10];
        real.read_exact_at(&mut buf, 0).unwrap();
        let_go(k, cx, file);
        format!("{seen} {}", String::from_utf8_lossy(&buf))
    })];
    assert_eq!(bench.check(&steps), ["AB234567YZ AB234567YZ"]);
}

#[test]
fn a_fifo_joins_two_openers() {
    let bench = Bench::new();
    let path = bench.path("fifo");
    let steps = [step(move |k, cx| {
        let at = resolve(k, cx, libc::AT_FDCWD, &path, Last::NoFollow).map_err(|_| ()).unwrap();
        create::make_node(k, cx, &at, Node::Fifo(None), 0o600).map_err(|_| ()).unwrap();
        let nobody = is_errno(&open_at(k, cx, &path, libc::O_WRONLY | libc::O_NONBLOCK), libc::ENXIO);
        let call = crate::kernel::Call { tries: 1, ..crate::kernel::Call::new(257, [0; 6]) };
        // The reader waits ...
        let waits = matches!(open_or_wait(k, cx, libc::AT_FDCWD, &path, libc::O_RDONLY, 0), Ok(Opened::Wait(_)));
        k.thread_mut(Tid(2)).call = Some(call);
        // ... until a writer comes, who need not wait.
        (cx.tid, cx.pid) = (Tid(3), Pid(3));
        let Ok(Opened::File(writer)) = open_or_wait(k, cx, libc::AT_FDCWD, &path, libc::O_WRONLY, 0) else {
            return "the writer waits although a reader is there".to_owned();
        };
        crate::object::write(k, cx, writer, b"through", None).map_err(|_| ()).unwrap();
        let_go(k, cx, writer);
        (cx.tid, cx.pid) = (Tid(2), Pid(2));
        k.thread_mut(Tid(2)).call = None;
        // Even a writer that is gone again has let the reader in, and its bytes are there.
        let Ok(Opened::File(reader)) = open_or_wait(k, cx, libc::AT_FDCWD, &path, libc::O_RDONLY, 0) else {
            return "the reader still waits".to_owned();
        };
        let end = show(crate::object::read(k, cx, reader, 100, None).map(|b| String::from_utf8(b).unwrap()));
        let_go(k, cx, reader);
        format!("{nobody} {waits} [{end}]")
    })];
    assert_eq!(bench.check(&steps), ["true true [through]"]);
}

#[test]
fn names_have_a_longest_length_and_links_an_end() {
    let bench = Bench::new();
    std::os::unix::fs::symlink("turn", bench.host().join("turn")).unwrap();
    let (just, over) = (bench.path(&"n".repeat(255)), bench.path(&"n".repeat(256)));
    let (turn, deep) = (bench.path("turn"), bench.path("turn/x"));
    let steps = [
        step(move |k, cx| unit(put(k, cx, &just, b"fits"))),
        step(move |k, cx| unit(put(k, cx, &over, b"does not"))),
        step(move |k, cx| text(k, cx, &turn)),
        step(move |k, cx| text(k, cx, &deep)),
        step(|k, cx| text(k, cx, b"")),
    ];
    assert_eq!(bench.check(&steps), ["ok", "ENAMETOOLONG", "ELOOP", "ELOOP", "ENOENT"]);
}
