// SPDX-License-Identifier: GPL-2.0-or-later
#include "address_space.h"

#include <algorithm>

#include <spdlog/fmt/fmt.h>

#include "error.h"

namespace lacuna {

namespace {

constexpr unsigned page_shift = 12;
constexpr std::size_t page_size = 1 << page_shift;
constexpr unsigned index_bits = 9;

constexpr std::uint64_t present = 1;
constexpr std::uint64_t large = 1 << 7; // PS: this entry maps a page of 1 GiB or 2 MiB
// Bits 12-51 are the address; above them lie NX and protection keys, below them flags.
constexpr std::uint64_t address_bits = 0x000f'ffff'ffff'f000;

bool canonical(std::uint64_t gva, bool five_level)
{
    const unsigned unused = five_level ? 64 - 57 : 64 - 48;
    return static_cast<std::uint64_t>(static_cast<std::int64_t>(gva << unused) >> unused) == gva;
}

} // namespace

AddressSpace::AddressSpace(PhysicalReader memory, std::uint64_t root_gpa, bool five_level)
    : memory_(std::move(memory)),
      root_(root_gpa & address_bits),
      five_level_(five_level)
{}

std::uint64_t AddressSpace::entry(std::uint64_t table_gpa, unsigned index)
{
    auto table = tables_.find(table_gpa);
    if (table == tables_.end())
        table = tables_.emplace(table_gpa, memory_(table_gpa, page_size)).first;
    const auto entry = load<std::uint64_t>(table->second, index * sizeof(std::uint64_t));
    if (!entry)
        throw Error(fmt::format("the page table at {:#x} could only be read in part", table_gpa));
    return *entry;
}

std::optional<std::uint64_t> AddressSpace::translate(std::uint64_t gva)
{
    if (!canonical(gva, five_level_))
        return std::nullopt;
    std::uint64_t table = root_;
    for (unsigned level = five_level_ ? 5 : 4; level >= 1; level--) {
        const unsigned shift = page_shift + index_bits * (level - 1);
        const std::uint64_t found = entry(table, (gva >> shift) & ((1u << index_bits) - 1));
        if (!(found & present))
            return std::nullopt;
        const bool maps_page = level == 1 || ((level == 2 || level == 3) && (found & large));
        if (maps_page) {
            // In an entry of a large page, bit 12 is PAT and the bits up to the page's size are reserved.
            const std::uint64_t inside = (std::uint64_t{1} << shift) - 1;
            return (found & address_bits & ~inside) | (gva & inside);
        }
        table = found & address_bits;
    }
    return std::nullopt;
}

Bytes AddressSpace::read(std::uint64_t gva, std::size_t length)
{
    if (length > max_read)
        throw Error(fmt::format("{} bytes at {:#x} are more than is read at once", length, gva));
    Bytes bytes;
    while (bytes.size() < length) {
        const std::uint64_t address = gva + bytes.size();
        const auto gpa = translate(address);
        if (!gpa)
            throw Error(fmt::format("the guest has nothing mapped at {:#x}", address));
        const Bytes part = memory_(*gpa, std::min(page_size - address % page_size, length - bytes.size()));
        if (part.empty())
            throw Error(fmt::format("nothing could be read at {:#x} (GPA {:#x})", address, *gpa));
        bytes.insert(bytes.end(), part.begin(), part.end());
    }
    bytes.resize(length);
    return bytes;
}

} // namespace lacuna
