// UDP inside the group over the loopback.
#include "guest.h"
#include <netinet/in.h>

int main(void) {
    struct sockaddr_in a = {AF_INET, 0, {htonl(INADDR_LOOPBACK)}, {0}}, b = a, from;
    socklen_t size = sizeof a;
    int sa = SYS(socket(AF_INET, SOCK_DGRAM, 0)), sb = SYS(socket(AF_INET, SOCK_DGRAM, 0));
    SYS(bind(sa, (void *)&a, sizeof a));
    SYS(bind(sb, (void *)&b, sizeof b));
    SYS(getsockname(sa, (void *)&a, &size));
    SYS(getsockname(sb, (void *)&b, &size));
    CHECK(a.sin_port != b.sin_port);
    show("ports %d %d", ntohs(a.sin_port), ntohs(b.sin_port));
    EQ(sendto(sa, "hello", 5, 0, (void *)&b, sizeof b), 5);
    EQ(sendto(sa, "", 0, 0, (void *)&b, sizeof b), 0);
    EQ(sendto(sa, "12345678", 8, 0, (void *)&b, sizeof b), 8);
    char text[16] = "";
    EQ(recvfrom(sb, text, sizeof text, 0, (void *)&from, &size), 5);
    EQ(strcmp(text, "hello"), 0);
    EQ(from.sin_port, a.sin_port);
    EQ(recv(sb, text, sizeof text, 0), 0);
    EQ(recv(sb, text, 3, MSG_TRUNC), 8);
    ok("borders, sender, empty, truncated");
    SYS(connect(sb, (void *)&a, sizeof a));
    EQ(send(sb, "back", 4, 0), 4);
    EQ(recv(sa, text, sizeof text, 0), 4);
    FAILS(EAGAIN, recv(sa, text, 1, MSG_DONTWAIT));
    struct timeval time = {0, 2000};
    SYS(setsockopt(sa, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time));
    FAILS(EAGAIN, recv(sa, text, 1, 0));
    ok("connected, timed");
    return 0;
}
