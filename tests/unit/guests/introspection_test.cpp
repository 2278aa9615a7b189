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
