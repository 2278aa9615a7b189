// SPDX-License-Identifier: GPL-2.0-or-later
#include "instruction.h"

namespace lacuna {

std::optional<std::uint64_t> Instruction::direct_target() const
{
    for (unsigned i = 0; i < visible(); ++i) {
        const auto& operand = operands[i];
        std::uint64_t target = 0;
        if (operand.type == ZYDIS_OPERAND_TYPE_IMMEDIATE && operand.imm.is_relative &&
            ZYAN_SUCCESS(ZydisCalcAbsoluteAddress(&decoded, &operand, address, &target)))
            return target;
    }
    return std::nullopt;
}

std::vector<std::uint64_t> Instruction::addresses() const
{
    const std::uint64_t mask =
        decoded.machine_mode == ZYDIS_MACHINE_MODE_LONG_64 ? ~std::uint64_t{0} : 0xffff'ffff;
    std::vector<std::uint64_t> found;
    for (unsigned i = 0; i < visible(); ++i) {
        const auto& operand = operands[i];
        std::uint64_t value = 0;
        if (operand.type == ZYDIS_OPERAND_TYPE_IMMEDIATE && !operand.imm.is_relative)
            value = operand.imm.value.u;
        else if (operand.type != ZYDIS_OPERAND_TYPE_MEMORY)
            continue;
        else if (operand.mem.base == ZYDIS_REGISTER_RIP)
            ZydisCalcAbsoluteAddress(&decoded, &operand, address, &value);
        else if (operand.mem.base == ZYDIS_REGISTER_NONE && operand.mem.disp.has_displacement)
            value = static_cast<std::uint64_t>(operand.mem.disp.value);
        else
            continue;
        found.push_back(value & mask);
    }
    return found;
}

Decoder::Decoder(const ElfImage& elf) : elf_(elf)
{
    if (elf.architecture() == Architecture::x86_64)
        ZydisDecoderInit(&decoder_, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    else
        ZydisDecoderInit(&decoder_, ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32);
}

std::optional<Instruction> Decoder::at(std::uint64_t address) const
{
    const ByteView bytes = elf_.read_up_to(address, ZYDIS_MAX_INSTRUCTION_LENGTH);
    Instruction instruction{address, {}, {}};
    if (bytes.empty() ||
        !ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder_, bytes.data(), bytes.size(), &instruction.decoded,
                                             instruction.operands.data())))
        return std::nullopt;
    return instruction;
}

std::vector<Instruction> Decoder::between(std::uint64_t from, std::uint64_t to) const
{
    std::vector<Instruction> instructions;
    while (from < to) {
        const auto instruction = at(from);
        if (instruction)
            instructions.push_back(*instruction);
        from = instruction ? instruction->next() : from + 1;
    }
    return instructions;
}

} // namespace lacuna
