// Names and files: symbolic links, hard links, unlink while open, loops.
#include "guest.h"

int main(void) {
    char text[64];
    struct stat st;
    spit("f", "contents");
    SYS(symlink("f", "s"));
    SYS(symlink("absent", "dangling"));
    SYS(symlink("loop", "loop"));
    EQ(readlink("s", text, sizeof text), 1);
    EQ(text[0], 'f');
    EQ(readlink("dangling", text, 3), 3);
    EQ(memcmp(text, "abs", 3), 0);
    FAILS(EINVAL, readlink("f", text, sizeof text));
    FAILS(ELOOP, open("loop", O_RDONLY));
    FAILS(ENOENT, symlink("", "loop/name"));
    FAILS(ENOENT, open("dangling", O_RDONLY));
    FAILS(ELOOP, open("s", O_RDONLY | O_NOFOLLOW));
    FAILS(EEXIST, open("dangling", O_WRONLY | O_CREAT | O_EXCL, 0600));
    SYS(lstat("s", &st));
    CHECK(S_ISLNK(st.st_mode));
    EQ(st.st_size, 1);
    SYS(stat("s", &st));
    CHECK(S_ISREG(st.st_mode));
    ok("symbolic links");
    int made = SYS(open("dangling", O_WRONLY | O_CREAT, 0600));
    close(made);
    SYS(access("absent", F_OK));
    SYS(mkdir("d", 0755));
    SYS(symlink("../f", "d/up"));
    EQ(slurp("d/up", text, sizeof text), 8);
    SYS(symlink("d", "dirlink"));
    EQ(slurp("dirlink/up", text, sizeof text), 8);
    EQ(slurp("dirlink/../f", text, sizeof text), 8);
    FAILS(ENOTDIR, open("dirlink", O_RDONLY | O_NOFOLLOW | O_DIRECTORY));
    CHECK(realpath("dirlink/up", text) == NULL || strlen(text) > 0);
    ok("through directories");

    SYS(link("f", "g"));
    SYS(stat("g", &st));
    EQ(st.st_nlink, 2);
    ino_t number = st.st_ino;
    SYS(stat("f", &st));
    EQ(st.st_ino, number);
    FAILS(EEXIST, link("f", "g"));
    int fd = SYS(open("g", O_RDWR));
    SYS(unlink("f"));
    SYS(unlink("g"));
    FAILS(ENOENT, unlink("g"));
    SYS(fstat(fd, &st));
    EQ(st.st_nlink, 0);
    EQ(write(fd, "CON", 3), 3);
    EQ(pread(fd, text, 64, 0), 8);
    EQ(memcmp(text, "CONtents", 8), 0);
    show("inode %lu", (unsigned long)number);
    ok("hard links; an open file lives on without a name");
    SYS(linkat(AT_FDCWD, "s", AT_FDCWD, "s2", 0));
    SYS(lstat("s2", &st));
    CHECK(S_ISLNK(st.st_mode));
    FAILS(EISDIR, unlink("d"));
    ok("a link to a link; a directory is not unlinked");
    return 0;
}
