// A TCP server with one thread: what stream.c and fsyncer.c share.
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void fail(const char *what) {
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    exit(1);
}

// A socket that listens at this port of every address.
static int listener(int port) {
    struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_ANY_INIT, .sin6_port = htons(port)};
    int on = 1, off = 0, fd = socket(AF_INET6, SOCK_STREAM, 0);
    // Without IPv6 in the kernel, IPv4 alone.
    if (fd < 0) {
        struct sockaddr_in any4 = {.sin_family = AF_INET, .sin_port = htons(port)};
        if ((fd = socket(AF_INET, SOCK_STREAM, 0)) < 0) fail("socket");
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
        if (bind(fd, (struct sockaddr *)&any4, sizeof any4)) fail("bind");
    } else {
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
        if (bind(fd, (struct sockaddr *)&any, sizeof any)) fail("bind");
    }
    if (listen(fd, 128)) fail("listen");
    signal(SIGPIPE, SIG_IGN);
    return fd;
}

static int accepted(int listening) {
    int on = 1, fd = accept(listening, 0, 0);
    if (fd >= 0) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}

// All of it, or -1.
static int send_all(int fd, const char *bytes, size_t size) {
    while (size > 0) {
        ssize_t n = write(fd, bytes, size);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return -1;
        bytes += n;
        size -= n;
    }
    return 0;
}
