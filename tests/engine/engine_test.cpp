// SPDX-License-Identifier: GPL-2.0-or-later
// The engine with the constraints that are shipped, over made-up guests whose layout the test chose.
#include <gtest/gtest.h>

#include <memory>

#include "abi_names.h"
#include "constraint_set.h"
#include "synthetic_guest.h"

namespace lacuna::test {
namespace {

class Hunt {
public:
    explicit Hunt(SyntheticGuest& guest) : Hunt(guest, guest.facts()) {}

    Hunt(SyntheticGuest& guest, const lac_facts& facts) : Hunt(guest, facts, load_constraints(LACUNA_CONSTRAINTS)) {}

    Hunt(SyntheticGuest& guest, const lac_facts& facts, const lacuna_constraints& set)
        : guest_(guest), set_(set), engine_(lac_engine_create(&set_), lac_engine_destroy)
    {
        lac_engine_start(engine_.get(), &facts);
    }

    lac_used event(const lac_event& event)
    {
        const lac_memory memory = guest_.memory.for_engine();
        return lac_engine_event(engine_.get(), &event, &memory);
    }

    lacuna_member_report report(const std::string& member) const
    {
        lacuna_member_report report{};
        for (std::uint32_t i = 0; i < set_.members_nr; i++)
            if (qualified_name(set_, i) == member)
                lac_engine_report(engine_.get(), i, &report);
        return report;
    }

    std::vector<std::int32_t> candidates(const std::string& member) const
    {
        const auto r = report(member);
        return {r.candidates, r.candidates + std::min<std::uint32_t>(r.remaining, LACUNA_LISTED_CANDIDATES)};
    }

    lac_engine* engine() const { return engine_.get(); }

private:
    SyntheticGuest& guest_;
    lacuna_constraints set_;
    std::unique_ptr<lac_engine, void (*)(lac_engine*)> engine_;
};

// What happens in every boot before user space: init_task forks twice, kthreadd makes kernel threads.
struct Boot {
    SyntheticGuest::Task init, kthreadd;
    std::vector<SyntheticGuest::Task> threads;
};

Boot boot_kernel(SyntheticGuest& guest, Hunt& hunt)
{
    Boot boot;
    hunt.event(guest.fork_event(guest.init_task()));
    boot.init = guest.spawn_kernel_thread("swapper/0");
    hunt.event(guest.fork_event(guest.init_task()));
    boot.kthreadd = guest.spawn_kernel_thread("kthreadd");
    guest.set_comm(boot.init, "init");
    for (int i = 0; i < 30; i++) {
        hunt.event(guest.fork_event(boot.kthreadd));
        boot.threads.push_back(guest.spawn_kernel_thread("kworker/" + std::to_string(i)));
    }
    hunt.event(guest.fork_event(boot.init));
    return boot;
}

// Of which nothing is known but their page tables: their words are others than the kernel's.
void run_compat_processes(SyntheticGuest& guest, Hunt& hunt)
{
    for (int i = 0; i < 12; i++) {
        const auto process = guest.spawn_process("compat");
        guest.make_compat(process);
        hunt.event(guest.fork_event(process));
        if (i % 3)
            continue;
        hunt.event(guest.exit_event(process));
        guest.exit(process);
    }
}

void run_processes(SyntheticGuest& guest, Hunt& hunt, bool threads)
{
    guest.start_first();
    for (int i = 0; i < 12; i++) {
        const auto process = guest.spawn_process("proc" + std::to_string(i));
        hunt.event(guest.fork_event(process));
        if (threads && i % 3 == 0) {
            const auto thread = guest.spawn_thread(process, "worker");
            hunt.event(guest.fork_event(thread));
            hunt.event(guest.exit_event(thread));
            guest.exit(thread);
        }
        if (i % 2) {
            hunt.event(guest.exit_event(process));
            guest.exit(process);
        }
    }
}

lac_event look()
{
    return {.on = LACUNA_ON_LOOK, .paging = LACUNA_PAGING_4LEVEL, .subject = 0, .cr3 = 0};
}

void look_as_long_as_wanted(Hunt& hunt)
{
    for (int i = 0; i < 40 && lac_engine_wants_looks(hunt.engine()); i++)
        hunt.event(look());
}

void load_modules(SyntheticGuest& guest, Hunt& hunt, int number)
{
    for (int i = 0; i < number; i++) {
        EXPECT_EQ(hunt.event(guest.load_module("module_" + std::to_string(i))), LAC_USED);
        guest.finish_module();
    }
}

void expect_resolved(const Hunt& hunt, const std::string& member, std::int32_t offset)
{
    const auto report = hunt.report(member);
    EXPECT_EQ(report.state, LACUNA_RESOLVED) << member << ": " << report.remaining << " candidates left";
    EXPECT_EQ(report.candidates[0], offset) << member << ", then " << report.candidates[1];
}

void expect_all_resolved(const Hunt& hunt, const Layout& layout)
{
    expect_resolved(hunt, "task_struct.comm", layout.comm);
    expect_resolved(hunt, "task_struct.tasks", layout.tasks);
    expect_resolved(hunt, "task_struct.pid", layout.pid);
    expect_resolved(hunt, "task_struct.mm", layout.mm);
    expect_resolved(hunt, "mm_struct.pgd", layout.pgd);
    expect_resolved(hunt, "mm_struct.start_code", layout.start_code);
    expect_resolved(hunt, "mm_struct.end_code", layout.end_code);
    expect_resolved(hunt, "module.name", layout.name);
    expect_resolved(hunt, "module.module_core", layout.core);
    expect_resolved(hunt, "module.core_text_size", layout.size);
}

void run_all(SyntheticGuest& guest, Hunt& hunt)
{
    boot_kernel(guest, hunt);
    run_processes(guest, hunt, true);
    load_modules(guest, hunt, 6);
}

TEST(Engine, AsManyMembersAsASetMayHave)
{
    lacuna_constraints set = load_constraints(LACUNA_CONSTRAINTS);
    for (std::uint32_t i = 0; set.members_nr < LACUNA_MAX_MEMBERS; i++) {
        auto& more = set.members[set.members_nr++] = set.members[i];
        std::snprintf(more.name, sizeof(more.name), "more%u", i);
    }
    ASSERT_EQ(lac_constraints_check(&set), 0);
    SyntheticGuest guest(Layout::ordinary());
    Hunt hunt(guest, guest.facts(), set);
    run_all(guest, hunt);
    expect_all_resolved(hunt, guest.layout);
}

// A table of all modules is read with a window of one page: what lies further off is not seen there.
TEST(Engine, AsLargeModulesAsASetMayHave)
{
    lacuna_constraints set = load_constraints(LACUNA_CONSTRAINTS);
    for (std::uint32_t i = 0; i < set.structures_nr; i++)
        if (std::string(set.structures[i].name) == "module") {
            set.structures[i].low = -2048;
            set.structures[i].high = LACUNA_MAX_WINDOW - 2048;
        }
    ASSERT_EQ(lac_constraints_check(&set), 0);
    Layout layout = Layout::ordinary();
    layout.core += 8192;
    layout.size += 8192;
    SyntheticGuest guest(layout);
    Hunt hunt(guest, guest.facts(), set);
    run_all(guest, hunt);
    for (const auto& [member, offset] : {std::pair("module.name", layout.name), std::pair("module.module_core", layout.core),
                                         std::pair("module.core_text_size", layout.size)}) {
        const auto report = hunt.report(member);
        if (report.state == LACUNA_RESOLVED)
            EXPECT_EQ(report.candidates[0], offset) << member;
    }
    expect_resolved(hunt, "task_struct.pid", layout.pid);
}

TEST(Engine, FindsAllMembersOfAnOrdinaryKernel)
{
    SyntheticGuest guest(Layout::ordinary());
    Hunt hunt(guest);
    EXPECT_FALSE(lac_engine_settled(hunt.engine(), false));
    run_all(guest, hunt);
    expect_all_resolved(hunt, guest.layout);
    EXPECT_TRUE(lac_engine_settled(hunt.engine(), false));
    EXPECT_TRUE(lac_engine_settled(hunt.engine(), true));
}

TEST(Engine, FindsAllMembersUnderFiveLevelPaging)
{
    SyntheticGuest guest(Layout::ordinary(), LACUNA_PAGING_5LEVEL);
    Hunt hunt(guest);
    run_all(guest, hunt);
    expect_all_resolved(hunt, guest.layout);
}

class I386 : public testing::TestWithParam<lacuna_paging> {};

TEST_P(I386, AllMembersAreFound)
{
    SyntheticGuest guest(Layout::ordinary_i386(), GetParam());
    Hunt hunt(guest);
    run_all(guest, hunt);
    expect_all_resolved(hunt, guest.layout);
}

TEST_P(I386, InAnyOrder)
{
    for (const std::uint32_t seed : {1u, 2u, 3u}) {
        SyntheticGuest guest(Layout::random(seed), GetParam());
        Hunt hunt(guest);
        run_all(guest, hunt);
        expect_all_resolved(hunt, guest.layout);
    }
}

TEST_P(I386, TheRootIsThatOfTheFirstTask)
{
    SyntheticGuest guest(Layout::ordinary_i386(), GetParam());
    Hunt hunt(guest);
    EXPECT_EQ(lac_engine_root(hunt.engine()), 0u);
    hunt.event(guest.fork_event(guest.init_task()));
    EXPECT_EQ(lac_engine_root(hunt.engine()), guest.fork_event(guest.init_task()).cr3);
    hunt.event(guest.fork_event(guest.spawn_process("init")));
    EXPECT_EQ(lac_engine_root(hunt.engine()), guest.fork_event(guest.init_task()).cr3);
}

TEST_P(I386, AnEventOfA64BitGuestIsNone)
{
    SyntheticGuest guest(Layout::ordinary_i386(), GetParam());
    Hunt hunt(guest);
    auto event = guest.fork_event(guest.init_task());
    event.paging = LACUNA_PAGING_4LEVEL;
    EXPECT_EQ(hunt.event(event), LAC_NO_INSTANCE);
}

INSTANTIATE_TEST_SUITE_P(Pagings, I386, testing::Values(LACUNA_PAGING_PAE, LACUNA_PAGING_32BIT),
    [](const auto& p) { return p.param == LACUNA_PAGING_PAE ? "PAE" : "TwoLevels"; });

class RandomLayout : public testing::TestWithParam<std::uint32_t> {};

TEST_P(RandomLayout, IsFound)
{
    SyntheticGuest guest(Layout::random(GetParam()));
    Hunt hunt(guest);
    run_all(guest, hunt);
    expect_all_resolved(hunt, guest.layout);
}

INSTANTIATE_TEST_SUITE_P(Seeds, RandomLayout, testing::Range(1u, 21u));

// Without NX, what is only read looks like text, and its size is near: only the notes in between tell them apart.
TEST(Engine, WithoutNxOrNotesTheSizeOfTextIsNotGuessed)
{
    SyntheticGuest guest(Layout::ordinary_i386(), LACUNA_PAGING_32BIT);
    guest.module_notes = false;
    Hunt hunt(guest);
    run_all(guest, hunt);
    expect_resolved(hunt, "module.module_core", guest.layout.core);
    EXPECT_EQ(hunt.report("module.core_text_size").state, LACUNA_OPEN);
}

TEST(Engine, ModulesThatAreWritableAndExecutableThroughoutHaveNoProvenSize)
{
    for (const auto paging : {LACUNA_PAGING_4LEVEL, LACUNA_PAGING_32BIT}) {
        SyntheticGuest guest(paging == LACUNA_PAGING_4LEVEL ? Layout::ordinary() : Layout::ordinary_i386(), paging);
        guest.strict_modules = false;
        Hunt hunt(guest);
        run_all(guest, hunt);
        expect_resolved(hunt, "module.name", guest.layout.name);
        EXPECT_EQ(hunt.report("module.core_text_size").state, LACUNA_OPEN);
        if (hunt.report("module.module_core").state == LACUNA_RESOLVED) {
            expect_resolved(hunt, "module.module_core", guest.layout.core);
        }
    }
}

// As thunks against a processor's flaws do, where modules share large executable pages: what is read from then on is too much,
// and happens to be what another member says.
TEST(Engine, WhatIsExecutableBehindAModuleIsNotTakenForItsText)
{
    SyntheticGuest guest(Layout::ordinary());
    Hunt hunt(guest);
    boot_kernel(guest, hunt);
    run_processes(guest, hunt, true);
    guest.trampolines = true;
    load_modules(guest, hunt, 12);
    EXPECT_EQ(hunt.report("module.core_text_size").state, LACUNA_OPEN);
    guest.trampolines = false;
    load_modules(guest, hunt, 12);
    expect_resolved(hunt, "module.core_text_size", guest.layout.size);
}

TEST(Engine, The32BitProgramsOfA64BitGuestTeachNothingOfCode)
{
    SyntheticGuest guest(Layout::ordinary());
    Hunt hunt(guest);
    boot_kernel(guest, hunt);
    run_compat_processes(guest, hunt);
    expect_resolved(hunt, "mm_struct.pgd", guest.layout.pgd);
    EXPECT_EQ(hunt.report("mm_struct.start_code").eliminated, 0u);
    EXPECT_EQ(hunt.report("mm_struct.end_code").eliminated, 0u);
    run_processes(guest, hunt, true);
    load_modules(guest, hunt, 6);
    expect_all_resolved(hunt, guest.layout);
}

// A kernel for one CPU (no CONFIG_SMP) calls it so; its name in the image is never changed.
TEST(Engine, TheFirstTaskOfAKernelForOneCpu)
{
    SyntheticGuest guest(Layout::ordinary());
    guest.set_comm(guest.init_task(), "swapper");
    Hunt hunt(guest);
    run_all(guest, hunt);
    expect_all_resolved(hunt, guest.layout);
}

// Nothing that a program can write says which number is its own: neither to a thread nor to what else tasks are counted by (tid).
TEST(Engine, NumbersThatProgramsTellAreNotBelieved)
{
    SyntheticGuest guest(Layout::ordinary());
    Hunt hunt(guest);
    boot_kernel(guest, hunt);
    for (int i = 0; i < 16; i++) {
        const auto liar = guest.spawn_process("liar");
        const auto tid = guest.to_gpa(liar.address + static_cast<std::uint64_t>(guest.layout.tid));
        guest.say_number(liar, guest.memory.get<std::int32_t>(tid));
        hunt.event(guest.fork_event(liar));
    }
    EXPECT_EQ(hunt.report("task_struct.pid").state, LACUNA_TIED);
    EXPECT_EQ(hunt.candidates("task_struct.pid"), (std::vector{guest.layout.pid, guest.layout.tgid}));
    for (int i = 0; i < 8; i++) {
        const auto leader = guest.spawn_process("liar"); // its own forks are not seen
        const auto thread = guest.spawn_thread(leader, "thread");
        const auto tgid = guest.to_gpa(leader.address + static_cast<std::uint64_t>(guest.layout.tgid));
        guest.say_number(thread, guest.memory.get<std::int32_t>(tgid));
        hunt.event(guest.fork_event(thread));
    }
    expect_resolved(hunt, "task_struct.pid", guest.layout.pid);
}

// As the payload of a microVM might, which may be all that runs there beside process 1.
class Liars : public testing::TestWithParam<bool> {
protected:
    Liars()
    {
        const Boot boot = boot_kernel(guest, hunt);
        init = boot.init;
        run_compat_processes(guest, hunt); // mm is known when it begins
    }

    // Each of a program of its own: in its headers, or in what the kernel keeps of it.
    void lie(int times)
    {
        for (int i = 0; i < times; i++) {
            const auto liar = guest.spawn_process("liar" + std::to_string(i));
            GetParam() ? guest.call_data_code(liar) : guest.swap_code(liar);
            hunt.event(guest.fork_event(liar));
        }
    }

    void expect_truth()
    {
        expect_resolved(hunt, "mm_struct.start_code", guest.layout.start_code);
        expect_resolved(hunt, "mm_struct.end_code", guest.layout.end_code);
    }

    SyntheticGuest guest{Layout::ordinary()};
    Hunt hunt{guest};
    SyntheticGuest::Task init;
};

TEST_P(Liars, AreNotHeardBeforeProcess1)
{
    lie(24);
    for (const char* member : {"mm_struct.start_code", "mm_struct.end_code"}) {
        EXPECT_EQ(hunt.report(member).state, LACUNA_OPEN) << member;
        EXPECT_EQ(hunt.report(member).eliminated, 0u) << member;
    }
    const auto first = guest.exec(init);
    for (int i = 0; i < 8; i++)
        hunt.event(guest.fork_event(first));
    run_processes(guest, hunt, false);
    expect_truth();
}

TEST_P(Liars, StrikeNothingThatProcess1SpeaksFor)
{
    guest.exec(init); // which never forks
    for (const int honest : {0, 1, 1, 2}) {
        for (int i = 0; i < honest; i++)
            hunt.event(guest.fork_event(guest.spawn_process("honest")));
        lie(6);
        for (const auto& [member, offset] : {std::pair{"mm_struct.start_code", guest.layout.start_code},
                                             {"mm_struct.end_code", guest.layout.end_code}}) {
            const auto report = hunt.report(member);
            EXPECT_TRUE(report.state == LACUNA_OPEN || report.candidates[0] == offset) << member;
            EXPECT_NE(report.state, LACUNA_CONTRADICTED) << member;
        }
    }
    run_processes(guest, hunt, false);
    expect_truth();
    lie(40);
    expect_truth();
}

INSTANTIATE_TEST_SUITE_P(Ways, Liars, testing::Bool(), [](const auto& p) { return p.param ? "Headers" : "Kernel"; });

// As it looks where page tables lead to themselves: of each word the lower half is no number of a task, the upper half one that is free.
TEST(Engine, WhatIsNoTaskStrikesNothing)
{
    SyntheticGuest guest(Layout::ordinary());
    Hunt hunt(guest);
    boot_kernel(guest, hunt);
    run_processes(guest, hunt, false);
    ASSERT_EQ(hunt.report("task_struct.tasks").state, LACUNA_RESOLVED);
    ASSERT_EQ(hunt.report("task_struct.pid").remaining, 2u); // pid and tgid
    const auto number = hunt.report("task_struct.pid").eliminated;
    auto event = guest.fork_event(guest.spawn_process("liar"));
    for (int i = 0; i < 8; i++) {
        event.subject = guest.where.linear_map + guest.memory.allocate_page();
        for (std::uint64_t at = 0; at < 4 * 4096; at += 8)
            guest.memory.put<std::uint64_t>(guest.linear_to_gpa(event.subject) + at, static_cast<std::uint64_t>(i) << 40 | 0x12345063);
        for (int page = 0; page < 3; page++)
            guest.memory.allocate_page();
        EXPECT_EQ(hunt.event(event), LAC_NO_INSTANCE);
    }
    EXPECT_EQ(hunt.report("task_struct.pid").eliminated, number);
    run_processes(guest, hunt, true);
    expect_resolved(hunt, "task_struct.pid", guest.layout.pid);
}

TEST(Engine, KnowsWhenTheKernelAloneTeachesNothingMore)
{
    SyntheticGuest guest(Layout::ordinary());
    Hunt hunt(guest);
    hunt.event(guest.fork_event(guest.init_task()));
    EXPECT_FALSE(lac_engine_waits_for_user_space(hunt.engine()));
    boot_kernel(guest, hunt);
    EXPECT_TRUE(lac_engine_waits_for_user_space(hunt.engine()));
    hunt.event(guest.fork_event(guest.spawn_process("init")));
    EXPECT_FALSE(lac_engine_waits_for_user_space(hunt.engine()));
}

// For each guest that is hunted the module keeps one engine.
TEST(Engine, TakesLittleMemory)
{
    const auto set = load_constraints(LACUNA_CONSTRAINTS);
    EXPECT_LE(lac_engine_size(&set), 120u * 1024); // and 8 KiB for all else
}

TEST(Engine, SaysNothingBeforeItHasSeenEnough)
{
    SyntheticGuest guest(Layout::ordinary());
    Hunt hunt(guest);
    hunt.event(guest.fork_event(guest.init_task()));
    for (const char* member : {"task_struct.comm", "task_struct.tasks", "task_struct.pid", "task_struct.mm", "mm_struct.pgd",
             "module.name"})
        EXPECT_EQ(hunt.report(member).state, LACUNA_OPEN) << member;
}

TEST(Engine, PidAndTgidAreTiedUntilAThreadIsSeen)
{
    SyntheticGuest guest(Layout::ordinary());
    Hunt hunt(guest);
    boot_kernel(guest, hunt);
    run_processes(guest, hunt, false);
    EXPECT_EQ(hunt.report("task_struct.pid").state, LACUNA_TIED);
    EXPECT_EQ(hunt.candidates("task_struct.pid"), (std::vector{guest.layout.pid, guest.layout.tgid}));
    EXPECT_TRUE(lac_engine_settled(hunt.engine(), false));
    EXPECT_TRUE(lac_engine_wants_looks(hunt.engine()));
    run_processes(guest, hunt, true);
    expect_resolved(hunt, "task_struct.pid", guest.layout.pid);
}

// As in an ordinary boot, whose threads neither fork nor end.
TEST(Engine, AThreadIsSeenWhereItHangsOnItsLeader)
{
    for (const bool head : {false, true}) {
        SyntheticGuest guest(Layout::ordinary());
        guest.threads_have_a_head = head;
        Hunt hunt(guest);
        boot_kernel(guest, hunt);
        run_processes(guest, hunt, false);
        ASSERT_EQ(hunt.report("task_struct.pid").state, LACUNA_TIED);
        const auto server = guest.spawn_process("server");
        guest.spawn_thread(server, "worker");
        run_processes(guest, hunt, false);
        expect_resolved(hunt, "task_struct.pid", guest.layout.pid);
    }
}

TEST(Engine, LookingIsEnoughToTellPidFromTgid)
{
    SyntheticGuest guest(Layout::ordinary());
    Hunt hunt(guest);
    boot_kernel(guest, hunt);
    run_processes(guest, hunt, false);
    for (int i = 0; i < 20; i++)
        hunt.event(look());
    EXPECT_EQ(hunt.report("task_struct.pid").state, LACUNA_TIED);
    const auto server = guest.spawn_process("server");
    guest.spawn_thread(server, "worker");
    for (int i = 0; i < 20; i++)
        hunt.event(look());
    expect_resolved(hunt, "task_struct.pid", guest.layout.pid);
}

TEST(Engine, KnowsWhenExitsTeachNothingMore)
{
    SyntheticGuest guest(Layout::ordinary());
    Hunt hunt(guest);
    EXPECT_TRUE(lac_engine_wants_exits(hunt.engine()));
    boot_kernel(guest, hunt);
    EXPECT_TRUE(lac_engine_wants_exits(hunt.engine())); // of mm
    run_processes(guest, hunt, false);
    ASSERT_EQ(hunt.report("task_struct.pid").state, LACUNA_TIED);
    EXPECT_FALSE(lac_engine_wants_exits(hunt.engine()));
    const auto odd = guest.spawn_process("odd");
    guest.memory.put<std::int32_t>(guest.to_gpa(odd.address + static_cast<std::uint64_t>(guest.layout.tgid)), 77777);
    hunt.event(guest.fork_event(odd));
    EXPECT_TRUE(lac_engine_wants_exits(hunt.engine()));
}

// They are no tie any more then, and forks may be over: the threads are still there to be seen.
TEST(Engine, LookingIsEnoughWherePidAndTgidHaveDifferedOnce)
{
    SyntheticGuest guest(Layout::ordinary());
    Hunt hunt(guest);
    boot_kernel(guest, hunt);
    run_processes(guest, hunt, false);
    load_modules(guest, hunt, 8);
    ASSERT_TRUE(lac_engine_settled(hunt.engine(), false) && lac_engine_settled(hunt.engine(), true));
    const auto odd = guest.spawn_process("odd");
    guest.memory.put<std::int32_t>(guest.to_gpa(odd.address + static_cast<std::uint64_t>(guest.layout.tgid)), 77777);
    hunt.event(guest.fork_event(odd));
    ASSERT_EQ(hunt.report("task_struct.pid").state, LACUNA_OPEN);
    ASSERT_TRUE(lac_engine_wants_looks(hunt.engine()));
    const auto server = guest.spawn_process("server");
    guest.spawn_thread(server, "worker");
    look_as_long_as_wanted(hunt);
    expect_resolved(hunt, "task_struct.pid", guest.layout.pid);
}

// As seen in a boot of 7.3: threads had told tgid from pid before anything told tid from it.
TEST(Engine, WhatElseTasksAreCountedByIsToldFromPidWithoutTgid)
{
    SyntheticGuest guest(Layout::ordinary());
    guest.tids_are_pids = true;
    Hunt hunt(guest);
    boot_kernel(guest, hunt);
    run_processes(guest, hunt, true);
    load_modules(guest, hunt, 8);
    ASSERT_EQ(hunt.candidates("task_struct.pid"), (std::vector{guest.layout.tid, guest.layout.pid}));
    guest.tids_are_pids = false;
    hunt.event(guest.fork_event(guest.spawn_process("later")));
    look_as_long_as_wanted(hunt);
    expect_resolved(hunt, "task_struct.pid", guest.layout.pid);
}

// Equal in every instance but one: that is no tie.
TEST(Engine, WhatHasDifferedOnceIsNotTied)
{
    SyntheticGuest guest(Layout::ordinary());
    Hunt hunt(guest);
    boot_kernel(guest, hunt);
    run_processes(guest, hunt, false);
    const auto odd = guest.spawn_process("odd");
    guest.memory.put<std::int32_t>(guest.to_gpa(odd.address + static_cast<std::uint64_t>(guest.layout.tgid)), 77777);
    hunt.event(guest.fork_event(odd));
    guest.exit(odd);
    run_processes(guest, hunt, false);
    EXPECT_EQ(hunt.report("task_struct.pid").state, LACUNA_OPEN);
    EXPECT_EQ(hunt.candidates("task_struct.pid"), (std::vector{guest.layout.pid, guest.layout.tgid}));
}

TEST(Engine, NamesInUtf8StopNothing)
{
    SyntheticGuest guest(Layout::ordinary());
    Hunt hunt(guest);
    const auto early = guest.spawn_kernel_thread("swapper/0");
    const auto kthreadd = guest.spawn_kernel_thread("kthreadd");
    hunt.event(guest.fork_event(guest.init_task()));
    hunt.event(guest.fork_event(guest.init_task()));
    guest.set_comm(early, "init");
    for (int i = 0; i < 8; i++)
        guest.spawn_kernel_thread("kworker/" + std::to_string(i));
    guest.spawn_process("\xc3\xbc" "berwachung-\xc3"); // and one that the kernel has cut in the middle of a character
    for (int i = 0; i < 8; i++)
        hunt.event(guest.fork_event(kthreadd));
    for (int i = 0; i < 3; i++)
        run_processes(guest, hunt, true);
    const auto script = guest.spawn_process("\xd0\xb6\xd1\x83\xd0\xba");
    for (int i = 0; i < 40; i++)
        hunt.event(guest.fork_event(script));
    load_modules(guest, hunt, 6);
    expect_all_resolved(hunt, guest.layout);
}

TEST(Engine, TasksThatNameThemselvesInBytesContradictNothing)
{
    SyntheticGuest guest(Layout::ordinary());
    Hunt hunt(guest);
    boot_kernel(guest, hunt);
    run_processes(guest, hunt, false);
    const auto script = guest.spawn_process("\x01\xff");
    for (int i = 0; i < 60; i++)
        hunt.event(guest.fork_event(script));
    guest.exit(script);
    run_all(guest, hunt);
    for (const char* member : {"task_struct.comm", "task_struct.tasks", "task_struct.pid", "task_struct.mm"})
        EXPECT_NE(hunt.report(member).state, LACUNA_CONTRADICTED) << member;
}

// What somebody else's kernel keeps of a process beyond its end is the same as mm while it lives.
TEST(Engine, TellsMmFromAPointerThatOutlivesIt)
{
    SyntheticGuest guest(Layout::ordinary());
    Hunt hunt(guest);
    boot_kernel(guest, hunt);
    std::vector<SyntheticGuest::Task> processes;
    for (int i = 0; i < 8; i++) {
        processes.push_back(guest.spawn_process("proc" + std::to_string(i)));
        hunt.event(guest.fork_event(processes.back()));
    }
    EXPECT_NE(hunt.report("task_struct.mm").state, LACUNA_RESOLVED);
    for (const auto& process : {processes[1], processes[5]}) {
        hunt.event(guest.exit_event(process));
        guest.exit(process);
    }
    hunt.event(guest.fork_event(processes[0]));
    expect_resolved(hunt, "task_struct.mm", guest.layout.mm);
}

TEST(Engine, KernelThreadsAloneSayNothingOfMm)
{
    SyntheticGuest guest(Layout::ordinary());
    Hunt hunt(guest);
    boot_kernel(guest, hunt);
    EXPECT_EQ(hunt.report("task_struct.mm").state, LACUNA_OPEN);
    EXPECT_FALSE(lac_engine_user_space(hunt.engine()));
    run_processes(guest, hunt, false);
    EXPECT_TRUE(lac_engine_user_space(hunt.engine()));
    expect_resolved(hunt, "task_struct.mm", guest.layout.mm);
}

// In a guest that ran before, init_task is not seen to fork, and with one CPU its active_mm is null while another task does.
class RunningGuest : public testing::Test {
protected:
    RunningGuest()
    {
        guest.spawn_process("init");
        kthreadd = guest.spawn_kernel_thread("kthreadd");
        for (int i = 0; i < 3; i++)
            workers.push_back(guest.spawn_kernel_thread("kworker/" + std::to_string(i)));
        guest.switch_out(guest.init_task());
    }

    SyntheticGuest guest{Layout::ordinary()};
    SyntheticGuest::Task kthreadd;
    std::vector<SyntheticGuest::Task> workers;
};

TEST_F(RunningGuest, ABorrowedAddressSpaceIsNotTakenForMm)
{
    Hunt hunt(guest);
    for (int i = 0; i < 10; i++) {
        hunt.event(guest.fork_event(kthreadd));
        for (const auto& worker : workers)
            hunt.event(guest.fork_event(worker));
    }
    EXPECT_EQ(hunt.report("task_struct.mm").state, LACUNA_OPEN);
    EXPECT_EQ(hunt.report("task_struct.mm").witnesses, 0u);
    run_processes(guest, hunt, true);
    expect_resolved(hunt, "task_struct.mm", guest.layout.mm);
}

// The kernel's own page tables have not been seen; process 1 never forks.
TEST_F(RunningGuest, Process1IsAskedAtTheForksOfOthers)
{
    Hunt hunt(guest);
    for (int i = 0; i < 10; i++)
        hunt.event(guest.fork_event(kthreadd));
    run_processes(guest, hunt, true);
    ASSERT_EQ(lac_engine_root(hunt.engine()), 0u);
    expect_resolved(hunt, "mm_struct.pgd", guest.layout.pgd);
    expect_resolved(hunt, "mm_struct.start_code", guest.layout.start_code);
    expect_resolved(hunt, "mm_struct.end_code", guest.layout.end_code);
}

TEST_F(RunningGuest, NothingIsSeenAtWorkBeforeAKernelThreadHadNone)
{
    Hunt hunt(guest);
    const auto process = guest.spawn_process("process");
    for (int i = 0; i < 20; i++)
        hunt.event(guest.fork_event(process));
    EXPECT_EQ(hunt.report("task_struct.mm").witnesses, 0u);
    hunt.event(guest.fork_event(kthreadd));
    hunt.event(guest.fork_event(process));
    EXPECT_EQ(hunt.report("task_struct.mm").witnesses, 1u);
}

// More than are followed: neither in a boot nor in a guest that ran before does that stop anything.
TEST(Engine, ThousandsOfProcessesStopNothing)
{
    for (const bool ran_before : {false, true}) {
        SyntheticGuest guest(Layout::ordinary());
        Hunt hunt(guest);
        const auto crowd = [&] {
            for (int i = 0; i < 1500; i++)
                guest.spawn_kernel_thread("kworker/" + std::to_string(i));
        };
        if (ran_before) {
            guest.spawn_process("init");
            const auto kthreadd = guest.spawn_kernel_thread("kthreadd");
            crowd();
            for (int i = 0; i < 12; i++) {
                hunt.event(guest.fork_event(kthreadd));
                hunt.event(guest.fork_event(guest.init_task()));
            }
        } else {
            boot_kernel(guest, hunt);
            run_processes(guest, hunt, false);
            ASSERT_EQ(hunt.report("task_struct.pid").state, LACUNA_TIED);
            crowd();
        }
        const auto server = guest.spawn_process("server");
        guest.spawn_thread(server, "worker");
        run_processes(guest, hunt, false);
        run_processes(guest, hunt, true);
        load_modules(guest, hunt, 6);
        expect_all_resolved(hunt, guest.layout);
    }
}

// Modules may be loaded before mm is known: that a process has begun must not wait for it.
TEST(Engine, KnowsOfUserSpaceAtTheFirstForkOfAProcess)
{
    SyntheticGuest guest(Layout::ordinary());
    Hunt hunt(guest);
    boot_kernel(guest, hunt);
    const auto process = guest.spawn_process("init");
    EXPECT_FALSE(lac_engine_user_space(hunt.engine()));
    hunt.event(guest.fork_event(process));
    EXPECT_TRUE(lac_engine_user_space(hunt.engine()));
    EXPECT_EQ(hunt.report("task_struct.mm").state, LACUNA_OPEN);
}

// A list caught in mid-update refutes the true offset and all others alike: nobody is struck.
TEST(Engine, SurvivesAListThatIsBrokenWhileItIsRead)
{
    SyntheticGuest guest(Layout::ordinary());
    Hunt hunt(guest);
    const Boot boot = boot_kernel(guest, hunt);
    const auto head = guest.facts().init_task + static_cast<std::uint64_t>(guest.layout.tasks);
    const auto prev = guest.to_gpa(head) + 8;
    const auto good = guest.memory.get<std::uint64_t>(prev);
    guest.memory.put<std::uint64_t>(prev, boot.init.address);
    for (int i = 0; i < 3; i++)
        hunt.event(guest.fork_event(boot.kthreadd));
    guest.memory.put<std::uint64_t>(prev, good);
    run_processes(guest, hunt, true);
    load_modules(guest, hunt, 6);
    expect_all_resolved(hunt, guest.layout);
}

TEST(Engine, SurvivesPagesThatCannotBeRead)
{
    SyntheticGuest guest(Layout::ordinary());
    Hunt hunt(guest);
    const Boot boot = boot_kernel(guest, hunt);
    for (int i = 0; i < 12; i++) {
        const auto process = guest.spawn_process("victim");
        const auto first = guest.linear_to_gpa(process.address) / 4096;
        guest.memory.broken = {first + static_cast<std::uint64_t>(i) % 3};
        hunt.event(guest.fork_event(process));
        guest.memory.broken.clear();
        hunt.event(guest.exit_event(process));
        guest.exit(process);
    }
    run_processes(guest, hunt, true);
    load_modules(guest, hunt, 6);
    expect_all_resolved(hunt, guest.layout);
}

// A task may call itself anything, also nothing printable.
TEST(Engine, SurvivesUnprintableNames)
{
    SyntheticGuest guest(Layout::ordinary());
    Hunt hunt(guest);
    boot_kernel(guest, hunt);
    for (int i = 0; i < 3; i++) {
        const auto process = guest.spawn_process("\x01\xff");
        hunt.event(guest.fork_event(process));
        hunt.event(guest.exit_event(process));
        guest.exit(process);
    }
    run_all(guest, hunt);
    EXPECT_EQ(hunt.candidates("task_struct.comm"), std::vector{guest.layout.comm});
}

// One reading that favours a wrong candidate must not kill the right one.
TEST(Engine, OneEventKillsNobody)
{
    SyntheticGuest guest(Layout::ordinary());
    Hunt hunt(guest);
    const auto before = hunt.report("task_struct.comm").remaining;
    hunt.event(guest.fork_event(guest.init_task()));
    EXPECT_EQ(hunt.report("task_struct.comm").remaining, before);
    hunt.event(guest.fork_event(guest.init_task()));
    EXPECT_EQ(hunt.report("task_struct.comm").remaining, 1u);
}

TEST(Engine, ASurvivorThatFailsIsContradictedWithAllThatRestsOnIt)
{
    SyntheticGuest guest(Layout::ordinary());
    Hunt hunt(guest);
    const Boot boot = boot_kernel(guest, hunt);
    expect_resolved(hunt, "task_struct.comm", guest.layout.comm);
    guest.set_comm(guest.init_task(), "nonsense");
    for (int i = 0; i < 40; i++)
        hunt.event(guest.fork_event(boot.kthreadd));
    EXPECT_EQ(hunt.report("task_struct.comm").state, LACUNA_CONTRADICTED);
    EXPECT_EQ(hunt.report("task_struct.tasks").state, LACUNA_CONTRADICTED);
    EXPECT_EQ(hunt.report("task_struct.pid").state, LACUNA_CONTRADICTED);
}

// Memory is used again for another task; the one that was there before must be forgotten.
TEST(Engine, ForgetsTasksThatAreGone)
{
    SyntheticGuest guest(Layout::ordinary());
    Hunt hunt(guest);
    const Boot boot = boot_kernel(guest, hunt);
    run_processes(guest, hunt, false);
    const auto process = guest.spawn_process("gone");
    hunt.event(guest.fork_event(process));
    guest.exit(process);
    lac_engine_forget(hunt.engine(), process.address);
    // the memory now holds a copy of another task: with the dead one remembered, its pid would not be unique
    std::array<std::uint8_t, 3 * 4096> bytes{};
    guest.memory.read(guest.linear_to_gpa(boot.kthreadd.address), bytes.data(), bytes.size());
    guest.memory.write(guest.linear_to_gpa(process.address), bytes.data(), bytes.size());
    for (int i = 0; i < 6; i++)
        hunt.event(guest.fork_event(boot.kthreadd));
    run_processes(guest, hunt, true);
    expect_resolved(hunt, "task_struct.pid", guest.layout.pid);
}

TEST(Engine, IgnoresInitcallsOfTheKernelItself)
{
    SyntheticGuest guest(Layout::ordinary());
    Hunt hunt(guest);
    auto event = guest.load_module("dummy");
    event.subject = guest.facts().text + 0x1000;
    EXPECT_EQ(hunt.event(event), LAC_BUILTIN);
}

TEST(Engine, AModuleTeachesOnceItHasBeenInitialised)
{
    SyntheticGuest guest(Layout::ordinary());
    Hunt hunt(guest);
    const auto event = guest.load_module("module");
    for (int i = 0; i < 8; i++)
        EXPECT_EQ(hunt.event(event), LAC_USED);
    EXPECT_EQ(hunt.report("module.module_core").events, 0u);
    EXPECT_GT(hunt.report("module.name").events, 0u);
    guest.finish_module();
    const auto next = guest.load_module("next");
    hunt.event(next);
    EXPECT_EQ(hunt.report("module.module_core").events, 1u);
}

// clang's jump tables against forged calls, or an init function that is not __init.
TEST(Engine, AnInitFunctionInThePartThatStaysMakesNothingWrong)
{
    for (const int ordinary : {0, 1, 3}) {
        SyntheticGuest guest(Layout::ordinary());
        Hunt hunt(guest);
        load_modules(guest, hunt, ordinary);
        for (int i = 0; i < 10; i++) {
            auto event = guest.load_module("cfi_" + std::to_string(i));
            event.subject = guest.last_text() + 0x40;
            guest.set_init_function(event.subject);
            hunt.event(event);
            guest.finish_module();
        }
        expect_resolved(hunt, "module.name", guest.layout.name);
        expect_resolved(hunt, "module.module_core", guest.layout.core);
        expect_resolved(hunt, "module.core_text_size", guest.layout.size);
    }
}

// 6.13 and 6.14 keep `rw_copy` equal to `base` where memory for text is not shared (no CONFIG_ARCH_HAS_EXECMEM_ROX).
TEST(Engine, WhatIsTiedIsBuiltOn)
{
    Layout layout = Layout::ordinary();
    layout.core_copy = layout.core + 24;
    SyntheticGuest guest(layout);
    Hunt hunt(guest);
    load_modules(guest, hunt, 12);
    EXPECT_EQ(hunt.report("module.module_core").state, LACUNA_TIED);
    EXPECT_EQ(hunt.candidates("module.module_core"), (std::vector{guest.layout.core, guest.layout.core + 24}));
    expect_resolved(hunt, "module.core_text_size", guest.layout.size);
    EXPECT_TRUE(lac_engine_settled(hunt.engine(), true));
}

// As in a microVM: no fork, no exit, no module once the kernel has started.
TEST(Engine, OneProgramThatNeverForksIsLookedAt)
{
    SyntheticGuest guest(Layout::ordinary());
    Hunt hunt(guest);
    const Boot boot = boot_kernel(guest, hunt);
    for (const auto& thread : boot.threads)
        guest.switch_out(thread);
    for (int i = 0; i < 4; i++)
        hunt.event(look()); // nobody runs a program yet
    EXPECT_EQ(hunt.report("task_struct.mm").state, LACUNA_OPEN);
    guest.exec(boot.init);
    for (int i = 0; i < 24; i++)
        hunt.event(look());
    // what only the end of a process tells from it
    EXPECT_EQ(hunt.report("task_struct.mm").state, LACUNA_TIED);
    EXPECT_EQ(hunt.candidates("task_struct.mm"), (std::vector{guest.layout.exec_mm, guest.layout.mm}));
    expect_resolved(hunt, "mm_struct.pgd", guest.layout.pgd);
    expect_resolved(hunt, "mm_struct.start_code", guest.layout.start_code);
    expect_resolved(hunt, "mm_struct.end_code", guest.layout.end_code);
    EXPECT_TRUE(lac_engine_settled(hunt.engine(), false));
}

// Behind a kernel thread lies a program: what leads to its page tables is no member of the thread's.
TEST(Engine, WhatLiesBehindAKernelThreadIsNotItsOwn)
{
    SyntheticGuest guest(Layout::ordinary());
    Hunt hunt(guest);
    const Boot boot = boot_kernel(guest, hunt);
    for (const auto& thread : boot.threads)
        guest.switch_out(thread);
    guest.exec(boot.init);
    guest.exec(boot.threads[5]);
    lac_engine_forget(hunt.engine(), LAC_ALL_TASKS); // who ends was not seen for a while
    for (int i = 0; i < 24; i++)
        hunt.event(look());
    EXPECT_EQ(hunt.candidates("task_struct.mm"), (std::vector{guest.layout.exec_mm, guest.layout.mm}));
    EXPECT_EQ(hunt.report("task_struct.mm").state, LACUNA_TIED);
}

// Programs may have rewritten their headers; process 1's word alone is taken.
TEST(Engine, ProgramsThatLieAreNotAskedByLooks)
{
    SyntheticGuest guest(Layout::ordinary());
    Hunt hunt(guest);
    const Boot boot = boot_kernel(guest, hunt);
    for (int i = 0; i < 12; i++)
        guest.swap_code(guest.spawn_process("liar" + std::to_string(i)));
    for (int i = 0; i < 64; i++)
        hunt.event(look());
    expect_resolved(hunt, "mm_struct.pgd", guest.layout.pgd);
    EXPECT_EQ(hunt.report("mm_struct.start_code").events, 0u);
    guest.exec(boot.init);
    for (int i = 0; i < 24; i++)
        hunt.event(look());
    expect_resolved(hunt, "mm_struct.start_code", guest.layout.start_code);
    expect_resolved(hunt, "mm_struct.end_code", guest.layout.end_code);
}

// Without a trap: as long as the kernel's own page tables are known.
TEST(Engine, ModulesOnTheListAreLookedAt)
{
    SyntheticGuest guest(Layout::ordinary());
    Hunt hunt(guest);
    EXPECT_FALSE(lac_engine_wants_looks(hunt.engine()));
    hunt.event(guest.fork_event(guest.init_task()));
    for (int i = 0; i < 5; i++) {
        guest.load_module("module_" + std::to_string(i));
        guest.finish_module();
    }
    for (int i = 0; i < 8 && lac_engine_wants_looks(hunt.engine()); i++)
        hunt.event(look());
    EXPECT_FALSE(lac_engine_wants_looks(hunt.engine()));
    EXPECT_TRUE(lac_engine_settled(hunt.engine(), true));
    expect_resolved(hunt, "module.name", guest.layout.name);
    expect_resolved(hunt, "module.module_core", guest.layout.core);
    expect_resolved(hunt, "module.core_text_size", guest.layout.size);
}

// The modules that could have told are loaded when module_core is not known yet; the later ones have a page of everything.
TEST(Engine, LearnsTheSizeOfTextFromModulesThatWereLoadedBefore)
{
    SyntheticGuest guest(Layout::ordinary());
    Hunt hunt(guest);
    boot_kernel(guest, hunt);
    for (const std::uint64_t pages : {3, 2, 1, 1, 1, 1}) {
        EXPECT_EQ(hunt.report("module.core_text_size").events, 0u);
        hunt.event(guest.load_module("module_" + std::to_string(pages), pages));
        guest.finish_module();
        if (hunt.report("module.module_core").state == LACUNA_RESOLVED)
            break;
    }
    hunt.event(guest.load_module("last", 1));
    expect_resolved(hunt, "module.core_text_size", guest.layout.size);
}

// A guest that has been running for long: what it has loaded is all there is.
TEST(Engine, LearnsFromModulesThatWereInitialisedLongAgo)
{
    SyntheticGuest guest(Layout::ordinary());
    Hunt hunt(guest);
    lac_event listed = guest.fork_event(guest.init_task());
    listed.on = LACUNA_ON_INITCALL;
    listed.subject = LAC_LISTED_MODULE;
    EXPECT_EQ(hunt.event(listed), LAC_NO_INSTANCE); // none is loaded
    for (int i = 0; i < 5; i++) {
        guest.load_module("module_" + std::to_string(i));
        guest.finish_module();
    }
    for (int i = 0; i < 24; i++)
        hunt.event(listed);
    expect_resolved(hunt, "module.name", guest.layout.name);
    expect_resolved(hunt, "module.module_core", guest.layout.core);
    expect_resolved(hunt, "module.core_text_size", guest.layout.size);
}

// Which of its two parts is the one that goes away cannot be told.
TEST(Engine, OfAListedModuleThatIsBeingInitialisedNothingIsKnown)
{
    SyntheticGuest guest(Layout::ordinary());
    Hunt hunt(guest);
    lac_event listed = guest.load_module("module");
    listed.subject = LAC_LISTED_MODULE;
    for (int i = 0; i < 8; i++)
        hunt.event(listed);
    EXPECT_EQ(hunt.report("module.module_core").events, 0u);
    EXPECT_EQ(hunt.report("module.module_core").eliminated, 0u);
}

// Unresolved is fine after that, wrong is not.
TEST(Engine, EventsOfNonsenseMakeNothingWrong)
{
    SyntheticGuest guest(Layout::ordinary());
    Hunt hunt(guest);
    std::mt19937_64 random(7);
    for (int i = 0; i < 2000; i++) {
        lac_event event{.on = static_cast<u8>(1u << random() % 3), .paging = static_cast<u8>(random() % LACUNA_PAGINGS), .subject = random(),
            .cr3 = random() % 4 ? random() : guest.fork_event(guest.init_task()).cr3};
        if (random() % 2)
            event.subject = 0xffff888000000000 + random() % (1 << 30);
        hunt.event(event);
    }
    run_all(guest, hunt);
    const Layout& layout = guest.layout;
    const std::map<std::string, std::int32_t> truth{{"task_struct.comm", layout.comm}, {"task_struct.tasks", layout.tasks},
        {"task_struct.pid", layout.pid}, {"task_struct.mm", layout.mm}, {"mm_struct.pgd", layout.pgd},
        {"mm_struct.start_code", layout.start_code}, {"mm_struct.end_code", layout.end_code},
        {"module.name", layout.name}, {"module.module_core", layout.core}, {"module.core_text_size", layout.size}};
    for (const auto& [member, offset] : truth) {
        if (const auto report = hunt.report(member); report.state == LACUNA_RESOLVED) {
            EXPECT_EQ(report.candidates[0], offset) << member;
        }
    }
    expect_resolved(hunt, "task_struct.comm", layout.comm);
}

TEST(Engine, WhatAKernelWithoutModulesLacksIsAbsent)
{
    SyntheticGuest guest(Layout::ordinary());
    lac_facts facts = guest.facts();
    facts.modules = 0;
    Hunt hunt(guest, facts);
    EXPECT_TRUE(lac_engine_settled(hunt.engine(), true));
    EXPECT_FALSE(lac_engine_settled(hunt.engine(), false));
    boot_kernel(guest, hunt);
    run_processes(guest, hunt, true);
    EXPECT_TRUE(lac_engine_settled(hunt.engine(), false));
    expect_resolved(hunt, "task_struct.pid", guest.layout.pid);
    for (const char* member : {"module.name", "module.module_core", "module.core_text_size"}) {
        EXPECT_EQ(hunt.report(member).state, LACUNA_ABSENT) << member;
        EXPECT_EQ(hunt.report(member).remaining, 0u) << member;
    }
    EXPECT_EQ(hunt.event(guest.load_module("a_lie")), LAC_NO_INSTANCE);
}

TEST(Engine, StartForgetsEverything)
{
    SyntheticGuest guest(Layout::ordinary());
    Hunt hunt(guest);
    run_all(guest, hunt);
    const lac_facts facts = guest.facts();
    lac_engine_start(hunt.engine(), &facts);
    EXPECT_EQ(hunt.report("task_struct.comm").state, LACUNA_OPEN);
    EXPECT_EQ(hunt.report("task_struct.comm").eliminated, 0u);
    EXPECT_FALSE(lac_engine_user_space(hunt.engine()));
}

// ---- constraint sets that reach the module from elsewhere

class BadSet : public testing::Test {
protected:
    lacuna_constraints set = load_constraints(LACUNA_CONSTRAINTS);

    lacuna_member& member(const std::string& name)
    {
        for (std::uint32_t i = 0; i < set.members_nr; i++)
            if (qualified_name(set, i) == name)
                return set.members[i];
        throw std::runtime_error("no member " + name);
    }
};

TEST_F(BadSet, TheShippedOneIsGood)
{
    EXPECT_EQ(lac_constraints_check(&set), 0);
}

TEST_F(BadSet, Magic)
{
    set.magic++;
    EXPECT_EQ(lac_constraints_check(&set), -EINVAL);
}

TEST_F(BadSet, Version)
{
    set.version++;
    EXPECT_EQ(lac_constraints_check(&set), -EINVAL);
}

TEST_F(BadSet, Counts)
{
    set.members_nr = LACUNA_MAX_MEMBERS + 1;
    EXPECT_EQ(lac_constraints_check(&set), -EINVAL);
    set.members_nr = 0;
    EXPECT_EQ(lac_constraints_check(&set), -EINVAL);
}

TEST_F(BadSet, Window)
{
    set.structures[0].high = LACUNA_MAX_WINDOW + 8;
    EXPECT_EQ(lac_constraints_check(&set), -EINVAL);
    set.structures[0].high = 1001;
    EXPECT_EQ(lac_constraints_check(&set), -EINVAL);
    set.structures[0].high = 0;
    EXPECT_EQ(lac_constraints_check(&set), -EINVAL);
}

TEST_F(BadSet, UnterminatedName)
{
    std::memset(set.members[0].name, 'x', sizeof(set.members[0].name));
    EXPECT_EQ(lac_constraints_check(&set), -EINVAL);
}

TEST_F(BadSet, PredicateThatDoesNotExist)
{
    set.members[0].predicates[0].kind = LACUNA_PREDICATES;
    EXPECT_EQ(lac_constraints_check(&set), -EINVAL);
}

TEST_F(BadSet, PredicateThatDoesNotFitTheType)
{
    member("task_struct.pid").predicates[0].kind = LACUNA_TEXT;
    EXPECT_EQ(lac_constraints_check(&set), -EINVAL);
}

TEST_F(BadSet, ReferenceToNoMember)
{
    for (auto& predicate : member("task_struct.tasks").predicates)
        predicate.member = 200;
    EXPECT_EQ(lac_constraints_check(&set), -EINVAL);
}

TEST_F(BadSet, Alignment)
{
    member("task_struct.pid").align = 3;
    EXPECT_EQ(lac_constraints_check(&set), -EINVAL);
    member("task_struct.pid").align = 16;
    EXPECT_EQ(lac_constraints_check(&set), -EINVAL);
    member("task_struct.pid").align = 0; // the type's own
    EXPECT_EQ(lac_constraints_check(&set), 0);
}

TEST_F(BadSet, SizeOfWhatIsAsLargeAsTheGuestHasIt)
{
    member("task_struct.mm").size = 8;
    EXPECT_EQ(lac_constraints_check(&set), -EINVAL);
}

TEST_F(BadSet, RandomBytesNeitherCrashNorPassUnnoticed)
{
    std::mt19937 random(3);
    int good = 0;
    for (int i = 0; i < 20000; i++) {
        lacuna_constraints damaged = set;
        auto* bytes = reinterpret_cast<std::uint8_t*>(&damaged);
        for (int j = 0; j < 4; j++)
            bytes[random() % sizeof(damaged)] = static_cast<std::uint8_t>(random());
        if (lac_constraints_check(&damaged))
            continue;
        good++;
        // what passes must be usable
        if (i % 50 == 0) {
            lac_engine* engine = lac_engine_create(&damaged);
            ASSERT_NE(engine, nullptr);
            SyntheticGuest guest(Layout::ordinary());
            const lac_facts facts = guest.facts();
            const lac_memory memory = guest.memory.for_engine();
            const lac_event fork = guest.fork_event(guest.init_task()), load = guest.load_module("dummy");
            lac_engine_start(engine, &facts);
            lac_engine_event(engine, &fork, &memory);
            lac_engine_event(engine, &load, &memory);
            lac_engine_destroy(engine);
        }
    }
    EXPECT_GT(good, 0);
}

} // namespace
} // namespace lacuna::test
