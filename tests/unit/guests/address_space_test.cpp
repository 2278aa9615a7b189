// SPDX-License-Identifier: GPL-2.0-or-later
#include <gtest/gtest.h>

#include "address_space.h"
#include "expect_error.h"
#include "fake_guest.h"
#include "page_walk_cases.h"

using namespace lacuna;

class SharedPageWalk : public testing::TestWithParam<PageWalkCase> {};
INSTANTIATE_TEST_SUITE_P(Cases, SharedPageWalk, testing::ValuesIn(page_walk_cases()),
                         [](const auto& chosen) { return chosen.param.name; });

TEST_P(SharedPageWalk, AsTheModuleWalks)
{
    const PageWalkCase& c = GetParam();
    const PageWalkMemory memory(c);
    AddressSpace space(
        [&](std::uint64_t gpa, std::size_t length) {
            Bytes bytes(length);
            if (!memory.read(gpa, bytes.data(), length))
                throw Error("no memory there");
            return bytes;
        },
        c.cr3, c.paging);
    if (c.outcome == PageWalkCase::unreadable)
        EXPECT_ERROR(space.translate(c.gva), "no memory there");
    else if (c.outcome == PageWalkCase::nothing)
        EXPECT_EQ(space.translate(c.gva), std::nullopt);
    else
        EXPECT_EQ(space.translate(c.gva), c.gpa);
}

TEST(AddressSpace, WordsAreThoseOfTheGuest)
{
    EXPECT_EQ(FakeGuest().space().word_size(), 8u);
    EXPECT_EQ(FakeGuest(LACUNA_PAGING_5LEVEL).space().word_size(), 8u);
    EXPECT_EQ(FakeGuest(LACUNA_PAGING_PAE).space().word_size(), 4u);
    FakeGuest guest(LACUNA_PAGING_32BIT);
    guest.put<std::uint32_t>(0xc800'0010, 0xfffe'dcba);
    guest.put<std::uint32_t>(0xc800'0014, 0xffff'ffff);
    EXPECT_EQ(guest.space().word(0xc800'0010), 0xfffe'dcbau);
}

TEST(AddressSpace, ReadsAcrossPages)
{
    FakeGuest guest;
    guest.put_text(0xffffc900'0000'1ffa, "swapper/0", 16);
    AddressSpace space = guest.space();
    const Bytes bytes = space.read(0xffffc900'0000'1ffa, 9);
    EXPECT_EQ(std::string(bytes.begin(), bytes.end()), "swapper/0");
    EXPECT_ERROR(space.read(0xffffc900'0000'2ffc, 8), "nothing mapped at 0xffffc90000003000");
    EXPECT_ERROR(space.read(0xffffc900'0000'1000, AddressSpace::max_read + 1), "more than is read at once");
}

TEST(AddressSpace, TablesOutsideOfMemory)
{
    FakeGuest guest;
    guest.root = 0xdead'f000; // no page of the guest
    EXPECT_ERROR(guest.space().translate(0x1000), "no memory there");
    AddressSpace short_reads([](std::uint64_t, std::size_t) { return Bytes(8, 1); }, 0x1000,
                             LACUNA_PAGING_4LEVEL);
    EXPECT_ERROR(short_reads.translate(0xffffffff'8100'0000), "could only be read in part");
}
