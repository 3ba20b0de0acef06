// Where instructions come from: written, straddling pages, overlapping, far away.
#include "test.h"

#define RETURN 0x00008067
// li a3, n
#define LI_A3(n) (0x00000693 | (n) << 20)
#define C_NOP 0x0001
#define C_RETURN 0x8082
// c.li a3, n
#define C_LI_A3(n) (0x4681 | (n) << 2)

main:
    la      s11, page_1
    li      t0, 4096
    add     s10, s11, t0

    CASE("code that is written, after FENCE.I")
    li      t0, LI_A3(1)
    sw      t0, 0(s11)
    li      t0, RETURN
    sw      t0, 4(s11)
    fence.i
    jalr    s11
    CHECK(a3, 1)
    li      t0, LI_A3(2)
    sw      t0, 0(s11)
    fence.i
    jalr    s11
    CHECK(a3, 2)

    CASE("this hart sees its own writes at once")
    // More than the manual promises, and the same on every replica.
    li      t0, LI_A3(3)
    sw      t0, 0(s11)
    jalr    s11
    CHECK(a3, 3)

    CASE("the next instruction is written")
    li      t0, LI_A3(4)
    la      t1, 1f
    li      a3, 0
    sw      t0, 0(t1)
1:  nop
    CHECK(a3, 4)

    CASE("one byte of an instruction")
    li      t0, 0x50
    sb      t0, 2(s11)
    jalr    s11
    CHECK(a3, 5)
    sb      zero, 3(s11)
    jalr    s11
    CHECK(a3, 5)

    CASE("every kind of write")
    li      t0, LI_A3(6) | RETURN << 32
    sd      t0, 0(s11)
    jalr    s11
    CHECK(a3, 6)
    li      t0, LI_A3(7)
    amoswap.w t1, t0, (s11)
    jalr    s11
    CHECK(a3, 7)
    li      t0, LI_A3(8) | RETURN << 32
    amoswap.d t1, t0, (s11)
    jalr    s11
    CHECK(a3, 8)
    lr.w    t1, (s11)
    li      t0, LI_A3(9)
    sc.w    t1, t0, (s11)
    jalr    s11
    CHECK(a3, 9)
    li      t0, LI_A3(10) >> 16
    sh      t0, 2(s11)
    jalr    s11
    CHECK(a3, 10)
    li      t0, FS_INITIAL
    csrs    sstatus, t0
    li      t0, LI_A3(11)
    fmv.w.x fa0, t0
    fsw     fa0, 0(s11)
    jalr    s11
    CHECK(a3, 11)
    li      t0, LI_A3(12) | RETURN << 32
    fmv.d.x fa0, t0
    fsd     fa0, 0(s11)
    jalr    s11
    CHECK(a3, 12)
    // Misaligned, over the border between two instructions.
    li      t0, RETURN << 16 | LI_A3(13) >> 16
    sw      t0, 2(s11)
    jalr    s11
    CHECK(a3, 13)

    CASE("a cache block that is zeroed is no code")
    cbo.zero (s11)
    la      s1, 1f
    jr      s11
    NEVER
1:  CHECK_TRAP(ILLEGAL, 0)
    CHECK_EQUAL(s4, s11)

    CASE("many writes to a page of code")
    li      a4, 0
    li      t0, RETURN
    sw      t0, 4(s11)
1:  slli    t0, a4, 20
    ori     t0, t0, 0x693
    sw      t0, 0(s11)
    jalr    s11
    CHECK_EQUAL(a3, a4)
    addi    a4, a4, 1
    li      t0, 200
    bne     a4, t0, 1b
    // Data beside code.
    li      a4, 1000
1:  sd      a4, 256(s11)
    addi    a4, a4, -1
    bnez    a4, 1b
    jalr    s11
    CHECK(a3, 199)

    CASE("an instruction that straddles two pages")
    li      t0, LI_A3(21)
    sh      t0, -2(s10)
    srli    t0, t0, 16
    sh      t0, 0(s10)
    li      t0, RETURN
    sh      t0, 2(s10)
    srli    t0, t0, 16
    sh      t0, 4(s10)
    addi    a4, s10, -2
    jalr    a4
    CHECK(a3, 21)

    CASE("its second half is written")
    li      t0, LI_A3(22) >> 16
    sh      t0, 0(s10)
    jalr    a4
    CHECK(a3, 22)

    CASE("its first half is written")
    li      t0, 0x0713                      // li a4, ... instead of a3
    sh      t0, -2(s10)
    mv      a5, a4
    jalr    a5
    CHECK(a4, 22)
    mv      a4, a5
    li      t0, LI_A3(0)
    sh      t0, -2(s10)

    CASE("a misaligned store over the border of two pages of code")
    li      t0, LI_A3(23)
    sw      t0, -2(s10)
    jalr    a4
    CHECK(a3, 23)

    CASE("running over the border")
    li      t0, C_NOP
    sh      t0, -2(s10)
    sh      t0, -4(s10)
    li      t0, LI_A3(24)
    sw      t0, 0(s10)
    li      t0, RETURN
    sw      t0, 4(s10)
    addi    a4, s10, -4
    jalr    a4
    CHECK(a3, 24)

    CASE("the same bytes at two beginnings")
    // The upper half of the first instruction is one of two bytes itself.
    li      t0, 0x00000693 | C_LI_A3(25) << 16
    sw      t0, 0(s11)
    li      t0, C_RETURN
    sh      t0, 4(s11)
    jalr    s11
    li      t0, (C_LI_A3(25) << 48) >> 52
    CHECK_EQUAL(a3, t0)
    addi    a4, s11, 2
    jalr    a4
    CHECK(a3, 25)
    jalr    s11
    CHECK_EQUAL(a3, t0)

    CASE("a loop over the border of two pages")
    li      t0, 0x0685                      // c.addi a3, 1
    sh      t0, -2(s10)
    li      t0, 0xfeb69fe3                  // bne a3, a1, .-2
    sw      t0, 0(s10)
    li      t0, C_RETURN
    sh      t0, 4(s10)
    li      a3, 0
    li      a1, 1000
    addi    a4, s10, -2
    jalr    a4
    CHECK(a3, 1000)

    CASE("far jumps")
    li      a3, 0
    j       far
back:
    CHECK(a3, 5)
    li      a1, 1
    beqz    zero, branch_far
branch_back:
    CHECK(a1, 2)

    CASE("the end of addresses is followed by their beginning")
    la      s1, 1f
    li      a4, -2
    // Nothing is there: the jump arrives, the fetch does not.
    jalr    a4
1:  CHECK_TRAP(FETCH_ACCESS, -2)

    CASE("jumps that link over themselves")
    la      a4, 1f
    jalr    a4, a4
1:  CHECK_ADDRESS(a4, 1b)
    jal     a4, 1f
2:  NEVER
1:  CHECK_ADDRESS(a4, 2b)

    CASE("counters count")
    rdinstret a3
    rdinstret a4
    sub     a4, a4, a3
    CHECK(a4, 1)
    rdcycle a3
    nop
    nop
    rdcycle a4
    sub     a4, a4, a3
    CHECK(a4, 3)

    CASE("a trap counts as a cycle, not as an instruction retired")
    rdcycle a3
    rdinstret a4
    la      s1, 1f
    ebreak
1:  rdcycle a5
    rdinstret a6
    sub     a5, a5, a3
    sub     a6, a6, a4
    // The ebreak's trap and one instruction that lies between one pair of reads only.
    sub     a5, a5, a6
    CHECK(a5, 1)
    DONE

    .space  2800, 0
branch_far:
    li      a1, 2
    beqz    zero, branch_back

    .space  200000, 0
far:
    li      a3, 5
    j       back

.data
.balign 4096
page_1:
    .zero   4096
page_2:
    .zero   4096
