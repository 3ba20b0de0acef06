//! The verdicts: from facts to rows, without touching the host.

use super::{Disk, Facts, Limit, Limits, Probed, Row, Status};

/// The oldest kernel with all that the process level calls (`PTRACE_GET_SYSCALL_INFO`).
const KERNEL_MIN: (u32, u32) = (5, 3);
/// Sockets, files and one descriptor a connection: below this a server soon runs out.
const FILES_WANTED: u64 = 4096;
const PROCESSES_WANTED: u64 = 1024;
const MEMORY_WANTED: u64 = 512 << 20;
const DISK_WANTED: u64 = 1 << 30;
/// A sync slower than this is felt in every answer at commit level `durable`.
const SYNC_WANTED_US: u64 = 10_000;

/// The table, in the order in which things matter.
pub fn rows(facts: &Facts) -> Vec<Row> {
    let mut rows = vec![
        kernel(facts),
        needed(
            "ptrace",
            &facts.ptrace,
            "a child was seized, stopped, read and changed",
            "the supervisor stops the program at each of its system calls",
            "run as a user who may trace its own children; in a container add --cap-add=SYS_PTRACE",
        ),
        ptrace_scope(facts.ptrace_scope),
        needed(
            "seccomp",
            &facts.seccomp,
            "a filter handed a call over and it was skipped",
            "a filter in the program hands each system call to the supervisor",
            "needs CONFIG_SECCOMP_FILTER; in a container add --security-opt seccomp=unconfined",
        ),
        needed(
            "process_vm_readv",
            &facts.vm_read,
            "a child's memory was read",
            "arguments of system calls are read from the program's memory",
            "needs CONFIG_CROSS_MEMORY_ATTACH and the right to trace one's children",
        ),
        needed(
            "rdtsc trap",
            &facts.tsc_trap,
            "PR_SET_TSC works",
            "the time stamp counter is an input: read unseen, it makes the backup diverge",
            "run on a processor or hypervisor that lets Linux trap rdtsc (CR4.TSD)",
        ),
        needed(
            "address layout",
            &facts.no_randomize,
            "randomisation can be switched off",
            "the program must lie at the same addresses on both hosts",
            "allow personality(ADDR_NO_RANDOMIZE): in a container add --security-opt seccomp=unconfined",
        ),
        processor(facts),
        xsave(facts),
        cpus(facts.cpus),
        user_namespace(&facts.user_namespace),
        judged(
            "TAP devices",
            &facts.tap,
            "one was made",
            Status::Warn,
            "a protected machine (not a program) meets its network through one",
            "load the module (modprobe tun); in a container add --device /dev/net/tun and --cap-add=NET_ADMIN",
        ),
    ];
    rows.extend(limits(&facts.limits));
    rows.extend([memory(facts.memory), clock_source(facts.clock_source.as_deref()), boot_id(facts.boot_id)]);
    if let Some(log) = &facts.log {
        rows.extend(disk(log));
    }
    rows
}

fn row(name: &'static str, status: Status, found: impl Into<String>, why: &'static str, fix: &str) -> Row {
    let fix = (status != Status::Ok && !fix.is_empty()).then(|| fix.to_owned());
    Row { name, status, found: found.into(), why, fix }
}

/// A row that is ok or ends it all.
fn needed(name: &'static str, fact: &Probed<()>, good: &str, why: &'static str, fix: &str) -> Row {
    judged(name, fact, good, Status::Fail, why, fix)
}

fn judged(name: &'static str, fact: &Probed<()>, good: &str, bad: Status, why: &'static str, fix: &str) -> Row {
    match fact {
        Ok(()) => row(name, Status::Ok, good, why, fix),
        Err(error) => row(name, bad, error.clone(), why, fix),
    }
}

fn warn_if(bad: bool) -> Status {
    if bad { Status::Warn } else { Status::Ok }
}

fn kernel(facts: &Facts) -> Row {
    let (release, machine) = &facts.kernel;
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|n| n.parse().unwrap_or(0));
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    let bad = machine != "x86_64" || version < KERNEL_MIN;
    row(
        "kernel",
        if bad { Status::Fail } else { Status::Ok },
        format!("Linux {release} on {machine}"),
        "the process level is written for Linux 5.3 or newer on x86-64",
        "use a host with Linux 5.3 or newer on x86-64",
    )
}

fn ptrace_scope(scope: Option<u32>) -> Row {
    let (status, found) = match scope {
        None => (Status::Ok, "no restriction (no yama)".to_owned()),
        Some(scope @ 0..=1) => (Status::Ok, format!("{scope}: a process may trace its children")),
        Some(2) => (Status::Warn, "2: only with CAP_SYS_PTRACE".to_owned()),
        Some(scope) => (Status::Fail, format!("{scope}: nobody may trace")),
    };
    row(
        "yama ptrace_scope",
        status,
        found,
        "the kernel may forbid tracing whatever the user's rights",
        "sysctl kernel.yama.ptrace_scope=1 (3 lasts until the next boot)",
    )
}

/// Instructions that answer the program directly (`cpuid`, `rdrand`, `rdseed`) are replaced when code is mapped, so only transactions are left: they
/// abort differently from run to run, and where `cpuid` is trapped or replaced a program does not learn that it could use them.
fn processor(facts: &Facts) -> Row {
    let cpu = &facts.cpu;
    let trap = match &facts.cpuid_fault {
        Ok(()) => "cpuid can be trapped",
        Err(_) => "cpuid is replaced in the program's code",
    };
    row(
        "processor",
        warn_if(cpu.rtm && facts.cpuid_fault.is_err()),
        format!("{}{}, {trap}", cpu.brand, if cpu.rtm { ", transactional memory" } else { "" }),
        "transactional memory differs from run to run; a program that uses it without asking cpuid diverges. Both hosts of a \
         pair need processors with equal features",
        "boot with tsx=off, or make sure that the program does not use it without asking cpuid (hardly any does)",
    )
}

fn xsave(facts: &Facts) -> Row {
    let cpu = &facts.cpu;
    row(
        "vector state",
        Status::Ok,
        format!("{} bytes a thread{}", cpu.xsave_bytes, if cpu.avx512 { ", AVX-512" } else { "" }),
        "part of each digest; both hosts of a pair need the same",
        "",
    )
}

fn cpus(cpus: usize) -> Row {
    row(
        "processors",
        warn_if(cpus < 2),
        format!("{cpus} usable"),
        "the program and the supervisor take turns; the pair's connection runs beside them",
        "give this host at least two processors",
    )
}

fn user_namespace(fact: &Probed<()>) -> Row {
    let found = match fact {
        Ok(()) => "can be made".to_owned(),
        Err(error) => format!("cannot be made ({error}); not needed"),
    };
    row("user namespaces", Status::Ok, found, "not needed: process ids and files of the program are virtual", "")
}

fn show(limit: Limit) -> String {
    limit.map_or_else(|| "unlimited".to_owned(), |n| n.to_string())
}

fn limits(limits: &Limits) -> [Row; 3] {
    let below = |limit: Limit, wanted| limit.is_some_and(|n| n < wanted);
    let (soft, hard) = limits.files;
    [
        row(
            "open files",
            warn_if(below(soft, FILES_WANTED) && below(hard, FILES_WANTED)),
            format!("limit {} (can be raised to {})", show(soft), show(hard)),
            "the supervisor holds one descriptor for each outside connection of the program",
            &format!("ulimit -n {FILES_WANTED}, or LimitNOFILE={FILES_WANTED} in the unit"),
        ),
        row(
            "processes",
            warn_if(below(limits.processes, PROCESSES_WANTED)),
            format!("limit {}", show(limits.processes)),
            "each thread of the program is a thread of this host",
            &format!("ulimit -u {PROCESSES_WANTED}, or TasksMax={PROCESSES_WANTED} in the unit"),
        ),
        row(
            "core dumps",
            Status::Ok,
            format!("limit {}", show(limits.core)),
            "a core dump of the supervisor holds memory of the program",
            "",
        ),
    ]
}

fn mib(bytes: u64) -> String {
    if bytes >= 10 << 30 { format!("{} GiB", bytes >> 30) } else { format!("{} MiB", bytes >> 20) }
}

fn memory(memory: Option<(u64, u64)>) -> Row {
    let (status, found) = match memory {
        Some((all, available)) => {
            (warn_if(available < MEMORY_WANTED), format!("{} of {} available", mib(available), mib(all)))
        }
        None => (Status::Warn, "/proc/meminfo cannot be read".to_owned()),
    };
    row(
        "memory",
        status,
        found,
        "the backup needs as much as the program; what it has not yet run waits in memory",
        "free some memory, or protect the program on a larger host",
    )
}

fn clock_source(source: Option<&str>) -> Row {
    let slow = matches!(source, Some("hpet" | "acpi_pm" | "jiffies"));
    row(
        "clock source",
        warn_if(slow),
        source.unwrap_or("unknown"),
        "each clock reading of the program is a reading of the host's clock",
        "boot with clocksource=tsc, or find out from the kernel's log why it distrusts the counter",
    )
}

fn boot_id(readable: bool) -> Row {
    row(
        "boot id",
        warn_if(!readable),
        if readable { "readable" } else { "cannot be read" },
        "resume must know whether the machine was switched off since the log was written",
        "make /proc/sys/kernel/random/boot_id readable",
    )
}

fn disk(log: &Probed<Disk>) -> Vec<Row> {
    const NAME: &str = "log directory";
    const WHY: &str = "the log and the files that the program writes are kept there";
    let disk = match log {
        Ok(disk) => disk,
        Err(error) => {
            let fix = "give --log a directory that exists, or whose parent does, and that this user may write to";
            return vec![row(NAME, Status::Fail, error.clone(), WHY, fix)];
        }
    };
    let (median, max) = (disk.sync_us_median, disk.sync_us_max);
    vec![
        row(
            NAME,
            warn_if(disk.volatile || disk.free < DISK_WANTED),
            format!("{} free{}", mib(disk.free), if disk.volatile { ", in memory (lost at a reboot)" } else { "" }),
            WHY,
            "choose a directory on a disk with at least 1 GiB free",
        ),
        row(
            "log sync",
            warn_if(median > SYNC_WANTED_US),
            format!("fdatasync of 4 KiB: {median} us median, {max} us at most"),
            "at commit level durable every answer waits for a sync of both sides",
            "use a faster disk for --log, or stay at commit level received",
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::Cpu;
    use super::*;

    /// A host on which all is well.
    fn good() -> Facts {
        Facts {
            kernel: ("6.1.0-18-amd64".into(), "x86_64".into()),
            ptrace: Ok(()),
            ptrace_scope: Some(1),
            seccomp: Ok(()),
            vm_read: Ok(()),
            tsc_trap: Ok(()),
            no_randomize: Ok(()),
            cpuid_fault: Ok(()),
            cpu: Cpu { brand: "A processor".into(), avx512: false, rtm: false, xsave_bytes: 832 },
            cpus: 4,
            user_namespace: Ok(()),
            tap: Ok(()),
            limits: Limits { files: (Some(1024), Some(1 << 20)), processes: None, core: Some(0) },
            memory: Some((8 << 30, 4 << 30)),
            clock_source: Some("tsc".into()),
            boot_id: true,
            log: Some(Ok(Disk { free: 50 << 30, volatile: false, sync_us_median: 300, sync_us_max: 2000 })),
        }
    }

    #[test]
    fn all_is_well() {
        for row in rows(&good()) {
            assert_eq!((row.status, row.fix), (Status::Ok, None), "{}", row.name);
        }
        assert_eq!(rows(&Facts { log: None, ..good() }).len() + 2, rows(&good()).len());
    }

    /// One thing that is wrong changes one row, and that row says what to do.
    #[track_caller]
    fn check(name: &str, status: Status, spoil: impl FnOnce(&mut Facts)) {
        let mut facts = good();
        spoil(&mut facts);
        let changed: Vec<Row> = rows(&facts).into_iter().filter(|row| row.status != Status::Ok).collect();
        assert_eq!(changed.len(), 1, "{changed:?}");
        assert_eq!((changed[0].name, changed[0].status), (name, status));
        assert!(changed[0].fix.is_some() && !changed[0].found.is_empty());
    }

    #[test]
    fn each_lack_has_its_row() {
        use Status::{Fail, Warn};
        let no = || Err("Operation not permitted".to_owned());
        check("kernel", Fail, |f| f.kernel.0 = "5.2.21".into());
        check("kernel", Fail, |f| f.kernel.0 = "nonsense".into());
        check("kernel", Fail, |f| f.kernel.1 = "aarch64".into());
        check("ptrace", Fail, |f| f.ptrace = no());
        check("yama ptrace_scope", Warn, |f| f.ptrace_scope = Some(2));
        check("yama ptrace_scope", Fail, |f| f.ptrace_scope = Some(3));
        check("seccomp", Fail, |f| f.seccomp = no());
        check("process_vm_readv", Fail, |f| f.vm_read = no());
        check("rdtsc trap", Fail, |f| f.tsc_trap = no());
        check("address layout", Fail, |f| f.no_randomize = no());
        check("processor", Warn, |f| (f.cpu.rtm, f.cpuid_fault) = (true, no()));
        check("processors", Warn, |f| f.cpus = 1);
        check("open files", Warn, |f| f.limits.files = (Some(256), Some(256)));
        check("processes", Warn, |f| f.limits.processes = Some(100));
        check("memory", Warn, |f| f.memory = Some((8 << 30, 1 << 20)));
        check("memory", Warn, |f| f.memory = None);
        check("clock source", Warn, |f| f.clock_source = Some("hpet".into()));
        check("boot id", Warn, |f| f.boot_id = false);
        check("log directory", Fail, |f| f.log = Some(Err("No such file or directory".into())));
        let spoil = |f: &mut Facts, change: fn(&mut Disk)| change(f.log.as_mut().unwrap().as_mut().unwrap());
        check("log directory", Warn, |f| spoil(f, |d| d.free = 1 << 20));
        check("log directory", Warn, |f| spoil(f, |d| d.volatile = true));
        check("log sync", Warn, |f| spoil(f, |d| d.sync_us_median = 50_000));
    }

    #[test]
    fn what_is_no_lack() {
        for facts in [
            Facts { ptrace_scope: None, ..good() },
            Facts { user_namespace: Err("No space left on device".into()), ..good() },
            Facts { cpuid_fault: Err("No such device".into()), ..good() },
            Facts { cpu: Cpu { rtm: true, ..good().cpu }, ..good() },
            Facts { kernel: ("5.3.0".into(), "x86_64".into()), ..good() },
        ] {
            assert!(rows(&facts).iter().all(|row| row.status == Status::Ok));
        }
    }
}
