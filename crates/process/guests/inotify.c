// refused: inotify_init1
// inotify: watching the file system of the host is an input nobody can log.
#include "guest.h"
#include <sys/inotify.h>

int main(void) {
    int fd = inotify_init1(IN_NONBLOCK);
    CHECK(fd >= 0);
    SYS(inotify_add_watch(fd, ".", IN_CREATE));
    spit("f", "");
    char events[512];
    CHECK(read(fd, events, sizeof events) > 0);
    EQ(((struct inotify_event *)events)->mask, IN_CREATE);
    ok("inotify");
    return 0;
}
