// Modes: umask, chmod, fchmod, what open makes, access.
#include "guest.h"

static int mode_of(const char *path) {
    struct stat st;
    SYS(stat(path, &st));
    return st.st_mode & 07777;
}

int main(void) {
    umask(022);
    EQ(umask(027), 022);
    close(SYS(open("f", O_WRONLY | O_CREAT, 0666)));
    EQ(mode_of("f"), 0640);
    SYS(mkdir("d", 0777));
    EQ(mode_of("d"), 0750);
    SYS(chmod("f", 04711));
    EQ(mode_of("f"), 04711);
    int fd = SYS(open("f", O_RDONLY));
    SYS(fchmod(fd, 0600));
    EQ(mode_of("f"), 0600);
    SYS(fchmodat(AT_FDCWD, "d", 01777, 0));
    EQ(mode_of("d"), 01777);
    FAILS(ENOENT, chmod("absent", 0600));
    ok("umask, chmod");
    SYS(access("f", F_OK));
    SYS(access("f", R_OK | W_OK));
    FAILS(EACCES, access("f", X_OK));
    SYS(chmod("f", 0700));
    SYS(access("f", X_OK));
    FAILS(ENOENT, access("absent", F_OK));
    ok("access");
    pid_t child = SYS(fork());
    if (child == 0) {
        umask(0);
        _exit(0);
    }
    EQ(exit_of(child), 0);
    EQ(umask(0), 027);
    SYS(chown("f", -1, -1));
    ok("a child's umask is its own");
    return 0;
}
