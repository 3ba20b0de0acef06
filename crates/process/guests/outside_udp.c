// outside: udp
// Datagrams to a socket outside of the group: without answer, connected or not, and asked again until answered.
#include "guest.h"
#include <netinet/in.h>

enum { TRIES_MAX = 20 };

static struct sockaddr_in server = {AF_INET, 0, {0}, {0}};

// Asks until the answer to this very question comes; answers to earlier ones may come late, or twice.
static void ask(int s, int number) {
    char text[64];
    for (int turn = 0; turn < TRIES_MAX; turn++) {
        int n = snprintf(text, sizeof text, "ask %d\n", number);
        EQ(sendto(s, text, n, 0, (void *)&server, sizeof server), n);
        for (;;) {
            ssize_t got = recv(s, text, sizeof text - 1, 0);
            if (got < 0) {
                EQ(errno, EAGAIN);
                show("question %d has no answer", number);
                break;
            }
            text[got] = 0;
            long answer;
            EQ(sscanf(text, "answer %ld", &answer), 1);
            if (answer == number * number) return;
        }
    }
    die("question %d has no answer", number);
}

int main(void) {
    const char *port = getenv("OUTSIDE_PORT");
    CHECK(port != NULL);
    server.sin_port = htons(atoi(port));
    server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int plain = SYS(socket(AF_INET, SOCK_DGRAM, 0)), connected = SYS(socket(AF_INET, SOCK_DGRAM, 0));
    SYS(connect(connected, (void *)&server, sizeof server));
    EQ(sendto(plain, "first", 5, 0, (void *)&server, sizeof server), 5);
    ok("sent");
    EQ(send(connected, "", 0, 0), 0);
    sleep_ms(2);
    struct iovec parts[2] = {{"in two ", 7}, {"parts", 5}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
    EQ(sendmsg(connected, &message, 0), 12);
    sleep_ms(2);
    ok("sent by a connected socket, an empty one too");
    struct timeval patience = {0, 400000};
    SYS(setsockopt(plain, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience));
    for (int number = 2; number <= 4; number++) {
        ask(plain, number);
        ok("question %d is answered", number);
    }
    EQ(sendto(plain, "last", 4, 0, (void *)&server, sizeof server), 4);
    return 0;
}
