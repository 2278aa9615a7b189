// SPDX-License-Identifier: GPL-2.0-or-later
// What the module lets a trap displace, against what Zydis says of the same bytes.
#include <Zydis/Zydis.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <functional>
#include <iomanip>
#include <sstream>
#include <vector>

extern "C" {
#include "displaced.h"
}

namespace {

using Bytes = std::vector<std::uint8_t>;

constexpr std::size_t longest = 16;
constexpr std::array<std::uint8_t, 3> sibs = {0x24, 0x25, 0xed};

struct Mode {
    ZydisMachineMode machine;
    ZydisStackWidth width;
    bool is_64bit;
};
constexpr std::array<Mode, 2> modes = {{
    {ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64, true},
    {ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32, false},
}};

bool is_register(const ZydisDecodedOperand& operand)
{
    if (operand.type != ZYDIS_OPERAND_TYPE_REGISTER)
        return false;
    const auto kind = ZydisRegisterGetClass(operand.reg.value);
    return kind == ZYDIS_REGCLASS_GPR32 || kind == ZYDIS_REGCLASS_GPR64;
}

// What is harmless in words: nothing but registers and constants, or a push of a register.
bool is_harmless(const ZydisDecodedInstruction& instruction, const ZydisDecodedOperand* operands)
{
    for (unsigned i = 0; i < instruction.raw.prefix_count; ++i)
        if (instruction.raw.prefixes[i].value >> 4 != 4 || i > 0)
            return false;
    const ZydisDecodedOperand& first = operands[0];
    const ZydisDecodedOperand& second = operands[1];
    const bool constant =
        instruction.operand_count_visible == 2 && second.type == ZYDIS_OPERAND_TYPE_IMMEDIATE;
    switch (instruction.mnemonic) {
    case ZYDIS_MNEMONIC_PUSH:
        return is_register(first);
    case ZYDIS_MNEMONIC_MOV:
        return is_register(first) && (is_register(second) || constant);
    case ZYDIS_MNEMONIC_ADD:
    case ZYDIS_MNEMONIC_AND:
    case ZYDIS_MNEMONIC_SUB:
        return is_register(first) && constant &&
               (first.reg.value == ZYDIS_REGISTER_ESP || first.reg.value == ZYDIS_REGISTER_RSP);
    case ZYDIS_MNEMONIC_XOR:
        return is_register(first) && is_register(second) && first.reg.value == second.reg.value;
    case ZYDIS_MNEMONIC_LEA:
        return is_register(first) && second.mem.base != ZYDIS_REGISTER_RIP;
    default:
        return false;
    }
}

// The encodings that compilers use are asked for: /6 and 0xff for PUSH, for one, are left out of the module's
// list.
bool is_usual(const ZydisDecodedInstruction& instruction)
{
    return instruction.mnemonic != ZYDIS_MNEMONIC_PUSH || instruction.opcode != 0xff;
}

std::string hex(const Bytes& bytes)
{
    std::ostringstream out;
    for (const unsigned byte : bytes)
        out << std::hex << std::setw(2) << std::setfill('0') << byte << ' ';
    return out.str();
}

// All opcodes of one byte with all ModRM and SIB bytes, behind no prefix or any REX or another.
void for_each_encoding(const std::function<void(const Bytes&)>& call)
{
    std::vector<Bytes> prefixes = {{},     {0x66},       {0x67},       {0xf0}, {0xf3},
                                   {0x65}, {0x48, 0x48}, {0x66, 0x48}, {0x0f}};
    for (unsigned rex = 0x40; rex <= 0x4f; ++rex)
        prefixes.push_back({static_cast<std::uint8_t>(rex)});
    for (const Bytes& prefix : prefixes)
        for (unsigned opcode = 0; opcode < 0x100; ++opcode)
            for (unsigned modrm = 0; modrm < 0x100; ++modrm)
                for (const std::uint8_t sib : sibs) {
                    Bytes bytes = prefix;
                    bytes.insert(bytes.end(),
                                 {static_cast<std::uint8_t>(opcode), static_cast<std::uint8_t>(modrm), sib});
                    bytes.resize(longest, 0x11);
                    call(bytes);
                }
}

class Displaced : public testing::TestWithParam<Mode> {
protected:
    void SetUp() override { ZydisDecoderInit(&decoder_, GetParam().machine, GetParam().width); }

    // 0: these bytes are no instruction that is harmless, and usual.
    std::size_t length_of_harmless(const Bytes& bytes) const
    {
        ZydisDecodedInstruction instruction;
        std::array<ZydisDecodedOperand, ZYDIS_MAX_OPERAND_COUNT> operands;
        if (!ZYAN_SUCCESS(
                ZydisDecoderDecodeFull(&decoder_, bytes.data(), bytes.size(), &instruction, operands.data())))
            return 0;
        return is_harmless(instruction, operands.data()) && is_usual(instruction) ? instruction.length : 0;
    }

    ZydisDecoder decoder_;
};

TEST_P(Displaced, IsWhatIsHarmlessInItsWholeLengthAndNothingElse)
{
    std::size_t harmless = 0;
    for_each_encoding([&](const Bytes& bytes) {
        const std::size_t length = length_of_harmless(bytes);
        harmless += length != 0;
        for (std::size_t tried = 0; tried <= longest; ++tried)
            ASSERT_EQ(
                lac_may_be_displaced(bytes.data(), static_cast<std::uint32_t>(tried), GetParam().is_64bit),
                tried != 0 && tried == length)
                << hex(bytes) << "taken for one of " << tried << ", is one of " << length;
    });
    EXPECT_GT(harmless, 1000u);
}

INSTANTIATE_TEST_SUITE_P(Modes, Displaced, testing::ValuesIn(modes),
                         [](const auto& mode) { return mode.param.is_64bit ? "Long" : "Legacy"; });

TEST(DisplacedInstruction, IsWhatDebiansKernelsHaveAtTheirSites)
{
    const std::vector<std::pair<Bytes, bool>> there = {
        {{0x48, 0x83, 0xec, 0x38}, true},                         // sub $0x38,%rsp
        {{0xb9, 0x08, 0x00, 0x00, 0x00}, true},                   // mov $8,%ecx
        {{0x48, 0x89, 0xfb}, true},                               // mov %rdi,%rbx
        {{0x49, 0xbe, 0x22, 0x01, 0, 0, 0, 0, 0xad, 0xde}, true}, // movabs $0xdead…,%r14
        {{0x41, 0x57}, true},                                     // push %r15
        {{0x83, 0xec, 0x2c}, false},                              // sub $0x2c,%esp
        {{0x8d, 0x7d, 0xb0}, false},                              // lea -0x50(%ebp),%edi
    };
    for (const auto& [bytes, is_64bit] : there)
        EXPECT_TRUE(lac_may_be_displaced(bytes.data(), static_cast<std::uint32_t>(bytes.size()), is_64bit))
            << hex(bytes);
}

TEST(DisplacedInstruction, LoadsAndStoresNothing)
{
    const std::vector<Bytes> there = {
        {0x48, 0x8b, 0x44, 0x24, 0x08},       // mov 8(%rsp),%rax
        {0x48, 0x89, 0x5c, 0x24, 0x38},       // mov %rbx,0x38(%rsp)
        {0x4c, 0x8b, 0x3f},                   // mov (%rdi),%r15
        {0x48, 0xa1, 0, 0, 0, 0, 0, 0, 0, 0}, // movabs 0,%rax
    };
    for (const Bytes& bytes : there)
        EXPECT_FALSE(lac_may_be_displaced(bytes.data(), static_cast<std::uint32_t>(bytes.size()), true))
            << hex(bytes);
}

} // namespace
