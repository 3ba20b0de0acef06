//! flock between open files. Record locks are tested where they are computed.

use super::*;
use crate::kernel::{Key, Outcome};

#[test]
fn flock_excludes_and_is_let_go_by_close() {
    let bench = Bench::new();
    bench.put("a", "");
    let path = bench.path("a");
    let steps = [step(move |k, cx| {
        let one = open_at(k, cx, &path, libc::O_RDWR).map_err(|_| ()).unwrap();
        let two = open_at(k, cx, &path, libc::O_RDWR).map_err(|_| ()).unwrap();
        let inode = inode_of(k, one).map_err(|_| ()).unwrap();
        let mut out = vec![matches!(flock(k, one, libc::LOCK_EX), Ok(Outcome::Done(0)))];
        out.push(is_errno(&flock(k, two, libc::LOCK_SH | libc::LOCK_NB), libc::EWOULDBLOCK));
        out.push(matches!(flock(k, two, libc::LOCK_SH), Ok(Outcome::Block(w)) if w.on == [Key::Lock(inode.0)]));
        out.push(matches!(flock(k, one, libc::LOCK_SH), Ok(Outcome::Done(0))));
        out.push(matches!(flock(k, two, libc::LOCK_SH), Ok(Outcome::Done(0))));
        out.push(is_errno(&flock(k, two, libc::LOCK_EX | libc::LOCK_NB), libc::EWOULDBLOCK));
        let_go(k, cx, one);
        out.push(matches!(flock(k, two, libc::LOCK_EX), Ok(Outcome::Done(0))));
        let_go(k, cx, two);
        out.push(k.fs.locks.is_empty());
        format!("{:?}", out.iter().position(|&ok| !ok))
    })];
    assert_eq!(bench.check(&steps), ["None"]);
}
