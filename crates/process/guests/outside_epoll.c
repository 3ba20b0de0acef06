// outside: tcp
// The same requests as outside_tcp's, by a program that never blocks but in epoll_wait: sends and reads in small pieces until EAGAIN.
#include "guest.h"
#include <netinet/in.h>
#include <sys/epoll.h>

enum { TRIES_MAX = 20 };

static struct sockaddr_in server = {AF_INET, 0, {0}, {0}};
static int poller;

static void await(int s, uint32_t events) {
    struct epoll_event event = {events, {.fd = s}};
    SYS(epoll_ctl(poller, EPOLL_CTL_MOD, s, &event));
    EQ(epoll_wait(poller, &event, 1, 20000), 1);
    EQ(event.data.fd, s);
}

// Reads one byte at a time until a line has come; its length, or -1 if the connection broke.
static int read_line(int s, char *text, int size) {
    for (int got = 0; got < size - 1;) {
        ssize_t n = read(s, text + got, 1);
        if (n == 1 && text[got++] == '\n') return text[got] = 0, got;
        if (n == 0) return -1;
        if (n == -1 && errno != EAGAIN) return -1;
        if (n == -1) {
            FAILS(EAGAIN, read(s, text + got, 1));
            await(s, EPOLLIN);
        }
    }
    die("a line of more than %d bytes", size);
}

static long ask(int number) {
    int s = SYS(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0)), error = 0;
    struct epoll_event event = {EPOLLOUT, {.fd = s}};
    SYS(epoll_ctl(poller, EPOLL_CTL_ADD, s, &event));
    if (connect(s, (void *)&server, sizeof server) != 0) CHECK(errno == EINPROGRESS);
    await(s, EPOLLOUT);
    socklen_t size = sizeof error;
    SYS(getsockopt(s, SOL_SOCKET, SO_ERROR, &error, &size));
    char text[64];
    int n = snprintf(text, sizeof text, "ask %d\n", number);
    long answer = -1;
    for (int at = 0; error == 0 && at < n; at++) {
        // Sent byte by byte, by three calls.
        struct iovec pieces[] = {{text, 0}, {text + at, 1}, {NULL, 0}};
        ssize_t sent = at % 3 == 0   ? write(s, text + at, 1)
                       : at % 3 == 1 ? send(s, text + at, 1, MSG_NOSIGNAL)
                                     : writev(s, pieces, 3);
        if (sent != 1) error = errno;
    }
    struct iovec bad[] = {{nowhere, 1}};
    if (error == 0) FAILS(EFAULT, write(s, nowhere, 1));
    if (error == 0) FAILS(EFAULT, writev(s, bad, 1));
    if (error == 0) FAILS(EFAULT, writev(s, nowhere, 1));
    if (error == 0 && read_line(s, text, sizeof text) > 0) EQ(sscanf(text, "answer %ld", &answer), 1);
    if (answer == -1) show("request %d broke", number);
    close(s);
    return answer;
}

int main(void) {
    const char *port = getenv("OUTSIDE_PORT");
    CHECK(port != NULL);
    on_signal(SIGPIPE, SIG_IGN, 0);
    server.sin_port = htons(atoi(port));
    server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    poller = SYS(epoll_create1(0));
    for (int number = 1; number <= 4; number++) {
        long answer = -1;
        for (int turn = 0; answer == -1 && turn < TRIES_MAX; turn++) answer = ask(number);
        EQ(answer, number * number);
        ok("request %d is answered", number);
    }
    return 0;
}
