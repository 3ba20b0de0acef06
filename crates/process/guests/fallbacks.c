// Calls that a program tries and does without: each works, or fails with an error that says so.
#include "guest.h"

// A call that works or fails with one of two errors.
#define TRY(call, one, other)                                                            \
    do {                                                                                 \
        errno = 0;                                                                       \
        if ((call) == -1) CHECK(errno == (one) || errno == (other));                     \
    } while (0)

int main(void) {
    pid_t me = getpid();
    char *m = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(m != MAP_FAILED);
    TRY(syscall(SYS_remap_file_pages, m, 4096, 0, 1, 0), ENOSYS, EINVAL);
    TRY(syscall(SYS_kcmp, me, me, 0, 1, 2), ENOSYS, EPERM);
    TRY(syscall(440 /* process_madvise */, -1, NULL, 0, MADV_COLD, 0), ENOSYS, EBADF);
    TRY(syscall(333 /* io_pgetevents */, NULL, 0, 0, NULL, NULL, NULL), ENOSYS, EINVAL);
    TRY(syscall(SYS_keyctl, 0, -3, 0, 0, 0), ENOSYS, ENOKEY);
    TRY(syscall(SYS_add_key, "no such kind", "key", "x", 1, -3), ENOSYS, ENODEV);
    TRY(syscall(SYS_request_key, "no such kind", "key", NULL, -3), ENOSYS, ENOKEY);
    ok("absent");
    // Neither of these is a time that a clock can be set to.
    struct timeval day = {1, 2000000};
    TRY(syscall(SYS_settimeofday, &day, NULL), EPERM, EINVAL);
    struct timespec time = {1, 2000000000};
    TRY(syscall(SYS_clock_settime, CLOCK_REALTIME, &time), EPERM, EINVAL);
    long nothing[64] = {0};
    TRY(syscall(SYS_adjtimex, nothing), EPERM, EPERM);
    TRY(syscall(SYS_setns, -1, 0), EPERM, EBADF);
    ok("not permitted");
    int ends[2];
    if (pipe2(ends, O_DIRECT) == -1) EQ(errno, EINVAL);
    SYS(pipe2(ends, O_CLOEXEC));
    ok("a pipe");
    struct timespec slice = {9, 9};
    SYS(sched_rr_get_interval(0, &slice));
    CHECK(slice.tv_sec == 0 && slice.tv_nsec >= 0 && slice.tv_nsec < 1000000000);
    FAILS(EINVAL, sched_rr_get_interval(-1, &slice));
    ok("a slice");
    return 0;
}
