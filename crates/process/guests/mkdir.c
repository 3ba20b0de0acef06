// Directories: mkdir, rmdir, their errors, *at calls, what is inside a removed one.
#include "guest.h"

int main(void) {
    struct stat st;
    SYS(mkdir("a", 0755));
    FAILS(EEXIST, mkdir("a", 0755));
    FAILS(ENOENT, mkdir("b/c", 0755));
    SYS(mkdir("a/b", 0700));
    SYS(stat("a", &st));
    CHECK(S_ISDIR(st.st_mode));
    FAILS(ENOTEMPTY, rmdir("a"));
    spit("f", "x");
    FAILS(ENOTDIR, rmdir("f"));
    FAILS(ENOTDIR, mkdir("f/x", 0755));
    FAILS(ENOENT, rmdir("absent"));
    FAILS(EINVAL, rmdir("a/."));
    ok("made, refused");
    int dir = SYS(open("a", O_RDONLY | O_DIRECTORY));
    FAILS(EISDIR, open("a", O_RDWR));
    FAILS(EISDIR, read(dir, &st, 1));
    SYS(mkdirat(dir, "c", 0755));
    int fd = SYS(openat(dir, "c/file", O_WRONLY | O_CREAT, 0644));
    close(fd);
    SYS(fstatat(dir, "c/file", &st, 0));
    SYS(faccessat(dir, "c/file", R_OK, 0));
    SYS(unlinkat(dir, "c/file", 0));
    SYS(unlinkat(dir, "c", AT_REMOVEDIR));
    SYS(unlinkat(dir, "b", AT_REMOVEDIR));
    SYS(rmdir("a"));
    FAILS(ENOENT, openat(dir, "x", O_WRONLY | O_CREAT, 0644));
    SYS(fstat(dir, &st));
    EQ(st.st_nlink, 0);
    ok("relative to a descriptor, also of a removed directory");
    return 0;
}
