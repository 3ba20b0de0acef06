// memfd_create: a file without a name, mapped, sealed, passed to a child.
#include "guest.h"

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
    return 0;
}
