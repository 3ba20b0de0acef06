// Small programs that measure a computer: system calls, page faults, integers, floating point, memory.
//
//   bench [NAMES] [SCALE]
//
// Runs those whose name is part of NAMES (all if it is empty), SCALE times as long, and prints of each
//   @B NAME               when it begins
//   @E NAME NANOSECONDS RESULT
// The results are computed from constants only, so they must be the same on every computer and in every run. The same source
// is compiled for the host, for comparison.
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static uint64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000ull + t.tv_nsec;
}

// The cheapest system call.
static uint64_t getppid_calls(int n) {
    uint64_t sum = 0;
    for (int i = 0; i < n; i++) sum += syscall(SYS_getppid) >= 0;
    return sum;
}

// Two processes that take turns.
static uint64_t pipe_turns(int n) {
    int there[2], back[2];
    char byte = 0;
    if (pipe(there) || pipe(back)) return 0;
    pid_t child = fork();
    if (!child) {
        for (int i = 0; i < n; i++)
            if (read(there[0], &byte, 1) != 1 || write(back[1], &byte, 1) != 1) _exit(1);
        _exit(0);
    }
    int turns = 0;
    while (turns < n && write(there[1], &byte, 1) == 1 && read(back[0], &byte, 1) == 1) turns++;
    waitpid(child, 0, 0);
    for (int i = 0; i < 2; i++) close(there[i]), close(back[i]);
    return turns;
}

static uint64_t forks(int n) {
    for (int i = 0; i < n; i++) {
        pid_t child = fork();
        if (!child) _exit(0);
        waitpid(child, 0, 0);
    }
    return n;
}

static uint64_t page_faults(int mib, int times) {
    uint64_t sum = 0;
    size_t size = (size_t)mib << 20;
    for (int t = 0; t < times; t++) {
        char *p = mmap(0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (p == MAP_FAILED) return 0;
        madvise(p, size, MADV_NOHUGEPAGE);
        for (size_t i = 0; i < size; i += 4096) p[i] = 1;
        sum += p[4096];
        munmap(p, size);
    }
    return sum;
}

// What CoreMark does: a linked list, a matrix, a state machine, and a CRC over the results.
struct node {
    struct node *next;
    int16_t value, key;
};

static uint16_t crc16(uint16_t data, uint16_t crc) {
    for (int i = 0; i < 16; i++) {
        int bit = (data ^ crc) & 1;
        data >>= 1;
        crc >>= 1;
        if (bit) crc ^= 0xA001;
    }
    return crc;
}

static struct node *reversed(struct node *list) {
    struct node *done = 0;
    while (list) {
        struct node *next = list->next;
        list->next = done;
        done = list;
        list = next;
    }
    return done;
}

static int place_of(struct node *list, int value) {
    int i = 0;
    while (list && list->value != value) list = list->next, i++;
    return i;
}

static int digit(char c) { return c >= '0' && c <= '9'; }

// The next state of a reader of numbers like -12.5e+3; 7 is not a number.
static int next_state(int state, char c) {
    switch (state) {
    case 0: return digit(c) ? 1 : c == '+' || c == '-' ? 2 : c == '.' ? 3 : 7;
    case 1: return c == '.' ? 3 : digit(c) ? 1 : 7;
    case 2: return digit(c) ? 1 : c == '.' ? 3 : 7;
    case 3: return c == 'e' || c == 'E' ? 4 : 3;
    case 4: return c == '+' || c == '-' ? 5 : 7;
    case 5: return digit(c) ? 6 : 7;
    case 6: return digit(c) ? 6 : 7;
    default: return state;
    }
}

static uint64_t coremarkish(int times) {
    enum { NODES = 200, SIDE = 20, CELLS = SIDE * SIDE };
    static struct node nodes[NODES];
    static int16_t a[CELLS], b[CELLS];
    static int32_t product[CELLS];
    static const char *numbers = "5012,-874,T0.125e+11,12e3,-.9,+0x1,--,88e-,17.33,abc,";
    uint16_t crc = 0;
    for (int t = 0; t < times; t++) {
        for (int i = 0; i < NODES; i++) {
            nodes[i].next = i < NODES - 1 ? &nodes[i + 1] : 0;
            nodes[i].value = (i * 7 + t) % 211;
            nodes[i].key = i;
        }
        struct node *list = nodes;
        for (int i = 0; i < 20; i++) {
            crc = crc16(place_of(list, (i * 13 + t) % 211), crc);
            list = reversed(list);
        }
        for (int i = 0; i < CELLS; i++) a[i] = i + t, b[i] = i * 3 - t;
        for (int i = 0; i < SIDE; i++)
            for (int j = 0; j < SIDE; j++) {
                // Unsigned: it may wrap.
                uint32_t sum = 0;
                for (int k = 0; k < SIDE; k++) sum += (uint32_t)(a[i * SIDE + k] * b[k * SIDE + j]);
                product[i * SIDE + j] = sum;
            }
        for (int i = 0; i < CELLS; i += 7) crc = crc16(product[i], crc);
        int state = 0, counts[8] = {0};
        for (int round = 0; round < 20; round++)
            for (const char *p = numbers; *p; p++) {
                if (*p == ',') {
                    counts[state]++;
                    state = 0;
                } else {
                    state = next_state(state, *p);
                }
            }
        for (int i = 0; i < 8; i++) crc = crc16(counts[i], crc);
    }
    return crc;
}

// The compression function of SHA-256 over made-up blocks.
static const uint32_t K[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be,
    0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa,
    0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85,
    0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3,
    0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f,
    0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

static uint32_t turned(uint32_t x, int n) { return x >> n | x << (32 - n); }

static uint64_t sha256(int blocks) {
    uint32_t hash[8] = {1, 2, 3, 4, 5, 6, 7, 8}, w[64];
    for (int block = 0; block < blocks; block++) {
        for (int i = 0; i < 16; i++) w[i] = block * 2654435761u + i;
        for (int i = 16; i < 64; i++) {
            uint32_t s0 = turned(w[i - 15], 7) ^ turned(w[i - 15], 18) ^ w[i - 15] >> 3;
            uint32_t s1 = turned(w[i - 2], 17) ^ turned(w[i - 2], 19) ^ w[i - 2] >> 10;
            w[i] = w[i - 16] + s0 + w[i - 7] + s1;
        }
        uint32_t a = hash[0], b = hash[1], c = hash[2], d = hash[3], e = hash[4], f = hash[5], g = hash[6], h = hash[7];
        for (int i = 0; i < 64; i++) {
            uint32_t t1 = h + (turned(e, 6) ^ turned(e, 11) ^ turned(e, 25)) + ((e & f) ^ (~e & g)) + K[i] + w[i];
            uint32_t t2 = (turned(a, 2) ^ turned(a, 13) ^ turned(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
            h = g, g = f, f = e, e = d + t1, d = c, c = b, b = a, a = t1 + t2;
        }
        hash[0] += a, hash[1] += b, hash[2] += c, hash[3] += d, hash[4] += e, hash[5] += f, hash[6] += g, hash[7] += h;
    }
    return hash[0] ^ hash[7];
}

static uint64_t sieve(int n, int times) {
    uint8_t *prime = malloc(n + 1);
    uint64_t count = 0;
    for (int t = 0; t < times; t++) {
        memset(prime, 1, n + 1);
        for (int i = 2; (long)i * i <= n; i++)
            if (prime[i])
                for (int j = i * i; j <= n; j += i) prime[j] = 0;
        for (int i = 2; i <= n; i++) count += prime[i];
    }
    free(prime);
    return count;
}

static int compare(const void *a, const void *b) {
    int x = *(const int *)a, y = *(const int *)b;
    return (x > y) - (x < y);
}

static uint64_t sorted(int n) {
    int *numbers = malloc(n * sizeof *numbers);
    uint32_t x = 1;
    for (int i = 0; i < n; i++) {
        x = x * 1664525 + 1013904223;
        numbers[i] = x >> 1;
    }
    qsort(numbers, n, sizeof *numbers, compare);
    uint64_t median = numbers[n / 2];
    free(numbers);
    return median;
}

static uint64_t mandelbrot(int side, int limit) {
    uint64_t count = 0;
    for (int y = 0; y < side; y++)
        for (int x = 0; x < side; x++) {
            double cr = 2.0 * x / side - 1.5, ci = 2.0 * y / side - 1.0, zr = 0, zi = 0;
            int k = 0;
            while (k < limit && zr * zr + zi * zi < 4) {
                double t = zr * zr - zi * zi + cr;
                zi = 2 * zr * zi + ci;
                zr = t;
                k++;
            }
            count += k;
        }
    return count;
}

// A random cycle through so many cells.
static uint32_t *cycle(int cells) {
    uint32_t *next = malloc(cells * sizeof *next);
    uint64_t x = 88172645463325252ull;
    for (int i = 0; i < cells; i++) next[i] = i;
    for (int i = cells - 1; i > 0; i--) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        int j = x % i;
        uint32_t t = next[i];
        next[i] = next[j];
        next[j] = t;
    }
    return next;
}

// Each load needs the one before: latency of a cache, or of memory.
static uint64_t chase(const uint32_t *next, int steps) {
    uint32_t at = 0;
    for (int i = 0; i < steps; i++) at = next[at];
    return at;
}

static uint64_t copies(int mib, int times) {
    static char *a, *b;
    size_t size = (size_t)mib << 20;
    if (!a) a = malloc(size), b = malloc(size), memset(a, 1, size), memset(b, 2, size);
    for (int i = 0; i < times; i++) {
        memcpy(a, b, size);
        b[i] ^= a[i * 64];
    }
    return a[77];
}

#define RUN(name, call)                                                                        \
    if (!*only || strstr(only, name)) {                                                        \
        printf("@B %s\n", name);                                                               \
        fflush(stdout);                                                                        \
        uint64_t start = now(), result = (call), time = now() - start;                         \
        printf("@E %s %llu %llx\n", name, (unsigned long long)time, (unsigned long long)result); \
        fflush(stdout);                                                                        \
    }

int main(int argc, char **argv) {
    const char *only = argc > 1 ? argv[1] : "";
    int scale = argc > 2 ? atoi(argv[2]) : 1;
    RUN("getppid", getppid_calls(200000 * scale));
    RUN("pipe_ctxsw", pipe_turns(10000 * scale));
    RUN("fork", forks(200 * scale));
    RUN("pagefault", page_faults(32, 4 * scale));
    RUN("coremarkish", coremarkish(1500 * scale));
    RUN("sha256", sha256(100000 * scale));
    RUN("sieve", sieve(2000000, 6 * scale));
    RUN("qsort", sorted(300000 * scale));
    RUN("mandel_fp", mandelbrot(200 * scale, 200));
    // What follows prepares its memory first, unmeasured.
    const uint32_t *small = cycle(1024), *large = cycle(4 << 20);
    RUN("chase4k", chase(small, 20000000 * scale));
    RUN("chase16M", chase(large, 500000 * scale));
    copies(16, 1);
    RUN("memcpy", copies(16, 20 * scale));
    return 0;
}
