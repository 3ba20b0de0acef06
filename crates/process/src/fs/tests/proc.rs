//! /proc shows the model, and the host's own files as inputs.

use super::*;
use crate::kernel::Descriptor;

#[test]
fn processes_are_shown_under_their_virtual_numbers() {
    let bench = Bench::new();
    let steps = [
        step(|k, cx| text(k, cx, b"/proc/self/cmdline")),
        step(|k, cx| text(k, cx, b"/proc/3/comm")),
        step(|k, cx| text(k, cx, b"/proc/4/comm")),
        step(|k, cx| text(k, cx, b"/proc/self/stat").split(' ').count().to_string()),
        step(|k, cx| {
            let status = text(k, cx, b"/proc/thread-self/status");
            let line = |name: &str| status.lines().find(|l| l.starts_with(name)).unwrap_or("none").to_owned();
            format!("{} {} {}", line("Pid:"), line("Uid:"), line("Threads:"))
        }),
        step(|k, cx| {
            let id = resolve(k, cx, libc::AT_FDCWD, b"/proc", Last::Follow).map_err(|_| ()).unwrap().inode.unwrap();
            let entries = entries(k, cx, id, 0).map_err(|_| ()).unwrap();
            let numbers = entries.iter().map(|e| String::from_utf8(e.name.clone()).unwrap());
            numbers.filter(|n| n.parse::<i32>().is_ok()).collect::<Vec<_>>().join(" ")
        }),
        step(|k, cx| {
            let id = resolve(k, cx, libc::AT_FDCWD, b"/proc/self/exe", Last::NoFollow).map_err(|_| ()).unwrap();
            show(link_text(k, cx, id.inode.unwrap()).map(|t| String::from_utf8(t).unwrap()))
        }),
    ];
    let answers = bench.check(&steps);
    assert_eq!(answers[0], "program\0argument\0");
    assert_eq!(answers[2], "ENOENT");
    assert_eq!(answers[3], "52");
    assert_eq!(answers[4], "Pid:\t2 Uid:\t0\t0\t0\t0 Threads:\t1");
    assert_eq!(answers[5], "2 3");
    assert_eq!(answers[6], "/bin/program");
}

#[test]
fn the_hosts_own_files_are_inputs_each_time() {
    let bench = Bench::new();
    let steps = [
        step(|k, cx| text(k, cx, b"/proc/uptime")),
        step(|k, cx| text(k, cx, b"/proc/uptime")),
        step(|k, cx| text(k, cx, b"/proc/sys/kernel/ostype")),
        step(|k, cx| unit(put(k, cx, b"/proc/sys/kernel/hostname", b"x"))),
        step(|k, cx| unit(put(k, cx, b"/proc/self/oom_score_adj", b"-17"))),
        step(|k, cx| unit(put(k, cx, b"/proc/self/made-up", b"x"))),
        step(|k, cx| unit(put(k, cx, b"/sys/made-up", b"x"))),
    ];
    let answers = bench.check(&steps);
    assert!(answers[0].contains('.'));
    assert_eq!(answers[2..], ["Linux\n", "EACCES", "ok", "ENOENT", "EPERM"]);
}

#[test]
fn descriptors_can_be_opened_again() {
    let bench = Bench::new();
    bench.put("a", "content");
    let path = bench.path("a");
    let steps = [step(move |k, cx| {
        let file = open_at(k, cx, &path, libc::O_RDONLY).map_err(|_| ()).unwrap();
        let at = resolve(k, cx, libc::AT_FDCWD, &path, Last::NoFollow).map_err(|_| ()).unwrap();
        let old = k.process_mut(PID).fds.set(7, Descriptor { file, close_on_exec: false });
        assert!(old.is_none());
        create::remove(k, cx, &at, false).map_err(|_| ()).unwrap();
        let again = text(k, cx, b"/dev/fd/7");
        let missing = text(k, cx, b"/dev/fd/8");
        let id = crate::object::pipe::create(k);
        crate::object::pipe::open(k, id, crate::object::pipe::End::Read);
        let end = k.open(crate::object::Object::Pipe(id, crate::object::pipe::End::Read), libc::O_RDONLY);
        let old = k.process_mut(PID).fds.set(8, Descriptor { file: end, close_on_exec: false });
        assert!(old.is_none());
        let writer = open_at(k, cx, b"/dev/fd/8", libc::O_WRONLY | libc::O_APPEND).map_err(|_| ()).unwrap();
        crate::object::write(k, cx, writer, b"piped", None).map_err(|_| ()).unwrap();
        let through = show(crate::object::read(k, cx, end, 100, None).map(|b| String::from_utf8(b).unwrap()));
        let link = resolve(k, cx, libc::AT_FDCWD, b"/proc/self/fd/8", Last::NoFollow).map_err(|_| ()).unwrap();
        let name = show(link_text(k, cx, link.inode.unwrap()).map(|t| String::from_utf8(t).unwrap()));
        format!("{again} {missing} {through} {}", name.starts_with("pipe:["))
    })];
    assert_eq!(bench.check(&steps), ["content ENOENT piped true"]);
}
