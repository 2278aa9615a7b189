// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include <Zydis/Zydis.h>

#include "elf_image.h"

namespace lacuna {

// A decoded instruction and where it stands in the image.
struct Instruction {
    std::uint64_t address;
    ZydisDecodedInstruction decoded;
    std::array<ZydisDecodedOperand, ZYDIS_MAX_OPERAND_COUNT> operands;

    std::uint64_t next() const { return address + decoded.length; }
    unsigned visible() const { return decoded.operand_count_visible; }

    // Where a direct jump or call leads.
    std::optional<std::uint64_t> direct_target() const;
    // The addresses that its operands may be: immediates, displacements without a base, and what is relative
    // to RIP. Of 32 bits in an i386 image.
    std::vector<std::uint64_t> addresses() const;
};

// Decodes the code of an image, which must outlive it.
class Decoder {
public:
    explicit Decoder(const ElfImage& elf);

    // Nothing where the image has no code or what stands there is no instruction.
    std::optional<Instruction> at(std::uint64_t address) const;
    // All from one address up to another; what is none, as data or padding, is passed over byte by byte.
    std::vector<Instruction> between(std::uint64_t from, std::uint64_t to) const;
    // Shows all of the kernel's code to `visit`, and what stands between it as if it were code.
    template <typename Visitor> void sweep(const Visitor& visit) const
    {
        for (const auto& [start, bytes] : elf_.code()) {
            const std::uint64_t end = start + bytes.size();
            for (std::uint64_t address = start; address < end;) {
                const auto instruction = at(address);
                if (instruction)
                    visit(*instruction);
                address = instruction ? instruction->next() : address + 1;
            }
        }
    }

private:
    const ElfImage& elf_;
    ZydisDecoder decoder_{};
};

} // namespace lacuna
