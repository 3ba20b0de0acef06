// LR and SC: what keeps a reservation, and what takes it away. AMO is in instructions.S.
#include "test.h"

main:
    la      s11, cell

    CASE("a pair of words")
    li      a3, 0x80000001
    sw      a3, 0(s11)
    lr.w    a4, (s11)
    li      t0, -0x7fffffff
    CHECK_EQUAL(a4, t0)
    li      a5, 7
    sc.w    a6, a5, (s11)
    CHECK(a6, 0)
    lw      a4, 0(s11)
    CHECK(a4, 7)

    CASE("a pair of double words")
    li      a3, 0x1122334455667788
    sd      a3, 0(s11)
    lr.d    a4, (s11)
    CHECK_EQUAL(a4, a3)
    li      a5, -9
    sc.d    a6, a5, (s11)
    CHECK(a6, 0)
    ld      a4, 0(s11)
    CHECK(a4, -9)

    CASE("ordering bits change nothing")
    lr.d.aqrl a4, (s11)
    sc.d.aqrl a6, a5, (s11)
    CHECK(a6, 0)
    lr.w.aq a4, (s11)
    sc.w.rl a6, a5, (s11)
    CHECK(a6, 0)

    CASE("SC takes the reservation away")
    lr.w    a4, (s11)
    sc.w    a6, a5, (s11)
    CHECK(a6, 0)
    li      a5, 55
    sc.w    a6, a5, (s11)
    CHECK(a6, 1)
    lw      a4, 0(s11)
    CHECK(a4, -9)

    CASE("an SC that fails takes it away too")
    lr.w    a4, (s11)
    addi    a3, s11, 64
    sc.w    a6, a5, (a3)
    CHECK(a6, 1)
    lw      a4, 0(a3)
    CHECK(a4, 0)
    sc.w    a6, a5, (s11)
    CHECK(a6, 1)

    CASE("the later LR counts")
    addi    a3, s11, 64
    lr.w    a4, (s11)
    lr.w    a4, (a3)
    sc.w    a6, a5, (s11)
    CHECK(a6, 1)
    lr.w    a4, (s11)
    lr.w    a4, (a3)
    sc.w    a6, a5, (a3)
    CHECK(a6, 0)

    CASE("the reservation set is eight aligned bytes")
    lr.d    a4, (s11)
    addi    a3, s11, 4
    sc.w    a6, a5, (a3)
    CHECK(a6, 0)
    lr.w    a4, (a3)
    sc.d    a6, a5, (s11)
    CHECK(a6, 0)
    addi    a3, s11, 8
    lr.w    a4, (s11)
    sc.w    a6, a5, (a3)
    CHECK(a6, 1)

    CASE("stores, loads and AMO of this hart keep it")
    lr.w    a4, (s11)
    sw      a5, 0(s11)
    ld      a4, 8(s11)
    amoadd.w a4, a5, (s11)
    sc.w    a6, a5, (s11)
    CHECK(a6, 0)

    CASE("an exception takes it away")
    lr.w    a4, (s11)
    EXPECT(BREAKPOINT, ebreak)
    sc.w    a6, a5, (s11)
    CHECK(a6, 1)
    lr.w    a4, (s11)
    USER_EXPECT(ECALL_USER, ecall)
    sc.w    a6, a5, (s11)
    CHECK(a6, 1)

    CASE("an interrupt takes it away")
    csrwi   sie, SOFTWARE_BIT
    csrwi   sip, SOFTWARE_BIT
    la      s1, 1f
    lr.w    a4, (s11)
    csrsi   sstatus, SIE
    NEVER
1:  CHECK(s2, SOFTWARE)
    sc.w    a6, a5, (s11)
    CHECK(a6, 1)
    csrwi   sip, 0
    csrwi   sie, 0

    CASE("calls of the SBI are no trap of this hart")
    li      a5, 66
    lr.w    a4, (s11)
    POSITION
    sc.w    a6, a5, (s11)
    CHECK(a6, 0)

    CASE("a reservation outlives SRET")
    lr.w    a4, (s11)
    la      t0, 1f
    csrw    sepc, t0
    li      t0, SPP
    csrs    sstatus, t0
    sret
1:  sc.w    a6, a5, (s11)
    CHECK(a6, 0)

    CASE("a misaligned SC keeps memory, and its trap takes the reservation away")
    li      a3, 5
    sd      a3, 0(s11)
    lr.d    a4, (s11)
    addi    a3, s11, 2
    EXPECT(STORE_MISALIGNED, sc.w a6, a5, (a3))
    ld      a4, 0(s11)
    CHECK(a4, 5)
    sc.d    a6, a5, (s11)
    CHECK(a6, 1)

    CASE("a loop that adds")
    sd      zero, 0(s11)
    li      a3, 100
1:  lr.d    a4, (s11)
    addi    a4, a4, 3
    sc.d    a6, a4, (s11)
    bnez    a6, 1b
    addi    a3, a3, -1
    bnez    a3, 1b
    ld      a4, 0(s11)
    CHECK(a4, 300)

    CASE("compare and swap in user mode")
    li      a3, 300
    li      a5, 17
    USER(lr.d a4, (s11); bne a4, a3, 1f; sc.d a6, a5, (s11); 1:)
    CHECK(s2, ECALL_USER)
    CHECK(a6, 0)
    ld      a4, 0(s11)
    CHECK(a4, 17)
    DONE

.data
.balign 64
cell:
    .zero   128
