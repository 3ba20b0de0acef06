// outside: tcp
// Requests to a server outside of the group: connect, send, half close. Whatever breaks is asked again on a new connection.
#include "guest.h"
#include <netinet/in.h>

enum { TRIES_MAX = 20 };

static struct sockaddr_in server = {AF_INET, 0, {0}, {0}};

// One request on a connection of its own: the answer's number, or -1 if the connection broke.
static long ask(int number, bool blocking, bool half_close) {
    int s = SYS(socket(AF_INET, SOCK_STREAM | (blocking ? 0 : SOCK_NONBLOCK), 0));
    int error = 0;
    if (connect(s, (void *)&server, sizeof server) != 0) error = errno;
    if (error == EINPROGRESS) {
        CHECK(!blocking);
        struct pollfd fd = {s, POLLOUT, 0};
        EQ(poll(&fd, 1, 20000), 1);
        socklen_t size = sizeof error;
        SYS(getsockopt(s, SOL_SOCKET, SO_ERROR, &error, &size));
    }
    char text[64];
    int n = snprintf(text, sizeof text, "ask %d\n", number), got = 0;
    long answer = -1;
    if (error == 0 && !blocking) SYS(fcntl(s, F_SETFL, 0));
    // In two parts: what is in doubt may be either of them.
    if (error == 0 && (send(s, text, 2, MSG_NOSIGNAL) != 2 || send(s, text + 2, n - 2, MSG_NOSIGNAL) != n - 2))
        error = errno;
    if (error == 0 && half_close && shutdown(s, SHUT_WR) != 0) error = errno;
    while (error == 0 && (got == 0 || text[got - 1] != '\n')) {
        ssize_t r = recv(s, text + got, sizeof text - 1 - got, 0);
        if (r == 0) error = EPIPE;
        if (r < 0) error = errno;
        if (r > 0) got += r;
    }
    text[got] = 0;
    if (error == 0) EQ(sscanf(text, "answer %ld", &answer), 1);
    else CHECK(error == ECONNRESET || error == EPIPE || error == ENOTCONN);
    if (error != 0) show("request %d: %s", number, strerror(error));
    close(s);
    return answer;
}

int main(void) {
    const char *port = getenv("OUTSIDE_PORT");
    CHECK(port != NULL);
    server.sin_port = htons(atoi(port));
    server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (int number = 1; number <= 4; number++) {
        long answer = -1;
        for (int turn = 0; answer == -1 && turn < TRIES_MAX; turn++) answer = ask(number, number != 2, number == 3);
        EQ(answer, number * number);
        ok("request %d is answered", number);
    }
    return 0;
}
