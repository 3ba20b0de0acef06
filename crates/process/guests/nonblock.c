// O_NONBLOCK belongs to the open file, not to the descriptor; FIONBIO; MSG_DONTWAIT.
#include "guest.h"
#include <sys/ioctl.h>

int main(void) {
    int s[2];
    char c;
    SYS(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
    FAILS(EAGAIN, recv(s[0], &c, 1, MSG_DONTWAIT));
    int again = SYS(dup(s[0]));
    SYS(fcntl(again, F_SETFL, O_NONBLOCK));
    CHECK(fcntl(s[0], F_GETFL) & O_NONBLOCK);
    FAILS(EAGAIN, read(s[0], &c, 1));
    ok("shared by dup");
    int zero = 0;
    SYS(ioctl(s[0], FIONBIO, &zero));
    CHECK(!(fcntl(again, F_GETFL) & O_NONBLOCK));
    ok("FIONBIO");
    EQ(write(s[1], "ab", 2), 2);
    EQ(read(again, &c, 1), 1);
    EQ(c, 'a');
    EQ(read(s[0], &c, 1), 1);
    EQ(c, 'b');
    ok("bytes are shared");
    return 0;
}
