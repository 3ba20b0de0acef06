// MSG_WAITALL: all that was asked for, or what there is when a stream ends, whenever that came.
#include "guest.h"
#include <netinet/in.h>

static void unix_pair(int *ends) {
    SYS(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
}

static void tcp_pair(int *ends) {
    struct sockaddr_in a = {AF_INET, 0, {htonl(INADDR_LOOPBACK)}, {0}};
    socklen_t size = sizeof a;
    int door = SYS(socket(AF_INET, SOCK_STREAM, 0));
    SYS(bind(door, (void *)&a, sizeof a));
    SYS(listen(door, 1));
    SYS(getsockname(door, (void *)&a, &size));
    ends[0] = SYS(socket(AF_INET, SOCK_STREAM, 0));
    SYS(connect(ends[0], (void *)&a, sizeof a));
    ends[1] = SYS(accept(door, NULL, NULL));
    SYS(close(door));
}

static void check(const char *what, void (*pair)(int *)) {
    int ends[2];
    char text[32] = "";
    pair(ends);
    EQ(send(ends[1], "12345", 5, 0), 5);
    SYS(shutdown(ends[1], SHUT_WR));
    EQ(recv(ends[0], text, 25, MSG_WAITALL), 5);
    EQ(recv(ends[0], text, 25, MSG_WAITALL), 0);
    pair(ends);
    EQ(send(ends[1], "123", 3, 0), 3);
    EQ(send(ends[1], "45", 2, 0), 2);
    EQ(recv(ends[0], text, 5, MSG_WAITALL), 5);
    EQ(memcmp(text, "12345", 5), 0);
    pid_t child = SYS(fork());
    if (child == 0) {
        EQ(send(ends[1], "12", 2, 0), 2);
        usleep(2000);
        EQ(send(ends[1], "345", 3, 0), 3);
        usleep(2000);
        _exit(0);
    }
    SYS(close(ends[1]));
    EQ(recv(ends[0], text, 4, MSG_WAITALL), 4);
    EQ(recv(ends[0], text, 25, MSG_WAITALL), 1);
    EQ(exit_of(child), 0);
    ok("%s", what);
}

int main(void) {
    check("Unix streams", unix_pair);
    check("TCP", tcp_pair);
    return 0;
}
