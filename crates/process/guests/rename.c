// rename: replaces in one step; an open file stays what it was; directories; errors.
#include "guest.h"

int main(void) {
    char text[16];
    spit("old", "new text");
    spit("target", "target");
    int open_target = SYS(open("target", O_RDONLY)), open_old = SYS(open("old", O_RDONLY));
    struct stat before, after;
    SYS(fstat(open_old, &before));
    SYS(rename("old", "target"));
    SYS(stat("target", &after));
    EQ(before.st_ino, after.st_ino);
    EQ(read(open_target, text, 16), 6);
    EQ(memcmp(text, "target", 6), 0);
    EQ(read(open_old, text, 16), 8);
    FAILS(ENOENT, stat("old", &after));
    SYS(fstat(open_target, &after));
    EQ(after.st_nlink, 0);
    ok("replaced; who had the old one open keeps it");
    SYS(mkdir("d", 0755));
    SYS(mkdir("d/e", 0755));
    SYS(mkdir("empty", 0755));
    FAILS(ENOENT, rename("absent", "x"));
    FAILS(EISDIR, rename("target", "d"));
    FAILS(ENOTDIR, rename("d", "target"));
    FAILS(ENOTEMPTY, rename("empty", "d"));
    FAILS(EINVAL, rename("d", "d/e/inside"));
    SYS(rename("d/e", "empty"));
    SYS(rename("target", "d/moved"));
    SYS(rename("d", "renamed"));
    slurp("renamed/moved", text, sizeof text);
    EQ(strcmp(text, "new text"), 0);
    ok("directories and errors");
    int dir = SYS(open("renamed", O_RDONLY | O_DIRECTORY));
    SYS(renameat(dir, "moved", AT_FDCWD, "back"));
    SYS(link("back", "same"));
    SYS(rename("back", "same"));
    SYS(access("back", F_OK));
    ok("relative to a directory; two names of one file stay two");
    return 0;
}
