// IPv6 sockets that speak IPv4: they show such addresses mapped.
#include "guest.h"
#include <arpa/inet.h>
#include <netinet/in.h>

static const char *shown(const struct sockaddr_storage *a, socklen_t size) {
    static char text[64];
    EQ(a->ss_family, AF_INET6);
    EQ(size, sizeof(struct sockaddr_in6));
    return inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)a)->sin6_addr, text, sizeof text);
}

static const char *name(int fd, int (*ask)(int, struct sockaddr *, socklen_t *)) {
    struct sockaddr_storage a;
    socklen_t size = sizeof a;
    SYS(ask(fd, (void *)&a, &size));
    return shown(&a, size);
}

int main(void) {
    const char *mapped = "::ffff:127.0.0.1";
    struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_addr = in6addr_any};
    struct sockaddr_in there = {AF_INET, 0, {htonl(INADDR_LOOPBACK)}, {0}};
    struct sockaddr_storage from;
    socklen_t size = sizeof any;
    int door = SYS(socket(AF_INET6, SOCK_STREAM, 0)), client = SYS(socket(AF_INET, SOCK_STREAM, 0));
    SYS(bind(door, (void *)&any, sizeof any));
    SYS(listen(door, 1));
    SYS(getsockname(door, (void *)&any, &size));
    there.sin_port = any.sin6_port;
    SYS(connect(client, (void *)&there, sizeof there));
    size = sizeof from;
    int server = SYS(accept(door, (void *)&from, &size));
    EQ(strcmp(shown(&from, size), mapped), 0);
    EQ(strcmp(name(server, getpeername), mapped), 0);
    EQ(strcmp(name(server, getsockname), mapped), 0);
    ok("a connection that came in");
    int door4 = SYS(socket(AF_INET, SOCK_STREAM, 0)), client6 = SYS(socket(AF_INET6, SOCK_STREAM, 0));
    there.sin_port = 0;
    SYS(bind(door4, (void *)&there, sizeof there));
    SYS(listen(door4, 1));
    size = sizeof there;
    SYS(getsockname(door4, (void *)&there, &size));
    struct sockaddr_in6 to = {.sin6_family = AF_INET6, .sin6_port = there.sin_port};
    EQ(inet_pton(AF_INET6, mapped, &to.sin6_addr), 1);
    SYS(connect(client6, (void *)&to, sizeof to));
    EQ(strcmp(name(client6, getpeername), mapped), 0);
    EQ(strcmp(name(client6, getsockname), mapped), 0);
    ok("one that went out");
    int a = SYS(socket(AF_INET6, SOCK_DGRAM, 0)), b = SYS(socket(AF_INET, SOCK_DGRAM, 0));
    any.sin6_port = 0;
    SYS(bind(a, (void *)&any, sizeof any));
    size = sizeof any;
    SYS(getsockname(a, (void *)&any, &size));
    there.sin_port = any.sin6_port;
    EQ(sendto(b, "x", 1, 0, (void *)&there, sizeof there), 1);
    char text[8];
    size = sizeof from;
    EQ(recvfrom(a, text, sizeof text, 0, (void *)&from, &size), 1);
    EQ(strcmp(shown(&from, size), mapped), 0);
    EQ(sendto(a, "y", 1, 0, (void *)&from, size), 1);
    EQ(recv(b, text, sizeof text, 0), 1);
    struct iovec piece = {text, sizeof text};
    struct msghdr header = {.msg_name = &from, .msg_namelen = sizeof from, .msg_iov = &piece, .msg_iovlen = 1};
    EQ(sendto(b, "z", 1, 0, (void *)&there, sizeof there), 1);
    EQ(recvmsg(a, &header, 0), 1);
    EQ(strcmp(shown(&from, header.msg_namelen), mapped), 0);
    ok("datagrams");
    return 0;
}
