// memfd_create: a file without a name, mapped, sealed, passed to a child.
#include "guest.h"

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 16
#endif

// A file that is sealed against writing can be mapped to be read, for good.
static void map_sealed(int seals) {
    int fd = SYS(memfd_create("sealed", MFD_ALLOW_SEALING));
    SYS(write(fd, "hello", 5));
    SYS(fcntl(fd, F_ADD_SEALS, seals));
    FAILS(EPERM, mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
    char *m = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
    // Before Linux 6.7 F_SEAL_WRITE forbids that, too, unless the descriptor is read-only.
    if (m == MAP_FAILED && errno == EPERM && seals & F_SEAL_WRITE) return;
    CHECK(m != MAP_FAILED);
    EQ(strcmp(m, "hello"), 0);
    FAILS(EACCES, mprotect(m, 4096, PROT_READ | PROT_WRITE));
    char *own = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    CHECK(own != MAP_FAILED);
    own[0] = 'j';
    EQ(m[0], 'h');
}

int main(void) {
    int fd = SYS(memfd_create("guest", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    SYS(ftruncate(fd, 8192));
    char *m = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(m != MAP_FAILED);
    pid_t child = SYS(fork());
    if (child == 0) {
        strcpy(m + 4096, "from the child");
        _exit(0);
    }
    EQ(exit_of(child), 0);
    char text[32] = "";
    EQ(pread(fd, text, 15, 4096), 15);
    EQ(strcmp(text, "from the child"), 0);
    struct stat st;
    SYS(fstat(fd, &st));
    EQ(st.st_nlink, 0);
    EQ(st.st_size, 8192);
    ok("shared with a child");
    SYS(munmap(m, 8192));
    SYS(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_WRITE));
    EQ(fcntl(fd, F_GET_SEALS), F_SEAL_SHRINK | F_SEAL_WRITE);
    FAILS(EPERM, ftruncate(fd, 0));
    FAILS(EPERM, write(fd, "x", 1));
    ok("sealed");
    map_sealed(F_SEAL_FUTURE_WRITE | F_SEAL_SHRINK);
    map_sealed(F_SEAL_WRITE | F_SEAL_SHRINK);
    ok("mapped to be read");
    return 0;
}
