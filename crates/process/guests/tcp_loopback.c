// cc: -pthread
// TCP inside the group over the loopback: connect, accept, options, bulk, half close.
#include "guest.h"
#include <netinet/in.h>
#include <netinet/tcp.h>

enum { BULK = 1 << 20 };

static int listener;

static void *serve(void *arg) {
    (void)arg;
    struct sockaddr_in peer;
    socklen_t size = sizeof peer;
    int s = SYS(accept(listener, (void *)&peer, &size));
    EQ(size, sizeof peer);
    EQ(ntohl(peer.sin_addr.s_addr), INADDR_LOOPBACK);
    // Adds up everything until the client's end, then answers with the sum.
    static unsigned char buffer[30000];
    uint64_t sum = 0, bytes = 0;
    for (ssize_t r; (r = SYS(read(s, buffer, sizeof buffer))) > 0; bytes += r)
        for (ssize_t i = 0; i < r; i++) sum = sum * 31 + buffer[i];
    EQ(bytes, BULK);
    EQ(write(s, &sum, 8), 8);
    close(s);
    return NULL;
}

int main(void) {
    struct sockaddr_in name = {AF_INET, 0, {htonl(INADDR_LOOPBACK)}, {0}}, peer;
    socklen_t size = sizeof name;
    listener = SYS(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    int on = 1, value;
    SYS(setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on));
    SYS(bind(listener, (void *)&name, sizeof name));
    SYS(listen(listener, 8));
    SYS(getsockname(listener, (void *)&name, &size));
    EQ(size, sizeof name);
    CHECK(name.sin_port != 0);
    size = sizeof value;
    SYS(getsockopt(listener, SOL_SOCKET, SO_ACCEPTCONN, &value, &size));
    EQ(value, 1);
    show("port %d", ntohs(name.sin_port));

    pthread_t thread;
    PT(pthread_create(&thread, NULL, serve, NULL));
    int s = SYS(socket(AF_INET, SOCK_STREAM, 0));
    FAILS(ENOTCONN, getpeername(s, (void *)&peer, &size));
    SYS(connect(s, (void *)&name, sizeof name));
    FAILS(EISCONN, connect(s, (void *)&name, sizeof name));
    SYS(setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on));
    size = sizeof value;
    SYS(getsockopt(s, IPPROTO_TCP, TCP_NODELAY, &value, &size));
    CHECK(value != 0);
    size = sizeof peer;
    SYS(getpeername(s, (void *)&peer, &size));
    EQ(peer.sin_port, name.sin_port);
    static unsigned char data[BULK];
    uint64_t expect = 0, sum = 0;
    for (int i = 0; i < BULK; i++) {
        data[i] = i * 2654435761u >> 24;
        expect = expect * 31 + data[i];
    }
    for (size_t n = 0; n < BULK;) n += SYS(write(s, data + n, BULK - n));
    SYS(shutdown(s, SHUT_WR));
    FAILS(EPIPE, send(s, "x", 1, MSG_NOSIGNAL));
    EQ(recv(s, &sum, 8, MSG_WAITALL), 8);
    CHECK(sum == expect);
    EQ(read(s, &sum, 1), 0);
    PT(pthread_join(thread, NULL));
    close(s);
    ok("a megabyte there, its sum back");

    // Without blocking.
    s = SYS(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
    if (connect(s, (void *)&name, sizeof name) == -1) EQ(errno, EINPROGRESS);
    struct pollfd fd = {s, POLLOUT, 0};
    EQ(poll(&fd, 1, 10000), 1);
    size = sizeof value;
    SYS(getsockopt(s, SOL_SOCKET, SO_ERROR, &value, &size));
    EQ(value, 0);
    fd = (struct pollfd){listener, POLLIN, 0};
    EQ(poll(&fd, 1, 10000), 1);
    int other = SYS(accept4(listener, NULL, NULL, SOCK_NONBLOCK));
    char c;
    FAILS(EAGAIN, read(other, &c, 1));
    SYS(fcntl(listener, F_SETFL, O_NONBLOCK));
    FAILS(EAGAIN, accept(listener, NULL, NULL));
    ok("without blocking");
    struct linger now = {1, 0};
    SYS(setsockopt(other, SOL_SOCKET, SO_LINGER, &now, sizeof now));
    close(other);
    fd = (struct pollfd){s, POLLIN, 0};
    EQ(poll(&fd, 1, 10000), 1);
    FAILS(ECONNRESET, read(s, &c, 1));
    close(s);
    close(listener);
    s = SYS(socket(AF_INET, SOCK_STREAM, 0));
    FAILS(ECONNREFUSED, connect(s, (void *)&name, sizeof name));
    ok("reset, refused");
    return 0;
}
