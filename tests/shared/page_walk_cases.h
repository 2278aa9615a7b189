// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <map>
#include <ostream>
#include <string>
#include <vector>

#include <lacuna/abi.h>

namespace lacuna {

// Page tables are walked twice: by the module (kmod/engine/space.c), and by the daemon (address_space.cpp),
// which cannot share code that is GPL-2.0-only with a program that links OpenSSL 3. This is the one table
// that both have to agree with. It is written down entry by entry, by the Intel SDM, volume 3A: 4.3 (32-bit
// paging), 4.4 (PAE), 4.5 (4-level and 5-level paging).

struct PageTableEntry {
    std::uint64_t table; // GPA
    unsigned index;
    std::uint64_t value;
};

struct PageWalkCase {
    enum Outcome { mapped, nothing, unreadable };

    const char* name; // letters and digits
    lacuna_paging paging;
    std::uint64_t cr3;
    std::vector<PageTableEntry> entries; // all others of their tables are 0; what holds none is no memory
    std::uint64_t gva;
    Outcome outcome;
    std::uint64_t gpa; // if it is mapped
};

inline void PrintTo(const PageWalkCase& c, std::ostream* out)
{
    *out << c.name;
}

// The memory of a case.
class PageWalkMemory {
public:
    static constexpr std::uint64_t page_size = 4096;

    explicit PageWalkMemory(const PageWalkCase& c)
    {
        const std::size_t size = c.paging == LACUNA_PAGING_32BIT ? 4 : 8;
        for (const PageTableEntry& entry : c.entries) {
            const std::uint64_t at = entry.table + size * entry.index;
            std::memcpy(pages_[at / page_size].data() + at % page_size, &entry.value, size);
        }
    }

    // `size` bytes that lie in one page; false: there is no memory.
    bool read(std::uint64_t gpa, void* to, std::size_t size) const
    {
        const auto page = pages_.find(gpa / page_size);
        if (page == pages_.end())
            return false;
        std::memcpy(to, page->second.data() + gpa % page_size, size);
        return true;
    }

private:
    std::map<std::uint64_t, std::array<std::uint8_t, page_size>> pages_; // by number
};

inline std::vector<PageWalkCase> page_walk_cases()
{
    constexpr auto four = LACUNA_PAGING_4LEVEL, five = LACUNA_PAGING_5LEVEL, pae = LACUNA_PAGING_PAE,
                   two = LACUNA_PAGING_32BIT;
    constexpr auto mapped = PageWalkCase::mapped, nothing = PageWalkCase::nothing,
                   unreadable = PageWalkCase::unreadable;
    // Present, writable, user, accessed, dirty; a large page; and what is no address above bit 51: NX, a
    // protection key, bits that are ignored.
    constexpr std::uint64_t p = 0x67, large = 0xe7, high = 0xfff0'0000'0000'0000;

    std::vector<PageWalkCase> cases;

    // 0xffffc90001234567: entries 402, 0, 9 and 52 of the tables from the root down.
    const std::vector<PageTableEntry> small = {{0x1000, 402, 0x2000 | p},
                                               {0x2000, 0, 0x3000 | p},
                                               {0x3000, 9, 0x4000 | p},
                                               {0x4000, 52, 0x1'2345'6000 | p}};
    cases.push_back({"FourLevels4K", four, 0x1000, small, 0xffff'c900'0123'4567, mapped, 0x1'2345'6567});
    cases.push_back({"FourLevelsNextPage", four, 0x1000, small, 0xffff'c900'0123'5000, nothing, 0});
    cases.push_back({"FourLevelsNextTable", four, 0x1000, small, 0xffff'c900'0143'4000, nothing, 0});
    cases.push_back({"FourLevelsNextDirectory", four, 0x1000, small, 0xffff'c900'4123'4000, nothing, 0});
    cases.push_back({"FourLevelsNextRootEntry", four, 0x1000, small, 0xffff'c980'0123'4000, nothing, 0});
    // CR3 with a PCID, and with what is no address above bit 51
    cases.push_back(
        {"FourLevelsPcid", four, 0x8000'0000'0000'1fff, small, 0xffff'c900'0123'4567, mapped, 0x1'2345'6567});
    cases.push_back({"FourLevelsBitsThatAreNoAddress",
                     four,
                     0x1000,
                     {{0x1000, 402, high | 0x2000 | p},
                      {0x2000, 0, high | 0x3000 | p},
                      {0x3000, 9, high | 0x4000 | p},
                      {0x4000, 52, high | 0xf'ffff'ffff'f000 | p}},
                     0xffff'c900'0123'4567,
                     mapped,
                     0xf'ffff'ffff'f567});
    // Bit 7 of the last table's entries is no size but PAT.
    cases.push_back({"FourLevelsPat",
                     four,
                     0x1000,
                     {{0x1000, 402, 0x2000 | p},
                      {0x2000, 0, 0x3000 | p},
                      {0x3000, 9, 0x4000 | p},
                      {0x4000, 52, 0x7000 | large}},
                     0xffff'c900'0123'4567,
                     mapped,
                     0x7567});
    // In large pages that is bit 12, of which the address has nothing.
    cases.push_back(
        {"FourLevels2M",
         four,
         0x1000,
         {{0x1000, 511, 0x2000 | p}, {0x2000, 510, 0x3000 | p}, {0x3000, 8, high | 0x4000'1000 | large}},
         0xffff'ffff'811f'ffff,
         mapped,
         0x401f'ffff});
    cases.push_back({"FourLevels1G",
                     four,
                     0x1000,
                     {{0x1000, 273, 0x2000 | p}, {0x2000, 1, high | 0x8000'1000 | large}},
                     0xffff'8880'7fff'ffff,
                     mapped,
                     0xbfff'ffff});
    cases.push_back({"FourLevelsUser",
                     four,
                     0x1000,
                     {{0x1000, 255, 0x2000 | p},
                      {0x2000, 511, 0x3000 | p},
                      {0x3000, 511, 0x4000 | p},
                      {0x4000, 511, 0x5000 | p}},
                     0x0000'7fff'ffff'ffff,
                     mapped,
                     0x5fff});
    cases.push_back({"FourLevelsLastPage",
                     four,
                     0x1000,
                     {{0x1000, 511, 0x2000 | p},
                      {0x2000, 511, 0x3000 | p},
                      {0x3000, 511, 0x4000 | p},
                      {0x4000, 511, 0x5000 | p}},
                     0xffff'ffff'ffff'ffff,
                     mapped,
                     0x5fff});
    // One table for all levels: every address is somewhere, but those that are not canonical.
    std::vector<PageTableEntry> all;
    for (unsigned index = 0; index < 512; index++)
        all.push_back({0x1000, index, 0x1000 | p});
    cases.push_back({"FourLevelsCanonicalUser", four, 0x1000, all, 0x0000'7fff'ffff'f008, mapped, 0x1008});
    cases.push_back({"FourLevelsNotCanonicalUser", four, 0x1000, all, 0x0000'8000'0000'0000, nothing, 0});
    cases.push_back({"FourLevelsCanonicalKernel", four, 0x1000, all, 0xffff'8000'0000'0008, mapped, 0x1008});
    cases.push_back({"FourLevelsNotCanonicalKernel", four, 0x1000, all, 0xffff'7fff'ffff'f000, nothing, 0});
    cases.push_back({"FiveLevelsCanonicalUser", five, 0x1000, all, 0x00ff'ffff'ffff'f008, mapped, 0x1008});
    cases.push_back({"FiveLevelsNotCanonicalUser", five, 0x1000, all, 0x0100'0000'0000'0000, nothing, 0});
    cases.push_back({"FiveLevelsCanonicalKernel", five, 0x1000, all, 0xff00'0000'0000'0008, mapped, 0x1008});
    cases.push_back({"FiveLevelsNotCanonicalKernel", five, 0x1000, all, 0xfeff'ffff'ffff'f000, nothing, 0});
    // Not present, whatever else is set: what is swapped out, or poisoned by the kernel against L1TF.
    for (unsigned level = 0; level < 4; level++) {
        static const char* const names[] = {"FourLevelsAbsentRoot", "FourLevelsAbsentDirectory",
                                            "FourLevelsAbsentTable", "FourLevelsAbsentPage"};
        std::vector<PageTableEntry> entries = small;
        entries[level].value = ~std::uint64_t{1};
        cases.push_back({names[level], four, 0x1000, entries, 0xffff'c900'0123'4567, nothing, 0});
    }
    // A table that lies where no memory is
    cases.push_back({"FourLevelsRootOutside", four, 0x9000, small, 0xffff'c900'0123'4567, unreadable, 0});
    cases.push_back({"FourLevelsTableOutside",
                     four,
                     0x1000,
                     {{0x1000, 402, 0xdead'0000'2000 | p}},
                     0xffff'c900'0123'4567,
                     unreadable,
                     0});

    // 0xff11000040201008: entries 273, 0, 1, 1 and 1.
    const std::vector<PageTableEntry> fifth = {{0x1000, 273, 0x2000 | p},
                                               {0x2000, 0, 0x3000 | p},
                                               {0x3000, 1, 0x4000 | p},
                                               {0x4000, 1, 0x5000 | p},
                                               {0x5000, 1, 0x7000 | p}};
    cases.push_back({"FiveLevels4K", five, 0x1000, fifth, 0xff11'0000'4020'1008, mapped, 0x7008});
    cases.push_back({"FiveLevelsNextRootEntry", five, 0x1000, fifth, 0xff12'0000'4020'1008, nothing, 0});
    cases.push_back({"FiveLevels2M",
                     five,
                     0x1000,
                     {{0x1000, 511, 0x2000 | p},
                      {0x2000, 511, 0x3000 | p},
                      {0x3000, 510, 0x4000 | p},
                      {0x4000, 8, 0x4000'1000 | large}},
                     0xffff'ffff'811f'ffff,
                     mapped,
                     0x401f'ffff});
    cases.push_back({"FiveLevels1G",
                     five,
                     0x1000,
                     {{0x1000, 273, 0x2000 | p}, {0x2000, 0, 0x3000 | p}, {0x3000, 1, 0x8000'1000 | large}},
                     0xff11'0000'7fff'ffff,
                     mapped,
                     0xbfff'ffff});

    // 0xc1234567: entries 3, 9 and 52. The root has four entries of which all but bit 0 and the address is
    // reserved, and lies anywhere at a multiple of 32; CR3 is of 32 bits, its low five are no address.
    const std::vector<PageTableEntry> wide = {
        {0x10e0, 3, 0x2001}, {0x2000, 9, high | 0x3000 | p}, {0x3000, 52, high | 0x1'2345'6000 | p}};
    cases.push_back({"Pae4K", pae, 0x10f8, wide, 0xc123'4567, mapped, 0x1'2345'6567});
    cases.push_back({"PaeCr3Of32Bits", pae, 0xdead'0000'10e0, wide, 0xc123'4567, mapped, 0x1'2345'6567});
    cases.push_back({"PaeNextPage", pae, 0x10e0, wide, 0xc123'5000, nothing, 0});
    cases.push_back({"PaeNextTable", pae, 0x10e0, wide, 0xc143'4000, nothing, 0});
    cases.push_back({"PaeOtherRootEntry", pae, 0x10e0, wide, 0x8123'4567, nothing, 0});
    cases.push_back({"Pae2M",
                     pae,
                     0x10e0,
                     {{0x10e0, 3, 0x2001}, {0x2000, 8, high | 0x1'4020'1000 | large}},
                     0xc11f'ffff,
                     mapped,
                     0x1'403f'ffff});
    cases.push_back({"PaeLastPage",
                     pae,
                     0x10e0,
                     {{0x10e0, 3, 0x2001}, {0x2000, 511, 0x3000 | p}, {0x3000, 511, 0x7000 | p}},
                     0xffff'f123,
                     mapped,
                     0x7123});
    cases.push_back({"PaeBeyond32Bits", pae, 0x10e0, wide, 0x1'c123'4567, nothing, 0});
    cases.push_back({"PaeAsA64BitKernelAddress", pae, 0x10e0, wide, 0xffff'ffff'c123'4567, nothing, 0});
    cases.push_back({"PaeRootOutside", pae, 0x9000, wide, 0xc123'4567, unreadable, 0});

    // 0xc1234567: entries 772 and 564. Two tables of 1024 entries of four bytes; CR3's low twelve bits are no
    // address
    const std::vector<PageTableEntry> narrow = {{0x1000, 772, 0x2000 | p}, {0x2000, 564, 0x2345'6000 | p}};
    cases.push_back({"TwoLevels4K", two, 0x1018, narrow, 0xc123'4567, mapped, 0x2345'6567});
    cases.push_back({"TwoLevelsHighAddress",
                     two,
                     0x1000,
                     {{0x1000, 772, 0x2000 | p}, {0x2000, 564, 0xffff'f000 | p}},
                     0xc123'4567,
                     mapped,
                     0xffff'f567});
    cases.push_back({"TwoLevelsPat",
                     two,
                     0x1000,
                     {{0x1000, 772, 0x2000 | p}, {0x2000, 564, 0x7000 | large}},
                     0xc123'4567,
                     mapped,
                     0x7567});
    cases.push_back({"TwoLevelsNextPage", two, 0x1000, narrow, 0xc123'5000, nothing, 0});
    cases.push_back({"TwoLevelsNextTable", two, 0x1000, narrow, 0xc163'4000, nothing, 0});
    // 4 MiB; bit 12 is PAT
    cases.push_back(
        {"TwoLevels4M", two, 0x1000, {{0x1000, 772, 0xc040'1000 | large}}, 0xc13f'ffff, mapped, 0xc07f'ffff});
    // PSE-36: bits 13 to 20 are those from 32 on of the address
    cases.push_back({"TwoLevelsPse36",
                     two,
                     0x1000,
                     {{0x1000, 773, 0x0080'6000 | large}},
                     0xc140'1234,
                     mapped,
                     0x3'0080'1234});
    cases.push_back({"TwoLevelsPse40",
                     two,
                     0x1000,
                     {{0x1000, 773, 0x009f'e000 | large}},
                     0xc140'1234,
                     mapped,
                     0xff'0080'1234});
    cases.push_back({"TwoLevelsLastPage",
                     two,
                     0x1000,
                     {{0x1000, 1023, 0x2000 | p}, {0x2000, 1023, 0x7000 | p}},
                     0xffff'f123,
                     mapped,
                     0x7123});
    cases.push_back({"TwoLevelsBeyond32Bits", two, 0x1000, narrow, 0x1'c123'4567, nothing, 0});
    cases.push_back(
        {"TwoLevelsTableOutside", two, 0x1000, {{0x1000, 772, 0xdead'0000 | p}}, 0xc123'4567, unreadable, 0});
    return cases;
}

} // namespace lacuna
