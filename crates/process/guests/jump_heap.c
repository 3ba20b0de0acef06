// cc: -pthread
// args: 4 8
// Threads that compute on a large heap share the processor, and each finds there what it wrote.
#include "guest.h"

enum { PAGE = 4096, MOST = 4 };

static unsigned char *heap;
static size_t pages;
static volatile int turns[MOST];
static volatile int round_over;

static uint64_t next(uint64_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    return *state ^= *state << 17;
}

static uint64_t *word(size_t page, int mine) { return (uint64_t *)(heap + page * PAGE) + 8 + mine; }

static uint64_t sum_of(int mine) {
    uint64_t sum = 0;
    for (size_t page = 0; page < pages; page++) sum += *word(page, mine);
    return sum;
}

// Counts in pages of its own choice until the round is over; then the sum has grown by what was counted.
static void *compute(void *arg) {
    int mine = (intptr_t)arg;
    uint64_t state = mine + 1, counted = 0, before = sum_of(mine);
    size_t near = pages / 8 * mine;
    while (!round_over) {
        for (int i = 0; i < 2000; i++) {
            ++*word(near + next(&state) % 256, mine);
            counted++;
        }
        turns[mine]++;
    }
    EQ(sum_of(mine) - before, counted);
    return NULL;
}

static void together(int count, int tens_of_ms) {
    pthread_t id[MOST];
    memset((void *)turns, 0, sizeof turns);
    round_over = 0;
    for (int i = 0; i < count; i++) PT(pthread_create(&id[i], NULL, compute, (void *)(intptr_t)i));
    for (int i = 0; i < tens_of_ms; i++) sleep_ms(10);
    for (int i = 0; i < count; i++)
        while (turns[i] == 0) sleep_ms(1);
    round_over = 1;
    for (int i = 0; i < count; i++) PT(pthread_join(id[i], NULL));
    show("turns %d %d %d %d", turns[0], turns[1], turns[2], turns[3]);
    ok("%d threads", count);
}

int main(int argc, char **argv) {
    EQ(argc, 3);
    pages = (size_t)atoi(argv[1]) << 8;
    heap = malloc(pages * PAGE);
    CHECK(heap);
    for (size_t page = 0; page < pages; page++)
        for (int i = 0; i < MOST; i++) *word(page, i) = page;
    together(2, atoi(argv[2]));
    together(4, atoi(argv[2]));
    return 0;
}
