//! Every system call that gapless knows, with its class. A call without a row ends the replica with an error that names it.

use super::{Handler, dir, fd, file, futex, io, memory, misc, net, path, poll, process, sched, sem, shm, signal, time};

/// How a call is treated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Class {
    /// Runs natively in the tracee, on both sides: memory, threads, signal frames.
    Native,
    /// Answered by the model alone.
    Model,
    /// Takes an input from outside.
    Input,
    /// May say something to the outside: held until committed.
    Gate,
    /// The program gets ENOSYS (or the errno named), as on a kernel without it.
    Absent,
    /// Ends the replica with an error that says what to do.
    Refuse,
}

/// One row.
pub struct Row {
    /// System call number.
    pub nr: u64,
    /// Its name.
    pub name: &'static str,
    /// Its class.
    pub class: Class,
    /// What carries it out.
    pub handler: Handler,
}

macro_rules! table {
    ($($nr:literal $name:ident $class:ident $handler:path;)*) => {
        /// The table, by number.
        pub static TABLE: &[Row] = &[$(Row { nr: $nr, name: stringify!($name), class: Class::$class, handler: $handler },)*];
    };
}

table! {
    0 read Model io::read;
    1 write Gate io::write;
    2 open Model path::open;
    3 close Gate fd::close;
    4 stat Model path::stat;
    5 fstat Model path::fstat;
    6 lstat Model path::lstat;
    7 poll Model poll::poll;
    8 lseek Model file::lseek;
    9 mmap Native memory::mmap;
    10 mprotect Native memory::mprotect;
    11 munmap Native memory::munmap;
    12 brk Native memory::brk;
    13 rt_sigaction Native signal::sigaction;
    14 rt_sigprocmask Model signal::sigprocmask;
    15 rt_sigreturn Native signal::sigreturn;
    16 ioctl Model io::ioctl;
    17 pread64 Model io::pread;
    18 pwrite64 Model io::pwrite;
    19 readv Model io::readv;
    20 writev Gate io::writev;
    21 access Model path::access;
    22 pipe Model fd::pipe;
    23 select Model poll::select;
    24 sched_yield Model sched::sched_yield;
    25 mremap Native memory::mremap;
    26 msync Native memory::msync;
    27 mincore Native memory::mincore;
    28 madvise Native memory::madvise;
    29 shmget Model shm::shmget;
    30 shmat Native shm::shmat;
    31 shmctl Model shm::shmctl;
    32 dup Model fd::dup;
    33 dup2 Gate fd::dup2;
    34 pause Model signal::pause;
    35 nanosleep Input time::nanosleep;
    36 getitimer Input signal::getitimer;
    37 alarm Input signal::alarm;
    38 setitimer Input signal::setitimer;
    39 getpid Model process::getpid;
    40 sendfile Gate io::sendfile;
    41 socket Model net::socket;
    42 connect Gate net::connect;
    43 accept Model net::accept;
    44 sendto Gate net::sendto;
    45 recvfrom Model net::recvfrom;
    46 sendmsg Gate net::sendmsg;
    47 recvmsg Model net::recvmsg;
    48 shutdown Gate net::shutdown;
    49 bind Input net::bind;
    50 listen Input net::listen;
    51 getsockname Model net::getsockname;
    52 getpeername Model net::getpeername;
    53 socketpair Model net::socketpair;
    54 setsockopt Model net::setsockopt;
    55 getsockopt Model net::getsockopt;
    56 clone Native process::clone;
    57 fork Native process::fork;
    58 vfork Native process::vfork;
    59 execve Native process::execve;
    60 exit Native process::exit;
    61 wait4 Model process::wait4;
    62 kill Model signal::kill;
    63 uname Model misc::uname;
    64 semget Model sem::semget;
    65 semop Model sem::semop;
    66 semctl Model sem::semctl;
    67 shmdt Native shm::shmdt;
    68 msgget Refuse process::refused;
    69 msgsnd Refuse process::refused;
    70 msgrcv Refuse process::refused;
    71 msgctl Refuse process::refused;
    72 fcntl Model fd::fcntl;
    73 flock Model file::flock;
    74 fsync Model file::fsync;
    75 fdatasync Model file::fsync;
    76 truncate Model file::truncate;
    77 ftruncate Model file::ftruncate;
    78 getdents Model dir::getdents;
    79 getcwd Model dir::getcwd;
    80 chdir Model dir::chdir;
    81 fchdir Model dir::fchdir;
    82 rename Model path::rename;
    83 mkdir Model dir::mkdir;
    84 rmdir Model dir::rmdir;
    85 creat Model path::creat;
    86 link Model path::link;
    87 unlink Model path::unlink;
    88 symlink Model path::symlink;
    89 readlink Model path::readlink;
    90 chmod Model path::chmod;
    91 fchmod Model path::fchmod;
    92 chown Model path::chown;
    93 fchown Model path::fchown;
    94 lchown Model path::lchown;
    95 umask Model dir::umask;
    96 gettimeofday Input time::gettimeofday;
    97 getrlimit Model misc::getrlimit;
    98 getrusage Input time::getrusage;
    99 sysinfo Input misc::sysinfo;
    100 times Input time::times;
    101 ptrace Refuse process::refused;
    102 getuid Model misc::getuid;
    103 syslog Model process::denied;
    104 getgid Model misc::getgid;
    105 setuid Model misc::setuid;
    106 setgid Model misc::setgid;
    107 geteuid Model misc::geteuid;
    108 getegid Model misc::getegid;
    109 setpgid Model process::setpgid;
    110 getppid Model process::getppid;
    111 getpgrp Model process::getpgrp;
    112 setsid Model process::setsid;
    113 setreuid Model misc::setreuid;
    114 setregid Model misc::setregid;
    115 getgroups Model misc::getgroups;
    116 setgroups Model misc::setgroups;
    117 setresuid Model misc::setresuid;
    118 getresuid Model misc::getresuid;
    119 setresgid Model misc::setresgid;
    120 getresgid Model misc::getresgid;
    121 getpgid Model process::getpgid;
    122 setfsuid Model misc::setfsuid;
    123 setfsgid Model misc::setfsgid;
    124 getsid Model process::getsid;
    125 capget Model misc::capget;
    126 capset Model misc::accepted;
    127 rt_sigpending Model signal::sigpending;
    128 rt_sigtimedwait Input signal::sigtimedwait;
    129 rt_sigqueueinfo Model signal::sigqueueinfo;
    130 rt_sigsuspend Model signal::sigsuspend;
    131 sigaltstack Native signal::sigaltstack;
    132 utime Model path::utime;
    133 mknod Model path::mknod;
    134 uselib Absent path::absent;
    135 personality Model misc::personality;
    136 ustat Absent path::absent;
    137 statfs Model dir::statfs;
    138 fstatfs Model dir::fstatfs;
    139 sysfs Absent path::absent;
    140 getpriority Model sched::getpriority;
    141 setpriority Model sched::setpriority;
    142 sched_setparam Model sched::sched_setparam;
    143 sched_getparam Model sched::sched_getparam;
    144 sched_setscheduler Model sched::sched_setscheduler;
    145 sched_getscheduler Model sched::sched_getscheduler;
    146 sched_get_priority_max Model sched::sched_get_priority_max;
    147 sched_get_priority_min Model sched::sched_get_priority_min;
    148 sched_rr_get_interval Model sched::sched_rr_get_interval;
    149 mlock Native memory::mlock;
    150 munlock Native memory::mlock;
    151 mlockall Model memory::mlockall;
    152 munlockall Model memory::no_effect;
    153 vhangup Refuse process::refused;
    154 modify_ldt Refuse process::refused;
    155 pivot_root Absent path::not_permitted;
    156 _sysctl Refuse process::refused;
    157 prctl Model misc::prctl;
    158 arch_prctl Native misc::arch_prctl;
    159 adjtimex Absent process::denied;
    160 setrlimit Model misc::setrlimit;
    161 chroot Absent path::not_permitted;
    162 sync Model file::sync;
    163 acct Absent path::not_permitted;
    164 settimeofday Absent process::denied;
    165 mount Refuse process::refused;
    166 umount2 Refuse process::refused;
    167 swapon Absent path::not_permitted;
    168 swapoff Absent path::not_permitted;
    169 reboot Refuse process::refused;
    170 sethostname Model misc::sethostname;
    171 setdomainname Model process::denied;
    172 iopl Refuse process::refused;
    173 ioperm Refuse process::refused;
    174 create_module Refuse process::refused;
    175 init_module Refuse process::refused;
    176 delete_module Refuse process::refused;
    177 get_kernel_syms Refuse process::refused;
    178 query_module Refuse process::refused;
    179 quotactl Absent path::absent;
    180 nfsservctl Refuse process::refused;
    181 getpmsg Refuse process::refused;
    182 putpmsg Refuse process::refused;
    183 afs_syscall Refuse process::refused;
    184 tuxcall Refuse process::refused;
    185 security Refuse process::refused;
    186 gettid Model process::gettid;
    187 readahead Model file::advise;
    188 setxattr Absent path::xattr;
    189 lsetxattr Absent path::lxattr;
    190 fsetxattr Absent path::fxattr;
    191 getxattr Absent path::xattr;
    192 lgetxattr Absent path::lxattr;
    193 fgetxattr Absent path::fxattr;
    194 listxattr Absent path::listxattr;
    195 llistxattr Absent path::llistxattr;
    196 flistxattr Absent path::flistxattr;
    197 removexattr Absent path::xattr;
    198 lremovexattr Absent path::lxattr;
    199 fremovexattr Absent path::fxattr;
    200 tkill Model signal::tkill;
    201 time Input time::time;
    202 futex Model futex::futex;
    203 sched_setaffinity Model sched::sched_setaffinity;
    204 sched_getaffinity Model sched::sched_getaffinity;
    205 set_thread_area Refuse process::refused;
    206 io_setup Absent process::absent;
    207 io_destroy Absent process::absent;
    208 io_getevents Absent process::absent;
    209 io_submit Absent process::absent;
    210 io_cancel Absent process::absent;
    211 get_thread_area Refuse process::refused;
    212 lookup_dcookie Absent path::absent;
    213 epoll_create Model fd::epoll_create;
    214 epoll_ctl_old Refuse process::refused;
    215 epoll_wait_old Refuse process::refused;
    216 remap_file_pages Absent process::absent;
    217 getdents64 Model dir::getdents64;
    218 set_tid_address Model process::set_tid_address;
    219 restart_syscall Refuse process::refused;
    220 semtimedop Input sem::semtimedop;
    221 fadvise64 Model file::fadvise;
    222 timer_create Model signal::timer_create;
    223 timer_settime Input signal::timer_settime;
    224 timer_gettime Input signal::timer_gettime;
    225 timer_getoverrun Model signal::timer_getoverrun;
    226 timer_delete Model signal::timer_delete;
    227 clock_settime Absent process::denied;
    228 clock_gettime Input time::clock_gettime;
    229 clock_getres Model time::clock_getres;
    230 clock_nanosleep Input time::clock_nanosleep;
    231 exit_group Native process::exit_group;
    232 epoll_wait Input fd::epoll_wait;
    233 epoll_ctl Model fd::epoll_ctl;
    234 tgkill Model signal::tgkill;
    235 utimes Model path::utimes;
    236 vserver Refuse process::refused;
    237 mbind Model misc::accepted;
    238 set_mempolicy Model misc::accepted;
    239 get_mempolicy Model misc::get_mempolicy;
    240 mq_open Refuse process::refused;
    241 mq_unlink Refuse process::refused;
    242 mq_timedsend Refuse process::refused;
    243 mq_timedreceive Refuse process::refused;
    244 mq_notify Refuse process::refused;
    245 mq_getsetattr Refuse process::refused;
    246 kexec_load Refuse process::refused;
    247 waitid Model process::waitid;
    248 add_key Absent process::absent;
    249 request_key Absent process::absent;
    250 keyctl Absent process::absent;
    251 ioprio_set Model misc::accepted;
    252 ioprio_get Model misc::accepted;
    253 inotify_init Absent path::absent;
    254 inotify_add_watch Absent path::absent;
    255 inotify_rm_watch Absent path::absent;
    256 migrate_pages Refuse process::refused;
    257 openat Model path::openat;
    258 mkdirat Model dir::mkdirat;
    259 mknodat Model path::mknodat;
    260 fchownat Model path::fchownat;
    261 futimesat Model path::futimesat;
    262 newfstatat Model path::newfstatat;
    263 unlinkat Model path::unlinkat;
    264 renameat Model path::renameat;
    265 linkat Model path::linkat;
    266 symlinkat Model path::symlinkat;
    267 readlinkat Model path::readlinkat;
    268 fchmodat Model path::fchmodat;
    269 faccessat Model path::faccessat;
    270 pselect6 Input poll::pselect6;
    271 ppoll Input poll::ppoll;
    272 unshare Model process::unshare;
    273 set_robust_list Model futex::set_robust_list;
    274 get_robust_list Model futex::get_robust_list;
    275 splice Absent process::invalid;
    276 tee Absent process::invalid;
    277 sync_file_range Model file::advise;
    278 vmsplice Refuse process::refused;
    279 move_pages Refuse process::refused;
    280 utimensat Model path::utimensat;
    281 epoll_pwait Input fd::epoll_pwait;
    282 signalfd Model fd::signalfd;
    283 timerfd_create Model fd::timerfd_create;
    284 eventfd Model fd::eventfd;
    285 fallocate Model file::fallocate;
    286 timerfd_settime Input fd::timerfd_settime;
    287 timerfd_gettime Input fd::timerfd_gettime;
    288 accept4 Model net::accept4;
    289 signalfd4 Model fd::signalfd4;
    290 eventfd2 Model fd::eventfd2;
    291 epoll_create1 Model fd::epoll_create1;
    292 dup3 Gate fd::dup3;
    293 pipe2 Model fd::pipe2;
    294 inotify_init1 Absent path::absent;
    295 preadv Model io::preadv;
    296 pwritev Model io::pwritev;
    297 rt_tgsigqueueinfo Model signal::tgsigqueueinfo;
    298 perf_event_open Refuse process::refused;
    299 recvmmsg Model net::recvmmsg;
    300 fanotify_init Absent path::absent;
    301 fanotify_mark Absent path::absent;
    302 prlimit64 Model misc::prlimit64;
    303 name_to_handle_at Absent path::no_handles;
    304 open_by_handle_at Absent path::not_permitted;
    305 clock_adjtime Model process::denied;
    306 syncfs Model file::syncfs;
    307 sendmmsg Gate net::sendmmsg;
    308 setns Absent process::denied;
    309 getcpu Model sched::getcpu;
    310 process_vm_readv Refuse process::refused;
    311 process_vm_writev Refuse process::refused;
    312 kcmp Absent process::absent;
    313 finit_module Refuse process::refused;
    314 sched_setattr Model sched::sched_setattr;
    315 sched_getattr Absent process::absent;
    316 renameat2 Model path::renameat2;
    317 seccomp Refuse process::refused;
    318 getrandom Model misc::getrandom;
    319 memfd_create Model file::memfd_create;
    320 kexec_file_load Refuse process::refused;
    321 bpf Refuse process::refused;
    322 execveat Native process::execveat;
    323 userfaultfd Absent process::absent;
    324 membarrier Model misc::membarrier;
    325 mlock2 Native memory::mlock2;
    326 copy_file_range Model file::copy_file_range;
    327 preadv2 Model io::preadv2;
    328 pwritev2 Model io::pwritev2;
    329 pkey_mprotect Absent process::absent;
    330 pkey_alloc Absent process::absent;
    331 pkey_free Absent process::absent;
    332 statx Model path::statx;
    333 io_pgetevents Absent process::absent;
    334 rseq Absent process::absent;
    424 pidfd_send_signal Absent process::absent;
    425 io_uring_setup Absent process::absent;
    426 io_uring_enter Absent process::absent;
    427 io_uring_register Absent process::absent;
    428 open_tree Absent path::absent;
    429 move_mount Absent path::absent;
    430 fsopen Absent path::absent;
    431 fsconfig Absent path::absent;
    432 fsmount Absent path::absent;
    433 fspick Absent path::absent;
    434 pidfd_open Absent process::absent;
    435 clone3 Absent process::absent;
    436 close_range Gate fd::close_range;
    437 openat2 Absent path::absent;
    438 pidfd_getfd Absent process::absent;
    439 faccessat2 Model path::faccessat2;
    440 process_madvise Absent process::absent;
    441 epoll_pwait2 Input fd::epoll_pwait2;
    442 mount_setattr Absent path::absent;
    443 quotactl_fd Absent path::absent;
    444 landlock_create_ruleset Absent path::absent;
    445 landlock_add_rule Absent path::absent;
    446 landlock_restrict_self Absent path::absent;
    447 memfd_secret Absent path::absent;
    448 process_mrelease Refuse process::refused;
    449 futex_waitv Absent process::absent;
    450 set_mempolicy_home_node Refuse process::refused;
    451 cachestat Absent path::absent;
    452 fchmodat2 Model path::fchmodat2;
    457 statmount Absent path::absent;
    458 listmount Absent path::absent;
    463 setxattrat Absent path::absent;
    464 getxattrat Absent path::absent;
    465 listxattrat Absent path::absent;
    466 removexattrat Absent path::absent;
}

/// No kernel numbers its calls as high as this: ENOSYS, as there.
pub const NEVER_ASSIGNED: u64 = 548;

/// The row of a call.
pub fn find(nr: u64) -> Option<&'static Row> {
    TABLE.binary_search_by_key(&nr, |row| row.nr).ok().map(|i| &TABLE[i])
}
