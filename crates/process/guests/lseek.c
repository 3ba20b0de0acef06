// lseek: the three old places, errors, holes.
#include "guest.h"

int main(void) {
    spit("f", "0123456789");
    int fd = SYS(open("f", O_RDWR));
    EQ(lseek(fd, 3, SEEK_SET), 3);
    EQ(lseek(fd, 2, SEEK_CUR), 5);
    EQ(lseek(fd, -1, SEEK_END), 9);
    FAILS(EINVAL, lseek(fd, -20, SEEK_CUR));
    FAILS(EINVAL, lseek(fd, 0, 99));
    EQ(lseek(fd, 0, SEEK_CUR), 9);
    EQ(lseek(fd, 100, SEEK_SET), 100);
    char c;
    EQ(read(fd, &c, 1), 0);
    ok("places and errors");
    EQ(lseek(fd, 0, SEEK_DATA), 0);
    EQ(lseek(fd, 0, SEEK_HOLE), 10);
    FAILS(ENXIO, lseek(fd, 10, SEEK_DATA));
    FAILS(ENXIO, lseek(fd, 10, SEEK_HOLE));
    ok("a hole at the end of every file");
    int sparse = SYS(open("sparse", O_RDWR | O_CREAT, 0600));
    EQ(pwrite(sparse, "x", 1, 1 << 20), 1);
    off_t data = SYS(lseek(sparse, 0, SEEK_DATA));
    CHECK(data >= 0 && data <= 1 << 20);
    EQ(lseek(sparse, 1 << 20, SEEK_HOLE), (1 << 20) + 1);
    show("first data at %lld", (long long)data);
    ok("a sparse file");
    return 0;
}
