// Pipes: blocking, end of file, atomic small writes, a chain of processes.
#include "guest.h"

int main(void) {
    int a[2], b[2];
    SYS(pipe(a));
    SYS(pipe2(b, O_CLOEXEC));
    pid_t child = SYS(fork());
    if (child == 0) {
        close(a[1]);
        close(b[0]);
        char c;
        while (read(a[0], &c, 1) == 1) {
            c ^= 0x20;
            EQ(write(b[1], &c, 1), 1);
        }
        _exit(0);
    }
    close(a[0]);
    close(b[1]);
    char text[16] = "";
    EQ(write(a[1], "Hello", 5), 5);
    close(a[1]);
    size_t n = 0;
    for (ssize_t r; (r = SYS(read(b[0], text + n, sizeof text - n))) > 0;) n += r;
    EQ(n, 5);
    EQ(strcmp(text, "hELLO"), 0);
    EQ(exit_of(child), 0);
    ok("through a child and back, then end of file");

    // Four writers, lines of one length: none is torn.
    SYS(pipe(a));
    for (int i = 0; i < 4; i++)
        if (SYS(fork()) == 0) {
            char line[100];
            memset(line, 'a' + i, sizeof line);
            for (int k = 0; k < 20; k++) EQ(write(a[1], line, sizeof line), sizeof line);
            _exit(0);
        }
    close(a[1]);
    int lines[4] = {0};
    char line[100];
    size_t have = 0;
    for (ssize_t r; (r = SYS(read(a[0], line + have, sizeof line - have))) > 0;) {
        have += r;
        if (have < sizeof line) continue;
        for (size_t i = 1; i < sizeof line; i++) EQ(line[i], line[0]);
        lines[line[0] - 'a']++;
        have = 0;
    }
    EQ(have, 0);
    for (int i = 0; i < 4; i++) EQ(lines[i], 20);
    while (wait(NULL) > 0) {}
    ok("small writes are whole");
    FAILS(EBADF, write(a[0], "x", 1));
    FAILS(ESPIPE, lseek(a[0], 0, SEEK_SET));
    ok("errors");
    return 0;
}
