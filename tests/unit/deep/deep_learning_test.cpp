// SPDX-License-Identifier: GPL-2.0-or-later
#include "asked.h"
#include "deep_learning.h"
#include "expect_error.h"

using namespace lacuna;

namespace {

using Found = std::map<std::string, ProfileMember>;

Found learn(DeepGuest& guest, unsigned looks = DeepLearning::looks_wanted,
            const std::function<void(unsigned)>& between = {})
{
    DeepLearning learning(shipped_solver(), guest.profile(), guest.anchors());
    AddressSpace memory = guest.memory.space();
    for (unsigned i = 0; i < looks; i++) {
        learning.look(memory);
        if (between)
            between(i);
    }
    Found found;
    for (ProfileMember& member : learning.members())
        found.emplace(member.qualified(), std::move(member));
    return found;
}

// Nothing that is said may be wrong, whatever else it is.
void expect_nothing_wrong(const DeepGuest& guest, const Found& found)
{
    for (const auto& [name, member] : found) {
        if (!member.usable() || member.structure != "task_struct")
            continue;
        const auto truth = static_cast<std::int32_t>(guest.at.at(member.name));
        if (member.resolved())
            EXPECT_EQ(member.offset, truth) << name;
        else
            EXPECT_NE(std::find(member.candidates.begin(), member.candidates.end(), truth),
                      member.candidates.end())
                << name;
    }
}

} // namespace

class Layouts : public testing::TestWithParam<unsigned> {};
INSTANTIATE_TEST_SUITE_P(Drawn, Layouts, testing::Range(1u, 4u));

TEST_P(Layouts, AreFound)
{
    DeepGuest guest(GetParam());
    const Found found = learn(guest, 2);
    for (const char* name : {"active_mm", "tgid", "group_leader", "signal", "stack", "flags", "thread_node"})
        EXPECT_EQ(found.at(std::string("task_struct.") + name).state, LACUNA_RESOLVED) << name;
    // nobody traces, nobody acts for another
    for (const char* name : {"real_parent", "parent", "cred", "real_cred"})
        EXPECT_EQ(found.at(std::string("task_struct.") + name).state, LACUNA_TIED) << name;
    EXPECT_EQ(found.at("signal_struct.thread_head").offset, static_cast<std::int32_t>(guest.thread_head));
    expect_nothing_wrong(guest, found);
}

TEST_P(Layouts, OneOddInstanceRulesNothingOut)
{
    DeepGuest guest(GetParam());
    guest.set(guest.tasks[30], "active_mm", std::uint64_t{0}); // fits nothing: teaches nothing
    guest.set(guest.tasks[31], "parent",
              guest.tasks[1].address + 8); // speaks against one of two: as if it had been torn
    const Found found = learn(guest, 2);
    EXPECT_EQ(found.at("task_struct.active_mm").state, LACUNA_RESOLVED);
    EXPECT_EQ(found.at("task_struct.real_parent").state, LACUNA_AMBIGUOUS);
    EXPECT_EQ(found.at("task_struct.parent").state, LACUNA_AMBIGUOUS);
    expect_nothing_wrong(guest, found);
}

TEST(DeepLearning, WithoutThreadsTgidStaysOpen)
{
    DeepGuest guest(7);
    guest.threads.clear();
    guest.link();
    const Found found = learn(guest, 2);
    for (const char* name : {"tgid", "group_leader", "thread_node", "signal"})
        EXPECT_FALSE(found.at(std::string("task_struct.") + name).usable()) << name;
    EXPECT_TRUE(found.at("task_struct.active_mm").resolved());
    expect_nothing_wrong(guest, found);
}

TEST(DeepLearning, OneTracedProcessIsNoReasonToGuess)
{
    DeepGuest guest(8);
    guest.set(guest.tasks[30], "parent", guest.tasks[31].address);
    const Found found = learn(guest, 2);
    EXPECT_FALSE(found.at("task_struct.parent").usable());
    EXPECT_FALSE(found.at("task_struct.real_parent").usable());
}

TEST(DeepLearning, OneLookIsNotEnough)
{
    DeepGuest guest(9);
    for (const auto& [name, member] : learn(guest, 1))
        EXPECT_FALSE(member.usable()) << name;
}

TEST(DeepLearning, LooksThatDoNotAgreeSettleNothing)
{
    DeepGuest guest(10);
    const Found found = learn(guest, 3, [&](unsigned look) {
        if (look == 1) // another structure than before, as after a kexec
            for (const auto& tasks : {guest.tasks, guest.threads})
                for (const DeepGuest::Task& task : tasks) {
                    const std::uint64_t stack = task.stack;
                    guest.set(task, "stack", std::uint64_t{0});
                    guest.memory.put(task.address + 0x2f00, stack);
                }
    });
    EXPECT_FALSE(found.at("task_struct.stack").usable());
}

TEST(DeepLearning, WhatFitsInTooManyWaysStaysOpen)
{
    DeepGuest guest(12);
    const std::uint64_t array = guest.allocate(0x200), bitmap = guest.allocate(8), table = guest.allocate(64);
    for (unsigned i = 0; i < 3; i++) // open files
        guest.memory.put(array + 8 * i, guest.allocate(0x100));
    guest.memory.put(bitmap, std::uint64_t{7});
    for (unsigned i = 0; i < 3; i++) {
        guest.memory.put(table + 8 * i, array);
        guest.memory.put(table + 24 + 8 * i, bitmap);
    }
    for (unsigned i = 48; i < 64; i += 4)
        guest.memory.put(table + i, std::uint32_t{64});
    for (const auto* tasks : {&guest.tasks, &guest.threads})
        for (const DeepGuest::Task& task : *tasks) {
            const std::uint64_t files = guest.allocate(0x100);
            for (unsigned i = 0; i < 0x100; i += 8)
                guest.memory.put(files + i, table);
            for (unsigned i = 0; task.mm && i < 0x800; i += 8)
                guest.memory.put(task.address + 0x2000 + i, files);
        }
    const Found found = learn(guest, 2);
    EXPECT_FALSE(found.at("task_struct.files").usable());
    EXPECT_TRUE(found.at("task_struct.active_mm").resolved());
    expect_nothing_wrong(guest, found);
}

TEST(DeepLearning, WhatIsKnownAlreadyIsNotAskedForWithoutEndEither)
{
    DeepGuest guest(13);
    AddressSpace memory = guest.memory.space();
    const auto steps = [&](const std::function<void(Look&)>& step) {
        Look look(memory, guest.anchors(), std::chrono::steady_clock::now() + std::chrono::milliseconds(20));
        for (unsigned i = 0; i < 10'000'000; i++)
            step(look);
    };
    EXPECT_ERROR(steps([&](Look& look) { look.word(guest.init_task); }), "takes too long");
    EXPECT_ERROR(steps([&](Look& look) { look.leads_somewhere(guest.init_task); }), "takes too long");
}

TEST(DeepLearning, ListsWithoutEndEnd)
{
    DeepGuest guest(11);
    const auto node = [&](std::size_t i, const char* list) {
        return guest.tasks[i].address + guest.at.at(list);
    };
    guest.memory.put(node(25, "thread_node"), node(25, "thread_node") + 8);
    guest.memory.put(node(26, "real_parent"), guest.tasks[27].address); // each other's parents
    guest.memory.put(node(27, "real_parent"), guest.tasks[26].address);
    expect_nothing_wrong(guest, learn(guest, 2));

    guest.memory.put(node(30, "tasks"), node(20, "tasks")); // a ring that leaves out its head
    for (const auto& [name, member] : learn(guest, 2))
        EXPECT_FALSE(member.usable()) << name;
}

TEST(DeepLearning, GivesUpInTime)
{
    DeepGuest guest(12);
    AddressSpace memory = guest.memory.space();
    Look look(memory, guest.anchors(), std::chrono::steady_clock::now());
    EXPECT_ERROR(
        shipped_solver().solve(look, {{"task_struct.tasks", static_cast<std::int32_t>(guest.at.at("tasks"))}}),
        "takes too long");
}

TEST(DeepLearning, BreathesWhileItLooks)
{
    DeepGuest guest(13);
    DeepLearning learning(shipped_solver(), guest.profile(), guest.anchors());
    AddressSpace memory = guest.memory.space();
    unsigned breaths = 0;
    guest.memory.before_read = [](unsigned) { usleep(100); };
    learning.look(memory, [&] { breaths++; });
    EXPECT_GT(breaths, 1u);
}

TEST(DeepLearning, NeedsTheCoreMembers)
{
    DeepGuest guest(14);
    Profile profile = guest.profile();
    profile.members.erase(profile.members.begin() + 1);
    EXPECT_ERROR(DeepLearning(shipped_solver(), profile, guest.anchors()),
                 "the offset of task_struct.pid is not in the profile");
    profile = guest.profile();
    profile.architecture = "i386";
    EXPECT_ERROR(DeepLearning(shipped_solver(), profile, guest.anchors()), "64-bit kernels only");
}
