// What every tiny guest shares. A guest shows one behaviour of the system and checks
// it itself: it writes `ok WHAT` for what it verified and ends with a status other than
// its own (usually 99) at the first thing that is wrong.
//
// A line that starts with `~` shows values which differ from run to run (times, pids,
// random bytes, addresses): a replay must reproduce them, a second run will not.
// All other lines are the same in every run, whatever happens to the machine.
//
// Header lines of a guest, read by the tests:
//   // cc: FLAGS          more flags for the compiler
//   // args: A B          its arguments (split at blanks)
//   // env: NAME=VALUE    one more variable; may be given more than once
//   // stdin: TEXT        what it reads, with \n for line ends; nothing otherwise
//   // status: N          its exit status when all is well; `signal N` if it must die so
//   // outside: tcp|udp    it talks to a server or a socket of the test's, at the port OUTSIDE_PORT of the loopback
//   // reads: code        it copies its own code, so that replicas must agree about which calls stop
//   // refused: CALL      gapless refuses this call by name, or has no such device; natively the guest runs
// It runs in an empty directory of its own.
#pragma once
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define UNUSED __attribute__((unused))

// An address where nothing is, hidden from the compiler's warnings.
UNUSED static void *volatile nowhere = (void *)8;

// One line in one write, so that lines of several processes never mix and nothing is
// left in a buffer across fork, exec or a kill.
static inline void say(int fd, const char *start, const char *format, va_list args) {
    char line[2048];
    int n = snprintf(line, sizeof line, "%s", start);
    n += vsnprintf(line + n, sizeof line - n - 1, format, args);
    if (n > (int)sizeof line - 2) n = sizeof line - 2;
    line[n++] = '\n';
    for (int at = 0; at < n;) {
        ssize_t wrote = write(fd, line + at, n - at);
        if (wrote < 0 && errno == EINTR) continue;
        if (wrote <= 0) _exit(98);
        at += wrote;
    }
}

__attribute__((format(printf, 1, 2))) UNUSED static void ok(const char *format, ...) {
    int saved = errno;
    va_list args;
    va_start(args, format);
    say(1, "ok ", format, args);
    va_end(args);
    errno = saved;
}

// Shows what differs from run to run.
__attribute__((format(printf, 1, 2))) UNUSED static void show(const char *format, ...) {
    int saved = errno;
    va_list args;
    va_start(args, format);
    say(1, "~ ", format, args);
    va_end(args);
    errno = saved;
}

__attribute__((format(printf, 1, 2), noreturn)) UNUSED static void die(const char *format, ...) {
    va_list args;
    va_start(args, format);
    say(2, "WRONG ", format, args);
    _exit(99);
}

#define CHECK(what)                                                                      \
    do {                                                                                 \
        if (!(what)) die("%s:%d: %s (errno %d %s)", __FILE__, __LINE__, #what, errno,    \
                         strerror(errno));                                               \
    } while (0)

// Two integers must be equal.
#define EQ(a, b)                                                                         \
    do {                                                                                 \
        long long a_ = (long long)(a), b_ = (long long)(b);                              \
        if (a_ != b_) die("%s:%d: %s is %lld, not %s = %lld (errno %d %s)", __FILE__,    \
                          __LINE__, #a, a_, #b, b_, errno, strerror(errno));             \
    } while (0)

// A call that must work; its value is the result.
#define SYS(call)                                                                        \
    ({                                                                                   \
        long long r_ = (long long)(call);                                                \
        if (r_ == -1) die("%s:%d: %s: %s", __FILE__, __LINE__, #call, strerror(errno));  \
        r_;                                                                              \
    })

// A call that must fail with the given errno.
#define FAILS(error, call)                                                               \
    do {                                                                                 \
        errno = 0;                                                                       \
        long long r_ = (long long)(call);                                                \
        if (r_ != -1 || errno != (error))                                                \
            die("%s:%d: %s is %lld with errno %d, not -1 with %s", __FILE__, __LINE__,   \
                #call, r_, errno, #error);                                               \
    } while (0)

// A pthread call that must return 0.
#define PT(call)                                                                         \
    do {                                                                                 \
        int r_ = (call);                                                                 \
        if (r_ != 0) die("%s:%d: %s: %s", __FILE__, __LINE__, #call, strerror(r_));      \
    } while (0)

UNUSED static void sleep_ms(long ms) {
    struct timespec left = {ms / 1000, ms % 1000 * 1000000};
    while (nanosleep(&left, &left) == -1 && errno == EINTR) {}
}

UNUSED static int64_t now_ns(clockid_t clock) {
    struct timespec t;
    if (clock_gettime(clock, &t) != 0) die("clock_gettime(%d)", (int)clock);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

// Waits for a child and returns its exit status; any other end is wrong.
UNUSED static int exit_of(pid_t child) {
    int status;
    pid_t got;
    while ((got = waitpid(child, &status, 0)) == -1 && errno == EINTR) {}
    if (got != child || !WIFEXITED(status)) die("child %d: wait %d, status %x", child, got, status);
    return WEXITSTATUS(status);
}

// The whole of a small file.
UNUSED static ssize_t slurp(const char *path, char *into, size_t size) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) die("open %s: %s", path, strerror(errno));
    size_t n = 0;
    for (ssize_t r; n < size - 1 && (r = read(fd, into + n, size - 1 - n)) > 0;) n += r;
    into[n] = 0;
    close(fd);
    return n;
}

UNUSED static void spit(const char *path, const char *text) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text) || close(fd) != 0)
        die("write %s: %s", path, strerror(errno));
}

UNUSED static void on_signal(int signal, void (*handler)(int), int flags) {
    struct sigaction action = {.sa_handler = handler, .sa_flags = flags};
    if (sigaction(signal, &action, NULL) != 0) die("sigaction %d", signal);
}

UNUSED static void on_siginfo(int signal, void (*handler)(int, siginfo_t *, void *), int flags) {
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = flags | SA_SIGINFO};
    if (sigaction(signal, &action, NULL) != 0) die("sigaction %d", signal);
}

UNUSED static sigset_t set_of(int signal) {
    sigset_t set;
    sigemptyset(&set);
    if (signal) sigaddset(&set, signal);
    return set;
}
