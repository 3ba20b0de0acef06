// The clock and its interrupt. Whoever runs this gives each position one nanosecond, and lets time jump to stimecmp where the hart waits.
#include "test.h"

#define POSITIONS_OF_A_TICK 100
#define NEVER_DUE -1

// Interrupts of the timer alone.
#define ENABLE_TIMER                                                                                                                                \
    li      t0, TIMER_BIT;                                                                                                                          \
    csrw    sie, t0

// The interrupt was taken at the first position of the tick a3; a0 is the position of an ECALL, `after` the instruction behind it, and from there
// to `sepc` everything was executed once.
#define CHECK_EXACT(after)                                                                                                                          \
    CHECK(s2, TIMER);                                                                                                                               \
    CHECK(s3, 0);                                                                                                                                   \
    la      t0, after;                                                                                                                              \
    sub     t0, s4, t0;                                                                                                                             \
    srli    t0, t0, 2;                                                                                                                              \
    add     t0, t0, a0;                                                                                                                             \
    addi    t0, t0, 1;                                                                                                                              \
    li      t1, POSITIONS_OF_A_TICK;                                                                                                                \
    mul     t1, a3, t1;                                                                                                                             \
    CHECK_EQUAL(t0, t1)

// a3 becomes the first tick that begins at least so many positions behind a0.
#define TICK_BEHIND(positions)                                                                                                                      \
    addi    a3, a0, positions + POSITIONS_OF_A_TICK - 1;                                                                                            \
    li      t0, POSITIONS_OF_A_TICK;                                                                                                                \
    divu    a3, a3, t0

main:
    CASE("time follows from the position")
    POSITION
    rdtime  a3
    addi    a0, a0, 1
    li      t0, POSITIONS_OF_A_TICK
    divu    a0, a0, t0
    CHECK_EQUAL(a3, a0)
    POSITION
    rdcycle a3
    addi    a0, a0, 1
    CHECK_EQUAL(a3, a0)

    CASE("the interrupt comes at the tick's first position")
    ENABLE_TIMER
    la      s1, 2f
    POSITION
1:  TICK_BEHIND(50)
    csrw    STIMECMP, a3
    csrsi   sstatus, SIE
    .rept   200
    nop
    .endr
    NEVER
2:  CHECK_EXACT(1b)
    CHECK_BITS(s5, SPP | SPIE | SIE, SPP | SPIE)

    CASE("in user mode it comes whatever SIE says")
    li      t0, SPP | SPIE
    csrc    sstatus, t0
    la      t0, 3f
    csrw    sepc, t0
    la      s1, 2f
    POSITION
1:  TICK_BEHIND(50)
    csrw    STIMECMP, a3
    sret
3:  .rept   200
    nop
    .endr
    ecall
2:  CHECK_EXACT(1b)
    CHECK_BITS(s5, SPP | SPIE | SIE, 0)

    CASE("an interrupt cuts a loop at every place")
    li      s11, 60
4:  la      s1, 2f
    li      s10, 0
    POSITION
1:  addi    a3, a0, 100
    li      t0, POSITIONS_OF_A_TICK
    divu    a3, a3, t0
    addi    a3, a3, 1
    csrw    STIMECMP, a3
    csrsi   sstatus, SIE
3:  addi    s10, s10, 1
    mul     t0, s10, s10
    xor     t1, t1, t0
    j       3b
2:  CHECK(s2, TIMER)
    // Instructions before the loop, and four in each turn, of which s10 began.
    la      t0, 1b
    la      t1, 3b
    sub     t1, t1, t0
    srli    t1, t1, 2
    add     t1, t1, a0
    addi    t1, t1, 1
    slli    t2, s10, 2
    add     t1, t1, t2
    li      t0, POSITIONS_OF_A_TICK
    mul     t0, t0, a3
    // Before its first instruction the turn has not begun, behind it up to three are missing.
    la      t2, 3b
    sub     t2, s4, t2
    srli    t2, t2, 2
    beqz    t2, 5f
    addi    t2, t2, -4
5:  add     t1, t1, t2
    CHECK_EQUAL(t1, t0)
    addi    s11, s11, -1
    .rept   7
    nop
    .endr
    bnez    s11, 4b

    CASE("the past is due at once")
    la      s1, 1f
    li      t0, NEVER_DUE
    csrw    STIMECMP, t0
    csrsi   sstatus, SIE
    csrw    STIMECMP, zero
2:  NEVER
1:  CHECK(s2, TIMER)
    CHECK_ADDRESS(s4, 2b)

    CASE("sip says that it is pending, and only stimecmp changes that")
    csrr    a3, sip
    CHECK(a3, TIMER_BIT)
    csrw    sip, zero
    csrr    a3, sip
    CHECK(a3, TIMER_BIT)
    li      t0, NEVER_DUE
    csrw    STIMECMP, t0
    csrr    a3, sip
    CHECK(a3, 0)
    csrr    a3, STIMECMP
    CHECK(a3, NEVER_DUE)
    // Pending does not ask whether it is enabled.
    csrw    sie, zero
    csrw    STIMECMP, zero
    csrr    a3, sip
    CHECK(a3, TIMER_BIT)

    CASE("now is due")
    rdtime  a3
    csrw    STIMECMP, a3
    csrr    a3, sip
    CHECK(a3, TIMER_BIT)

    CASE("far away is not")
    li      t0, (1 << 63) | 5
    csrw    STIMECMP, t0
    csrr    a3, sip
    CHECK(a3, 0)

    CASE("disabled, it stays pending")
    csrw    STIMECMP, zero
    csrsi   sstatus, SIE
    nop
    csrci   sstatus, SIE
    ENABLE_TIMER
    la      s1, 1f
    csrsi   sstatus, SIE
2:  NEVER
1:  CHECK(s2, TIMER)
    CHECK_ADDRESS(s4, 2b)

    CASE("waiting for it, interrupts on")
    ENABLE_TIMER
    rdtime  a3
    li      t0, 123456
    add     a3, a3, t0
    csrw    STIMECMP, a3
    la      s1, 1f
    csrsi   sstatus, SIE
    wfi
2:  NEVER
1:  CHECK(s2, TIMER)
    CHECK_ADDRESS(s4, 2b)
    rdtime  a4
    CHECK_EQUAL(a4, a3)

    CASE("waiting for it, interrupts off")
    li      t0, 1000
    add     a3, a3, t0
    csrw    STIMECMP, a3
    wfi
    rdtime  a4
    CHECK_EQUAL(a4, a3)
    csrr    a4, sip
    CHECK(a4, TIMER_BIT)

    CASE("nothing to wait for when it is pending")
    POSITION
    wfi
    rdcycle a4
    sub     a4, a4, a0
    CHECK(a4, 2)

    CASE("virtual time after a jump goes on at its pace")
    rdtime  a3
    rdcycle a4
    .rept   300
    nop
    .endr
    rdtime  a5
    rdcycle a6
    sub     a5, a5, a3
    sub     a6, a6, a4
    li      t0, POSITIONS_OF_A_TICK
    divu    a6, a6, t0
    sub     a5, a5, a6
    sltiu   a5, a5, 2
    CHECK(a5, 1)
    DONE
