// Every instruction that computes, loads, stores or jumps, on a few values each: what the manual says they give.
//
// Floating point is in floats.S, system instructions in traps.S and csrs.S, LR and SC in atomics.S.
#include "test.h"

#define TWO(insn, first, second, result)                                                                                                            \
    li      a3, first;                                                                                                                              \
    li      a4, second;                                                                                                                             \
    insn    a5, a3, a4;                                                                                                                             \
    CHECK(a5, result)

#define IMMEDIATE(insn, first, second, result)                                                                                                      \
    li      a3, first;                                                                                                                              \
    insn    a5, a3, second;                                                                                                                         \
    CHECK(a5, result)

#define ONE(insn, first, result)                                                                                                                    \
    li      a3, first;                                                                                                                              \
    insn    a5, a3;                                                                                                                                 \
    CHECK(a5, result)

// What memory held comes as `loaded`; afterwards it holds `stored`.
#define MODIFY(insn, held, operand, loaded, stored)                                                                                                 \
    li      a3, held;                                                                                                                               \
    sd      a3, 0(s10);                                                                                                                             \
    li      a4, operand;                                                                                                                            \
    insn    a5, a4, (s10);                                                                                                                          \
    CHECK(a5, loaded);                                                                                                                              \
    ld      a5, 0(s10);                                                                                                                             \
    CHECK(a5, stored)

// Memory holds these bytes at `cell`: 80 81 82 83 84 85 86 07 18 19 ...
#define LOAD(insn, offset, result)                                                                                                                  \
    insn    a5, offset(s11);                                                                                                                        \
    CHECK(a5, result)

// Bytes around those that are stored stay.
#define STORE(insn, offset, first, second)                                                                                                          \
    li      a3, -1;                                                                                                                                 \
    sd      a3, 0(s10);                                                                                                                             \
    sd      a3, 8(s10);                                                                                                                             \
    li      a3, 0x1122334455667788;                                                                                                                 \
    insn    a3, offset(s10);                                                                                                                        \
    ld      a5, 0(s10);                                                                                                                             \
    CHECK(a5, first);                                                                                                                               \
    ld      a5, 8(s10);                                                                                                                             \
    CHECK(a5, second)

// Whether a branch is taken.
#define BRANCH(insn, first, second, taken)                                                                                                          \
    li      a3, first;                                                                                                                              \
    li      a4, second;                                                                                                                             \
    li      a5, 1;                                                                                                                                  \
    insn    a3, a4, 95f;                                                                                                                            \
    li      a5, 0;                                                                                                                                  \
95: CHECK(a5, taken)

// Compressed instructions that name their operands.
#define SHORT(insn, first, second, result, ...)                                                                                                     \
    li      a3, first;                                                                                                                              \
    li      a4, second;                                                                                                                             \
    .option push;                                                                                                                                   \
    .option rvc;                                                                                                                                    \
    insn    __VA_ARGS__;                                                                                                                            \
    c.nop;                                                                                                                                          \
    .option pop;                                                                                                                                    \
    .balign 4;                                                                                                                                      \
    CHECK(a3, result)

main:
    la      s11, cell
    la      s10, cell_2

    // Integers: RV64I, M, Zba, Zbb, Zbs.

    CASE("add")
    TWO(add, 1, 2, 3)
    TWO(add, -1, 1, 0)
    TWO(add, 0x8000000000000000, -1, 0x7fffffffffffffff)
    TWO(add, 0x8123456789abcdef, 0xfedcba987654321, 0x9111111111111110)
    TWO(add, 0xfedcba987654321, 0x8123456789abcdef, 0x9111111111111110)

    CASE("sub")
    TWO(sub, 1, 2, -1)
    TWO(sub, -1, 1, -2)
    TWO(sub, 0x8000000000000000, -1, 0x8000000000000001)
    TWO(sub, 0x8123456789abcdef, 0xfedcba987654321, 0x713579be02468ace)
    TWO(sub, 0xfedcba987654321, 0x8123456789abcdef, 0x8eca8641fdb97532)

    CASE("sll")
    TWO(sll, 1, 32, 0x100000000)
    TWO(sll, 0x8123456789abcdef, 0, 0x8123456789abcdef)
    TWO(sll, 0x8123456789abcdef, 1, 0x2468acf13579bde)
    TWO(sll, 0x8123456789abcdef, 31, 0xc4d5e6f780000000)
    TWO(sll, 0x8123456789abcdef, 32, 0x89abcdef00000000)
    TWO(sll, 0x8123456789abcdef, 63, 0x8000000000000000)
    TWO(sll, 0x8123456789abcdef, 71, 0x91a2b3c4d5e6f780)
    TWO(sll, 1, -1, 0x8000000000000000)

    CASE("srl")
    TWO(srl, 1, 32, 0)
    TWO(srl, 0x8123456789abcdef, 0, 0x8123456789abcdef)
    TWO(srl, 0x8123456789abcdef, 1, 0x4091a2b3c4d5e6f7)
    TWO(srl, 0x8123456789abcdef, 31, 0x102468acf)
    TWO(srl, 0x8123456789abcdef, 32, 0x81234567)
    TWO(srl, 0x8123456789abcdef, 63, 1)
    TWO(srl, 0x8123456789abcdef, 71, 0x102468acf13579b)
    TWO(srl, 1, -1, 0)

    CASE("sra")
    TWO(sra, 1, 32, 0)
    TWO(sra, 0x8123456789abcdef, 0, 0x8123456789abcdef)
    TWO(sra, 0x8123456789abcdef, 1, 0xc091a2b3c4d5e6f7)
    TWO(sra, 0x8123456789abcdef, 31, 0xffffffff02468acf)
    TWO(sra, 0x8123456789abcdef, 32, 0xffffffff81234567)
    TWO(sra, 0x8123456789abcdef, 63, -1)
    TWO(sra, 0x8123456789abcdef, 71, 0xff02468acf13579b)
    TWO(sra, 1, -1, 0)

    CASE("slt")
    TWO(slt, 1, 2, 1)
    TWO(slt, 2, 1, 0)
    TWO(slt, -1, 1, 1)
    TWO(slt, 1, -1, 0)
    TWO(slt, 0x8000000000000000, 0x8000000000000000, 0)
    TWO(slt, 0x8000000000000000, 0x7fffffffffffffff, 1)

    CASE("sltu")
    TWO(sltu, 1, 2, 1)
    TWO(sltu, 2, 1, 0)
    TWO(sltu, -1, 1, 0)
    TWO(sltu, 1, -1, 1)
    TWO(sltu, 0x8000000000000000, 0x8000000000000000, 0)
    TWO(sltu, 0x8000000000000000, 0x7fffffffffffffff, 0)

    CASE("xor")
    TWO(xor, 0x8123456789abcdef, 0xfedcba987654321, 0x8ece8ece0ece8ece)
    TWO(xor, -1, 0, -1)
    TWO(xor, 0xff00ff00ff00ff, 0xf0f0f0f0f0f0f0f, 0xff00ff00ff00ff0)

    CASE("or")
    TWO(or, 0x8123456789abcdef, 0xfedcba987654321, 0x8fefcfef8fefcfef)
    TWO(or, -1, 0, -1)
    TWO(or, 0xff00ff00ff00ff, 0xf0f0f0f0f0f0f0f, 0xfff0fff0fff0fff)

    CASE("and")
    TWO(and, 0x8123456789abcdef, 0xfedcba987654321, 0x121412181214121)
    TWO(and, -1, 0, 0)
    TWO(and, 0xff00ff00ff00ff, 0xf0f0f0f0f0f0f0f, 0xf000f000f000f)

    CASE("addw")
    TWO(addw, 1, 2, 3)
    TWO(addw, -1, 1, 0)
    TWO(addw, 0x8000000000000000, -1, -1)
    TWO(addw, 0x8123456789abcdef, 0xfedcba987654321, 0x11111110)
    TWO(addw, 0xfedcba987654321, 0x8123456789abcdef, 0x11111110)
    TWO(addw, 0x7fffffff, 1, 0xffffffff80000000)

    CASE("subw")
    TWO(subw, 1, 2, -1)
    TWO(subw, -1, 1, -2)
    TWO(subw, 0x8000000000000000, -1, 1)
    TWO(subw, 0x8123456789abcdef, 0xfedcba987654321, 0x2468ace)
    TWO(subw, 0xfedcba987654321, 0x8123456789abcdef, 0xfffffffffdb97532)
    TWO(subw, 0x80000000, 1, 0x7fffffff)

    CASE("sllw")
    TWO(sllw, 1, 32, 1)
    TWO(sllw, 0x8123456789abcdef, 0, 0xffffffff89abcdef)
    TWO(sllw, 0x8123456789abcdef, 1, 0x13579bde)
    TWO(sllw, 0x8123456789abcdef, 31, 0xffffffff80000000)
    TWO(sllw, 0x8123456789abcdef, 32, 0xffffffff89abcdef)
    TWO(sllw, 0x8123456789abcdef, 63, 0xffffffff80000000)
    TWO(sllw, 0x8123456789abcdef, 71, 0xffffffffd5e6f780)
    TWO(sllw, 1, -1, 0xffffffff80000000)

    CASE("srlw")
    TWO(srlw, 1, 32, 1)
    TWO(srlw, 0x8123456789abcdef, 0, 0xffffffff89abcdef)
    TWO(srlw, 0x8123456789abcdef, 1, 0x44d5e6f7)
    TWO(srlw, 0x8123456789abcdef, 31, 1)
    TWO(srlw, 0x8123456789abcdef, 32, 0xffffffff89abcdef)
    TWO(srlw, 0x8123456789abcdef, 63, 1)
    TWO(srlw, 0x8123456789abcdef, 71, 0x113579b)
    TWO(srlw, 1, -1, 0)

    CASE("sraw")
    TWO(sraw, 1, 32, 1)
    TWO(sraw, 0x8123456789abcdef, 0, 0xffffffff89abcdef)
    TWO(sraw, 0x8123456789abcdef, 1, 0xffffffffc4d5e6f7)
    TWO(sraw, 0x8123456789abcdef, 31, -1)
    TWO(sraw, 0x8123456789abcdef, 32, 0xffffffff89abcdef)
    TWO(sraw, 0x8123456789abcdef, 63, -1)
    TWO(sraw, 0x8123456789abcdef, 71, 0xffffffffff13579b)
    TWO(sraw, 1, -1, 0)

    CASE("mul")
    TWO(mul, 1, 2, 2)
    TWO(mul, -1, 1, -1)
    TWO(mul, 0x8000000000000000, -1, 0x8000000000000000)
    TWO(mul, 0x8123456789abcdef, 0xfedcba987654321, 0xa2236d88fe5618cf)
    TWO(mul, 0xfedcba987654321, 0x8123456789abcdef, 0xa2236d88fe5618cf)
    TWO(mul, 0x8123456789abcdef, 0x8123456789abcdef, 0xdca5e20890f2a521)

    CASE("mulh")
    TWO(mulh, 1, 2, 0)
    TWO(mulh, -1, 1, -1)
    TWO(mulh, 0x8000000000000000, -1, 0)
    TWO(mulh, 0x8123456789abcdef, 0xfedcba987654321, 0xf81b39cb4724dbe3)
    TWO(mulh, 0xfedcba987654321, 0x8123456789abcdef, 0xf81b39cb4724dbe3)
    TWO(mulh, 0x8123456789abcdef, 0x8123456789abcdef, 0x3ede05ff528828bd)

    CASE("mulhsu")
    TWO(mulhsu, 1, 2, 0)
    TWO(mulhsu, -1, 1, -1)
    TWO(mulhsu, 0x8000000000000000, -1, 0x8000000000000000)
    TWO(mulhsu, 0x8123456789abcdef, 0xfedcba987654321, 0xf81b39cb4724dbe3)
    TWO(mulhsu, 0xfedcba987654321, 0x8123456789abcdef, 0x8090574ce8a1f04)
    TWO(mulhsu, 0x8123456789abcdef, 0x8123456789abcdef, 0xc0014b66dc33f6ac)

    CASE("mulhu")
    TWO(mulhu, 1, 2, 0)
    TWO(mulhu, -1, 1, 0)
    TWO(mulhu, 0x8000000000000000, -1, 0x7fffffffffffffff)
    TWO(mulhu, 0x8123456789abcdef, 0xfedcba987654321, 0x8090574ce8a1f04)
    TWO(mulhu, 0xfedcba987654321, 0x8123456789abcdef, 0x8090574ce8a1f04)
    TWO(mulhu, 0x8123456789abcdef, 0x8123456789abcdef, 0x412490ce65dfc49b)

    CASE("mulw")
    TWO(mulw, 1, 2, 2)
    TWO(mulw, -1, 1, -1)
    TWO(mulw, 0x8000000000000000, -1, 0)
    TWO(mulw, 0x8123456789abcdef, 0xfedcba987654321, 0xfffffffffe5618cf)
    TWO(mulw, 0xfedcba987654321, 0x8123456789abcdef, 0xfffffffffe5618cf)

    CASE("div")
    TWO(div, 7, 2, 3)
    TWO(div, -7, 2, -3)
    TWO(div, 7, -2, -3)
    TWO(div, -7, -2, 3)
    TWO(div, 5, 0, -1)
    TWO(div, 0, 0, -1)
    TWO(div, 0x8000000000000000, -1, 0x8000000000000000)
    TWO(div, 0x8000000000000000, 1, 0x8000000000000000)
    TWO(div, 0x8123456789abcdef, 0xfedcba987654321, -7)
    TWO(div, 0x80000000, -1, 0xffffffff80000000)
    TWO(div, 0xffffffff80000000, -1, 0x80000000)
    TWO(div, 0x100000005, 0x100000000, 1)

    CASE("divu")
    TWO(divu, 7, 2, 3)
    TWO(divu, -7, 2, 0x7ffffffffffffffc)
    TWO(divu, 7, -2, 0)
    TWO(divu, -7, -2, 0)
    TWO(divu, 5, 0, -1)
    TWO(divu, 0, 0, -1)
    TWO(divu, 0x8000000000000000, -1, 0)
    TWO(divu, 0x8000000000000000, 1, 0x8000000000000000)
    TWO(divu, 0x8123456789abcdef, 0xfedcba987654321, 8)
    TWO(divu, 0x80000000, -1, 0)
    TWO(divu, 0xffffffff80000000, -1, 0)
    TWO(divu, 0x100000005, 0x100000000, 1)

    CASE("rem")
    TWO(rem, 7, 2, 1)
    TWO(rem, -7, 2, -1)
    TWO(rem, 7, -2, 1)
    TWO(rem, -7, -2, -1)
    TWO(rem, 5, 0, 5)
    TWO(rem, 0, 0, 0)
    TWO(rem, 0x8000000000000000, -1, 0)
    TWO(rem, 0x8000000000000000, 1, 0)
    TWO(rem, 0x8123456789abcdef, 0xfedcba987654321, 0xf0a3d70a3d70a3d6)
    TWO(rem, 0x80000000, -1, 0)
    TWO(rem, 0xffffffff80000000, -1, 0)
    TWO(rem, 0x100000005, 0x100000000, 5)

    CASE("remu")
    TWO(remu, 7, 2, 1)
    TWO(remu, -7, 2, 1)
    TWO(remu, 7, -2, 7)
    TWO(remu, -7, -2, -7)
    TWO(remu, 5, 0, 5)
    TWO(remu, 0, 0, 0)
    TWO(remu, 0x8000000000000000, -1, 0x8000000000000000)
    TWO(remu, 0x8000000000000000, 1, 0)
    TWO(remu, 0x8123456789abcdef, 0xfedcba987654321, 0x1b4e81b4e81b4e7)
    TWO(remu, 0x80000000, -1, 0x80000000)
    TWO(remu, 0xffffffff80000000, -1, 0xffffffff80000000)
    TWO(remu, 0x100000005, 0x100000000, 5)

    CASE("divw")
    TWO(divw, 7, 2, 3)
    TWO(divw, -7, 2, -3)
    TWO(divw, 7, -2, -3)
    TWO(divw, -7, -2, 3)
    TWO(divw, 5, 0, -1)
    TWO(divw, 0, 0, -1)
    TWO(divw, 0x8000000000000000, -1, 0)
    TWO(divw, 0x8000000000000000, 1, 0)
    TWO(divw, 0x8123456789abcdef, 0xfedcba987654321, 0)
    TWO(divw, 0x80000000, -1, 0xffffffff80000000)
    TWO(divw, 0xffffffff80000000, -1, 0xffffffff80000000)
    TWO(divw, 0x100000005, 0x100000000, -1)

    CASE("divuw")
    TWO(divuw, 7, 2, 3)
    TWO(divuw, -7, 2, 0x7ffffffc)
    TWO(divuw, 7, -2, 0)
    TWO(divuw, -7, -2, 0)
    TWO(divuw, 5, 0, -1)
    TWO(divuw, 0, 0, -1)
    TWO(divuw, 0x8000000000000000, -1, 0)
    TWO(divuw, 0x8000000000000000, 1, 0)
    TWO(divuw, 0x8123456789abcdef, 0xfedcba987654321, 1)
    TWO(divuw, 0x80000000, -1, 0)
    TWO(divuw, 0xffffffff80000000, -1, 0)
    TWO(divuw, 0x100000005, 0x100000000, -1)

    CASE("remw")
    TWO(remw, 7, 2, 1)
    TWO(remw, -7, 2, -1)
    TWO(remw, 7, -2, 1)
    TWO(remw, -7, -2, -1)
    TWO(remw, 5, 0, 5)
    TWO(remw, 0, 0, 0)
    TWO(remw, 0x8000000000000000, -1, 0)
    TWO(remw, 0x8000000000000000, 1, 0)
    TWO(remw, 0x8123456789abcdef, 0xfedcba987654321, 0xffffffff89abcdef)
    TWO(remw, 0x80000000, -1, 0)
    TWO(remw, 0xffffffff80000000, -1, 0)
    TWO(remw, 0x100000005, 0x100000000, 5)

    CASE("remuw")
    TWO(remuw, 7, 2, 1)
    TWO(remuw, -7, 2, 1)
    TWO(remuw, 7, -2, 7)
    TWO(remuw, -7, -2, -7)
    TWO(remuw, 5, 0, 5)
    TWO(remuw, 0, 0, 0)
    TWO(remuw, 0x8000000000000000, -1, 0)
    TWO(remuw, 0x8000000000000000, 1, 0)
    TWO(remuw, 0x8123456789abcdef, 0xfedcba987654321, 0x2468ace)
    TWO(remuw, 0x80000000, -1, 0xffffffff80000000)
    TWO(remuw, 0xffffffff80000000, -1, 0xffffffff80000000)
    TWO(remuw, 0x100000005, 0x100000000, 5)

    CASE("sh1add")
    TWO(sh1add, 1, 2, 4)
    TWO(sh1add, -1, 1, -1)
    TWO(sh1add, 0x8000000000000000, -1, -1)
    TWO(sh1add, 0x8123456789abcdef, 0xfedcba987654321, 0x123456789abcdeff)
    TWO(sh1add, 0xfedcba987654321, 0x8123456789abcdef, 0xa0fedcba98765431)

    CASE("sh2add")
    TWO(sh2add, 1, 2, 6)
    TWO(sh2add, -1, 1, -3)
    TWO(sh2add, 0x8000000000000000, -1, -1)
    TWO(sh2add, 0x8123456789abcdef, 0xfedcba987654321, 0x147ae147ae147add)
    TWO(sh2add, 0xfedcba987654321, 0x8123456789abcdef, 0xc0da740da740da73)

    CASE("sh3add")
    TWO(sh3add, 1, 2, 10)
    TWO(sh3add, -1, 1, -7)
    TWO(sh3add, 0x8000000000000000, -1, -1)
    TWO(sh3add, 0x8123456789abcdef, 0xfedcba987654321, 0x1907f6e5d4c3b299)
    TWO(sh3add, 0xfedcba987654321, 0x8123456789abcdef, 0x91a2b3c4d5e6f7)

    CASE("add.uw")
    TWO(add.uw, 1, 2, 3)
    TWO(add.uw, -1, 1, 0x100000000)
    TWO(add.uw, 0x8000000000000000, -1, -1)
    TWO(add.uw, 0x8123456789abcdef, 0xfedcba987654321, 0xfedcbaa11111110)
    TWO(add.uw, 0xfedcba987654321, 0x8123456789abcdef, 0x8123456811111110)

    CASE("sh1add.uw")
    TWO(sh1add.uw, 1, 2, 4)
    TWO(sh1add.uw, -1, 1, 0x1ffffffff)
    TWO(sh1add.uw, 0x8000000000000000, -1, -1)
    TWO(sh1add.uw, 0x8123456789abcdef, 0xfedcba987654321, 0xfedcbaa9abcdeff)
    TWO(sh1add.uw, 0xfedcba987654321, 0x8123456789abcdef, 0x8123456898765431)

    CASE("sh2add.uw")
    TWO(sh2add.uw, 1, 2, 6)
    TWO(sh2add.uw, -1, 1, 0x3fffffffd)
    TWO(sh2add.uw, 0x8000000000000000, -1, -1)
    TWO(sh2add.uw, 0x8123456789abcdef, 0xfedcba987654321, 0xfedcbabae147add)
    TWO(sh2add.uw, 0xfedcba987654321, 0x8123456789abcdef, 0x81234569a740da73)

    CASE("sh3add.uw")
    TWO(sh3add.uw, 1, 2, 10)
    TWO(sh3add.uw, -1, 1, 0x7fffffff9)
    TWO(sh3add.uw, 0x8000000000000000, -1, -1)
    TWO(sh3add.uw, 0x8123456789abcdef, 0xfedcba987654321, 0xfedcbadd4c3b299)
    TWO(sh3add.uw, 0xfedcba987654321, 0x8123456789abcdef, 0x8123456bc4d5e6f7)

    CASE("andn")
    TWO(andn, 0x8123456789abcdef, 0xfedcba987654321, 0x80020446088a8cce)
    TWO(andn, -1, 0, -1)
    TWO(andn, 0xff00ff00ff00ff, 0xf0f0f0f0f0f0f0f, 0xf000f000f000f0)

    CASE("orn")
    TWO(orn, 0x8123456789abcdef, 0xfedcba987654321, 0xf1337577f9bbfdff)
    TWO(orn, -1, 0, -1)
    TWO(orn, 0xff00ff00ff00ff, 0xf0f0f0f0f0f0f0f, 0xf0fff0fff0fff0ff)

    CASE("xnor")
    TWO(xnor, 0x8123456789abcdef, 0xfedcba987654321, 0x71317131f1317131)
    TWO(xnor, -1, 0, 0)
    TWO(xnor, 0xff00ff00ff00ff, 0xf0f0f0f0f0f0f0f, 0xf00ff00ff00ff00f)

    CASE("min")
    TWO(min, 1, 2, 1)
    TWO(min, 2, 1, 1)
    TWO(min, -1, 1, -1)
    TWO(min, 1, -1, -1)
    TWO(min, 0x8000000000000000, 0x8000000000000000, 0x8000000000000000)
    TWO(min, 0x8000000000000000, 0x7fffffffffffffff, 0x8000000000000000)

    CASE("minu")
    TWO(minu, 1, 2, 1)
    TWO(minu, 2, 1, 1)
    TWO(minu, -1, 1, 1)
    TWO(minu, 1, -1, 1)
    TWO(minu, 0x8000000000000000, 0x8000000000000000, 0x8000000000000000)
    TWO(minu, 0x8000000000000000, 0x7fffffffffffffff, 0x7fffffffffffffff)

    CASE("max")
    TWO(max, 1, 2, 2)
    TWO(max, 2, 1, 2)
    TWO(max, -1, 1, 1)
    TWO(max, 1, -1, 1)
    TWO(max, 0x8000000000000000, 0x8000000000000000, 0x8000000000000000)
    TWO(max, 0x8000000000000000, 0x7fffffffffffffff, 0x7fffffffffffffff)

    CASE("maxu")
    TWO(maxu, 1, 2, 2)
    TWO(maxu, 2, 1, 2)
    TWO(maxu, -1, 1, -1)
    TWO(maxu, 1, -1, -1)
    TWO(maxu, 0x8000000000000000, 0x8000000000000000, 0x8000000000000000)
    TWO(maxu, 0x8000000000000000, 0x7fffffffffffffff, 0x8000000000000000)

    CASE("rol")
    TWO(rol, 1, 32, 0x100000000)
    TWO(rol, 0x8123456789abcdef, 0, 0x8123456789abcdef)
    TWO(rol, 0x8123456789abcdef, 1, 0x2468acf13579bdf)
    TWO(rol, 0x8123456789abcdef, 31, 0xc4d5e6f7c091a2b3)
    TWO(rol, 0x8123456789abcdef, 32, 0x89abcdef81234567)
    TWO(rol, 0x8123456789abcdef, 63, 0xc091a2b3c4d5e6f7)
    TWO(rol, 0x8123456789abcdef, 71, 0x91a2b3c4d5e6f7c0)
    TWO(rol, 1, -1, 0x8000000000000000)

    CASE("ror")
    TWO(ror, 1, 32, 0x100000000)
    TWO(ror, 0x8123456789abcdef, 0, 0x8123456789abcdef)
    TWO(ror, 0x8123456789abcdef, 1, 0xc091a2b3c4d5e6f7)
    TWO(ror, 0x8123456789abcdef, 31, 0x13579bdf02468acf)
    TWO(ror, 0x8123456789abcdef, 32, 0x89abcdef81234567)
    TWO(ror, 0x8123456789abcdef, 63, 0x2468acf13579bdf)
    TWO(ror, 0x8123456789abcdef, 71, 0xdf02468acf13579b)
    TWO(ror, 1, -1, 2)

    CASE("rolw")
    TWO(rolw, 1, 32, 1)
    TWO(rolw, 0x8123456789abcdef, 0, 0xffffffff89abcdef)
    TWO(rolw, 0x8123456789abcdef, 1, 0x13579bdf)
    TWO(rolw, 0x8123456789abcdef, 31, 0xffffffffc4d5e6f7)
    TWO(rolw, 0x8123456789abcdef, 32, 0xffffffff89abcdef)
    TWO(rolw, 0x8123456789abcdef, 63, 0xffffffffc4d5e6f7)
    TWO(rolw, 0x8123456789abcdef, 71, 0xffffffffd5e6f7c4)
    TWO(rolw, 1, -1, 0xffffffff80000000)

    CASE("rorw")
    TWO(rorw, 1, 32, 1)
    TWO(rorw, 0x8123456789abcdef, 0, 0xffffffff89abcdef)
    TWO(rorw, 0x8123456789abcdef, 1, 0xffffffffc4d5e6f7)
    TWO(rorw, 0x8123456789abcdef, 31, 0x13579bdf)
    TWO(rorw, 0x8123456789abcdef, 32, 0xffffffff89abcdef)
    TWO(rorw, 0x8123456789abcdef, 63, 0x13579bdf)
    TWO(rorw, 0x8123456789abcdef, 71, 0xffffffffdf13579b)
    TWO(rorw, 1, -1, 2)

    CASE("bclr")
    TWO(bclr, 1, 32, 1)
    TWO(bclr, 0x8123456789abcdef, 0, 0x8123456789abcdee)
    TWO(bclr, 0x8123456789abcdef, 1, 0x8123456789abcded)
    TWO(bclr, 0x8123456789abcdef, 31, 0x8123456709abcdef)
    TWO(bclr, 0x8123456789abcdef, 32, 0x8123456689abcdef)
    TWO(bclr, 0x8123456789abcdef, 63, 0x123456789abcdef)
    TWO(bclr, 0x8123456789abcdef, 71, 0x8123456789abcd6f)
    TWO(bclr, 1, -1, 1)

    CASE("bext")
    TWO(bext, 1, 32, 0)
    TWO(bext, 0x8123456789abcdef, 0, 1)
    TWO(bext, 0x8123456789abcdef, 1, 1)
    TWO(bext, 0x8123456789abcdef, 31, 1)
    TWO(bext, 0x8123456789abcdef, 32, 1)
    TWO(bext, 0x8123456789abcdef, 63, 1)
    TWO(bext, 0x8123456789abcdef, 71, 1)
    TWO(bext, 1, -1, 0)

    CASE("binv")
    TWO(binv, 1, 32, 0x100000001)
    TWO(binv, 0x8123456789abcdef, 0, 0x8123456789abcdee)
    TWO(binv, 0x8123456789abcdef, 1, 0x8123456789abcded)
    TWO(binv, 0x8123456789abcdef, 31, 0x8123456709abcdef)
    TWO(binv, 0x8123456789abcdef, 32, 0x8123456689abcdef)
    TWO(binv, 0x8123456789abcdef, 63, 0x123456789abcdef)
    TWO(binv, 0x8123456789abcdef, 71, 0x8123456789abcd6f)
    TWO(binv, 1, -1, 0x8000000000000001)

    CASE("bset")
    TWO(bset, 1, 32, 0x100000001)
    TWO(bset, 0x8123456789abcdef, 0, 0x8123456789abcdef)
    TWO(bset, 0x8123456789abcdef, 1, 0x8123456789abcdef)
    TWO(bset, 0x8123456789abcdef, 31, 0x8123456789abcdef)
    TWO(bset, 0x8123456789abcdef, 32, 0x8123456789abcdef)
    TWO(bset, 0x8123456789abcdef, 63, 0x8123456789abcdef)
    TWO(bset, 0x8123456789abcdef, 71, 0x8123456789abcdef)
    TWO(bset, 1, -1, 0x8000000000000001)

    CASE("addi")
    IMMEDIATE(addi, 1, 2047, 2048)
    IMMEDIATE(addi, 0, -2048, -2048)
    IMMEDIATE(addi, 0x8123456789abcdef, -1, 0x8123456789abcdee)
    IMMEDIATE(addi, 0xfedcba987654321, 1365, 0xfedcba987654876)

    CASE("slti")
    IMMEDIATE(slti, 1, 2047, 1)
    IMMEDIATE(slti, 0, -2048, 0)
    IMMEDIATE(slti, 0x8123456789abcdef, -1, 1)
    IMMEDIATE(slti, 0xfedcba987654321, 1365, 0)
    IMMEDIATE(slti, -5, -4, 1)
    IMMEDIATE(slti, -4, -5, 0)

    CASE("sltiu")
    IMMEDIATE(sltiu, 1, 2047, 1)
    IMMEDIATE(sltiu, 0, -2048, 1)
    IMMEDIATE(sltiu, 0x8123456789abcdef, -1, 1)
    IMMEDIATE(sltiu, 0xfedcba987654321, 1365, 0)
    IMMEDIATE(sltiu, 1, -1, 1)
    IMMEDIATE(sltiu, -1, -1, 0)

    CASE("xori")
    IMMEDIATE(xori, 1, 2047, 2046)
    IMMEDIATE(xori, 0, -2048, -2048)
    IMMEDIATE(xori, 0x8123456789abcdef, -1, 0x7edcba9876543210)
    IMMEDIATE(xori, 0xfedcba987654321, 1365, 0xfedcba987654674)

    CASE("ori")
    IMMEDIATE(ori, 1, 2047, 2047)
    IMMEDIATE(ori, 0, -2048, -2048)
    IMMEDIATE(ori, 0x8123456789abcdef, -1, -1)
    IMMEDIATE(ori, 0xfedcba987654321, 1365, 0xfedcba987654775)

    CASE("andi")
    IMMEDIATE(andi, 1, 2047, 1)
    IMMEDIATE(andi, 0, -2048, 0)
    IMMEDIATE(andi, 0x8123456789abcdef, -1, 0x8123456789abcdef)
    IMMEDIATE(andi, 0xfedcba987654321, 1365, 257)

    CASE("addiw")
    IMMEDIATE(addiw, 1, 2047, 2048)
    IMMEDIATE(addiw, 0, -2048, -2048)
    IMMEDIATE(addiw, 0x8123456789abcdef, -1, 0xffffffff89abcdee)
    IMMEDIATE(addiw, 0xfedcba987654321, 1365, 0xffffffff87654876)
    IMMEDIATE(addiw, 0x7fffffff, 1, 0xffffffff80000000)

    CASE("slli")
    IMMEDIATE(slli, 1, 32, 0x100000000)
    IMMEDIATE(slli, 0x8123456789abcdef, 0, 0x8123456789abcdef)
    IMMEDIATE(slli, 0x8123456789abcdef, 1, 0x2468acf13579bde)
    IMMEDIATE(slli, 0x8123456789abcdef, 32, 0x89abcdef00000000)
    IMMEDIATE(slli, 0x8123456789abcdef, 63, 0x8000000000000000)
    IMMEDIATE(slli, 1, 63, 0x8000000000000000)

    CASE("srli")
    IMMEDIATE(srli, 1, 32, 0)
    IMMEDIATE(srli, 0x8123456789abcdef, 0, 0x8123456789abcdef)
    IMMEDIATE(srli, 0x8123456789abcdef, 1, 0x4091a2b3c4d5e6f7)
    IMMEDIATE(srli, 0x8123456789abcdef, 32, 0x81234567)
    IMMEDIATE(srli, 0x8123456789abcdef, 63, 1)
    IMMEDIATE(srli, 1, 63, 0)

    CASE("srai")
    IMMEDIATE(srai, 1, 32, 0)
    IMMEDIATE(srai, 0x8123456789abcdef, 0, 0x8123456789abcdef)
    IMMEDIATE(srai, 0x8123456789abcdef, 1, 0xc091a2b3c4d5e6f7)
    IMMEDIATE(srai, 0x8123456789abcdef, 32, 0xffffffff81234567)
    IMMEDIATE(srai, 0x8123456789abcdef, 63, -1)
    IMMEDIATE(srai, 1, 63, 0)

    CASE("rori")
    IMMEDIATE(rori, 1, 32, 0x100000000)
    IMMEDIATE(rori, 0x8123456789abcdef, 0, 0x8123456789abcdef)
    IMMEDIATE(rori, 0x8123456789abcdef, 1, 0xc091a2b3c4d5e6f7)
    IMMEDIATE(rori, 0x8123456789abcdef, 32, 0x89abcdef81234567)
    IMMEDIATE(rori, 0x8123456789abcdef, 63, 0x2468acf13579bdf)
    IMMEDIATE(rori, 1, 63, 2)

    CASE("slli.uw")
    IMMEDIATE(slli.uw, 1, 32, 0x100000000)
    IMMEDIATE(slli.uw, 0x8123456789abcdef, 0, 0x89abcdef)
    IMMEDIATE(slli.uw, 0x8123456789abcdef, 1, 0x113579bde)
    IMMEDIATE(slli.uw, 0x8123456789abcdef, 32, 0x89abcdef00000000)
    IMMEDIATE(slli.uw, 0x8123456789abcdef, 63, 0x8000000000000000)
    IMMEDIATE(slli.uw, 1, 63, 0x8000000000000000)

    CASE("bclri")
    IMMEDIATE(bclri, 1, 32, 1)
    IMMEDIATE(bclri, 0x8123456789abcdef, 0, 0x8123456789abcdee)
    IMMEDIATE(bclri, 0x8123456789abcdef, 1, 0x8123456789abcded)
    IMMEDIATE(bclri, 0x8123456789abcdef, 32, 0x8123456689abcdef)
    IMMEDIATE(bclri, 0x8123456789abcdef, 63, 0x123456789abcdef)
    IMMEDIATE(bclri, 1, 63, 1)

    CASE("bexti")
    IMMEDIATE(bexti, 1, 32, 0)
    IMMEDIATE(bexti, 0x8123456789abcdef, 0, 1)
    IMMEDIATE(bexti, 0x8123456789abcdef, 1, 1)
    IMMEDIATE(bexti, 0x8123456789abcdef, 32, 1)
    IMMEDIATE(bexti, 0x8123456789abcdef, 63, 1)
    IMMEDIATE(bexti, 1, 63, 0)

    CASE("binvi")
    IMMEDIATE(binvi, 1, 32, 0x100000001)
    IMMEDIATE(binvi, 0x8123456789abcdef, 0, 0x8123456789abcdee)
    IMMEDIATE(binvi, 0x8123456789abcdef, 1, 0x8123456789abcded)
    IMMEDIATE(binvi, 0x8123456789abcdef, 32, 0x8123456689abcdef)
    IMMEDIATE(binvi, 0x8123456789abcdef, 63, 0x123456789abcdef)
    IMMEDIATE(binvi, 1, 63, 0x8000000000000001)

    CASE("bseti")
    IMMEDIATE(bseti, 1, 32, 0x100000001)
    IMMEDIATE(bseti, 0x8123456789abcdef, 0, 0x8123456789abcdef)
    IMMEDIATE(bseti, 0x8123456789abcdef, 1, 0x8123456789abcdef)
    IMMEDIATE(bseti, 0x8123456789abcdef, 32, 0x8123456789abcdef)
    IMMEDIATE(bseti, 0x8123456789abcdef, 63, 0x8123456789abcdef)
    IMMEDIATE(bseti, 1, 63, 0x8000000000000001)

    CASE("slliw")
    IMMEDIATE(slliw, 0x8123456789abcdef, 0, 0xffffffff89abcdef)
    IMMEDIATE(slliw, 0x8123456789abcdef, 1, 0x13579bde)
    IMMEDIATE(slliw, 0x8123456789abcdef, 31, 0xffffffff80000000)
    IMMEDIATE(slliw, 0x180000001, 4, 16)

    CASE("srliw")
    IMMEDIATE(srliw, 0x8123456789abcdef, 0, 0xffffffff89abcdef)
    IMMEDIATE(srliw, 0x8123456789abcdef, 1, 0x44d5e6f7)
    IMMEDIATE(srliw, 0x8123456789abcdef, 31, 1)
    IMMEDIATE(srliw, 0x180000001, 4, 0x8000000)

    CASE("sraiw")
    IMMEDIATE(sraiw, 0x8123456789abcdef, 0, 0xffffffff89abcdef)
    IMMEDIATE(sraiw, 0x8123456789abcdef, 1, 0xffffffffc4d5e6f7)
    IMMEDIATE(sraiw, 0x8123456789abcdef, 31, -1)
    IMMEDIATE(sraiw, 0x180000001, 4, 0xfffffffff8000000)

    CASE("roriw")
    IMMEDIATE(roriw, 0x8123456789abcdef, 0, 0xffffffff89abcdef)
    IMMEDIATE(roriw, 0x8123456789abcdef, 1, 0xffffffffc4d5e6f7)
    IMMEDIATE(roriw, 0x8123456789abcdef, 31, 0x13579bdf)
    IMMEDIATE(roriw, 0x180000001, 4, 0x18000000)

    CASE("clz")
    ONE(clz, 0, 64)
    ONE(clz, 1, 63)
    ONE(clz, -1, 0)
    ONE(clz, 0x8123456789abcdef, 0)
    ONE(clz, 0xfedcba987654321, 4)
    ONE(clz, 0x8000000000000000, 0)
    ONE(clz, 0x100000000, 31)
    ONE(clz, 0x80000000, 32)
    ONE(clz, 0xff00010080fe00, 8)

    CASE("ctz")
    ONE(ctz, 0, 64)
    ONE(ctz, 1, 0)
    ONE(ctz, -1, 0)
    ONE(ctz, 0x8123456789abcdef, 0)
    ONE(ctz, 0xfedcba987654321, 0)
    ONE(ctz, 0x8000000000000000, 63)
    ONE(ctz, 0x100000000, 32)
    ONE(ctz, 0x80000000, 31)
    ONE(ctz, 0xff00010080fe00, 9)

    CASE("cpop")
    ONE(cpop, 0, 0)
    ONE(cpop, 1, 1)
    ONE(cpop, -1, 64)
    ONE(cpop, 0x8123456789abcdef, 33)
    ONE(cpop, 0xfedcba987654321, 32)
    ONE(cpop, 0x8000000000000000, 1)
    ONE(cpop, 0x100000000, 1)
    ONE(cpop, 0x80000000, 1)
    ONE(cpop, 0xff00010080fe00, 17)

    CASE("clzw")
    ONE(clzw, 0, 32)
    ONE(clzw, 1, 31)
    ONE(clzw, -1, 0)
    ONE(clzw, 0x8123456789abcdef, 0)
    ONE(clzw, 0xfedcba987654321, 0)
    ONE(clzw, 0x8000000000000000, 32)
    ONE(clzw, 0x100000000, 32)
    ONE(clzw, 0x80000000, 0)
    ONE(clzw, 0xff00010080fe00, 8)

    CASE("ctzw")
    ONE(ctzw, 0, 32)
    ONE(ctzw, 1, 0)
    ONE(ctzw, -1, 0)
    ONE(ctzw, 0x8123456789abcdef, 0)
    ONE(ctzw, 0xfedcba987654321, 0)
    ONE(ctzw, 0x8000000000000000, 32)
    ONE(ctzw, 0x100000000, 32)
    ONE(ctzw, 0x80000000, 31)
    ONE(ctzw, 0xff00010080fe00, 9)

    CASE("cpopw")
    ONE(cpopw, 0, 0)
    ONE(cpopw, 1, 1)
    ONE(cpopw, -1, 32)
    ONE(cpopw, 0x8123456789abcdef, 20)
    ONE(cpopw, 0xfedcba987654321, 13)
    ONE(cpopw, 0x8000000000000000, 0)
    ONE(cpopw, 0x100000000, 0)
    ONE(cpopw, 0x80000000, 1)
    ONE(cpopw, 0xff00010080fe00, 8)

    CASE("sext.b")
    ONE(sext.b, 0, 0)
    ONE(sext.b, 1, 1)
    ONE(sext.b, -1, -1)
    ONE(sext.b, 0x8123456789abcdef, -17)
    ONE(sext.b, 0xfedcba987654321, 33)
    ONE(sext.b, 0x8000000000000000, 0)
    ONE(sext.b, 0x100000000, 0)
    ONE(sext.b, 0x80000000, 0)
    ONE(sext.b, 0xff00010080fe00, 0)

    CASE("sext.h")
    ONE(sext.h, 0, 0)
    ONE(sext.h, 1, 1)
    ONE(sext.h, -1, -1)
    ONE(sext.h, 0x8123456789abcdef, 0xffffffffffffcdef)
    ONE(sext.h, 0xfedcba987654321, 0x4321)
    ONE(sext.h, 0x8000000000000000, 0)
    ONE(sext.h, 0x100000000, 0)
    ONE(sext.h, 0x80000000, 0)
    ONE(sext.h, 0xff00010080fe00, -512)

    CASE("zext.h")
    ONE(zext.h, 0, 0)
    ONE(zext.h, 1, 1)
    ONE(zext.h, -1, 0xffff)
    ONE(zext.h, 0x8123456789abcdef, 0xcdef)
    ONE(zext.h, 0xfedcba987654321, 0x4321)
    ONE(zext.h, 0x8000000000000000, 0)
    ONE(zext.h, 0x100000000, 0)
    ONE(zext.h, 0x80000000, 0)
    ONE(zext.h, 0xff00010080fe00, 0xfe00)

    CASE("orc.b")
    ONE(orc.b, 0, 0)
    ONE(orc.b, 1, 255)
    ONE(orc.b, -1, -1)
    ONE(orc.b, 0x8123456789abcdef, -1)
    ONE(orc.b, 0xfedcba987654321, -1)
    ONE(orc.b, 0x8000000000000000, 0xff00000000000000)
    ONE(orc.b, 0x100000000, 0xff00000000)
    ONE(orc.b, 0x80000000, 0xff000000)
    ONE(orc.b, 0xff00010080fe00, 0xff00ff00ffff00)

    CASE("rev8")
    ONE(rev8, 0, 0)
    ONE(rev8, 1, 0x100000000000000)
    ONE(rev8, -1, -1)
    ONE(rev8, 0x8123456789abcdef, 0xefcdab8967452381)
    ONE(rev8, 0xfedcba987654321, 0x21436587a9cbed0f)
    ONE(rev8, 0x8000000000000000, 128)
    ONE(rev8, 0x100000000, 0x1000000)
    ONE(rev8, 0x80000000, 0x8000000000)
    ONE(rev8, 0xff00010080fe00, 0xfe80000100ff00)

    // Atomic instructions: what memory held, and what it holds.

    CASE("amoswap.w")
    MODIFY(amoswap.w, 0x1122334480000001, 5, 0xffffffff80000001, 0x1122334400000005)
    MODIFY(amoswap.w, 0x1122334400000005, 0xffffffff80000000, 5, 0x1122334480000000)
    MODIFY(amoswap.w, 0x11223344ffffffff, 2, -1, 0x1122334400000002)

    CASE("amoswap.d")
    MODIFY(amoswap.d, 0x8123456789abcdef, 5, 0x8123456789abcdef, 5)
    MODIFY(amoswap.d, 5, 0x8000000000000000, 5, 0x8000000000000000)
    MODIFY(amoswap.d, -1, 2, -1, 2)

    CASE("amoadd.w")
    MODIFY(amoadd.w, 0x1122334480000001, 5, 0xffffffff80000001, 0x1122334480000006)
    MODIFY(amoadd.w, 0x1122334400000005, 0xffffffff80000000, 5, 0x1122334480000005)
    MODIFY(amoadd.w, 0x11223344ffffffff, 2, -1, 0x1122334400000001)

    CASE("amoadd.d")
    MODIFY(amoadd.d, 0x8123456789abcdef, 5, 0x8123456789abcdef, 0x8123456789abcdf4)
    MODIFY(amoadd.d, 5, 0x8000000000000000, 5, 0x8000000000000005)
    MODIFY(amoadd.d, -1, 2, -1, 1)

    CASE("amoxor.w")
    MODIFY(amoxor.w, 0x1122334480000001, 5, 0xffffffff80000001, 0x1122334480000004)
    MODIFY(amoxor.w, 0x1122334400000005, 0xffffffff80000000, 5, 0x1122334480000005)
    MODIFY(amoxor.w, 0x11223344ffffffff, 2, -1, 0x11223344fffffffd)

    CASE("amoxor.d")
    MODIFY(amoxor.d, 0x8123456789abcdef, 5, 0x8123456789abcdef, 0x8123456789abcdea)
    MODIFY(amoxor.d, 5, 0x8000000000000000, 5, 0x8000000000000005)
    MODIFY(amoxor.d, -1, 2, -1, -3)

    CASE("amoand.w")
    MODIFY(amoand.w, 0x1122334480000001, 5, 0xffffffff80000001, 0x1122334400000001)
    MODIFY(amoand.w, 0x1122334400000005, 0xffffffff80000000, 5, 0x1122334400000000)
    MODIFY(amoand.w, 0x11223344ffffffff, 2, -1, 0x1122334400000002)

    CASE("amoand.d")
    MODIFY(amoand.d, 0x8123456789abcdef, 5, 0x8123456789abcdef, 5)
    MODIFY(amoand.d, 5, 0x8000000000000000, 5, 0)
    MODIFY(amoand.d, -1, 2, -1, 2)

    CASE("amoor.w")
    MODIFY(amoor.w, 0x1122334480000001, 5, 0xffffffff80000001, 0x1122334480000005)
    MODIFY(amoor.w, 0x1122334400000005, 0xffffffff80000000, 5, 0x1122334480000005)
    MODIFY(amoor.w, 0x11223344ffffffff, 2, -1, 0x11223344ffffffff)

    CASE("amoor.d")
    MODIFY(amoor.d, 0x8123456789abcdef, 5, 0x8123456789abcdef, 0x8123456789abcdef)
    MODIFY(amoor.d, 5, 0x8000000000000000, 5, 0x8000000000000005)
    MODIFY(amoor.d, -1, 2, -1, -1)

    CASE("amomin.w")
    MODIFY(amomin.w, 0x1122334480000001, 5, 0xffffffff80000001, 0x1122334480000001)
    MODIFY(amomin.w, 0x1122334400000005, 0xffffffff80000000, 5, 0x1122334480000000)
    MODIFY(amomin.w, 0x11223344ffffffff, 2, -1, 0x11223344ffffffff)

    CASE("amomin.d")
    MODIFY(amomin.d, 0x8123456789abcdef, 5, 0x8123456789abcdef, 0x8123456789abcdef)
    MODIFY(amomin.d, 5, 0x8000000000000000, 5, 0x8000000000000000)
    MODIFY(amomin.d, -1, 2, -1, -1)

    CASE("amomax.w")
    MODIFY(amomax.w, 0x1122334480000001, 5, 0xffffffff80000001, 0x1122334400000005)
    MODIFY(amomax.w, 0x1122334400000005, 0xffffffff80000000, 5, 0x1122334400000005)
    MODIFY(amomax.w, 0x11223344ffffffff, 2, -1, 0x1122334400000002)

    CASE("amomax.d")
    MODIFY(amomax.d, 0x8123456789abcdef, 5, 0x8123456789abcdef, 5)
    MODIFY(amomax.d, 5, 0x8000000000000000, 5, 5)
    MODIFY(amomax.d, -1, 2, -1, 2)

    CASE("amominu.w")
    MODIFY(amominu.w, 0x1122334480000001, 5, 0xffffffff80000001, 0x1122334400000005)
    MODIFY(amominu.w, 0x1122334400000005, 0xffffffff80000000, 5, 0x1122334400000005)
    MODIFY(amominu.w, 0x11223344ffffffff, 2, -1, 0x1122334400000002)

    CASE("amominu.d")
    MODIFY(amominu.d, 0x8123456789abcdef, 5, 0x8123456789abcdef, 5)
    MODIFY(amominu.d, 5, 0x8000000000000000, 5, 5)
    MODIFY(amominu.d, -1, 2, -1, 2)

    CASE("amomaxu.w")
    MODIFY(amomaxu.w, 0x1122334480000001, 5, 0xffffffff80000001, 0x1122334480000001)
    MODIFY(amomaxu.w, 0x1122334400000005, 0xffffffff80000000, 5, 0x1122334480000000)
    MODIFY(amomaxu.w, 0x11223344ffffffff, 2, -1, 0x11223344ffffffff)

    CASE("amomaxu.d")
    MODIFY(amomaxu.d, 0x8123456789abcdef, 5, 0x8123456789abcdef, 0x8123456789abcdef)
    MODIFY(amomaxu.d, 5, 0x8000000000000000, 5, 0x8000000000000000)
    MODIFY(amomaxu.d, -1, 2, -1, -1)

    // Addresses and constants.

    CASE("lui")
    lui     a5, 0x12345
    CHECK(a5, 0x12345000)
    lui     a5, 0x80000
    CHECK(a5, 0xffffffff80000000)
    lui     zero, 0x80000
    CHECK(zero, 0)

    CASE("auipc")
1:  auipc   a5, 0
    CHECK_ADDRESS(a5, 1b)
1:  auipc   a5, 0x80000
    la      a4, 1b
    sub     a5, a5, a4
    CHECK(a5, 0xffffffff80000000)

    // Jumps and branches.

    CASE("jal")
    jal     a5, 1f
2:  NEVER
1:  CHECK_ADDRESS(a5, 2b)

    CASE("jalr")
    la      a4, 1f - 100
    jalr    a5, 100(a4)
2:  NEVER
1:  CHECK_ADDRESS(a5, 2b)
    la      a4, 1f + 2048
    jalr    zero, -2048(a4)
    NEVER
1:

    CASE("beq")
    BRANCH(beq, 1, 1, 1)
    BRANCH(beq, 1, 2, 0)
    BRANCH(beq, 2, 1, 0)
    BRANCH(beq, -1, 1, 0)
    BRANCH(beq, 1, -1, 0)

    CASE("bne")
    BRANCH(bne, 1, 1, 0)
    BRANCH(bne, 1, 2, 1)
    BRANCH(bne, 2, 1, 1)
    BRANCH(bne, -1, 1, 1)
    BRANCH(bne, 1, -1, 1)

    CASE("blt")
    BRANCH(blt, 1, 1, 0)
    BRANCH(blt, 1, 2, 1)
    BRANCH(blt, 2, 1, 0)
    BRANCH(blt, -1, 1, 1)
    BRANCH(blt, 1, -1, 0)

    CASE("bge")
    BRANCH(bge, 1, 1, 1)
    BRANCH(bge, 1, 2, 0)
    BRANCH(bge, 2, 1, 1)
    BRANCH(bge, -1, 1, 0)
    BRANCH(bge, 1, -1, 1)

    CASE("bltu")
    BRANCH(bltu, 1, 1, 0)
    BRANCH(bltu, 1, 2, 1)
    BRANCH(bltu, 2, 1, 0)
    BRANCH(bltu, -1, 1, 0)
    BRANCH(bltu, 1, -1, 1)

    CASE("bgeu")
    BRANCH(bgeu, 1, 1, 1)
    BRANCH(bgeu, 1, 2, 0)
    BRANCH(bgeu, 2, 1, 1)
    BRANCH(bgeu, -1, 1, 1)
    BRANCH(bgeu, 1, -1, 0)

    CASE("branches go backwards")
    li      a3, 0
1:  addi    a3, a3, 1
    li      a4, 10
    bltu    a3, a4, 1b
    CHECK(a3, 10)

    // Loads and stores.

    CASE("lb")
    LOAD(lb, 0, 0xffffffffffffff80)
    LOAD(lb, 1, 0xffffffffffffff81)
    LOAD(lb, 7, 7)

    CASE("lbu")
    LOAD(lbu, 0, 0x80)
    LOAD(lbu, 1, 0x81)
    LOAD(lbu, 7, 7)

    CASE("lh")
    LOAD(lh, 0, 0xffffffffffff8180)
    LOAD(lh, 1, 0xffffffffffff8281)
    LOAD(lh, 2, 0xffffffffffff8382)
    LOAD(lh, 3, 0xffffffffffff8483)
    LOAD(lh, 7, 0x1807)

    CASE("lhu")
    LOAD(lhu, 0, 0x8180)
    LOAD(lhu, 1, 0x8281)
    LOAD(lhu, 2, 0x8382)
    LOAD(lhu, 3, 0x8483)
    LOAD(lhu, 7, 0x1807)

    CASE("lw")
    LOAD(lw, 0, 0xffffffff83828180)
    LOAD(lw, 1, 0xffffffff84838281)
    LOAD(lw, 3, 0xffffffff86858483)
    LOAD(lw, 4, 0x7868584)
    LOAD(lw, 7, 0x1a191807)

    CASE("lwu")
    LOAD(lwu, 0, 0x83828180)
    LOAD(lwu, 1, 0x84838281)
    LOAD(lwu, 3, 0x86858483)
    LOAD(lwu, 4, 0x7868584)
    LOAD(lwu, 7, 0x1a191807)

    CASE("ld")
    LOAD(ld, 0, 0x786858483828180)
    LOAD(ld, 1, 0x1807868584838281)
    LOAD(ld, 3, 0x1a19180786858483)
    LOAD(ld, 7, 0x1e1d1c1b1a191807)
    LOAD(ld, 8, 0x1f1e1d1c1b1a1918)

    CASE("sb")
    STORE(sb, 0, 0xffffffffffffff88, -1)
    STORE(sb, 1, 0xffffffffffff88ff, -1)
    STORE(sb, 8, -1, 0xffffffffffffff88)
    STORE(sb, 15, -1, 0x88ffffffffffffff)

    CASE("sh")
    STORE(sh, 0, 0xffffffffffff7788, -1)
    STORE(sh, 8, -1, 0xffffffffffff7788)
    STORE(sh, 1, 0xffffffffff7788ff, -1)
    STORE(sh, 3, 0xffffff7788ffffff, -1)
    STORE(sh, 7, 0x88ffffffffffffff, 0xffffffffffffff77)

    CASE("sw")
    STORE(sw, 0, 0xffffffff55667788, -1)
    STORE(sw, 8, -1, 0xffffffff55667788)
    STORE(sw, 1, 0xffffff55667788ff, -1)
    STORE(sw, 3, 0xff55667788ffffff, -1)
    STORE(sw, 7, 0x88ffffffffffffff, 0xffffffffff556677)

    CASE("sd")
    STORE(sd, 0, 0x1122334455667788, -1)
    STORE(sd, 8, -1, 0x1122334455667788)
    STORE(sd, 1, 0x22334455667788ff, 0xffffffffffffff11)
    STORE(sd, 3, 0x4455667788ffffff, 0xffffffffff112233)
    STORE(sd, 7, 0x88ffffffffffffff, 0xff11223344556677)

    CASE("offsets reach both ways")
    li      t0, 2048
    add     a3, s11, t0
    lbu     a5, -2048(a3)
    CHECK(a5, 0x80)
    li      t0, -2047
    add     a3, s11, t0
    lbu     a5, 2047(a3)
    CHECK(a5, 0x80)

    CASE("loads to x0")
    lw      zero, 0(s11)
    CHECK(zero, 0)

    // Order means nothing to a single hart.

    CASE("fence")
    fence
    fence   iorw, iorw
    fence   r, w
    fence.tso

    CASE("fence.i")
    fence.i

    CASE("pause")
    .word   0x0100000f

    // Compressed: what they abbreviate.

    CASE("c.nop")
    SHORT(c.nop, 5, 6, 5)

    CASE("c.li")
    SHORT(c.li, 5, 6, 31, a3, 31)
    SHORT(c.li, 5, 6, -32, a3, -32)

    CASE("c.lui")
    SHORT(c.lui, 5, 6, 31 << 12, a3, 31)
    SHORT(c.lui, 5, 6, -(32 << 12), a3, 0xfffe0)

    CASE("c.addi")
    SHORT(c.addi, 5, 6, 36, a3, 31)
    SHORT(c.addi, 5, 6, -27, a3, -32)

    CASE("c.addiw")
    SHORT(c.addiw, 0x7fffffff, 6, 0xffffffff80000000, a3, 1)
    SHORT(c.addiw, 0x123456789, 6, 0x23456789, a3, 0)

    CASE("c.slli")
    SHORT(c.slli, 5, 6, 5 << 61, a3, 61)
    SHORT(c.slli, 5, 6, 10, a3, 1)

    CASE("c.srli")
    SHORT(c.srli, -1, 6, 1, a3, 63)

    CASE("c.srai")
    SHORT(c.srai, (1 << 63), 6, -2, a3, 62)

    CASE("c.andi")
    SHORT(c.andi, 0x1ff, 6, 0x1e0, a3, -32)
    SHORT(c.andi, 0x1ff, 6, 0x15, a3, 0x15)

    CASE("c.mv")
    SHORT(c.mv, 5, 6, 6, a3, a4)

    CASE("c.add")
    SHORT(c.add, 5, 6, 11, a3, a4)

    CASE("c.sub")
    SHORT(c.sub, 5, 6, -1, a3, a4)

    CASE("c.xor")
    SHORT(c.xor, 5, 6, 3, a3, a4)

    CASE("c.or")
    SHORT(c.or, 5, 6, 7, a3, a4)

    CASE("c.and")
    SHORT(c.and, 5, 6, 4, a3, a4)

    CASE("c.addw")
    SHORT(c.addw, 0x7fffffff, 1, 0xffffffff80000000, a3, a4)

    CASE("c.subw")
    SHORT(c.subw, 0x80000000, 1, 0x7fffffff, a3, a4)

    CASE("c.addi4spn")
    mv      s0, sp
    li      sp, 0x1000
    SHORT(c.addi4spn, 5, 6, 0x1000 + 1020, a3, sp, 1020)
    SHORT(c.addi4spn, 5, 6, 0x1000 + 4, a3, sp, 4)

    CASE("c.addi16sp")
    SHORT(c.addi16sp, 5, 6, 5, sp, 496)
    CHECK(sp, 0x1000 + 496)
    SHORT(c.addi16sp, 5, 6, 5, sp, -512)
    CHECK(sp, 0x1000 - 16)

    CASE("c.lw")
    la      s1, cell - 124
    SHORT(c.lw, 5, 6, 0xffffffff83828180, a3, 124(s1))

    CASE("c.ld")
    la      s1, cell - 248
    SHORT(c.ld, 5, 6, 0x0786858483828180, a3, 248(s1))

    CASE("c.lwsp")
    la      sp, cell - 252
    SHORT(c.lwsp, 5, 6, 0xffffffff83828180, a3, 252(sp))

    CASE("c.ldsp")
    la      sp, cell - 504
    SHORT(c.ldsp, 5, 6, 0x0786858483828180, a3, 504(sp))

    CASE("c.sw")
    sd      zero, 0(s10)
    la      s1, cell_2 - 124
    SHORT(c.sw, -2, 6, -2, a3, 124(s1))
    ld      a5, 0(s10)
    CHECK(a5, 0xfffffffe)

    CASE("c.sd")
    la      s1, cell_2 - 248
    SHORT(c.sd, 1234, 6, 1234, a3, 248(s1))
    ld      a5, 0(s10)
    CHECK(a5, 1234)

    CASE("c.swsp")
    sd      zero, 0(s10)
    la      sp, cell_2 - 252
    SHORT(c.swsp, -3, 6, -3, a3, 252(sp))
    ld      a5, 0(s10)
    CHECK(a5, 0xfffffffd)

    CASE("c.sdsp")
    la      sp, cell_2 - 504
    SHORT(c.sdsp, 5678, 6, 5678, a3, 504(sp))
    ld      a5, 0(s10)
    CHECK(a5, 5678)

    CASE("c.fld")
    li      t0, FS_INITIAL
    csrs    sstatus, t0
    la      s1, cell - 248
    SHORT(c.fld, 5, 6, 5, fa3, 248(s1))
    fmv.x.d a5, fa3
    CHECK(a5, 0x0786858483828180)

    CASE("c.fldsp")
    la      sp, cell - 504
    SHORT(c.fldsp, 5, 6, 5, ft11, 504(sp))
    fmv.x.d a5, ft11
    CHECK(a5, 0x0786858483828180)

    CASE("c.fsd")
    la      s1, cell_2 - 248
    SHORT(c.fsd, 5, 6, 5, fa3, 248(s1))
    ld      a5, 0(s10)
    CHECK(a5, 0x0786858483828180)

    CASE("c.fsdsp")
    sd      zero, 0(s10)
    la      sp, cell_2 - 504
    SHORT(c.fsdsp, 5, 6, 5, ft11, 504(sp))
    ld      a5, 0(s10)
    CHECK(a5, 0x0786858483828180)
    mv      sp, s0
    li      s1, 0

    .option push
    .option rvc
    CASE("c.j")
    li      a3, 0
    c.j     1f
    NEVER
1:
    CASE("c.jr")
    la      a4, 1f
    c.jr    a4
    NEVER
1:
    CASE("c.jalr")
    la      a4, 1f
    c.jalr  a4
2:  NEVER
1:  CHECK_ADDRESS(ra, 2b)
    la      ra, 1f
    c.jalr  ra
2:  NEVER
1:  CHECK_ADDRESS(ra, 2b)

    CASE("c.beqz")
    li      a3, 0
    li      a4, 1
    li      a5, 1
    c.beqz  a3, 1f
    li      a5, 0
1:  CHECK(a5, 1)
    c.beqz  a4, 1f
    li      a5, 0
1:  CHECK(a5, 0)

    CASE("c.bnez")
    li      a5, 1
    c.bnez  a4, 1f
    li      a5, 0
1:  CHECK(a5, 1)
    c.bnez  a3, 1f
    li      a5, 0
1:  CHECK(a5, 0)

    CASE("hints do nothing")
    li      a3, 5
    .half   0x0005                          // c.nop 1
    .half   0x4005                          // c.li x0, 1
    .half   0x6005                          // c.lui x0, 1
    .half   0x0006                          // c.slli x0, 1
    .half   0x8036                          // c.mv x0, a3
    .half   0x9036                          // c.add x0, a3
    .half   0x0681                          // c.addi a3, 0
    .half   0x0682                          // c.slli a3, 0
    .half   0x8281                          // c.srli a3, 0
    .half   0x8681                          // c.srai a3, 0
    CHECK(a3, 5)
    CHECK(zero, 0)
    .option pop
    DONE

.data
.balign 64
    .zero   512
cell:
    .byte   0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x07, 0x18, 0x19, 0x1a, 0x1b, 0x1c, 0x1d, 0x1e, 0x1f
    .zero   512
cell_2:
    .zero   64
