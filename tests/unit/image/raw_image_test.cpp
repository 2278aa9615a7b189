// SPDX-License-Identifier: GPL-2.0-or-later
#include "raw_image.h"

#include <algorithm>
#include <string>

#include <gtest/gtest.h>

#include "expect_error.h"
#include "kernel_image.h"
#include "synthetic_kernel.h"

namespace lacuna {
namespace {

using synthetic::append;

// Memory with texts, and pointers to them: what a raw kernel is placed by.
struct Memory {
    Bytes bytes = Bytes(4096, 0x90);
    std::uint64_t base;
    bool wide;

    Memory(std::uint64_t address, bool is_64bit) : base(address), wide(is_64bit) {}

    std::uint64_t text(const std::string& characters)
    {
        bytes.push_back(0);
        const std::uint64_t at = base + bytes.size();
        bytes.insert(bytes.end(), characters.begin(), characters.end());
        bytes.push_back(0);
        return at;
    }
    Memory& fill(const std::string& banner, unsigned texts = 1000)
    {
        std::vector<std::uint64_t> pointers;
        for (unsigned i = 0; i < texts; ++i)
            pointers.push_back(text("some text with the number " + std::to_string(i * i)));
        pointers.push_back(text(banner));
        bytes.resize((bytes.size() + 7) / 8 * 8);
        for (const std::uint64_t pointer : pointers)
            wide ? append<std::uint64_t>(bytes, pointer)
                 : append<std::uint32_t>(bytes, static_cast<std::uint32_t>(pointer));
        return *this;
    }
};

constexpr const char* banner = "Linux version 2.6.17 (someone@example.org) #1\n";

TEST(RawImage, IsPlacedByWhatPointsToItsTexts)
{
    for (const std::uint64_t base : {0xc0100000u, 0xc0400000u, 0x80100000u}) {
        const auto found = place_of_raw_image(Memory(base, false).fill(banner).bytes);
        ASSERT_TRUE(found) << base;
        EXPECT_EQ(found->architecture, Architecture::i386);
        EXPECT_EQ(found->address, base);
    }
    const auto found = place_of_raw_image(Memory(0xffffffff80100000, true).fill(banner).bytes);
    ASSERT_TRUE(found);
    EXPECT_EQ(found->architecture, Architecture::x86_64);
    EXPECT_EQ(found->address, 0xffffffff80100000);
}

TEST(RawImage, IsNotPlacedByAFewPointersOrWithoutItsBanner)
{
    EXPECT_FALSE(place_of_raw_image(Memory(0xc0100000, false).fill(banner, 100).bytes));
    EXPECT_FALSE(place_of_raw_image(Memory(0xc0100000, false).fill("Minix version 2\n").bytes));
    EXPECT_FALSE(place_of_raw_image(Bytes(1 << 20, 0x41)));
    EXPECT_FALSE(place_of_raw_image({}));
}

TEST(RawImage, OfTwoAddressesNeitherIsTaken)
{
    Memory memory(0xc0100000, false);
    memory.fill(banner);
    const Bytes once = memory.bytes;
    for (std::size_t at = once.size() - 4 * 1001; at + 4 <= once.size(); at += 4)
        append<std::uint32_t>(memory.bytes, *load<std::uint32_t>(once, at) + 0x100000); // the same 1 MiB further up
    EXPECT_FALSE(place_of_raw_image(memory.bytes));
}

TEST(RawImage, IsReadLikeASegment)
{
    const Memory memory = Memory(0xc0100000, false).fill(banner, 3000);
    Bytes image = synthetic::bz_image(synthetic::gzip(memory.bytes), 0, false);
    image[0x206] = 0x03;
    const KernelImage kernel(image, "old.img");
    EXPECT_EQ(kernel.elf().architecture(), Architecture::i386);
    EXPECT_EQ(kernel.elf().read(0xc0100000, 4)->front(), 0x90);
    EXPECT_TRUE(kernel.elf().sections().empty());
    EXPECT_TRUE(kernel.build_id().empty());
}

} // namespace
} // namespace lacuna
