// Named pipes: open waits for the other side.
#include "guest.h"

int main(void) {
    SYS(mkfifo("fifo", 0600));
    FAILS(EEXIST, mkfifo("fifo", 0600));
    FAILS(ENXIO, open("fifo", O_WRONLY | O_NONBLOCK));
    struct stat st;
    SYS(stat("fifo", &st));
    CHECK(S_ISFIFO(st.st_mode));
    pid_t child = SYS(fork());
    if (child == 0) {
        int out = SYS(open("fifo", O_WRONLY));
        EQ(write(out, "through", 7), 7);
        _exit(0);
    }
    int in = SYS(open("fifo", O_RDONLY));
    char text[16] = "";
    EQ(read(in, text, 7), 7);
    EQ(strcmp(text, "through"), 0);
    EQ(read(in, text, 7), 0);
    EQ(exit_of(child), 0);
    ok("open waits, bytes pass, then end of file");
    // Nobody has written to it since this end was opened: it has not ended.
    SYS(close(in));
    in = SYS(open("fifo", O_RDONLY | O_NONBLOCK));
    struct pollfd end = {.fd = in, .events = POLLIN};
    EQ(poll(&end, 1, 0), 0);
    EQ(read(in, text, 7), 0);
    int out = SYS(open("fifo", O_WRONLY));
    SYS(close(out));
    EQ(poll(&end, 1, 0), 1);
    EQ(end.revents, POLLHUP);
    ok("hung up after a writer, not before one");
    return 0;
}
