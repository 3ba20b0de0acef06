// Close-on-exec of everything that makes descriptors.
#include "guest.h"
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>

int main(int argc, char **argv) {
    if (argc > 1) {
        char expect[64] = "", found[64] = "";
        strcpy(expect, argv[1]);
        for (int fd = 3; fd < 40; fd++)
            found[fd - 3] = fcntl(fd, F_GETFD) == -1 ? '-' : '+';
        EQ(strcmp(found, expect), 0);
        ok("descriptors after exec %s", found);
        return 0;
    }
    // The numbers above 2 may be in use by whoever started us.
    for (int fd = 3; fd < 40; fd++) close(fd);
    int p[2];
    SYS(pipe(p));
    SYS(pipe2(p, O_CLOEXEC));
    SYS(open("/dev/null", O_RDONLY));
    SYS(open("/dev/null", O_RDONLY | O_CLOEXEC));
    SYS(socket(AF_UNIX, SOCK_STREAM, 0));
    SYS(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    SYS(epoll_create1(0));
    SYS(epoll_create1(EPOLL_CLOEXEC));
    SYS(eventfd(0, 0));
    SYS(eventfd(0, EFD_CLOEXEC));
    SYS(timerfd_create(CLOCK_MONOTONIC, 0));
    SYS(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC));
    char text[64];
    for (int fd = 3; fd < 40; fd++) {
        int flags = fcntl(fd, F_GETFD);
        text[fd - 3] = flags == 0 ? '+' : '-';
    }
    text[37] = 0;
    EQ(strncmp(text, "++--+-+-+-+-+-", 14), 0);
    execl("/proc/self/exe", "x", text, NULL);
    die("exec: %s", strerror(errno));
}
