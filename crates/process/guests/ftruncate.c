// ftruncate and truncate: shrink, grow with zeros, what a mapping and a reader see.
#include "guest.h"

int main(void) {
    char text[64];
    spit("f", "0123456789");
    int fd = SYS(open("f", O_RDWR));
    SYS(lseek(fd, 8, SEEK_SET));
    SYS(ftruncate(fd, 4));
    EQ(read(fd, text, 1), 0);
    EQ(write(fd, "X", 1), 1);
    EQ(slurp("f", text, sizeof text), 9);
    EQ(memcmp(text, "0123\0\0\0\0X", 9), 0);
    ok("shrunk; a write beyond the end leaves zeros");
    SYS(truncate("f", 2));
    SYS(truncate("f", 5));
    EQ(slurp("f", text, sizeof text), 5);
    EQ(memcmp(text, "01\0\0\0", 5), 0);
    ok("grown with zeros, not with what was there");
    SYS(ftruncate(fd, 8192));
    char *map = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(map != MAP_FAILED);
    map[4096] = 'm';
    SYS(ftruncate(fd, 4096));
    SYS(ftruncate(fd, 8192));
    EQ(map[4096], 0);
    EQ(map[0], '0');
    ok("a mapping sees it");
    struct stat st;
    SYS(fstat(fd, &st));
    EQ(st.st_size, 8192);
    FAILS(EINVAL, ftruncate(fd, -1));
    FAILS(ENOENT, truncate("absent", 0));
    int readonly = SYS(open("f", O_RDONLY));
    FAILS(EINVAL, ftruncate(readonly, 0));
    FAILS(EISDIR, truncate(".", 0));
    EQ(open("f", O_WRONLY | O_TRUNC) >= 0, 1);
    SYS(fstat(fd, &st));
    EQ(st.st_size, 0);
    ok("errors, O_TRUNC");
    EQ(posix_fallocate(fd, 0, 100), 0);
    SYS(fstat(fd, &st));
    EQ(st.st_size, 100);
    ok("fallocate");
    return 0;
}
