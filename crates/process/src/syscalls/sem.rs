//! System V semaphores: semget, semop, semtimedop, semctl.

use super::SysResult;
use crate::ipc::sem::{self, Operation, Semaphore, Set, VALUE_MAX};
use crate::ipc::{Perm, shm};
use crate::kernel::{Ctx, Errno, Fail, Kernel, Key, Outcome, Wait, done, fail};

/// SEMMNI.
const SETS_MAX: usize = 32_000;
/// SEMMSL.
const SEMAPHORES_MAX: i32 = 32_000;
/// SEMMNS.
const ALL_MAX: u32 = 1_024_000_000;
/// SEMOPM.
const OPERATIONS_MAX: u64 = 500;
/// Commands of semctl that libc does not name.
const IPC_INFO: i32 = 3;
const SEM_STAT: i32 = 18;
const SEM_INFO: i32 = 19;
const SEM_STAT_ANY: i32 = 20;

/// semget(2).
pub fn semget(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    let (key, count, flags) = (a[0] as i32, a[1] as i32, a[2] as i32);
    if !(0..=SEMAPHORES_MAX).contains(&count) {
        return fail(libc::EINVAL);
    }
    let creds = k.process(cx.pid).creds.clone();
    if let Some(id) = k.ipc.sem.open(key, flags, &creds, |set| count as usize <= set.semaphores.len())? {
        return done(id);
    }
    if count == 0 {
        return fail(libc::EINVAL);
    }
    let semaphores = vec![Semaphore::default(); count as usize];
    let set = Set { semaphores, operated: 0, changed: shm::seconds(k), wanted: Default::default() };
    done(k.ipc.sem.add(SETS_MAX, Perm::new(key, flags, &creds), set)?)
}

/// semop(2).
pub fn semop(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    semtimedop(k, cx, &[a[0], a[1], a[2], 0, 0, 0])
}

/// semtimedop(2).
pub fn semtimedop(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    let (id, count, timeout) = (a[0] as i32, a[2], a[3]);
    if std::mem::take(&mut k.thread_mut(cx.tid).granted) {
        return done(0);
    }
    let again = k.call(cx.tid).tries > 0;
    let operations = if again {
        // What it wants is what it wanted when it came, whatever has become of its memory.
        match k.ipc.sem.get(id) {
            Ok((_, set)) => set.wanted.get(&cx.tid).cloned().unwrap_or_default(),
            Err(_) => return fail(libc::EIDRM),
        }
    } else {
        let operations = asked(k, cx, id, a[1], count)?;
        if timeout != 0 {
            let time = cx.read_timespec(timeout)?;
            k.call_mut(cx.tid).deadline = Some(cx.clock(k)?.saturating_add(time));
        }
        operations
    };
    let deadline = k.call(cx.tid).deadline;
    if sem::operate(k, id, cx.tid, &operations)? {
        return done(0);
    }
    if deadline.is_some_and(|deadline| k.now >= deadline) {
        k.ipc.sem.get_mut(id)?.1.wanted.remove(&cx.tid);
        return fail(libc::EAGAIN);
    }
    Ok(Outcome::Block(Wait::key(Key::Semaphore(id)).until(deadline)))
}

/// The operations at an address, which the caller may ask for.
fn asked(k: &Kernel, cx: &mut Ctx<'_, '_>, id: i32, addr: u64, count: u64) -> Result<Vec<Operation>, Fail> {
    if count == 0 || id < 0 {
        return fail(libc::EINVAL);
    }
    if count > OPERATIONS_MAX {
        return fail(libc::E2BIG);
    }
    let raw = cx.read(addr, count as usize * 6)?;
    let half = |at: &[u8], n: usize| [at[2 * n], at[2 * n + 1]];
    let parse = |at: &[u8]| Operation {
        number: u16::from_le_bytes(half(at, 0)),
        by: i16::from_le_bytes(half(at, 1)),
        flags: i16::from_le_bytes(half(at, 2)),
    };
    let operations: Vec<Operation> = raw.chunks_exact(6).map(parse).collect();
    let (perm, set) = k.ipc.sem.get(id)?;
    if operations.iter().any(|op| usize::from(op.number) >= set.semaphores.len()) {
        return fail(libc::EFBIG);
    }
    let alters = operations.iter().any(|op| op.by != 0);
    perm.may(&k.process(cx.pid).creds, if alters { 0o222 } else { 0o444 })?;
    Ok(operations)
}

/// semctl(2).
pub fn semctl(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    let (id, number, command, arg) = (a[0] as i32, a[1] as i32, a[2] as i32, a[3]);
    if id < 0 {
        return fail(libc::EINVAL);
    }
    match command {
        IPC_INFO | SEM_INFO => {
            let (used, all) = (k.ipc.sem.len(), k.ipc.sem.iter().map(|set| set.semaphores.len()).sum::<usize>());
            // struct seminfo; SEM_INFO says how much is used where IPC_INFO says what nobody looks at.
            let (usz, aem) = if command == SEM_INFO { (used as u32, all as u32) } else { (20, VALUE_MAX as u32) };
            let (sets, largest, operations) = (SETS_MAX as u32, SEMAPHORES_MAX as u32, OPERATIONS_MAX as u32);
            let words = [ALL_MAX, sets, ALL_MAX, ALL_MAX, largest, operations, operations, usz, VALUE_MAX as u32, aem];
            cx.write(arg, &words.map(u32::to_le_bytes).concat())?;
            done(k.ipc.sem.highest())
        }
        libc::IPC_STAT => stat(k, cx, id, arg, true),
        SEM_STAT | SEM_STAT_ANY => {
            let id = k.ipc.sem.id_in_slot(id)?;
            stat(k, cx, id, arg, command == SEM_STAT)?;
            done(id)
        }
        libc::IPC_SET => {
            let raw = cx.read_array(arg)?;
            let now = shm::seconds(k);
            let (perm, set) = k.ipc.sem.get_mut(id)?;
            perm.may_control(&k.processes[&cx.pid].creds)?;
            perm.set(&raw);
            set.changed = now;
            done(0)
        }
        libc::IPC_RMID => {
            k.ipc.sem.get(id)?.0.may_control(&k.process(cx.pid).creds)?;
            sem::remove(k, id);
            done(0)
        }
        libc::GETALL | libc::GETVAL | libc::GETPID | libc::GETNCNT | libc::GETZCNT => {
            let (perm, set) = k.ipc.sem.get(id)?;
            perm.may(&k.process(cx.pid).creds, 0o444)?;
            if command == libc::GETALL {
                let values: Vec<u8> = set.semaphores.iter().flat_map(|s| (s.value as u16).to_le_bytes()).collect();
                cx.write(arg, &values)?;
                return done(0);
            }
            let place = place(set, number)?;
            match command {
                libc::GETVAL => done(set.semaphores[usize::from(place)].value),
                libc::GETPID => done(set.semaphores[usize::from(place)].pid.0),
                _ => done(sem::count_waiting(k, id, place, command == libc::GETZCNT)?),
            }
        }
        libc::SETVAL => {
            let value = arg as i32;
            let places = vec![(place(k.ipc.sem.get(id)?.1, number)?, value)];
            set_values(k, cx, id, &places, Some(places[0].0))
        }
        libc::SETALL => {
            let count = k.ipc.sem.get(id)?.1.semaphores.len();
            let raw = cx.read(arg, count * 2)?;
            let values = raw.chunks_exact(2).map(|pair| i32::from(u16::from_le_bytes([pair[0], pair[1]])));
            let places: Vec<(u16, i32)> = (0..).zip(values).collect();
            set_values(k, cx, id, &places, None)
        }
        _ => fail(libc::EINVAL),
    }
}

fn place(set: &Set, number: i32) -> Result<u16, Fail> {
    let place = u16::try_from(number).ok().filter(|&n| usize::from(n) < set.semaphores.len());
    place.ok_or(Fail::Errno(Errno(libc::EINVAL)))
}

/// SETVAL and SETALL; nothing that was done before is undone any more.
fn set_values(k: &mut Kernel, cx: &mut Ctx<'_, '_>, id: i32, places: &[(u16, i32)], only: Option<u16>) -> SysResult {
    let now = shm::seconds(k);
    let (perm, set) = k.ipc.sem.get_mut(id)?;
    perm.may(&k.processes[&cx.pid].creds, 0o222)?;
    if places.iter().any(|(_, value)| !(0..=VALUE_MAX).contains(value)) {
        return fail(libc::ERANGE);
    }
    for &(place, value) in places {
        set.semaphores[usize::from(place)] = Semaphore { value, pid: cx.pid };
    }
    set.changed = now;
    sem::forget_undo(k, id, only);
    sem::serve(k, id);
    done(0)
}

fn stat(k: &mut Kernel, cx: &mut Ctx<'_, '_>, id: i32, buf: u64, ask: bool) -> SysResult {
    let (perm, set) = k.ipc.sem.get(id)?;
    if ask {
        perm.may(&k.process(cx.pid).creds, 0o444)?;
    }
    cx.write(buf, &set.stat(id, perm))?;
    done(0)
}
