// Loads and stores that go to a device: 16 bytes that remember, at 0x10000000. A store to the upper eight ends the step.
#include "test.h"

#define DEVICE 0x10000000

main:
    li      s11, DEVICE

    CASE("every width")
    li      a3, 0x8182838485868788
    sd      a3, 0(s11)
    ld      a4, 0(s11)
    CHECK_EQUAL(a4, a3)
    lb      a4, 7(s11)
    CHECK(a4, 0xffffffffffffff81)
    lbu     a4, 1(s11)
    CHECK(a4, 0x87)
    lh      a4, 2(s11)
    CHECK(a4, 0xffffffffffff8586)
    lhu     a4, 4(s11)
    CHECK(a4, 0x8384)
    lw      a4, 4(s11)
    CHECK(a4, 0xffffffff81828384)
    lwu     a4, 0(s11)
    CHECK(a4, 0x85868788)
    sb      zero, 0(s11)
    sh      zero, 2(s11)
    sw      zero, 4(s11)
    ld      a4, 0(s11)
    CHECK(a4, 0x8700)

    CASE("floating point")
    li      t0, FS_INITIAL
    csrs    sstatus, t0
    sd      a3, 0(s11)
    fld     fa0, 0(s11)
    fmv.x.d a4, fa0
    CHECK_EQUAL(a4, a3)
    flw     fa1, 4(s11)
    fmv.x.d a4, fa1
    CHECK(a4, 0xffffffff81828384)
    fsw     fa0, 4(s11)
    ld      a4, 0(s11)
    CHECK(a4, 0x8586878885868788)
    fsd     fa0, 0(s11)
    ld      a4, 0(s11)
    CHECK_EQUAL(a4, a3)

    CASE("loads to x0 are made too, and may fault")
    lw      zero, 0(s11)
    EXPECT(LOAD_ACCESS, lw zero, 16(s11))

    CASE("misaligned")
    EXPECT(LOAD_ACCESS, lh a4, 1(s11))
    CHECK(s3, DEVICE + 1)
    EXPECT(LOAD_ACCESS, ld a4, 4(s11))
    CHECK(s3, DEVICE + 4)
    EXPECT(STORE_ACCESS, sw zero, 2(s11))
    CHECK(s3, DEVICE + 2)
    ld      a4, 0(s11)
    CHECK_EQUAL(a4, a3)

    CASE("atomic instructions are for memory")
    EXPECT(LOAD_ACCESS, lr.w a4, (s11))
    EXPECT(STORE_ACCESS, sc.w a4, a4, (s11))
    EXPECT(STORE_ACCESS, amoswap.d a4, a4, (s11))
    EXPECT(STORE_ACCESS, cbo.zero (s11))
    CHECK(s3, DEVICE)
    ld      a4, 0(s11)
    CHECK_EQUAL(a4, a3)

    CASE("no instructions")
    la      s1, 1f
    jr      s11
1:  CHECK_TRAP(FETCH_ACCESS, DEVICE)

    CASE("the step that a device ends has retired its store")
    rdcycle a3
    sd      a3, 8(s11)
    rdcycle a4
    sub     a4, a4, a3
    CHECK(a4, 2)
    ld      a4, 8(s11)
    CHECK_EQUAL(a4, a3)
    sb      zero, 8(s11)
    sw      zero, 12(s11)

    CASE("user mode")
    USER(ld a4, 0(s11); sw a4, 4(s11))
    CHECK(s2, ECALL_USER)
    USER_EXPECT(STORE_ACCESS, sb a4, 16(s11))
    DONE
