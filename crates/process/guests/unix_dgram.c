// Unix datagram sockets: names, senders, borders, errors.
#include "guest.h"

int main(void) {
    struct sockaddr_un a = {AF_UNIX, "a"}, b = {AF_UNIX, "b"}, from = {0};
    socklen_t size = offsetof(struct sockaddr_un, sun_path) + 2, length = sizeof from;
    int sa = SYS(socket(AF_UNIX, SOCK_DGRAM, 0)), sb = SYS(socket(AF_UNIX, SOCK_DGRAM, 0));
    FAILS(ENOENT, sendto(sa, "x", 1, 0, (void *)&b, size));
    SYS(bind(sa, (void *)&a, size));
    SYS(bind(sb, (void *)&b, size));
    EQ(sendto(sa, "hello", 5, 0, (void *)&b, size), 5);
    EQ(sendto(sa, "", 0, 0, (void *)&b, size), 0);
    char text[8] = "";
    EQ(recvfrom(sb, text, sizeof text, 0, (void *)&from, &length), 5);
    EQ(length, size);
    EQ(strcmp(from.sun_path, "a"), 0);
    EQ(recvfrom(sb, text, sizeof text, 0, NULL, NULL), 0);
    ok("datagrams with their sender, also empty ones");
    SYS(connect(sb, (void *)&a, size));
    EQ(send(sb, "12345678", 8, 0), 8);
    EQ(recv(sa, text, 4, MSG_TRUNC), 8);
    EQ(memcmp(text, "1234", 4), 0);
    FAILS(EAGAIN, recv(sa, text, 4, MSG_DONTWAIT));
    close(sa);
    FAILS(ECONNREFUSED, send(sb, "x", 1, 0));
    ok("truncated, refused");
    return 0;
}
