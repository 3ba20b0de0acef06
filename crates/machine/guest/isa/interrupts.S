// Software and external interrupts, their order, masks and vectors. The timer's are in timer.S.
#include "test.h"

#define ALL (SOFTWARE_BIT | TIMER_BIT | EXTERNAL_BIT)

#define ENABLE(bits)                                                                                                                                \
    li      t0, bits;                                                                                                                               \
    csrw    sie, t0

// Pending are these; the timer by a stimecmp in the past.
#define CHECK_PENDING(bits)                                                                                                                         \
    csrr    a3, sip;                                                                                                                                \
    CHECK(a3, bits)

main:
    CASE("nothing is pending at first")
    CHECK_PENDING(0)

    CASE("sie takes three bits")
    ENABLE(-1)
    csrr    a3, sie
    CHECK(a3, ALL)
    csrw    sie, zero

    CASE("sip takes one bit")
    li      t0, -1
    csrw    sip, t0
    CHECK_PENDING(SOFTWARE_BIT)
    csrci   sip, SOFTWARE_BIT
    CHECK_PENDING(0)
    csrsi   sip, SOFTWARE_BIT
    CHECK_PENDING(SOFTWARE_BIT)
    csrw    sip, zero
    CHECK_PENDING(0)

    CASE("a software interrupt waits for its bit of sie and for SIE")
    csrsi   sip, SOFTWARE_BIT
    nop
    csrsi   sstatus, SIE
    nop
    csrci   sstatus, SIE
    ENABLE(ALL)
    nop
    la      s1, 1f
    csrsi   sstatus, SIE
2:  NEVER
1:  CHECK_TRAP(SOFTWARE, 0)
    CHECK_ADDRESS(s4, 2b)
    CHECK_BITS(s5, SPP | SPIE | SIE, SPP | SPIE)

    CASE("it is taken when its bit of sie is set")
    csrw    sie, zero
    csrsi   sstatus, SIE
    la      s1, 1f
    li      t0, SOFTWARE_BIT
    csrw    sie, t0
2:  NEVER
1:  CHECK_TRAP(SOFTWARE, 0)
    CHECK_ADDRESS(s4, 2b)

    CASE("it is taken when it becomes pending")
    csrw    sip, zero
    csrsi   sstatus, SIE
    la      s1, 1f
    csrsi   sip, SOFTWARE_BIT
2:  NEVER
1:  CHECK_TRAP(SOFTWARE, 0)
    CHECK_ADDRESS(s4, 2b)

    CASE("it is taken at once where SRET goes")
    la      s1, 1f
    la      t0, 2f
    csrw    sepc, t0
    li      t0, SPP | SPIE
    csrs    sstatus, t0
    sret
2:  NEVER
1:  CHECK_TRAP(SOFTWARE, 0)
    CHECK_ADDRESS(s4, 2b)
    CHECK_BITS(s5, SPP | SPIE | SIE, SPP | SPIE)

    CASE("user mode takes it whatever SIE says")
    USER_EXPECT(SOFTWARE, nop)
    CHECK_BITS(s5, SPP | SPIE | SIE, 0)

    CASE("an interrupt that is pending in a trap handler waits")
    la      s1, 1f
    csrw    sip, zero
    csrsi   sstatus, SIE
    ebreak
    NEVER
1:  CHECK(s2, BREAKPOINT)
    csrsi   sip, SOFTWARE_BIT
    nop
    csrw    sip, zero

    CASE("an external interrupt is its line")
    csrw    sie, zero
    LINE(1)
    CHECK_PENDING(EXTERNAL_BIT)
    csrw    sip, zero
    CHECK_PENDING(EXTERNAL_BIT)
    LINE(0)
    CHECK_PENDING(0)
    LINE(1)
    ENABLE(ALL)
    la      s1, 1f
    csrsi   sstatus, SIE
2:  NEVER
1:  CHECK_TRAP(EXTERNAL, 0)
    CHECK_ADDRESS(s4, 2b)
    CHECK_PENDING(EXTERNAL_BIT)
    LINE(0)
    USER(nop)
    CHECK(s2, ECALL_USER)
    LINE(1)
    USER_EXPECT(EXTERNAL, nop)
    LINE(0)

    CASE("csrrs of sip does not make the line stick")
    csrw    sie, zero
    LINE(1)
    csrrsi  a3, sip, SOFTWARE_BIT
    CHECK(a3, EXTERNAL_BIT)
    CHECK_PENDING(EXTERNAL_BIT | SOFTWARE_BIT)
    LINE(0)
    CHECK_PENDING(SOFTWARE_BIT)
    csrw    sip, zero

    CASE("external, then software, then timer")
    ENABLE(ALL)
    csrsi   sip, SOFTWARE_BIT
    csrw    STIMECMP, zero
    LINE(1)
    CHECK_PENDING(ALL)
    USER_EXPECT(EXTERNAL, nop)
    LINE(0)
    USER_EXPECT(SOFTWARE, nop)
    csrw    sip, zero
    USER_EXPECT(TIMER, nop)
    csrsi   sip, SOFTWARE_BIT
    ENABLE(TIMER_BIT)
    USER_EXPECT(TIMER, nop)
    li      t0, -1
    csrw    STIMECMP, t0
    csrw    sip, zero

    CASE("an interrupt comes before what the instruction would have done")
    ENABLE(ALL)
    csrsi   sip, SOFTWARE_BIT
    la      a3, cell
    li      a4, 5
    USER_EXPECT(SOFTWARE, sd a4, 0(a3))
    ld      a5, 0(a3)
    CHECK(a5, 0)
    USER_EXPECT(SOFTWARE, .word 0)

    CASE("vectors")
    la      t0, vectors + 1
    csrw    stvec, t0
    csrr    a3, stvec
    CHECK_EQUAL(a3, t0)
    li      a3, 0
    USER_EXPECT(SOFTWARE, nop)
    CHECK(a3, 1)
    csrw    sip, zero
    csrw    STIMECMP, zero
    USER_EXPECT(TIMER, nop)
    CHECK(a3, 5)
    LINE(1)
    USER_EXPECT(EXTERNAL, nop)
    CHECK(a3, 9)
    LINE(0)
    csrw    sie, zero
    USER_EXPECT(BREAKPOINT, ebreak)
    CHECK(a3, 0)
    la      t0, trap
    csrw    stvec, t0
    li      t0, -1
    csrw    STIMECMP, t0

    CASE("waiting, interrupts on")
    ENABLE(ALL)
    LINE_AT_WFI
    la      s1, 1f
    csrsi   sstatus, SIE
    wfi
2:  NEVER
1:  CHECK_TRAP(EXTERNAL, 0)
    CHECK_ADDRESS(s4, 2b)
    LINE(0)

    CASE("waiting, interrupts off")
    LINE_AT_WFI
    wfi
    CHECK_PENDING(EXTERNAL_BIT)
    LINE(0)

    CASE("no waiting for what is pending")
    csrsi   sip, SOFTWARE_BIT
    wfi
    csrw    sip, zero

    CASE("waiting does not end for what is not enabled")
    csrsi   sip, SOFTWARE_BIT
    ENABLE(EXTERNAL_BIT)
    LINE_AT_WFI
    wfi
    CHECK_PENDING(EXTERNAL_BIT | SOFTWARE_BIT)
    LINE(0)
    csrw    sip, zero
    csrw    sie, zero

    CASE("WFI in user mode")
    USER_EXPECT(ILLEGAL, wfi)
    CHECK(s3, 0x10500073)
    DONE

.balign 256
vectors:
    j       0f
    j       1f
    j       2f
    j       3f
    j       4f
    j       5f
    j       6f
    j       7f
    j       8f
    j       9f
0:  li      a3, 0
    j       trap
1:  li      a3, 1
    j       trap
2:  li      a3, 2
    j       trap
3:  li      a3, 3
    j       trap
4:  li      a3, 4
    j       trap
5:  li      a3, 5
    j       trap
6:  li      a3, 6
    j       trap
7:  li      a3, 7
    j       trap
8:  li      a3, 8
    j       trap
9:  li      a3, 9
    j       trap

.data
.balign 8
cell:
    .dword  0
