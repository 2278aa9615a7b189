// SPDX-License-Identifier: GPL-2.0-or-later
#include "address_space.h"

#include <algorithm>
#include <array>

#include <spdlog/fmt/fmt.h>

#include "error.h"

namespace lacuna {

namespace {

constexpr std::size_t page_size = 4096;
constexpr std::size_t most_pages = 4096; // that are remembered: 16 MiB

constexpr std::uint64_t present = 1;
constexpr std::uint64_t large = 1 << 7; // PS: this entry maps a page of 1 GiB, 4 MiB or 2 MiB
// Bits 12-51 are the address; above them lie NX and protection keys, below them flags.
constexpr std::uint64_t address_bits = 0x000f'ffff'ffff'f000;

} // namespace

// One way of paging: its tables from the root down.
struct Paging {
    unsigned entry_size;
    unsigned address_size;   // bits of a virtual address
    std::uint64_t root_bits; // of CR3, that are the root's address
    std::array<unsigned, 5>
        shifts; // per table: the lowest bit of the address that selects an entry; 0: no table
    std::array<bool, 5> maps_pages; // per table: an entry with PS maps a page
};

namespace {

// 4-level, 5-level, PAE, 32-bit: in the order of lacuna_paging.
constexpr std::array<Paging, LACUNA_PAGINGS> pagings{{
    {8, 48, address_bits, {39, 30, 21, 12}, {false, true, true, true}},
    {8, 57, address_bits, {48, 39, 30, 21, 12}, {false, false, true, true, true}},
    {8, 32, 0xffff'ffe0, {30, 21, 12}, {false, true, true}},
    {4, 32, 0xffff'f000, {22, 12}, {true, true}},
}};

// In 32-bit mode addresses are what they are; in 64-bit mode the unused bits repeat the highest used one.
bool valid(std::uint64_t gva, const Paging& paging)
{
    const unsigned unused = 64 - paging.address_size;
    if (paging.address_size == 32)
        return !(gva >> 32);
    return static_cast<std::uint64_t>(static_cast<std::int64_t>(gva << unused) >> unused) == gva;
}

// Of a page larger than 4 KiB, the bits up to its size are flags, but for PSE-36: with 4-byte entries the
// address's bits 32-39 stand in 13-20.
std::uint64_t page_address(const Paging& paging, std::uint64_t entry, unsigned shift)
{
    const std::uint64_t inside = (std::uint64_t{1} << shift) - 1;
    const std::uint64_t high = paging.entry_size == 4 && shift > 12 ? (entry >> 13 & 0xff) << 32 : 0;
    return (entry & address_bits & ~inside) | high;
}

} // namespace

AddressSpace::AddressSpace(PhysicalReader memory, std::uint64_t root, lacuna_paging paging)
    : memory_(std::move(memory)),
      paging_(pagings.at(paging)),
      root_(root & paging_.root_bits)
{}

AddressSpace AddressSpace::under(std::uint64_t root) const
{
    AddressSpace other(*this);
    other.root_ = root & paging_.root_bits;
    return other;
}

const Bytes& AddressSpace::page_at(std::uint64_t gpa)
{
    const std::uint64_t page = gpa & ~(page_size - 1);
    if (const auto known = pages_.find(page); known != pages_.end())
        return known->second;
    if (std::chrono::steady_clock::now() > give_up_at_)
        throw Error("reading the guest's memory takes too long");
    if (pages_.size() == most_pages)
        pages_.clear();
    return pages_.emplace(page, memory_(page, page_size)).first->second;
}

std::uint64_t AddressSpace::entry(std::uint64_t gpa)
{
    const Bytes& table = page_at(gpa);
    std::optional<std::uint64_t> found;
    if (paging_.entry_size == 8)
        found = load<std::uint64_t>(table, gpa % page_size);
    else
        found = load<std::uint32_t>(table, gpa % page_size);
    if (!found)
        throw Error(fmt::format("the page table at {:#x} could only be read in part", gpa - gpa % page_size));
    return *found;
}

std::optional<std::uint64_t> AddressSpace::translate(std::uint64_t gva)
{
    if (!valid(gva, paging_))
        return std::nullopt;
    std::uint64_t table = root_;
    unsigned above = paging_.address_size;
    for (std::size_t level = 0; level < paging_.shifts.size(); level++) {
        const unsigned shift = paging_.shifts[level];
        const std::uint64_t index = gva >> shift & ((1u << (above - shift)) - 1);
        const std::uint64_t found = entry(table + index * paging_.entry_size);
        if (!(found & present))
            return std::nullopt;
        if (shift == 12 || (paging_.maps_pages[level] && found & large))
            return page_address(paging_, found, shift) | (gva & ((std::uint64_t{1} << shift) - 1));
        table = found & address_bits;
        above = shift;
    }
    return std::nullopt;
}

unsigned AddressSpace::word_size() const
{
    return paging_.address_size == 32 ? 4 : 8;
}

std::uint64_t AddressSpace::word(std::uint64_t gva)
{
    return word_size() == 4 ? value<std::uint32_t>(gva) : value<std::uint64_t>(gva);
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
        const auto part = slice(page_at(*gpa), *gpa % page_size,
                                std::min(page_size - address % page_size, length - bytes.size()));
        if (!part)
            throw Error(fmt::format("nothing could be read at {:#x} (GPA {:#x})", address, *gpa));
        bytes.insert(bytes.end(), part->begin(), part->end());
    }
    return bytes;
}

} // namespace lacuna
