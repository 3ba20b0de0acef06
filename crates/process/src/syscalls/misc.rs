//! Identity, limits, and what else a program asks about its machine.

use super::{SysResult, fd::refuse};
use crate::kernel::{Ctx, Fail, Kernel, Limit, Pid, Thread, done, fail, input};

/// uname(2): the release is one that all hosts agree on; the names are the launch's.
pub fn uname(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    let mut raw = Vec::with_capacity(6 * 65);
    for field in [b"Linux".as_slice(), &k.hostname, b"6.1.0-gapless", b"#1 SMP", b"x86_64", b"(none)"] {
        let mut part = field[..field.len().min(64)].to_vec();
        part.resize(65, 0);
        raw.extend_from_slice(&part);
    }
    cx.write(a[0], &raw)?;
    done(0)
}

/// sethostname(2), setdomainname(2): the host's names are not the program's to change.
pub fn sethostname(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    if k.process(cx.pid).creds.uid[1] != 0 {
        return fail(libc::EPERM);
    }
    if a[1] > 64 {
        return fail(libc::EINVAL);
    }
    k.hostname = cx.read(a[0], a[1] as usize)?;
    done(0)
}

/// sysinfo(2): an input.
pub fn sysinfo(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    let now = cx.clock(k)?;
    let raw = cx.io.bytes(k.position, input::OPTION, |world| world.sysinfo())?;
    let mut raw = raw;
    raw.resize(112, 0);
    raw[..8].copy_from_slice(&(now / 1_000_000_000).to_le_bytes());
    raw[80..82].copy_from_slice(&(k.processes.len() as u16).to_le_bytes());
    cx.write(a[0], &raw)?;
    done(0)
}

/// getrandom(2): from the seeded generator, so nothing is logged.
pub fn getrandom(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    let known = libc::GRND_NONBLOCK | libc::GRND_RANDOM | libc::GRND_INSECURE;
    if a[2] as u32 & !known != 0 {
        return fail(libc::EINVAL);
    }
    let bytes = k.random.bytes(a[1].min(32 << 20) as usize);
    cx.write(a[0], &bytes)?;
    done(bytes.len())
}

/// arch_prctl(2): segment bases are registers of the program.
pub fn arch_prctl(_: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    const ARCH_SET_GS: u64 = 0x1001;
    const ARCH_SET_FS: u64 = 0x1002;
    const ARCH_GET_FS: u64 = 0x1003;
    const ARCH_GET_GS: u64 = 0x1004;
    const USER_END: u64 = 1 << 47;
    let (fs, gs) = (cx.tracee().regs().fs_base, cx.tracee().regs().gs_base);
    match a[0] {
        ARCH_SET_FS | ARCH_SET_GS if a[1] >= USER_END => return fail(libc::EPERM),
        ARCH_SET_FS => cx.tracee().regs_mut().fs_base = a[1],
        ARCH_SET_GS => cx.tracee().regs_mut().gs_base = a[1],
        ARCH_GET_FS => cx.write(a[1], &fs.to_le_bytes())?,
        ARCH_GET_GS => cx.write(a[1], &gs.to_le_bytes())?,
        _ => return fail(libc::EINVAL),
    }
    done(0)
}

/// prctl(2).
pub fn prctl(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    const PR_SET_VMA: i32 = 0x5356_4d41;
    let op = a[0] as i32;
    match op {
        libc::PR_SET_NAME => {
            let mut name = cx.read_string(a[1], 4096)?;
            name.truncate(15);
            k.thread_mut(cx.tid).name = name;
        }
        libc::PR_GET_NAME => {
            let mut name = k.thread(cx.tid).name.clone();
            name.resize(16, 0);
            cx.write(a[1], &name)?;
        }
        libc::PR_SET_PDEATHSIG => {
            if a[1] > 64 {
                return fail(libc::EINVAL);
            }
            k.process_mut(cx.pid).parent_death_signal = a[1] as i32;
        }
        libc::PR_GET_PDEATHSIG => {
            let signal = k.process(cx.pid).parent_death_signal;
            cx.write(a[1], &signal.to_le_bytes())?;
        }
        libc::PR_SET_CHILD_SUBREAPER => k.process_mut(cx.pid).subreaper = a[1] != 0,
        libc::PR_GET_CHILD_SUBREAPER => {
            let on = u32::from(k.process(cx.pid).subreaper);
            cx.write(a[1], &on.to_le_bytes())?;
        }
        libc::PR_GET_DUMPABLE => {
            return done(k.process(cx.pid).prctl.get(&libc::PR_SET_DUMPABLE).copied().unwrap_or(1));
        }
        libc::PR_GET_KEEPCAPS => {
            return done(k.process(cx.pid).prctl.get(&libc::PR_SET_KEEPCAPS).copied().unwrap_or(0));
        }
        libc::PR_GET_NO_NEW_PRIVS => {
            return done(k.process(cx.pid).prctl.get(&libc::PR_SET_NO_NEW_PRIVS).copied().unwrap_or(0));
        }
        libc::PR_SET_DUMPABLE if a[1] > 1 => return fail(libc::EINVAL),
        libc::PR_SET_NO_NEW_PRIVS if a[1..5] != [1, 0, 0, 0] => return fail(libc::EINVAL),
        libc::PR_SET_TIMERSLACK => {
            k.thread_mut(cx.tid).timer_slack = if a[1] as i64 > 0 { a[1] } else { Thread::TIMER_SLACK };
        }
        libc::PR_SET_DUMPABLE
        | libc::PR_SET_KEEPCAPS
        | libc::PR_SET_NO_NEW_PRIVS
        | libc::PR_SET_THP_DISABLE
        | libc::PR_SET_PTRACER
        | PR_SET_VMA => {
            k.process_mut(cx.pid).prctl.insert(op, a[1]);
        }
        libc::PR_GET_TIMERSLACK => return done(k.thread(cx.tid).timer_slack),
        libc::PR_CAPBSET_READ => return if a[1] <= 40 { done(1) } else { fail(libc::EINVAL) },
        libc::PR_GET_SECUREBITS => return done(0),
        libc::PR_SET_SECCOMP => return Err(refuse("seccomp")),
        libc::PR_GET_SECCOMP => return done(0),
        libc::PR_SET_TSC | libc::PR_GET_TSC => return fail(libc::EINVAL),
        _ => return fail(libc::EINVAL),
    }
    done(0)
}

/// personality(2): what it is cannot be changed, asking is fine.
pub fn personality(_: &mut Kernel, _: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    const ADDR_NO_RANDOMIZE: u64 = 0x004_0000;
    if a[0] as u32 == u32::MAX || a[0] == ADDR_NO_RANDOMIZE || a[0] == 0 { done(0) } else { fail(libc::EINVAL) }
}

// ---- users and groups ----

fn uid(k: &Kernel, cx: &Ctx<'_, '_>, which: usize) -> SysResult {
    done(k.process(cx.pid).creds.uid[which])
}

fn gid(k: &Kernel, cx: &Ctx<'_, '_>, which: usize) -> SysResult {
    done(k.process(cx.pid).creds.gid[which])
}

/// getuid(2).
pub fn getuid(k: &mut Kernel, cx: &mut Ctx<'_, '_>, _: &[u64; 6]) -> SysResult {
    uid(k, cx, 0)
}

/// geteuid(2).
pub fn geteuid(k: &mut Kernel, cx: &mut Ctx<'_, '_>, _: &[u64; 6]) -> SysResult {
    uid(k, cx, 1)
}

/// getgid(2).
pub fn getgid(k: &mut Kernel, cx: &mut Ctx<'_, '_>, _: &[u64; 6]) -> SysResult {
    gid(k, cx, 0)
}

/// getegid(2).
pub fn getegid(k: &mut Kernel, cx: &mut Ctx<'_, '_>, _: &[u64; 6]) -> SysResult {
    gid(k, cx, 1)
}

fn get_three(k: &Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6], users: bool) -> SysResult {
    let creds = &k.process(cx.pid).creds;
    let ids = if users { creds.uid } else { creds.gid };
    for i in 0..3 {
        cx.write(a[i], &ids[i].to_le_bytes())?;
    }
    done(0)
}

/// getresuid(2).
pub fn getresuid(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    get_three(k, cx, a, true)
}

/// getresgid(2).
pub fn getresgid(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    get_three(k, cx, a, false)
}

/// Sets real, effective and saved id; -1 keeps one. Without privilege each must be one of the present three.
fn set_three(k: &mut Kernel, cx: &Ctx<'_, '_>, wanted: [u32; 3], users: bool) -> SysResult {
    let creds = &mut k.process_mut(cx.pid).creds;
    let privileged = creds.uid[1] == 0;
    let ids = if users { &mut creds.uid } else { &mut creds.gid };
    let old = *ids;
    let allowed = |id: u32| privileged || id == u32::MAX || old[..3].contains(&id);
    if !wanted.iter().all(|&id| allowed(id)) {
        return fail(libc::EPERM);
    }
    for (i, &id) in wanted.iter().enumerate() {
        if id != u32::MAX {
            ids[i] = id;
        }
    }
    ids[3] = ids[1];
    done(0)
}

/// setuid(2): all three if privileged, else the effective one.
pub fn setuid(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    let id = a[0] as u32;
    let keep = u32::MAX;
    let wanted = if k.process(cx.pid).creds.uid[1] == 0 { [id; 3] } else { [keep, id, keep] };
    set_three(k, cx, wanted, true)
}

/// setgid(2).
pub fn setgid(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    let id = a[0] as u32;
    let keep = u32::MAX;
    let wanted = if k.process(cx.pid).creds.uid[1] == 0 { [id; 3] } else { [keep, id, keep] };
    set_three(k, cx, wanted, false)
}

fn set_two(k: &mut Kernel, cx: &Ctx<'_, '_>, a: &[u64; 6], users: bool) -> SysResult {
    let (real, effective) = (a[0] as u32, a[1] as u32);
    let creds = &k.process(cx.pid).creds;
    let old = if users { creds.uid } else { creds.gid };
    let saved = if real != u32::MAX || (effective != u32::MAX && effective != old[0]) {
        if effective == u32::MAX { old[1] } else { effective }
    } else {
        u32::MAX
    };
    set_three(k, cx, [real, effective, u32::MAX], users)?;
    let creds = &mut k.process_mut(cx.pid).creds;
    let ids = if users { &mut creds.uid } else { &mut creds.gid };
    if saved != u32::MAX {
        ids[2] = saved;
    }
    done(0)
}

/// setreuid(2).
pub fn setreuid(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    set_two(k, cx, a, true)
}

/// setregid(2).
pub fn setregid(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    set_two(k, cx, a, false)
}

/// setresuid(2).
pub fn setresuid(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    set_three(k, cx, [a[0] as u32, a[1] as u32, a[2] as u32], true)
}

/// setresgid(2).
pub fn setresgid(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    set_three(k, cx, [a[0] as u32, a[1] as u32, a[2] as u32], false)
}

/// setfsuid(2): answers the old one.
pub fn setfsuid(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    let creds = &mut k.process_mut(cx.pid).creds;
    let (old, id) = (creds.uid[3], a[0] as u32);
    if creds.uid[1] == 0 || creds.uid.contains(&id) {
        creds.uid[3] = id;
    }
    done(old)
}

/// setfsgid(2).
pub fn setfsgid(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    let creds = &mut k.process_mut(cx.pid).creds;
    let (old, id) = (creds.gid[3], a[0] as u32);
    if creds.uid[1] == 0 || creds.gid.contains(&id) {
        creds.gid[3] = id;
    }
    done(old)
}

/// getgroups(2).
pub fn getgroups(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    let groups = k.process(cx.pid).creds.groups.clone();
    if a[0] != 0 {
        if (a[0] as usize) < groups.len() {
            return fail(libc::EINVAL);
        }
        cx.write(a[1], &groups.iter().flat_map(|g| g.to_le_bytes()).collect::<Vec<u8>>())?;
    }
    done(groups.len())
}

/// setgroups(2).
pub fn setgroups(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    if k.process(cx.pid).creds.uid[1] != 0 {
        return fail(libc::EPERM);
    }
    if a[0] > 65536 {
        return fail(libc::EINVAL);
    }
    let raw = cx.read(a[1], a[0] as usize * 4)?;
    k.process_mut(cx.pid).creds.groups =
        raw.chunks_exact(4).map(|g| u32::from_le_bytes(g.try_into().expect("4 bytes"))).collect();
    done(0)
}

/// capget(2): all for user 0, none for others.
pub fn capget(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    const VERSION_3: u32 = 0x2008_0522;
    let version = cx.read_u32(a[0])?;
    if version != VERSION_3 {
        cx.write(a[0], &VERSION_3.to_le_bytes())?;
        return if a[1] == 0 { done(0) } else { fail(libc::EINVAL) };
    }
    if a[1] != 0 {
        let all: u64 = if k.process(cx.pid).creds.uid[1] == 0 { (1 << 41) - 1 } else { 0 };
        let (low, high) = (all as u32, (all >> 32) as u32);
        let words = [low, low, 0, high, high, 0];
        cx.write(a[1], &words.iter().flat_map(|w| w.to_le_bytes()).collect::<Vec<u8>>())?;
    }
    done(0)
}

// ---- limits ----

fn set_limit(k: &mut Kernel, pid: Pid, resource: usize, limit: Limit) -> Result<(), Fail> {
    let old = k.process(pid).limit(resource);
    if limit.soft > limit.hard {
        return fail(libc::EINVAL);
    }
    if limit.hard > old.hard && k.process(pid).creds.uid[1] != 0 {
        return fail(libc::EPERM);
    }
    k.process_mut(pid).limits.insert(resource, limit);
    Ok(())
}

/// prlimit64(2).
pub fn prlimit64(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    let pid = if a[0] as i32 == 0 { cx.pid } else { Pid(a[0] as i32) };
    let resource = a[1] as usize;
    if resource >= 16 {
        return fail(libc::EINVAL);
    }
    if !k.processes.contains_key(&pid) {
        return fail(libc::ESRCH);
    }
    let old = k.process(pid).limit(resource);
    if a[2] != 0 {
        let limit = Limit { soft: cx.read_u64(a[2])?, hard: cx.read_u64(a[2] + 8)? };
        set_limit(k, pid, resource, limit)?;
    }
    if a[3] != 0 {
        cx.write(a[3], &old.soft.to_le_bytes())?;
        cx.write(a[3] + 8, &old.hard.to_le_bytes())?;
    }
    done(0)
}

/// getrlimit(2).
pub fn getrlimit(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    prlimit64(k, cx, &[0, a[0], 0, a[1], 0, 0])
}

/// setrlimit(2).
pub fn setrlimit(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    prlimit64(k, cx, &[0, a[0], a[1], 0, 0, 0])
}

// ---- what there is only one of ----

/// Requests whose effect nobody can see here: mbind, ioprio_set ...
pub fn accepted(_: &mut Kernel, _: &mut Ctx<'_, '_>, _: &[u64; 6]) -> SysResult {
    done(0)
}

/// membarrier(2): with one thread running at a time every barrier is kept; the query says so.
pub fn membarrier(_: &mut Kernel, _: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    const QUERY: i32 = 0;
    const SUPPORTED: u64 = 0x1f;
    if a[0] as i32 == QUERY { done(SUPPORTED) } else { done(0) }
}

/// get_mempolicy(2): the default.
pub fn get_mempolicy(_: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    if a[0] != 0 {
        cx.write(a[0], &[0; 4])?;
    }
    if a[1] != 0 && a[2] >= 64 {
        cx.write(a[1], &1u64.to_le_bytes())?;
    }
    done(0)
}
