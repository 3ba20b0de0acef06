// A guest of a few kilobytes that uses everything: paging, timer, interrupts, WFI, floating point, atomics, the disk, the console, reset and power-off.
//
// What it prints is the same in every run, whatever the clock says and however fast the machine is; what it finds wrong it prints with a "!".
// The disk's first sector counts how often it was started: it resets the machine once and switches it off the second time.
//
// With -DCLOCK=1 it prints what its clock shows, in ticks, every few milliseconds and sleeps in between; with -DCLOCK=2 it is busy in between.

#ifndef CLOCK
#define CLOCK 0
#endif

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long u64;

enum { ROUNDS = 10, PERIOD = 15000, PAGES = 16, WORDS = 512, BUSY = 6000, SECTOR = 512 };

// The header of a Linux image.
asm(".section .head, \"ax\"\n"
    ".option push\n.option norvc\n"
    "j start\n.word 0\n.dword 0x200000, 0x100000, 0\n.word 2, 0\n.dword 0, 0x5643534952\n.word 0x05435352, 0\n"
    ".option pop\n"
    ".text\n"
    "start: la sp, stack_end\n"
    "li t0, 3 << 13\ncsrs sstatus, t0\n"
    "call guest\n1: j 1b\n"
    ".bss\n.balign 16\n.skip 16384\nstack_end:\n.text\n");

#define read_csr(name) ({ u64 value; asm volatile("csrr %0, " name : "=r"(value)); value; })
#define write_csr(name, value) asm volatile("csrw " name ", %0" ::"r"(value) : "memory")
#define set_csr(name, bits) asm volatile("csrs " name ", %0" ::"r"(bits) : "memory")
#define clear_csr(name, bits) asm volatile("csrc " name ", %0" ::"r"(bits) : "memory")

static u64 sbi(u64 extension, u64 function, u64 a, u64 b, u64 c) {
    register u64 a0 asm("a0") = a;
    register u64 a1 asm("a1") = b;
    register u64 a2 asm("a2") = c;
    register u64 a6 asm("a6") = function;
    register u64 a7 asm("a7") = extension;
    asm volatile("ecall" : "+r"(a0), "+r"(a1) : "r"(a2), "r"(a6), "r"(a7) : "memory");
    return a0;
}

void *memset(void *to, int byte, u64 n) {
    for (u64 i = 0; i < n; i++) ((u8 *)to)[i] = byte;
    return to;
}

static void print(const char *text) {
    u64 n = 0;
    while (text[n]) n++;
    sbi(0x4442434e, 0, n, (u64)text, 0);
}

static void print_line(const char *what, u64 number) {
    char line[64];
    u64 n = 0;
    while (what[n]) line[n] = what[n], n++;
    for (int shift = 60; shift >= 0; shift -= 4) line[n++] = "0123456789abcdef"[number >> shift & 15];
    line[n++] = '\n';
    line[n] = 0;
    print(line);
}

static void power(u64 kind) { sbi(0x53525354, 0, kind, 0, 0); }

static void wrong(const char *what, u64 number) {
    print("! ");
    print_line(what, number);
    power(0);
}

// ---- interrupts ----

static volatile u64 ticks, completions;
static u64 last_time;

#define at32(address) (*(volatile u32 *)(address))
static const u64 PLIC = 0x0c000000, DISK = 0x10001000;

static void look_at_clock(void) {
    u64 now = read_csr("time");
    if (now < last_time) wrong("the clock went back by ", last_time - now);
    last_time = now;
}

__attribute__((interrupt("supervisor"), aligned(4))) static void trap(void) {
    u64 cause = read_csr("scause");
    if (cause == (1ul << 63 | 5)) {
        ticks++;
        write_csr("0x14d", read_csr("time") + PERIOD);
    } else if (cause == (1ul << 63 | 9)) {
        u32 source = at32(PLIC + 0x200004);
        at32(DISK + 0x64) = at32(DISK + 0x60);
        at32(PLIC + 0x200004) = source;
        completions++;
    } else {
        wrong("trap ", cause);
    }
}

// Interrupts are off while the condition is looked at; WFI wakes up all the same.
#define wait_until(condition)                                                                                              \
    for (;;) {                                                                                                             \
        clear_csr("sstatus", 2ul);                                                                                         \
        int done = (condition);                                                                                            \
        if (!done) asm volatile("wfi");                                                                                    \
        set_csr("sstatus", 2ul);                                                                                           \
        if (done) break;                                                                                                   \
    }

// ---- paging: everything one to one, and a window onto some pages ----

static u64 root[512] __attribute__((aligned(4096))), middle[512] __attribute__((aligned(4096))), leaves[512] __attribute__((aligned(4096)));
static u64 pages[PAGES][WORDS] __attribute__((aligned(4096)));
static volatile u64 *const window = (u64 *)0x100000000;

static void map(void) {
    for (u64 i = 0; i < 3; i++) root[i] = i << 28 | 0xcf;
    root[4] = (u64)middle >> 2 | 1;
    middle[0] = (u64)leaves >> 2 | 1;
    for (u64 i = 0; i < PAGES; i++) leaves[i] = (u64)pages[PAGES - 1 - i] >> 2 | 7;
    write_csr("satp", 8ul << 60 | 7ul << 44 | (u64)root >> 12);
    asm volatile("sfence.vma" ::: "memory");
}

// ---- the disk ----

static struct { u64 at; u32 bytes; u16 flags, next; } descriptors[8] __attribute__((aligned(16)));
static volatile struct { u16 flags, index, ring[8]; } available __attribute__((aligned(16)));
static volatile struct { u16 flags, index; struct { u32 id, bytes; } ring[8]; } used __attribute__((aligned(16)));
static struct { u32 kind, reserved; u64 sector; } header __attribute__((aligned(16)));
static volatile u8 status;
static u8 buffer[SECTOR] __attribute__((aligned(16)));

static void write_address(u64 at, const volatile void *address) {
    at32(DISK + at) = (u64)address;
    at32(DISK + at + 4) = (u64)address >> 32;
}

static void start_disk(void) {
    if (at32(DISK + 8) != 2) wrong("no disk but device ", at32(DISK + 8));
    at32(DISK + 0x70) = 0;
    at32(DISK + 0x70) = 3;
    at32(DISK + 0x24) = 1;
    at32(DISK + 0x20) = 1; // VERSION_1
    at32(DISK + 0x24) = 0;
    at32(DISK + 0x20) = 1 << 9; // FLUSH
    at32(DISK + 0x70) = 11;
    if (!(at32(DISK + 0x70) & 8)) wrong("features ", at32(DISK + 0x70));
    at32(DISK + 0x30) = 0;
    at32(DISK + 0x38) = 8;
    write_address(0x80, descriptors);
    write_address(0x90, &available);
    write_address(0xa0, &used);
    at32(DISK + 0x44) = 1;
    at32(DISK + 0x70) = 15;
    at32(PLIC + 4) = 1;
    at32(PLIC + 0x2000) = 2;
    at32(PLIC + 0x200000) = 0;
}

// Kinds: 0 reads, 1 writes, 4 makes it durable.
static void disk(u32 kind, u64 sector) {
    header.kind = kind;
    header.sector = sector;
    status = 0xff;
    u64 data = kind != 4;
    descriptors[0].at = (u64)&header, descriptors[0].bytes = 16, descriptors[0].flags = 1, descriptors[0].next = data ? 1 : 2;
    descriptors[1].at = (u64)buffer, descriptors[1].bytes = SECTOR, descriptors[1].flags = kind == 0 ? 3 : 1, descriptors[1].next = 2;
    descriptors[2].at = (u64)&status, descriptors[2].bytes = 1, descriptors[2].flags = 2;
    u16 before = available.index;
    available.ring[before % 8] = 0;
    asm volatile("fence" ::: "memory");
    available.index = before + 1;
    asm volatile("fence" ::: "memory");
    at32(DISK + 0x50) = 0;
    wait_until(used.index == available.index);
    if (status) wrong("disk status ", status);
}

static void fill(u64 seed) {
    for (u64 i = 0; i < SECTOR / 8; i++) ((u64 *)buffer)[i] = seed = seed * 6364136223846793005 + i;
}

static void use_disk(u64 round, u64 seed) {
    fill(seed);
    disk(1, 1 + round);
    if (round % 3 == 0) disk(4, 0);
    memset(buffer, 0, SECTOR);
    disk(0, 1 + round);
    for (u64 i = 0; i < SECTOR / 8; i++) {
        u64 found = ((u64 *)buffer)[i];
        seed = seed * 6364136223846793005 + i;
        if (found != seed) wrong("the disk holds ", found);
    }
}

// ---- work ----

static u64 work(u64 seed) {
    double sum = 1;
    for (u64 i = 0; i < BUSY; i++) {
        seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
        volatile u64 *word = &window[seed % (PAGES * WORDS)];
        *word += seed;
        __atomic_fetch_add(&window[(seed >> 20) % (PAGES * WORDS)], 1, __ATOMIC_SEQ_CST);
        sum = sum * 1.0000001 + (double)(seed >> 40) / 3.0;
        seed += *word / ((seed >> 9 & 63) + 1);
    }
    u64 bits;
    __builtin_memcpy(&bits, &sum, 8);
    return seed ^ bits;
}

static void show_clock(void) {
    for (u64 seed = 1, now = ticks;; now = ticks) {
        if (CLOCK == 1) {
            wait_until(ticks > now);
        } else {
            while (ticks == now) seed = work(seed);
        }
        look_at_clock();
        print_line("T ", read_csr("time"));
    }
}

void guest(void) {
    map();
    write_csr("stvec", trap);
    write_csr("0x14d", read_csr("time") + PERIOD);
    start_disk();
    set_csr("sie", 1ul << 5 | 1ul << 9);
    set_csr("sstatus", 2ul);
    if (CLOCK) show_clock();
    disk(0, 0);
    u64 boots = *(u64 *)buffer, seed = 88172645463325252 + boots;
    print_line("boot ", boots);
    ++*(u64 *)buffer;
    disk(1, 0);
    disk(4, 0);
    for (u64 round = 0; round < ROUNDS; round++) {
        seed = work(seed);
        use_disk(round, seed);
        look_at_clock();
        u64 now = ticks;
        wait_until(ticks > now);
        look_at_clock();
        print_line("round ", seed);
    }
    print(boots ? "off\n" : "again\n");
    power(boots ? 0 : 1);
}
