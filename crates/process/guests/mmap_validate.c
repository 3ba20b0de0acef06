// mmap: MAP_SHARED_VALIDATE maps as MAP_SHARED does, and refuses the flags that MAP_SHARED ignores.
#include "guest.h"

#ifndef MAP_SYNC
#define MAP_SYNC 0x80000
#endif

int main(void) {
    int fd = SYS(open("f", O_RDWR | O_CREAT, 0600));
    SYS(write(fd, "hello", 5));
    const int rights = PROT_READ | PROT_WRITE;
    char *m = mmap(NULL, 4096, rights, MAP_SHARED_VALIDATE, fd, 0);
    CHECK(m != MAP_FAILED);
    EQ(strcmp(m, "hello"), 0);
    m[0] = 'j';
    char text[6] = "";
    EQ(pread(fd, text, 5, 0), 5);
    EQ(strcmp(text, "jello"), 0);
    CHECK(mmap(m, 4096, rights, MAP_SHARED_VALIDATE | MAP_FIXED, fd, 0) == m);
    EQ(m[0], 'j');
    ok("mapped and shared");
    FAILS(EOPNOTSUPP, mmap(NULL, 4096, rights, MAP_SHARED_VALIDATE | MAP_FIXED_NOREPLACE, fd, 0));
    FAILS(EOPNOTSUPP, mmap(NULL, 4096, rights, MAP_SHARED_VALIDATE | 0x800000, fd, 0));
    CHECK(mmap(NULL, 4096, rights, MAP_SHARED | 0x800000, fd, 0) != MAP_FAILED);
    FAILS(EINVAL, mmap(NULL, 4096, rights, MAP_SHARED_VALIDATE | MAP_ANONYMOUS, -1, 0));
    FAILS(EINVAL, mmap(NULL, 4096, rights, 0, fd, 0));
    FAILS(EBADF, mmap(NULL, 4096, rights, 0, 99, 0));
    ok("refused what it does not know");
    return 0;
}
