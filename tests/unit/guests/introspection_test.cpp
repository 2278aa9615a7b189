// SPDX-License-Identifier: GPL-2.0-or-later
#include "expect_error.h"
#include "fake_guest.h"
#include "introspection.h"

using namespace lacuna;

namespace {

ProfileMember member(const char* structure, const char* name, std::int64_t offset, unsigned size)
{
    ProfileMember m;
    m.structure = structure;
    m.name = name;
    m.size = size;
    m.state = LACUNA_RESOLVED;
    m.offset = static_cast<std::int32_t>(offset);
    return m;
}

Profile profile()
{
    Profile p;
    p.kernel_id = "6.1-abc";
    p.members = {member("task_struct", "tasks", FakeLayout::tasks, 16),
                 member("task_struct", "pid", FakeLayout::pid, 4),
                 member("task_struct", "comm", FakeLayout::comm, 16),
                 member("task_struct", "mm", FakeLayout::mm, 8),
                 member("mm_struct", "pgd", FakeLayout::pgd, 8),
                 member("module", "name", FakeLayout::name, 56),
                 member("module", "module_core", FakeLayout::core, 8),
                 member("module", "core_text_size", FakeLayout::text_size, 4)};
    return p;
}

Snapshot<Process> processes(FakeKernel& kernel)
{
    AddressSpace space = kernel.memory.space();
    return list_processes(space, profile(), kernel.init_task);
}

Snapshot<Module> modules(FakeKernel& kernel)
{
    AddressSpace space = kernel.memory.space();
    return list_modules(space, profile(), kernel.modules);
}

} // namespace

std::string name_of(const testing::TestParamInfo<lacuna_paging>& paging)
{
    const char* names[] = {"four", "five", "PAE", "two"};
    return names[paging.param];
}

class PageWalk : public testing::TestWithParam<lacuna_paging> {};
INSTANTIATE_TEST_SUITE_P(Levels, PageWalk, testing::Values(LACUNA_PAGING_4LEVEL, LACUNA_PAGING_5LEVEL),
                         name_of);

TEST(PageWalk, Pae)
{
    FakeGuest guest(LACUNA_PAGING_PAE);
    guest.map(0xc100'0000, 0x1'4020'0000, 2);
    guest.map(0xffff'f000, 0x7000);
    guest.map(0xb7fd'd000, 0x1'2345'6000);
    AddressSpace space = guest.space();
    EXPECT_EQ(space.word_size(), 4u);
    EXPECT_EQ(space.translate(0xc11f'ffff), 0x1'403f'ffffu);
    EXPECT_EQ(space.translate(0xc120'0000), std::nullopt);
    EXPECT_EQ(space.translate(0xffff'f123), 0x7123u);
    EXPECT_EQ(space.translate(0xb7fd'd123), 0x1'2345'6123u);
    EXPECT_EQ(space.translate(0x0800'0000), std::nullopt);
    EXPECT_EQ(space.translate(0xffffffff'c100'0000), std::nullopt); // 32 bits are all there are
    EXPECT_EQ(space.translate(0x1'c100'0000), std::nullopt);
}

TEST(PageWalk, TwoLevels)
{
    FakeGuest guest(LACUNA_PAGING_32BIT);
    guest.map(0xc100'0000, 0x40'0000, 2);
    guest.map(0xc140'0000, 0x3'0080'0000, 2); // PSE-36
    guest.map(0xb7fd'd000, 0x2345'6000);
    AddressSpace space = guest.space();
    EXPECT_EQ(space.word_size(), 4u);
    EXPECT_EQ(space.translate(0xc13f'ffff), 0x7f'ffffu);
    EXPECT_EQ(space.translate(0xc140'1234), 0x3'0080'1234u);
    EXPECT_EQ(space.translate(0xc180'0000), std::nullopt);
    EXPECT_EQ(space.translate(0xb7fd'd123), 0x2345'6123u);
    EXPECT_EQ(space.translate(0x1'c100'0000), std::nullopt);
    guest.put<std::uint32_t>(0xc800'0010, 0xfffe'dcba);
    guest.put<std::uint32_t>(0xc800'0014, 0xffff'ffff);
    EXPECT_EQ(guest.space().word(0xc800'0010), 0xfffe'dcbau);
}

TEST_P(PageWalk, SmallAndLargePages)
{
    FakeGuest guest(GetParam());
    guest.map(0xffffffff'8100'0000, 0x4000'0000, 2);
    guest.map(0xffff8880'4000'0000, 0x8000'0000, 3);
    guest.map(0xffffc900'0000'1000, 0x7000);
    guest.map(0x0000'7fff'f7fd'd000, 0x1'2345'6000);
    AddressSpace space = guest.space();
    EXPECT_EQ(space.translate(0xffffffff'8100'0000), 0x4000'0000u);
    EXPECT_EQ(space.translate(0xffffffff'811f'ffff), 0x401f'ffffu);
    EXPECT_EQ(space.translate(0xffff8880'7fff'ffff), 0xbfff'ffffu);
    EXPECT_EQ(space.translate(0xffffc900'0000'1fff), 0x7fffu);
    EXPECT_EQ(space.translate(0x0000'7fff'f7fd'd123), 0x1'2345'6123u);
}

TEST_P(PageWalk, WhatIsNotThere)
{
    FakeGuest guest(GetParam());
    guest.map(0xffffffff'8100'0000, 0x4000'0000, 2);
    guest.map(0xffffc900'0000'1000, 0x7000);
    AddressSpace space = guest.space();
    EXPECT_EQ(space.translate(0xffffffff'8120'0000), std::nullopt);  // next 2 MiB
    EXPECT_EQ(space.translate(0xffffc900'0000'2000), std::nullopt);  // next page
    EXPECT_EQ(space.translate(0x1000), std::nullopt);                // no tables at all
    EXPECT_EQ(space.translate(0x0100'0000'0000'0000), std::nullopt); // not canonical in either mode
    EXPECT_EQ(space.translate(0xfe00'0000'0000'0000), std::nullopt);
    EXPECT_ERROR(space.read(0x1000, 8), "nothing mapped at 0x1000");
}

TEST(PageWalk, CanonicalAddressesDependOnTheLevels)
{
    FakeGuest four, five(LACUNA_PAGING_5LEVEL);
    five.map(0xff11'0000'0000'0000, 0x7000);
    EXPECT_EQ(five.space().translate(0xff11'0000'0000'0008), 0x7008u);
    // The same bits below 48 are mapped with four levels; bits 48-63 make it another address.
    four.map(0xffff'9000'0000'0000, 0x7000);
    EXPECT_EQ(four.space().translate(0xffff'9000'0000'0000), 0x7000u);
    EXPECT_EQ(four.space().translate(0xff11'9000'0000'0000), std::nullopt);
}

TEST(PageWalk, ReadsAcrossPages)
{
    FakeGuest guest;
    guest.put_text(0xffffc900'0000'1ffa, "swapper/0", 16);
    AddressSpace space = guest.space();
    const Bytes bytes = space.read(0xffffc900'0000'1ffa, 9);
    EXPECT_EQ(std::string(bytes.begin(), bytes.end()), "swapper/0");
    EXPECT_ERROR(space.read(0xffffc900'0000'2ffc, 8), "nothing mapped at 0xffffc90000003000");
    EXPECT_ERROR(space.read(0xffffc900'0000'1000, AddressSpace::max_read + 1), "more than is read at once");
}

TEST(PageWalk, TablesOutsideOfMemory)
{
    FakeGuest guest;
    guest.root = 0xdead'f000; // no page of the guest
    EXPECT_ERROR(guest.space().translate(0x1000), "no memory there");
    AddressSpace short_reads([](std::uint64_t, std::size_t) { return Bytes(8, 1); }, 0x1000,
                             LACUNA_PAGING_4LEVEL);
    EXPECT_ERROR(short_reads.translate(0xffffffff'8100'0000), "could only be read in part");
}

class Lists : public testing::TestWithParam<lacuna_paging> {};
INSTANTIATE_TEST_SUITE_P(Levels, Lists,
                         testing::Values(LACUNA_PAGING_4LEVEL, LACUNA_PAGING_5LEVEL, LACUNA_PAGING_PAE,
                                         LACUNA_PAGING_32BIT),
                         name_of);

TEST_P(Lists, Processes)
{
    FakeKernel kernel(GetParam());
    const auto init = kernel.add_process(1, "init", true);
    const auto kthreadd = kernel.add_process(2, "kthreadd", false);
    const auto shell = kernel.add_process(4194303, "fifteen-chars-x", true);
    const auto found = processes(kernel);
    EXPECT_TRUE(found.stable);
    EXPECT_EQ(found.entries,
              (std::vector<Process>{{1, "init", init, kernel.pgd_of(init)},
                                    {2, "kthreadd", kthreadd, 0},
                                    {4194303, "fifteen-chars-x", shell, kernel.pgd_of(shell)}}));
}

TEST_P(Lists, Modules)
{
    FakeKernel kernel(GetParam());
    EXPECT_TRUE(modules(kernel).entries.empty());
    const std::uint64_t area = kernel.memory.wide() ? 0xffffffff'c000'0000 : 0xf800'0000;
    kernel.add_module("dummy", area + 0x20'0000, 4096);
    kernel.add_module("virtio_net", area + 0x30'0000, 0x9000);
    EXPECT_EQ(modules(kernel).entries, (std::vector<Module>{{"dummy", area + 0x20'0000, 4096},
                                                            {"virtio_net", area + 0x30'0000, 0x9000}}));
}

TEST(Lists, MissingMembersAreNamed)
{
    FakeKernel kernel;
    AddressSpace space = kernel.memory.space();
    Profile p = profile();
    p.members[4].state = LACUNA_AMBIGUOUS;
    EXPECT_ERROR(list_processes(space, p, FakeLayout::init_task),
                 "kernel 6.1-abc: the offset of mm_struct.pgd is ambiguous");
    p.members.pop_back();
    EXPECT_ERROR(list_modules(space, p, FakeLayout::modules),
                 "the offset of module.core_text_size is not in the profile");
}

TEST(Lists, DamageIsFound)
{
    FakeKernel kernel;
    const auto one = kernel.add_process(1, "init", true), two = kernel.add_process(2, "kthreadd", false);
    const auto three = kernel.add_process(3, "rcu_gp", false);
    const auto node = FakeKernel::tasks_node;
    kernel.set_next(node(three), node(two)); // a circle that leaves out the head
    EXPECT_ERROR(processes(kernel), "the list task_struct.tasks is damaged");
    kernel.set_next(node(three), 0);
    EXPECT_ERROR(processes(kernel), "nothing mapped at 0x0");
    kernel.set_next(node(three), 0xdead'0000'0000'0100); // LIST_POISON1
    EXPECT_ERROR(processes(kernel),
                 "nothing mapped at 0xdead000000000100; the guest may have been changing it");
    kernel.set_next(node(one), node(three)); // skips one
    EXPECT_ERROR(processes(kernel), "but not back");
}

TEST(Lists, ChangeInTheMiddleIsReadAgain)
{
    FakeKernel kernel;
    kernel.add_process(1, "init", true);
    kernel.add_process(2, "kthreadd", false);
    std::uint64_t third = 0;
    kernel.memory.before_read = [&](unsigned reads) {
        if (reads == 12) // pages, some of which hold tables
            third = kernel.add_process(3, "new", false);
    };
    const auto found = processes(kernel);
    ASSERT_NE(third, 0u);
    EXPECT_TRUE(found.stable);
    ASSERT_EQ(found.entries.size(), 3u);
    EXPECT_EQ(found.entries[2], (Process{3, "new", third, 0}));
}

TEST(Lists, ListInMidUpdateIsReadAgain)
{
    FakeKernel kernel;
    const auto one = kernel.add_process(1, "init", true), two = kernel.add_process(2, "kthreadd", false);
    const auto three = kernel.add_process(3, "going", false);
    const auto node = FakeKernel::tasks_node;
    kernel.set_next(node(two), node(FakeLayout::init_task)); // list_del() has got half-way with `three`
    kernel.memory.before_read = [&](unsigned reads) {
        if (reads == 20)
            kernel.set_next(node(two), node(three));
    };
    const auto found = processes(kernel);
    EXPECT_TRUE(found.stable);
    ASSERT_EQ(found.entries.size(), 3u);
    EXPECT_EQ(found.entries[0].address, one);
}

TEST(Lists, ListThatNeverRestsIsMarked)
{
    FakeKernel kernel;
    const auto init = kernel.add_process(1, "init", true);
    kernel.memory.before_read = [&](unsigned reads) {
        kernel.memory.put_text(init + FakeLayout::comm, std::to_string(reads), 16);
    };
    const auto found = processes(kernel);
    EXPECT_FALSE(found.stable);
    ASSERT_EQ(found.entries.size(), 1u);
    EXPECT_EQ(found.entries[0].pid, 1);
}
