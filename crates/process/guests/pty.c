// A pseudo terminal: line discipline, raw mode, size, names, hang-up. No job control.
#include "guest.h"
#include <sys/ioctl.h>
#include <termios.h>

static int collect(int fd, char *into, int want) {
    int n = 0;
    while (n < want) n += SYS(read(fd, into + n, want - n));
    into[n] = 0;
    return n;
}

int main(void) {
    char text[64];
    int master = SYS(posix_openpt(O_RDWR | O_NOCTTY));
    SYS(grantpt(master));
    SYS(unlockpt(master));
    PT(ptsname_r(master, text, sizeof text));
    show("%s", text);
    int slave = SYS(open(text, O_RDWR | O_NOCTTY));
    CHECK(isatty(slave));
    EQ(write(master, "hello\n", 6), 6);
    EQ(read(slave, text, sizeof text), 6);
    EQ(memcmp(text, "hello\n", 6), 0);
    collect(master, text, 7);
    EQ(strcmp(text, "hello\r\n"), 0);
    ok("a line with its echo");
    EQ(write(master, "ab\177c\nrest\n", 10), 10);
    EQ(read(slave, text, sizeof text), 3);
    EQ(memcmp(text, "ac\n", 3), 0);
    EQ(read(slave, text, sizeof text), 5);
    ok("erase; a read gives one line");
    tcflush(slave, TCIOFLUSH);
    tcflush(master, TCIFLUSH);
    struct termios mode;
    SYS(tcgetattr(slave, &mode));
    cfmakeraw(&mode);
    SYS(tcsetattr(slave, TCSANOW, &mode));
    EQ(write(master, "x\n\177", 3), 3);
    collect(slave, text, 3);
    EQ(memcmp(text, "x\n\177", 3), 0);
    EQ(write(slave, "y\n", 2), 2);
    collect(master, text, 2);
    EQ(memcmp(text, "y\n", 2), 0);
    ok("raw");
    SYS(tcgetattr(slave, &mode));
    mode.c_lflag |= ISIG | ECHO;
    SYS(tcsetattr(slave, TCSANOW, &mode));
    memset(text, 0, sizeof text);
    EQ(write(slave, "out", 3), 3);
    usleep(20000);
    EQ(write(master, "\003", 1), 1);
    collect(master, text, 5);
    EQ(memcmp(text, "out^C", 5), 0);
    EQ(write(slave, "out", 3), 3);
    usleep(20000);
    SYS(tcflush(slave, TCOFLUSH));
    collect(master, text, 3);
    EQ(memcmp(text, "out", 3), 0);
    EQ(write(slave, "out", 3), 3);
    usleep(20000);
    SYS(tcflush(master, TCIFLUSH));
    EQ(write(slave, "y\n", 2), 2);
    collect(master, text, 2);
    EQ(memcmp(text, "y\n", 2), 0);
    ok("what was written is the reader's");
    struct winsize size = {24, 80, 0, 0}, now;
    SYS(ioctl(master, TIOCSWINSZ, &size));
    SYS(ioctl(slave, TIOCGWINSZ, &now));
    EQ(now.ws_row, 24);
    EQ(now.ws_col, 80);
    ok("size");
    pid_t child = SYS(fork());
    if (child == 0) {
        close(master);
        SYS(setsid());
        SYS(ioctl(slave, TIOCSCTTY, 0));
        int tty = SYS(open("/dev/tty", O_RDWR));
        EQ(write(tty, "tty", 3), 3);
        _exit(0);
    }
    collect(master, text, 3);
    EQ(strcmp(text, "tty"), 0);
    EQ(exit_of(child), 0);
    ok("the controlling terminal of a session");
    close(slave);
    FAILS(EIO, read(master, text, 1));
    int p[2];
    SYS(pipe(p));
    FAILS(ENOTTY, ioctl(p[0], TIOCGWINSZ, &now));
    EQ(isatty(p[0]), 0);
    ok("hang-up, not a terminal");
    return 0;
}
