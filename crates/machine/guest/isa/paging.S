// Sv39: what a walk finds, what it permits, what it writes, what SFENCE.VMA forgets.
//
// The program maps the gigapage in which it lies twice: to itself for S-mode, and a gigabyte lower for user mode. The lowest gigabyte is for the
// cases: a table of 4 KiB pages, and superpages of 2 MiB.

#define USER_OFFSET (-0x40000000)
#include "test.h"

#define V (1 << 0)
#define R (1 << 1)
#define W (1 << 2)
#define X (1 << 3)
#define U (1 << 4)
#define G (1 << 5)
#define A (1 << 6)
#define D (1 << 7)
#define SV39 8

// Virtual addresses of the cases' pages, of superpages, and of the same through another gigapage.
#define PAGE(number) ((number) * 0x1000)
#define MEGAPAGE 0x00200000
#define GIGAPAGE 0xc0000000
#define USER_BASE 0x40000000

// An entry of a table that points to a page or a table of this program.
#define ENTRY(table, index, page, flags)                                                                                                            \
    la      t0, table;                                                                                                                              \
    li      t1, 8 * (index);                                                                                                                        \
    add     t0, t0, t1;                                                                                                                             \
    la      t1, page;                                                                                                                               \
    srli    t1, t1, 12;                                                                                                                             \
    slli    t1, t1, 10;                                                                                                                             \
    li      t2, flags;                                                                                                                              \
    or      t1, t1, t2;                                                                                                                             \
    sd      t1, 0(t0)

// An entry of these bits.
#define ENTRY_BITS(table, index, bits)                                                                                                              \
    la      t0, table;                                                                                                                              \
    li      t1, 8 * (index);                                                                                                                        \
    add     t0, t0, t1;                                                                                                                             \
    li      t1, bits;                                                                                                                               \
    sd      t1, 0(t0)

// The lower ten bits of an entry.
#define CHECK_FLAGS(table, index, flags)                                                                                                            \
    la      t0, table;                                                                                                                              \
    li      t1, 8 * (index);                                                                                                                        \
    add     t0, t0, t1;                                                                                                                             \
    ld      t0, 0(t0);                                                                                                                              \
    CHECK_BITS(t0, 0x3ff, flags)

// What the three kinds of access do to page 1 mapped with these flags: a cause, or nothing.
#define NO_FAULT 0
#define CHECK_ACCESS(flags, load, store, fetch)                                                                                                     \
    ENTRY(low, 1, page_1, flags);                                                                                                                   \
    sfence.vma;                                                                                                                                     \
    jal     try;                                                                                                                                    \
    CHECK(s7, load);                                                                                                                                \
    CHECK(s8, store);                                                                                                                               \
    CHECK(s9, fetch)

#define CHECK_USER_ACCESS(flags, load, store, fetch)                                                                                                \
    ENTRY(low, 1, page_1, flags);                                                                                                                   \
    sfence.vma;                                                                                                                                     \
    jal     try_user;                                                                                                                               \
    CHECK(s7, load);                                                                                                                                \
    CHECK(s8, store);                                                                                                                               \
    CHECK(s9, fetch)

// A page whose every access is a fault.
#define CHECK_FAULTS(load, store, fetch)                                                                                                            \
    sfence.vma;                                                                                                                                     \
    jal     try;                                                                                                                                    \
    CHECK(s7, load);                                                                                                                                \
    CHECK(s8, store);                                                                                                                               \
    CHECK(s9, fetch)

main:
    // Pages begin with a return, so that they can be called.
    la      t0, page_1
    li      t1, 0x00008067
    sw      t1, 0(t0)
    la      t0, page_2
    sw      t1, 0(t0)
    fence.i
    ENTRY(root, 0, middle, V)
    ENTRY_BITS(root, 1, RAM_BASE >> 2 | V | R | W | X | U | A | D)
    ENTRY_BITS(root, 2, RAM_BASE >> 2 | V | R | W | X | A | D)
    ENTRY(middle, 0, low, V)

    CASE("satp takes bare addresses and Sv39, and nothing else")
    csrr    a3, satp
    CHECK(a3, 0)
    la      t0, root
    srli    t0, t0, 12
    li      t1, SV39 << 60
    or      s11, t0, t1
    csrw    satp, s11
    sfence.vma
    csrr    a3, satp
    CHECK_EQUAL(a3, s11)
    // Sv48, Sv57 and what is reserved: the whole write is ignored.
    li      t1, 9 << 60 | 5
    csrw    satp, t1
    csrr    a3, satp
    CHECK_EQUAL(a3, s11)
    li      t1, 10 << 60
    csrw    satp, t1
    csrr    a3, satp
    CHECK_EQUAL(a3, s11)
    li      t1, 1 << 60
    csrw    satp, t1
    csrr    a3, satp
    CHECK_EQUAL(a3, s11)

    CASE("sixteen bits of ASID")
    li      t1, 0xffff << 44
    or      t0, s11, t1
    csrw    satp, t0
    csrr    a3, satp
    CHECK_EQUAL(a3, t0)
    csrw    satp, s11

    CASE("a page is where its entry says")
    ENTRY(low, 1, page_1, V | R | W | A | D)
    ENTRY(low, 2, page_2, V | R | W | A | D)
    sfence.vma
    li      a3, 0x0123456789abcdef
    li      t0, PAGE(1)
    sd      a3, 8(t0)
    la      t0, page_1
    ld      a4, 8(t0)
    CHECK_EQUAL(a4, a3)
    la      t0, page_2
    sd      a4, 16(t0)
    li      t0, PAGE(2)
    ld      a5, 16(t0)
    CHECK_EQUAL(a5, a3)
    ld      a5, 8(t0)
    CHECK(a5, 0)

    CASE("no entry")
    ENTRY_BITS(low, 3, 0)
    sfence.vma
    li      a3, PAGE(3) + 0x123
    EXPECT(LOAD_PAGE, lb a4, 0(a3))
    CHECK_EQUAL(s3, a3)
    EXPECT(LOAD_PAGE, lhu a4, 1(a3))
    CHECK(s3, PAGE(3) + 0x124)
    EXPECT(STORE_PAGE, sb a4, 0(a3))
    CHECK_EQUAL(s3, a3)
    li      a3, PAGE(3)
    EXPECT(LOAD_PAGE, lr.w a4, (a3))
    CHECK_EQUAL(s3, a3)
    EXPECT(STORE_PAGE, amoadd.d a4, a4, (a3))
    CHECK_EQUAL(s3, a3)
    EXPECT(STORE_PAGE, sc.w a4, a4, (a3))
    CHECK_EQUAL(s3, a3)
    la      s1, 1f
    jr      a3
    NEVER
1:  CHECK_TRAP(FETCH_PAGE, PAGE(3))
    CHECK(s4, PAGE(3))

    CASE("misaligned comes before no entry")
    li      a3, PAGE(3) + 1
    EXPECT(STORE_MISALIGNED, amoadd.d a4, a4, (a3))
    EXPECT(LOAD_MISALIGNED, lr.d a4, (a3))

    CASE("an entry that is not valid may hold anything")
    ENTRY(low, 1, page_1, R | W | X | A | D)
    CHECK_FAULTS(LOAD_PAGE, STORE_PAGE, FETCH_PAGE)
    ENTRY_BITS(low, 1, -2)
    CHECK_FAULTS(LOAD_PAGE, STORE_PAGE, FETCH_PAGE)

    CASE("readable, writable, executable")
    CHECK_ACCESS(V | A | D | R, NO_FAULT, STORE_PAGE, FETCH_PAGE)
    CHECK_ACCESS(V | A | D | R | W, NO_FAULT, NO_FAULT, FETCH_PAGE)
    CHECK_ACCESS(V | A | D | X, LOAD_PAGE, STORE_PAGE, NO_FAULT)
    CHECK_ACCESS(V | A | D | R | X, NO_FAULT, STORE_PAGE, NO_FAULT)
    CHECK_ACCESS(V | A | D | R | W | X, NO_FAULT, NO_FAULT, NO_FAULT)

    CASE("writable but not readable is reserved")
    CHECK_ACCESS(V | A | D | W, LOAD_PAGE, STORE_PAGE, FETCH_PAGE)
    CHECK_ACCESS(V | A | D | W | X, LOAD_PAGE, STORE_PAGE, FETCH_PAGE)

    CASE("bits for software change nothing")
    CHECK_ACCESS(V | A | D | R | W | X | 3 << 8, NO_FAULT, NO_FAULT, NO_FAULT)

    CASE("a table at the last level")
    CHECK_ACCESS(V, LOAD_PAGE, STORE_PAGE, FETCH_PAGE)

    CASE("user pages in S-mode")
    li      t0, SUM
    csrc    sstatus, t0
    CHECK_ACCESS(V | A | D | R | W | X | U, LOAD_PAGE, STORE_PAGE, FETCH_PAGE)
    li      t0, SUM
    csrs    sstatus, t0
    CHECK_ACCESS(V | A | D | R | W | X | U, NO_FAULT, NO_FAULT, FETCH_PAGE)
    CHECK_ACCESS(V | A | D | R | X | U, NO_FAULT, STORE_PAGE, FETCH_PAGE)

    CASE("SUM works at once")
    li      t0, PAGE(1)
    ld      a3, 0(t0)
    li      t1, SUM
    csrc    sstatus, t1
    EXPECT(LOAD_PAGE, ld a3, 0(t0))
    li      t1, SUM
    csrs    sstatus, t1
    ld      a3, 0(t0)
    li      t1, SUM
    csrc    sstatus, t1

    CASE("user mode")
    CHECK_USER_ACCESS(V | A | D | R | W | X, LOAD_PAGE, STORE_PAGE, FETCH_PAGE)
    CHECK_USER_ACCESS(V | A | D | R | W | X | U, NO_FAULT, NO_FAULT, NO_FAULT)
    CHECK_USER_ACCESS(V | A | D | R | U, NO_FAULT, STORE_PAGE, FETCH_PAGE)
    CHECK_USER_ACCESS(V | A | D | X | U, LOAD_PAGE, STORE_PAGE, NO_FAULT)
    li      t0, SUM
    csrs    sstatus, t0
    CHECK_USER_ACCESS(V | A | D | R | W | X, LOAD_PAGE, STORE_PAGE, FETCH_PAGE)
    li      t0, SUM
    csrc    sstatus, t0

    CASE("MXR: what can be executed can be read")
    li      t0, MXR
    csrs    sstatus, t0
    CHECK_ACCESS(V | A | D | X, NO_FAULT, STORE_PAGE, NO_FAULT)
    CHECK_USER_ACCESS(V | A | D | X | U, NO_FAULT, STORE_PAGE, NO_FAULT)
    CHECK_ACCESS(V | A | D | X | U, LOAD_PAGE, STORE_PAGE, FETCH_PAGE)
    ENTRY(low, 1, page_1, V | A | D | X)
    sfence.vma
    li      t0, PAGE(1)
    ld      a3, 0(t0)
    li      t1, MXR
    csrc    sstatus, t1
    EXPECT(LOAD_PAGE, ld a3, 0(t0))

    CASE("accessed and dirty are set by the hart")
    ENTRY(low, 1, page_1, V | R | W | X)
    sfence.vma
    li      a3, PAGE(1)
    lb      a4, 5(a3)
    CHECK_FLAGS(low, 1, V | R | W | X | A)
    sb      a4, 5(a3)
    CHECK_FLAGS(low, 1, V | R | W | X | A | D)
    ENTRY(low, 1, page_1, V | R | W | X)
    sfence.vma
    sb      a4, 5(a3)
    CHECK_FLAGS(low, 1, V | R | W | X | A | D)
    ENTRY(low, 1, page_1, V | R | W | X)
    sfence.vma
    jalr    a3
    CHECK_FLAGS(low, 1, V | R | W | X | A)
    lr.w    a4, (a3)
    CHECK_FLAGS(low, 1, V | R | W | X | A)
    sc.w    a5, a4, (a3)
    CHECK(a5, 0)
    CHECK_FLAGS(low, 1, V | R | W | X | A | D)
    ENTRY(low, 1, page_1, V | R | W | X)
    sfence.vma
    li      a4, 0
    amoor.w a5, a4, (a3)
    CHECK_FLAGS(low, 1, V | R | W | X | A | D)
    ENTRY(low, 1, page_1, V | R | W | X | A)
    sfence.vma
    cbo.zero (a3)
    CHECK_FLAGS(low, 1, V | R | W | X | A | D)
    li      t1, 0x00008067
    sw      t1, 0(a3)

    CASE("what is not permitted sets neither")
    ENTRY(low, 1, page_1, V | R)
    sfence.vma
    EXPECT(STORE_PAGE, sb a4, 5(a3))
    CHECK_FLAGS(low, 1, V | R)
    ENTRY(low, 1, page_1, V | R | U)
    sfence.vma
    EXPECT(LOAD_PAGE, lb a4, 5(a3))
    CHECK_FLAGS(low, 1, V | R | U)

    CASE("the rest of an entry stays when a bit is set")
    ENTRY(low, 1, page_1, V | R | W | G | 3 << 8)
    sfence.vma
    sb      a4, 5(a3)
    CHECK_FLAGS(low, 1, V | R | W | G | 3 << 8 | A | D)
    la      t1, low
    ld      t1, 8(t1)
    srli    t1, t1, 10
    la      t2, page_1
    srli    t2, t2, 12
    CHECK_EQUAL(t1, t2)

    CASE("reserved bits of a leaf")
    ENTRY(low, 1, page_1, V | R | W | X | A | D | 1 << 54)
    CHECK_FAULTS(LOAD_PAGE, STORE_PAGE, FETCH_PAGE)
    ENTRY(low, 1, page_1, V | R | W | X | A | D | 1 << 60)
    CHECK_FAULTS(LOAD_PAGE, STORE_PAGE, FETCH_PAGE)
    ENTRY(low, 1, page_1, V | R | W | X | A | D | 1 << 61)
    CHECK_FAULTS(LOAD_PAGE, STORE_PAGE, FETCH_PAGE)
    ENTRY(low, 1, page_1, V | R | W | X | A | D | 1 << 62)
    CHECK_FAULTS(LOAD_PAGE, STORE_PAGE, FETCH_PAGE)
    ENTRY(low, 1, page_1, V | R | W | X | A | D | 1 << 63)
    CHECK_FAULTS(LOAD_PAGE, STORE_PAGE, FETCH_PAGE)

    CASE("reserved bits of a table's entry")
    ENTRY(low, 1, page_1, V | R | W | X | A | D)
    ENTRY(middle, 0, low, V | A)
    CHECK_FAULTS(LOAD_PAGE, STORE_PAGE, FETCH_PAGE)
    ENTRY(middle, 0, low, V | D)
    CHECK_FAULTS(LOAD_PAGE, STORE_PAGE, FETCH_PAGE)
    ENTRY(middle, 0, low, V | U)
    CHECK_FAULTS(LOAD_PAGE, STORE_PAGE, FETCH_PAGE)
    ENTRY(middle, 0, low, V | 1 << 54)
    CHECK_FAULTS(LOAD_PAGE, STORE_PAGE, FETCH_PAGE)
    ENTRY(middle, 0, low, V | 1 << 63)
    CHECK_FAULTS(LOAD_PAGE, STORE_PAGE, FETCH_PAGE)
    ENTRY(middle, 0, low, 0)
    CHECK_FAULTS(LOAD_PAGE, STORE_PAGE, FETCH_PAGE)
    ENTRY(middle, 0, low, V | 3 << 8)
    CHECK_FAULTS(NO_FAULT, NO_FAULT, NO_FAULT)
    ENTRY(middle, 0, low, V)
    CHECK_FAULTS(NO_FAULT, NO_FAULT, NO_FAULT)

    CASE("addresses that are not sign-extended")
    li      a3, 1 << 38
    EXPECT(LOAD_PAGE, lb a4, 0(a3))
    CHECK_EQUAL(s3, a3)
    EXPECT(STORE_PAGE, sb a4, 0(a3))
    li      a3, 1 << 39 | PAGE(1)
    EXPECT(LOAD_PAGE, lb a4, 0(a3))
    CHECK_EQUAL(s3, a3)
    li      a3, (1 << 63) | PAGE(1)
    EXPECT(STORE_PAGE, sb a4, 0(a3))
    CHECK_EQUAL(s3, a3)
    la      s1, 1f
    jr      a3
1:  CHECK_TRAP(FETCH_PAGE, (1 << 63) | PAGE(1))
    li      a3, -(1 << 38) - 8
    EXPECT(LOAD_PAGE, ld a4, 0(a3))
    CHECK_EQUAL(s3, a3)
    EXPECT(LOAD_PAGE, ld a4, 4(a3))

    CASE("the upper half of addresses")
    ENTRY(root, 511, middle, V)
    ENTRY(root, 256, middle, V)
    sfence.vma
    li      a3, -(1 << 30) + PAGE(1)
    li      a4, 0x5a5a
    sd      a4, 24(a3)
    li      a3, -(1 << 38) + PAGE(1)
    ld      a5, 24(a3)
    CHECK_EQUAL(a5, a4)
    la      t0, page_1
    ld      a5, 24(t0)
    CHECK_EQUAL(a5, a4)

    CASE("what lies beside the upper half is not sign-extended either")
    li      a3, (1 << 38) + PAGE(1)
    EXPECT(LOAD_PAGE, ld a5, 24(a3))
    CHECK(s3, (1 << 38) + PAGE(1) + 24)
    li      a3, -(1 << 39) + (1 << 30) + PAGE(1)
    EXPECT(LOAD_PAGE, ld a5, 24(a3))
    li      a3, (1 << 39) - (1 << 30) + PAGE(1)
    EXPECT(STORE_PAGE, sd a5, 24(a3))

    CASE("superpages of 2 MiB")
    ENTRY_BITS(middle, 1, RAM_BASE >> 2 | V | R | W)
    sfence.vma
    li      a3, MEGAPAGE - RAM_BASE
    la      t0, page_2
    add     a3, a3, t0
    sd      a4, 32(a3)
    ld      a5, 32(t0)
    CHECK_EQUAL(a5, a4)
    CHECK_FLAGS(middle, 1, V | R | W | A | D)
    // Another part of it, after the entry was cleaned without a fence: nobody may rely on either.
    li      a3, MEGAPAGE + 0x1ffff8
    ld      a5, 0(a3)

    CASE("superpages of 1 GiB")
    ENTRY_BITS(root, 3, RAM_BASE >> 2 | V | R | W)
    sfence.vma
    li      a3, GIGAPAGE - RAM_BASE
    la      t0, page_2
    add     a3, a3, t0
    ld      a5, 32(a3)
    CHECK_EQUAL(a5, a4)
    CHECK_FLAGS(root, 3, V | R | W | A)
    sd      a5, 40(a3)
    CHECK_FLAGS(root, 3, V | R | W | A | D)

    CASE("misaligned superpages")
    ENTRY_BITS(middle, 1, (RAM_BASE + 0x1000) >> 2 | V | R | W | X | A | D)
    sfence.vma
    li      a3, MEGAPAGE
    EXPECT(LOAD_PAGE, ld a5, 8(a3))
    CHECK(s3, MEGAPAGE + 8)
    EXPECT(STORE_PAGE, sd a5, 8(a3))
    ENTRY_BITS(middle, 1, (RAM_BASE + 0x100000) >> 2 | V | R | W | X | A | D)
    sfence.vma
    EXPECT(LOAD_PAGE, ld a5, 8(a3))
    ENTRY_BITS(root, 3, (RAM_BASE + 0x200000) >> 2 | V | R | W | X | A | D)
    sfence.vma
    li      a3, GIGAPAGE
    EXPECT(LOAD_PAGE, ld a5, 8(a3))
    ENTRY_BITS(root, 3, (RAM_BASE + 0x1000) >> 2 | V | R | W | X)
    sfence.vma
    EXPECT(STORE_PAGE, sd a5, 8(a3))
    CHECK_FLAGS(root, 3, V | R | W | X)
    la      s1, 1f
    jr      a3
1:  CHECK_TRAP(FETCH_PAGE, GIGAPAGE)

    CASE("nothing at the physical address")
    ENTRY_BITS(low, 1, NOWHERE >> 2 | V | R | W | X)
    CHECK_FAULTS(LOAD_ACCESS, STORE_ACCESS, FETCH_ACCESS)
    ENTRY_BITS(low, 1, RAM_END >> 2 | V | R | W | X | A | D)
    CHECK_FAULTS(LOAD_ACCESS, STORE_ACCESS, FETCH_ACCESS)
    // The widest page number.
    ENTRY_BITS(low, 1, ((1 << 44) - 1) << 10 | V | R | W | X | A | D)
    CHECK_FAULTS(LOAD_ACCESS, STORE_ACCESS, FETCH_ACCESS)
    li      a3, PAGE(1) + 8
    EXPECT(LOAD_ACCESS, ld a4, 0(a3))
    CHECK_EQUAL(s3, a3)

    CASE("no table at the physical address")
    ENTRY_BITS(middle, 0, NOWHERE >> 2 | V)
    CHECK_FAULTS(LOAD_ACCESS, STORE_ACCESS, FETCH_ACCESS)
    ENTRY_BITS(middle, 0, ((1 << 44) - 1) << 10 | V)
    CHECK_FAULTS(LOAD_ACCESS, STORE_ACCESS, FETCH_ACCESS)
    ENTRY(middle, 0, low, V)
    ENTRY(low, 1, page_1, V | R | W | X)
    CHECK_FAULTS(NO_FAULT, NO_FAULT, NO_FAULT)

    CASE("an access to two pages")
    ENTRY(low, 1, page_2, V | R | W)
    ENTRY(low, 2, page_1, V | R | W)
    sfence.vma
    li      a3, PAGE(2)
    li      a4, 0x1122334455667788
    sd      a4, -3(a3)
    ld      a5, -3(a3)
    CHECK_EQUAL(a5, a4)
    lw      a5, -2(a3)
    CHECK(a5, 0x44556677)
    lhu     a5, -1(a3)
    CHECK(a5, 0x5566)
    la      t0, page_2
    li      t1, 0x1000
    add     t0, t0, t1
    lbu     a5, -1(t0)
    CHECK(a5, 0x66)
    la      t0, page_1
    lwu     a5, 0(t0)
    CHECK(a5, 0x22334455)
    CHECK_FLAGS(low, 1, V | R | W | A | D)
    CHECK_FLAGS(low, 2, V | R | W | A | D)

    CASE("an access to two pages, the second not there")
    ENTRY(low, 2, page_1, 0)
    sfence.vma
    EXPECT(LOAD_PAGE, ld a5, -3(a3))
    CHECK_EQUAL(s3, a3)
    li      a4, -1
    EXPECT(STORE_PAGE, sd a4, -3(a3))
    CHECK_EQUAL(s3, a3)
    lbu     a5, -1(a3)
    CHECK(a5, 0x66)
    EXPECT(STORE_PAGE, sh a4, -1(a3))
    CHECK_EQUAL(s3, a3)
    lbu     a5, -1(a3)
    CHECK(a5, 0x66)
    ENTRY(low, 2, page_1, V | R | A)
    sfence.vma
    EXPECT(STORE_PAGE, sw a4, -2(a3))
    CHECK_EQUAL(s3, a3)

    CASE("an access to two pages, the first not there")
    ENTRY(low, 1, page_2, 0)
    ENTRY(low, 2, page_1, V | R | W)
    sfence.vma
    EXPECT(LOAD_PAGE, ld a5, -3(a3))
    CHECK(s3, PAGE(2) - 3)
    EXPECT(STORE_PAGE, sd a4, -3(a3))
    CHECK(s3, PAGE(2) - 3)
    CHECK_FLAGS(low, 2, V | R | W)

    CASE("an instruction in two pages")
    la      t0, page_2
    li      t1, 0x1000
    add     t0, t0, t1
    li      t1, 0x0593                      // li a1, 77, its first half
    sh      t1, -2(t0)
    la      t0, page_1
    li      t1, 77 << 4
    sh      t1, 0(t0)
    li      t1, 0x00008067
    sh      t1, 2(t0)
    srli    t1, t1, 16
    sh      t1, 4(t0)
    fence.i
    ENTRY(low, 1, page_2, V | X)
    ENTRY(low, 2, page_1, V | X)
    sfence.vma
    li      a3, PAGE(2) - 2
    li      a1, 0
    jalr    a3
    CHECK(a1, 77)
    CHECK_FLAGS(low, 1, V | X | A)
    CHECK_FLAGS(low, 2, V | X | A)

    CASE("an instruction in two pages, the second not there")
    ENTRY(low, 2, page_1, V | R | W)
    sfence.vma
    la      s1, 1f
    jr      a3
1:  CHECK_TRAP(FETCH_PAGE, PAGE(2))
    CHECK(s4, PAGE(2) - 2)

    CASE("an instruction in two pages, the first not there")
    ENTRY(low, 1, page_2, V | R)
    ENTRY(low, 2, page_1, V | X)
    sfence.vma
    la      s1, 1f
    jr      a3
1:  CHECK_TRAP(FETCH_PAGE, PAGE(2) - 2)
    CHECK(s4, PAGE(2) - 2)

    CASE("an instruction of two bytes at the end of a page needs no other page")
    la      t0, page_2
    li      t1, 0x1000
    add     t0, t0, t1
    li      t1, 0x8082                      // c.jr ra
    sh      t1, -2(t0)
    fence.i
    ENTRY(low, 1, page_2, V | X)
    ENTRY(low, 2, page_1, 0)
    sfence.vma
    jalr    a3
    // And one that does not jump runs into the next page.
    li      t1, 0x0001                      // c.nop
    la      t0, page_2
    li      t2, 0x1000
    add     t0, t0, t2
    sh      t1, -2(t0)
    fence.i
    la      s1, 1f
    jr      a3
1:  CHECK_TRAP(FETCH_PAGE, PAGE(2))
    CHECK(s4, PAGE(2))

    CASE("another page at the same address, after a fence for it")
    la      t0, page_1
    li      a3, 1111
    sd      a3, 64(t0)
    la      t0, page_2
    li      a4, 2222
    sd      a4, 64(t0)
    ENTRY(low, 1, page_1, V | R | W)
    sfence.vma
    li      a5, PAGE(1)
    ld      a6, 64(a5)
    CHECK_EQUAL(a6, a3)
    ENTRY(low, 1, page_2, V | R | W)
    sfence.vma a5
    ld      a6, 64(a5)
    CHECK_EQUAL(a6, a4)
    ENTRY(low, 1, page_1, V | R | W)
    sfence.vma a5, zero
    ld      a6, 64(a5)
    CHECK_EQUAL(a6, a3)
    ENTRY(low, 1, page_2, V | R | W)
    sfence.vma zero, zero
    ld      a6, 64(a5)
    CHECK_EQUAL(a6, a4)
    // Any address in the page names it.
    ENTRY(low, 1, page_1, V | R | W)
    li      t0, PAGE(1) + 0x7ff
    sfence.vma t0
    ld      a6, 64(a5)
    CHECK_EQUAL(a6, a3)
    // This address space by number.
    ENTRY(low, 1, page_2, V | R | W)
    li      t0, 0
    sfence.vma zero, t0
    ld      a6, 64(a5)
    CHECK_EQUAL(a6, a4)
    ENTRY(low, 1, page_1, V | R | W)
    li      t0, 0
    sfence.vma a5, t0
    ld      a6, 64(a5)
    CHECK_EQUAL(a6, a3)

    CASE("a fence for one address of a superpage")
    ENTRY_BITS(middle, 1, RAM_BASE >> 2 | V | R | W | A | D)
    sfence.vma
    li      a3, MEGAPAGE
    ld      a4, 0(a3)
    li      t0, MEGAPAGE + 0x5000
    ld      a4, 0(t0)
    ENTRY_BITS(middle, 1, 0)
    li      t0, MEGAPAGE + 0x1000
    sfence.vma t0
    EXPECT(LOAD_PAGE, ld a4, 0(a3))
    li      t0, MEGAPAGE + 0x5000
    EXPECT(LOAD_PAGE, ld a4, 0(t0))

    CASE("a permission taken away, after a fence")
    ENTRY(low, 1, page_1, V | R | W)
    sfence.vma
    sd      zero, 72(a5)
    ENTRY(low, 1, page_1, V | R | A | D)
    sfence.vma a5
    EXPECT(STORE_PAGE, sd zero, 72(a5))
    ENTRY(low, 1, page_1, 0)
    sfence.vma a5
    EXPECT(LOAD_PAGE, ld a6, 72(a5))

    CASE("a dirty bit cleared, after a fence")
    ENTRY(low, 1, page_1, V | R | W)
    sfence.vma
    sd      zero, 72(a5)
    ENTRY(low, 1, page_1, V | R | W | A)
    sfence.vma a5
    ld      a6, 72(a5)
    CHECK_FLAGS(low, 1, V | R | W | A)
    sd      zero, 72(a5)
    CHECK_FLAGS(low, 1, V | R | W | A | D)

    CASE("a permission given needs no fence after a fault")
    // The manual allows a stale fault too; this hart keeps no entry that does not permit what was asked.
    ENTRY(low, 3, page_1, 0)
    sfence.vma
    li      a3, PAGE(3)
    EXPECT(LOAD_PAGE, ld a4, 0(a3))
    ENTRY(low, 3, page_1, V | R)
    ld      a4, 0(a3)
    EXPECT(STORE_PAGE, sd a4, 0(a3))
    ENTRY(low, 3, page_1, V | R | W)
    sd      a4, 0(a3)

    CASE("two address spaces")
    // The second has its own middle and lowest tables; the program is in both.
    ENTRY(root_2, 0, middle_2, V)
    ENTRY(middle_2, 0, low_2, V)
    ENTRY_BITS(root_2, 1, RAM_BASE >> 2 | V | R | W | X | U | A | D)
    ENTRY_BITS(root_2, 2, RAM_BASE >> 2 | V | R | W | X | A | D)
    ENTRY(low, 1, page_1, V | R | W)
    ENTRY(low_2, 1, page_2, V | R | W)
    la      t0, page_1
    li      a3, 1111
    sd      a3, 64(t0)
    la      t0, page_2
    li      a4, 2222
    sd      a4, 64(t0)
    la      t0, root_2
    srli    t0, t0, 12
    li      t1, SV39 << 60 | 7 << 44
    or      s10, t0, t1
    sfence.vma
    li      a5, PAGE(1)
    ld      a6, 64(a5)
    CHECK_EQUAL(a6, a3)
    csrw    satp, s10
    ld      a6, 64(a5)
    CHECK_EQUAL(a6, a4)
    csrw    satp, s11
    ld      a6, 64(a5)
    CHECK_EQUAL(a6, a3)
    csrw    satp, s10
    ld      a6, 64(a5)
    CHECK_EQUAL(a6, a4)

    CASE("a fence for one address space")
    ENTRY(low_2, 1, page_1, V | R | W)
    li      t0, 7
    sfence.vma zero, t0
    ld      a6, 64(a5)
    CHECK_EQUAL(a6, a3)
    csrw    satp, s11
    ld      a6, 64(a5)
    CHECK_EQUAL(a6, a3)
    ENTRY(low_2, 1, page_2, V | R | W)
    li      t0, 7
    sfence.vma a5, t0
    csrw    satp, s10
    ld      a6, 64(a5)
    CHECK_EQUAL(a6, a4)
    csrw    satp, s11

    CASE("a page of all address spaces")
    ENTRY(low, 1, page_1, V | R | W | G)
    ENTRY(low_2, 1, page_1, V | R | W | G)
    sfence.vma
    ld      a6, 64(a5)
    CHECK_EQUAL(a6, a3)
    csrw    satp, s10
    ld      a6, 64(a5)
    CHECK_EQUAL(a6, a3)
    ENTRY(low, 1, page_2, V | R | W | G)
    ENTRY(low_2, 1, page_2, V | R | W | G)
    sfence.vma a5
    ld      a6, 64(a5)
    CHECK_EQUAL(a6, a4)
    csrw    satp, s11
    ld      a6, 64(a5)
    CHECK_EQUAL(a6, a4)

    CASE("a table of all address spaces")
    // What a walk through a global entry has found is found in every address space until a fence.
    ENTRY(low, 1, page_1, V | R | W)
    ENTRY(low_2, 1, page_2, V | R | W)
    ENTRY(middle, 0, low, V | G)
    sfence.vma
    ld      a6, 64(a5)
    CHECK_EQUAL(a6, a3)
    csrw    satp, s10
    ld      a6, 64(a5)
    CHECK_EQUAL(a6, a3)
    sfence.vma
    ld      a6, 64(a5)
    CHECK_EQUAL(a6, a4)
    csrw    satp, s11
    ENTRY(middle, 0, low, V)
    ENTRY(low, 1, page_2, V | R | W | G)
    sfence.vma

    CASE("a fence for one address space leaves what belongs to all")
    ld      a6, 64(a5)
    CHECK_EQUAL(a6, a4)
    ENTRY(low, 1, page_1, V | R | W | G)
    li      t0, 0
    sfence.vma zero, t0
    ld      a6, 64(a5)
    CHECK_EQUAL(a6, a4)
    sfence.vma a5, t0
    ld      a6, 64(a5)
    CHECK_EQUAL(a6, a4)
    sfence.vma a5
    ld      a6, 64(a5)
    CHECK_EQUAL(a6, a3)
    ENTRY(low, 1, page_2, V | R | W | G)
    sfence.vma

    CASE("bare addresses again")
    csrw    satp, zero
    la      t0, page_2
    ld      a6, 64(t0)
    CHECK_EQUAL(a6, a4)
    li      t0, PAGE(1)
    EXPECT(LOAD_ACCESS, ld a6, 64(t0))
    csrw    satp, s11
    li      t0, PAGE(1)
    ld      a6, 64(t0)
    CHECK_EQUAL(a6, a4)

    CASE("code that was mapped away, after a fence")
    la      t0, page_1
    li      t1, 0x00100513                  // li a0, 1
    sw      t1, 0(t0)
    li      t1, 0x00008067
    sw      t1, 4(t0)
    la      t0, page_2
    li      t1, 0x00200513                  // li a0, 2
    sw      t1, 0(t0)
    li      t1, 0x00008067
    sw      t1, 4(t0)
    fence.i
    ENTRY(low, 1, page_1, V | X)
    sfence.vma
    jalr    a5
    CHECK(a0, 1)
    ENTRY(low, 1, page_2, V | X)
    sfence.vma a5
    jalr    a5
    CHECK(a0, 2)

    CASE("code that was written through another address, after FENCE.I")
    la      t0, page_2
    li      t1, 0x00300513                  // li a0, 3
    sw      t1, 0(t0)
    fence.i
    jalr    a5
    CHECK(a0, 3)

    CASE("the page under the program is exchanged")
    // page_1 writes the entry, fences and goes on, in page_2 from there.
    la      t0, page_1
    la      t1, exchange
    la      t2, exchange_end
1:  lw      t3, 0(t1)
    sw      t3, 0(t0)
    addi    t0, t0, 4
    addi    t1, t1, 4
    bne     t1, t2, 1b
    la      t0, page_2
    li      t1, 0x00000013                  // nop
    sw      t1, 0(t0)
    sw      t1, 4(t0)
    li      t1, 0x00200513                  // li a0, 2
    sw      t1, 8(t0)
    li      t1, 0x00008067
    sw      t1, 12(t0)
    fence.i
    ENTRY(low, 1, page_2, V | X)
    la      t0, low
    ld      t3, 8(t0)
    ENTRY(low, 1, page_1, V | X)
    la      t0, low
    sfence.vma
    jalr    a5
    CHECK(a0, 2)

    CASE("the address space under the program is exchanged")
    ENTRY(low, 1, page_1, V | X)
    ENTRY(low_2, 1, page_2, V | X)
    la      t0, page_1
    li      t1, 0x180d1073                  // csrw satp, s10
    sw      t1, 4(t0)
    fence.i
    sfence.vma
    la      t0, scratch
    jalr    a5
    csrw    satp, s11
    CHECK(a0, 2)

    CASE("what user mode may not fetch")
    ENTRY(low, 1, page_2, V | X)
    sfence.vma
    csrw    sepc, a5
    li      t0, SPP
    csrc    sstatus, t0
    la      s1, 1f
    sret
1:  CHECK_TRAP(FETCH_PAGE, PAGE(1))
    CHECK(s4, PAGE(1))
    CHECK_BITS(s5, SPP, 0)

    csrw    satp, zero
    DONE

// Goes to the beginning of a page: t3 is written to the entry of that page in the table at t0.
exchange:
    sd      t3, 8(t0)
    sfence.vma
    li      a0, 1
    ret
exchange_end:

// Loads, stores and fetches at page 1; s7, s8 and s9 are the causes, zero where nothing trapped.
try:
    mv      s0, ra
    li      a3, PAGE(1)
    li      s2, 0
    la      s1, 1f
    lw      a4, 0(a3)
1:  mv      s7, s2
    li      s2, 0
    la      s1, 1f
    sw      a4, 4(a3)
1:  mv      s8, s2
    li      s2, 0
    la      s1, 1f
    la      ra, 1f
    jr      a3
1:  mv      s9, s2
    li      s1, 0
    jr      s0

// The same in user mode, where something always traps: an ECALL.
try_user:
    mv      s0, ra
    li      a3, PAGE(1)
    USER(lw a4, 0(a3))
    mv      s7, s2
    USER(sw a4, 4(a3))
    mv      s8, s2
    la      ra, 1f
    li      t0, USER_OFFSET
    add     ra, ra, t0
    csrw    sepc, a3
    li      t0, SPP
    csrc    sstatus, t0
    la      s1, 2f
    sret
1:  ecall
2:  mv      s9, s2
    li      t0, ECALL_USER
    bne     s7, t0, 1f
    li      s7, NO_FAULT
1:  bne     s8, t0, 1f
    li      s8, NO_FAULT
1:  bne     s9, t0, 1f
    li      s9, NO_FAULT
1:  jr      s0

.data
.balign 4096
root:       .zero 4096
middle:     .zero 4096
low:        .zero 4096
root_2:     .zero 4096
middle_2:   .zero 4096
low_2:      .zero 4096
page_1:     .zero 4096
page_2:     .zero 4096
scratch:    .zero 64
