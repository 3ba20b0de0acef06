// sendfile and copies inside the kernel: file to file, pipe and socket.
#include "guest.h"
#include <sys/sendfile.h>

int main(void) {
    static char data[20000], back[20000];
    for (size_t i = 0; i < sizeof data; i++) data[i] = i * 31 >> 3;
    int in = SYS(open("in", O_RDWR | O_CREAT, 0600)), out = SYS(open("out", O_RDWR | O_CREAT, 0600));
    EQ(write(in, data, sizeof data), sizeof data);
    off_t at = 100;
    EQ(sendfile(out, in, &at, 5000), 5000);
    EQ(at, 5100);
    EQ(lseek(in, 0, SEEK_CUR), sizeof data);
    EQ(lseek(out, 0, SEEK_CUR), 5000);
    EQ(pread(out, back, 5000, 0), 5000);
    EQ(memcmp(back, data + 100, 5000), 0);
    ok("to a file, with its own offset");
    SYS(lseek(in, 19000, SEEK_SET));
    int s[2];
    SYS(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
    EQ(sendfile(s[0], in, NULL, 5000), 1000);
    EQ(lseek(in, 0, SEEK_CUR), sizeof data);
    EQ(sendfile(s[0], in, NULL, 5000), 0);
    EQ(recv(s[1], back, 1000, MSG_WAITALL), 1000);
    EQ(memcmp(back, data + 19000, 1000), 0);
    ok("to a socket, up to the end of the file");
    int p[2];
    SYS(pipe(p));
    at = 0;
    EQ(sendfile(p[1], in, &at, 3000), 3000);
    EQ(read(p[0], back, 3000), 3000);
    EQ(memcmp(back, data, 3000), 0);
    FAILS(EBADF, sendfile(p[0], in, &at, 1));
    ok("to a pipe");
    at = -1;
    FAILS(EINVAL, sendfile(out, in, &at, 1));
    at = 0;
    int appends = SYS(open("out", O_WRONLY | O_APPEND));
    FAILS(EINVAL, sendfile(appends, in, &at, 1));
    EQ(at, 0);
    ok("refused");
    return 0;
}
