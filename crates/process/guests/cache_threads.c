// A cache as memcached is built: one thread accepts and hands out connections by a pipe, four workers serve them with an epoll each, one hash table
// with a mutex a bucket and a counter with a lock of its own; clients are threads of the same program.
#include "guest.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>

enum { WORKERS = 4, CLIENTS = 6, TURNS = 12, BUCKETS = 8, LINE = 64 };

struct item {
    struct item *next;
    char key[16], value[32];
};

static struct {
    pthread_mutex_t mutex;
    struct item *items;
} buckets[BUCKETS];
static pthread_rwlock_t count_lock = PTHREAD_RWLOCK_INITIALIZER;
static int count;
static atomic_int served[WORKERS], hung_up;

static struct item *find(int bucket, const char *key) {
    for (struct item *it = buckets[bucket].items; it; it = it->next)
        if (strcmp(it->key, key) == 0) return it;
    return NULL;
}

// "set KEY VALUE", "get KEY" or "incr".
static void answer(const char *asked, char *reply) {
    char verb[8] = "", key[16] = "", value[32] = "";
    CHECK(sscanf(asked, "%7s %15s %31s", verb, key, value) >= 1);
    if (strcmp(verb, "incr") == 0) {
        PT(pthread_rwlock_wrlock(&count_lock));
        snprintf(reply, LINE, "%d\n", ++count);
        PT(pthread_rwlock_unlock(&count_lock));
        return;
    }
    unsigned hash = 5381;
    for (const char *at = key; *at; at++) hash = hash * 33 ^ (unsigned char)*at;
    int bucket = hash % BUCKETS;
    PT(pthread_mutex_lock(&buckets[bucket].mutex));
    struct item *it = find(bucket, key);
    if (strcmp(verb, "set") == 0) {
        if (!it) {
            it = calloc(1, sizeof *it);
            strcpy(it->key, key);
            it->next = buckets[bucket].items;
            buckets[bucket].items = it;
        }
        strcpy(it->value, value);
        strcpy(reply, "STORED\n");
    } else {
        snprintf(reply, LINE, "%s\n", it ? it->value : "NONE");
    }
    PT(pthread_mutex_unlock(&buckets[bucket].mutex));
}

// Serves one request whole; false at the end of the connection. Clients never have two under way.
static bool serve(int fd) {
    char asked[LINE], reply[LINE];
    int have = 0;
    do {
        ssize_t n = SYS(read(fd, asked + have, LINE - 1 - have));
        if (n == 0) {
            EQ(have, 0);
            return false;
        }
        have += n;
    } while (asked[have - 1] != '\n');
    asked[have] = 0;
    answer(asked, reply);
    EQ(write(fd, reply, strlen(reply)), strlen(reply));
    return true;
}

static int handed[WORKERS][2];

static void *worker(void *arg) {
    int me = (int)(intptr_t)arg, poller = SYS(epoll_create1(EPOLL_CLOEXEC));
    struct epoll_event event = {.events = EPOLLIN, .data.fd = handed[me][0]};
    SYS(epoll_ctl(poller, EPOLL_CTL_ADD, event.data.fd, &event));
    for (;;) {
        struct epoll_event ready[4];
        int n = epoll_wait(poller, ready, 4, -1);
        if (n < 0 && errno == EINTR) continue;
        CHECK(n > 0);
        for (int i = 0; i < n; i++) {
            int fd = ready[i].data.fd;
            if (fd == handed[me][0]) {
                int given;
                if (SYS(read(fd, &given, sizeof given)) == 0) {
                    close(poller);
                    return NULL;
                }
                event.data.fd = given;
                SYS(epoll_ctl(poller, EPOLL_CTL_ADD, given, &event));
            } else if (serve(fd)) {
                served[me]++;
            } else {
                SYS(close(fd));
                hung_up++;
            }
        }
    }
}

static struct sockaddr_in address = {.sin_family = AF_INET};

static void ask(int fd, const char *asked, char *reply) {
    EQ(write(fd, asked, strlen(asked)), strlen(asked));
    int have = 0;
    do have += SYS(read(fd, reply + have, LINE - 1 - have));
    while (reply[have - 1] != '\n');
    reply[have] = 0;
}

static void *client(void *arg) {
    int me = (int)(intptr_t)arg, fd = SYS(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    SYS(connect(fd, (struct sockaddr *)&address, sizeof address));
    SYS(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int)));
    char asked[LINE], reply[LINE], expect[LINE];
    for (int i = 0; i < TURNS; i++) {
        snprintf(asked, LINE, "set key-%d-%d value-%d\n", me, i % 3, i);
        ask(fd, asked, reply);
        CHECK(strcmp(reply, "STORED\n") == 0);
        ask(fd, "incr\n", reply);
        CHECK(atoi(reply) > i);
        snprintf(asked, LINE, "get key-%d-%d\n", me, i % 3);
        snprintf(expect, LINE, "value-%d\n", i);
        ask(fd, asked, reply);
        CHECK(strcmp(reply, expect) == 0);
    }
    close(fd);
    return NULL;
}

int main(void) {
    for (int i = 0; i < BUCKETS; i++) PT(pthread_mutex_init(&buckets[i].mutex, NULL));
    int listener = SYS(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    SYS(bind(listener, (struct sockaddr *)&address, sizeof address));
    SYS(listen(listener, 16));
    socklen_t len = sizeof address;
    SYS(getsockname(listener, (struct sockaddr *)&address, &len));
    pthread_t workers[WORKERS], clients[CLIENTS];
    for (intptr_t i = 0; i < WORKERS; i++) {
        SYS(pipe2(handed[i], O_CLOEXEC));
        PT(pthread_create(&workers[i], NULL, worker, (void *)i));
    }
    for (int turn = 0; turn < 2; turn++) {
        for (intptr_t i = 0; i < CLIENTS; i++) PT(pthread_create(&clients[i], NULL, client, (void *)(turn * CLIENTS + i)));
        for (int i = 0; i < CLIENTS; i++) {
            int fd = SYS(accept4(listener, NULL, NULL, SOCK_CLOEXEC));
            EQ(write(handed[i % WORKERS][1], &fd, sizeof fd), sizeof fd);
        }
        for (int i = 0; i < CLIENTS; i++) PT(pthread_join(clients[i], NULL));
        ok("turn %d: counted to %d", turn, count);
    }
    for (int i = 0; i < WORKERS; i++) close(handed[i][1]);
    for (int i = 0; i < WORKERS; i++) {
        PT(pthread_join(workers[i], NULL));
        // Six connections a turn: the first two workers have two of them.
        EQ(served[i], 2 * TURNS * 3 * (i < CLIENTS % WORKERS ? 2 : 1));
    }
    EQ(hung_up, 2 * CLIENTS);
    char reply[LINE];
    answer("get key-11-2", reply);
    ok("each worker served its own; the last value is %.*s", (int)strcspn(reply, "\n"), reply);
    return 0;
}
