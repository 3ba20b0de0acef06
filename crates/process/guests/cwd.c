// The working directory: chdir, fchdir, getcwd, paths relative to it, in a child.
#include "guest.h"

int main(void) {
    char start[PATH_MAX], now[PATH_MAX];
    CHECK(getcwd(start, sizeof start));
    SYS(mkdir("a", 0755));
    SYS(mkdir("a/b", 0755));
    SYS(symlink("a/b", "link"));
    SYS(chdir("link"));
    CHECK(getcwd(now, sizeof now));
    EQ(strncmp(now, start, strlen(start)), 0);
    EQ(strcmp(now + strlen(start), "/a/b"), 0);
    spit("here", "x");
    SYS(chdir(".."));
    SYS(access("b/here", F_OK));
    errno = 0;
    CHECK(getcwd(now, 2) == NULL && errno == ERANGE);
    ok("chdir and getcwd");
    int dir = SYS(open(start, O_RDONLY | O_DIRECTORY));
    pid_t child = SYS(fork());
    if (child == 0) {
        SYS(fchdir(dir));
        SYS(access("a/b/here", F_OK));
        _exit(0);
    }
    EQ(exit_of(child), 0);
    SYS(access("b/here", F_OK));
    FAILS(ENOTDIR, chdir("b/here"));
    FAILS(ENOENT, chdir("absent"));
    ok("a child has its own");
    SYS(chdir("b"));
    SYS(rename("../b", "../renamed"));
    CHECK(getcwd(now, sizeof now));
    EQ(strcmp(now + strlen(start), "/a/renamed"), 0);
    SYS(unlink("here"));
    SYS(rmdir("../renamed"));
    errno = 0;
    CHECK(getcwd(now, sizeof now) == NULL && errno == ENOENT);
    FAILS(ENOENT, open("x", O_WRONLY | O_CREAT, 0600));
    ok("renamed and removed under our feet");
    return 0;
}
