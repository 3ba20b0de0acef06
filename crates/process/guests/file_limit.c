// RLIMIT_FSIZE: who would make a file larger than that gets SIGXFSZ and EFBIG.
#include "guest.h"

static volatile sig_atomic_t told;
static void note(int signal, siginfo_t *info, void *context) {
    (void)context;
    if (signal == SIGXFSZ && info->si_code == SI_USER && info->si_pid == getpid()) told++;
}

// A call must fail so and send the signal.
#define TOO_LARGE(call)                                                                  \
    do {                                                                                 \
        told = 0;                                                                        \
        FAILS(EFBIG, call);                                                              \
        EQ(told, 1);                                                                     \
    } while (0)

int main(void) {
    struct rlimit before, limit;
    SYS(getrlimit(RLIMIT_FSIZE, &before));
    limit = before;
    limit.rlim_cur = 25;
    on_siginfo(SIGXFSZ, note, 0);
    int fd = SYS(open("f", O_RDWR | O_CREAT, 0600));
    SYS(ftruncate(fd, 40));
    SYS(setrlimit(RLIMIT_FSIZE, &limit));
    char bytes[20] = "";
    EQ(write(fd, bytes, 20), 20);
    EQ(write(fd, bytes, 20), 5);
    EQ(told, 0);
    TOO_LARGE(write(fd, bytes, 20));
    TOO_LARGE(pwrite(fd, bytes, 1, 25));
    EQ(write(fd, bytes, 0), 0);
    TOO_LARGE(ftruncate(fd, 41));
    SYS(ftruncate(fd, 30));
    SYS(ftruncate(fd, 20));
    TOO_LARGE(truncate("f", 26));
    TOO_LARGE(posix_fallocate(fd, 0, 26) ? (errno = EFBIG, -1) : 0);
    SYS(ftruncate(fd, 25));
    pid_t child = SYS(fork());
    if (child == 0) {
        signal(SIGXFSZ, SIG_DFL);
        for (int i = 0; i < 3; i++) EQ(pwrite(fd, bytes, 10, 10 * i), i < 2 ? 10 : 5);
        pwrite(fd, bytes, 10, 30);
        _exit(3);
    }
    int status;
    EQ(waitpid(child, &status, 0), child);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGXFSZ);
    // What is said here may go to a file as well.
    SYS(setrlimit(RLIMIT_FSIZE, &before));
    ok("told, and not grown");
    ok("killed by SIGXFSZ");
    return 0;
}
