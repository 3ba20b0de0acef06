// cc: -pthread
// eventfd: a counter to read, add to, wait on; semaphore mode; overflow blocks.
#include "guest.h"
#include <sys/eventfd.h>

static int fd;

static void *add_later(void *arg) {
    (void)arg;
    sleep_ms(5);
    SYS(eventfd_write(fd, 42));
    return NULL;
}

int main(void) {
    uint64_t value;
    fd = SYS(eventfd(3, EFD_NONBLOCK));
    SYS(eventfd_write(fd, 4));
    EQ(read(fd, &value, 8), 8);
    EQ(value, 7);
    FAILS(EAGAIN, read(fd, &value, 8));
    FAILS(EINVAL, read(fd, &value, 4));
    value = UINT64_MAX - 1;
    EQ(write(fd, &value, 8), 8);
    value = 1;
    FAILS(EAGAIN, write(fd, &value, 8));
    value = UINT64_MAX;
    FAILS(EINVAL, write(fd, &value, 8));
    ok("a counter with its limits");
    close(fd);

    fd = SYS(eventfd(2, EFD_SEMAPHORE | EFD_NONBLOCK));
    EQ(read(fd, &value, 8), 8);
    EQ(value, 1);
    EQ(read(fd, &value, 8), 8);
    FAILS(EAGAIN, read(fd, &value, 8));
    ok("semaphore mode");
    close(fd);

    fd = SYS(eventfd(0, EFD_CLOEXEC));
    pthread_t thread;
    PT(pthread_create(&thread, NULL, add_later, NULL));
    SYS(eventfd_read(fd, &value));
    EQ(value, 42);
    PT(pthread_join(thread, NULL));
    struct pollfd p = {fd, POLLIN | POLLOUT, 0};
    EQ(poll(&p, 1, 0), 1);
    EQ(p.revents, POLLOUT);
    ok("a blocked read, poll");
    return 0;
}
