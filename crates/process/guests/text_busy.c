// ETXTBSY: what runs cannot be opened for writing, what is open for writing cannot be executed.
#include "guest.h"
#include <sys/utsname.h>

static char code[4 << 20];

// A copy of this program, which waits for the end of its standard input.
static pid_t start(int ends[2]) {
    SYS(pipe(ends));
    pid_t child = SYS(fork());
    if (child == 0) {
        SYS(dup2(ends[0], 0));
        close(ends[1]);
        execl("./copy", "copy", "wait", NULL);
        _exit(errno);
    }
    close(ends[0]);
    return child;
}

int main(int argc, char **argv) {
    char byte;
    if (argc > 1) {
        return read(0, &byte, 1) == 0 && !strcmp(argv[1], "wait") ? 0 : 1;
    }
    struct utsname name;
    SYS(uname(&name));
    ssize_t size = slurp("/proc/self/exe", code, sizeof code);
    int ends[2], copy = SYS(open("copy", O_RDWR | O_CREAT, 0700));
    EQ(write(copy, code, size), size);
    // Linux 6.11 did without.
    if (!strncmp(name.release, "6.11.", 5)) {
        ok("open for writing");
        ok("running");
        return 0;
    }
    pid_t child = start(ends);
    EQ(exit_of(child), ETXTBSY);
    close(ends[1]);
    ok("open for writing");
    SYS(close(copy));
    int reader = SYS(open("copy", O_RDONLY));
    child = start(ends);
    char link[PATH_MAX] = "", exe[64];
    snprintf(exe, sizeof exe, "/proc/%d/exe", child);
    do SYS(readlink(exe, link, sizeof link));
    while (!strstr(link, "/copy"));
    FAILS(ETXTBSY, open("copy", O_WRONLY));
    FAILS(ETXTBSY, open("copy", O_RDONLY | O_TRUNC));
    FAILS(ETXTBSY, truncate("copy", 0));
    FAILS(ETXTBSY, open("/proc/self/exe", O_RDWR));
    SYS(open("copy", O_RDONLY));
    SYS(open("copy", 3));
    SYS(fchmod(reader, 0755));
    SYS(rename("copy", "moved"));
    FAILS(ETXTBSY, open("moved", O_WRONLY));
    close(ends[1]);
    EQ(exit_of(child), 0);
    SYS(open("moved", O_WRONLY));
    ok("running");
    return 0;
}
