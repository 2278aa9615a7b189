// SPDX-License-Identifier: GPL-2.0-or-later
//
// What is asked of modules, and of what a kernel thread runs.
#include "asked.h"

using namespace lacuna;

namespace {

// Modules on the kernel's list, in the set of all modules, each with a table of its symbols. Offsets are relative to the list's node.
class ModuleGuest : public ViewGuest {
public:
    static constexpr std::int32_t kobject = 0x48, entry = 8, count = 0x38, taints = 0x180, table = 0x1a0, elsewhere = 0x1b0;
    static constexpr std::uint64_t set_symbol = 0xffffffff'8230'0000, mask = 0xffffffff'8230'1000, tree = 0xffffffff'8230'2000;
    std::uint64_t set = allocate(0x200); // its list at 0, its kobject behind
    static constexpr std::uint64_t set_kobject = 0x18;
    std::vector<std::uint64_t> nodes;

    ModuleGuest()
    {
        memory.put(set_symbol, set);
        memory.put(set + set_kobject, text("module"));
        memory.put(mask, std::uint64_t{0});
        for (const char* name : {"one", "two", "three"})
            add(name);
        count_references();
    }

    std::map<std::string, std::uint64_t> symbols() const
    {
        return {{"module_kset", set_symbol}, {"tainted_mask", mask}, {"mod_tree", tree}};
    }

    void count_references() { memory.put(set + set_kobject + count, static_cast<std::uint32_t>(2 * nodes.size() + 1)); }

private:
    void add(const std::string& name)
    {
        const std::uint64_t node = allocate(0x1000) + 8, core = 0xffffffff'c020'0000 + 0x10000 * nodes.size();
        memory.put_text(node + offset("module.name"), name, 56);
        memory.put(node + offset("module.module_core"), core);
        memory.put(node + kobject, text(name));
        append(modules, node);
        append(set, node + kobject + entry);
        memory.put(node + taints, std::uint64_t{0});
        put_symbols(node);
        nodes.push_back(node);
    }

    void put_symbols(std::uint64_t node)
    {
        constexpr std::uint64_t size = 24, symbols = 3;
        const std::uint64_t kallsyms = allocate(0x100), first = allocate(0x1000);
        memory.put(node + table, kallsyms);
        memory.put(kallsyms, first);
        memory.put(kallsyms + 8, static_cast<std::uint32_t>(symbols));
        memory.put(kallsyms + 16, first + symbols * size);
        memory.put(first + size, std::uint32_t{1});
        memory.put(first + 2 * size, std::uint32_t{5});
        memory.put_text(first + symbols * size + 1, "one", 4);
        memory.put_text(first + symbols * size + 5, "two", 4);
    }
};

} // namespace

TEST(DeepPredicates, KobjectsAreInTheSetOfAllModules)
{
    ModuleGuest guest;
    for (const std::uint64_t node : guest.nodes) {
        const Answer answer = Asked(guest, guest.symbols()).answer("module", "mkobj.kobj", node, guest.kobject);
        ASSERT_EQ(answer.kind, Answer::shown);
        EXPECT_EQ(answer.constants, (std::vector<Constants>{{guest.entry, 0, guest.count}}));
    }
    const std::uint64_t node = guest.nodes.front();
    Asked asked(guest, guest.symbols());
    EXPECT_EQ(asked.about("module", "mkobj.kobj", node, guest.elsewhere), Answer::refuted);
    guest.memory.put(node + guest.elsewhere, guest.text("one")); // the name once more, but nothing behind it is in the set
    EXPECT_EQ(Asked(guest, guest.symbols()).about("module", "mkobj.kobj", node, guest.elsewhere), Answer::refuted);
    guest.memory.put(guest.set + guest.set_kobject + guest.count, std::uint32_t{8}); // one is being added or taken away
    EXPECT_EQ(Asked(guest, guest.symbols()).about("module", "mkobj.kobj", node, guest.kobject), Answer::refuted);
    EXPECT_EQ(Asked(guest).about("module", "mkobj.kobj", node, guest.kobject), Answer::silent); // an image without the symbol
}

TEST(DeepPredicates, MarksOfModulesAreTheKernels)
{
    constexpr std::uint64_t warned = 1 << 9, forced = 1 << 1, foreign = 1 << 12, no_signature = 1 << 13;
    ModuleGuest guest;
    const std::uint64_t marked = guest.nodes[1], clean = guest.nodes[0];
    const auto about = [&](std::uint64_t node, std::int32_t offset) {
        return Asked(guest, guest.symbols()).about("module", "taints", node, offset);
    };
    guest.memory.put(guest.mask, warned | foreign);
    guest.memory.put(marked + guest.taints, foreign);
    EXPECT_EQ(about(marked, guest.taints), Answer::silent); // a single mark, which any flag may be
    guest.memory.put(guest.mask, warned | foreign | no_signature);
    guest.memory.put(marked + guest.taints, foreign | no_signature);
    guest.memory.put(marked + guest.elsewhere, warned);
    guest.memory.put(clean + guest.elsewhere + 8, foreign);
    EXPECT_EQ(about(marked, guest.taints), Answer::shown);
    EXPECT_EQ(about(clean, guest.taints), Answer::passes);
    EXPECT_EQ(about(marked, guest.elsewhere), Answer::refuted);    // not a mark of modules
    EXPECT_EQ(about(clean, guest.elsewhere + 8), Answer::refuted); // the kernel has one more
    guest.memory.put(guest.mask, forced | foreign | no_signature); // who was forced has gone
    EXPECT_EQ(about(marked, guest.taints), Answer::refuted);
}

TEST(DeepPredicates, SymbolsOfModulesEndWhereTheirNamesBegin)
{
    ModuleGuest guest;
    const std::uint64_t node = guest.nodes.front(), kallsyms = guest.word_at(node + guest.table);
    const auto about = [&](std::int32_t offset) { return Asked(guest).answer("module", "kallsyms", node, offset); };
    EXPECT_EQ(about(guest.table).constants, (std::vector<Constants>{{0, 8, 16}}));
    guest.memory.put(node + guest.elsewhere, kallsyms - 8); // to something before it
    EXPECT_EQ(about(guest.elsewhere).kind, Answer::refuted);
    guest.memory.put(kallsyms + 8, std::uint32_t{4}); // one more than there are
    EXPECT_EQ(about(guest.table).kind, Answer::refuted);
    guest.memory.put(kallsyms + 8, std::uint32_t{3});
    guest.memory.put(guest.word_at(kallsyms) + 24, std::uint32_t{0}); // one without a name
    EXPECT_EQ(about(guest.table).kind, Answer::refuted);
}

TEST(DeepPredicates, NoModuleLiesBeyondTheBoundsOfAll)
{
    constexpr std::uint64_t low = 0xffff8880'0000'0000, area = std::uint64_t{3} << 29;
    constexpr std::int32_t place = 0x28, elsewhere = 0x40;
    ModuleGuest guest;
    for (std::size_t i = 0; i < guest.nodes.size(); i++) // in reach of their structures
        guest.memory.put(guest.nodes[i] + guest.offset("module.module_core"), low + 0x100'0000 + 0x1000 * i);
    guest.memory.put(guest.tree + place, low);
    guest.memory.put(guest.tree + place + 8, low + 0x200'0000);
    guest.memory.put(guest.tree + elsewhere, low + 0x101'0000); // above the lowest
    guest.memory.put(guest.tree + elsewhere + 8, low + 0x200'0000);
    const auto about = [&](std::int32_t offset) { return Asked(guest, guest.symbols()).about("mod_tree_root", "addr_min", guest.tree, offset); };
    EXPECT_EQ(about(place), Answer::shown);
    EXPECT_EQ(about(elsewhere), Answer::refuted);
    guest.memory.put(guest.tree + place + 8, low + area + 0x1000); // more than all modules may take
    EXPECT_EQ(about(place), Answer::refuted);
    guest.memory.put(guest.tree + place + 8, low + 0x100'0000); // below the highest
    EXPECT_EQ(about(place), Answer::refuted);
}

TEST(DeepPredicates, KernelThreadsLeadToWhatTheyRun)
{
    constexpr std::uint64_t worker = 0xffffffff'8110'0000, softirq = 0xffffffff'8120'0000;
    constexpr std::int32_t place = 0x2030, elsewhere = 0x2038;
    ViewGuest guest;
    const std::map<std::string, std::uint64_t> symbols{{"worker_thread", worker}, {"smpboot_thread_fn", softirq}};
    const auto& task = guest.tasks[5];
    const std::uint64_t kthread = guest.allocate(0x100);
    guest.memory.put(task.address + place, kthread);
    guest.memory.put(task.address + elsewhere, guest.allocate(0x100));
    guest.memory.put(kthread + 16, worker);
    const auto about = [&](const char* name, std::int32_t offset) {
        guest.memory.put_text(task.address + guest.at.at("comm"), name, 16);
        return Asked(guest, symbols).answer("task_struct", "worker_private", task.address, offset);
    };
    EXPECT_EQ(about("kworker/0:1", place).constants, (std::vector<Constants>{{16}}));
    EXPECT_EQ(about("kworker/0:1", elsewhere).kind, Answer::refuted);
    EXPECT_EQ(about("ksoftirqd/0", place).kind, Answer::refuted);
    EXPECT_EQ(about("kworker/R-mm_pe", place).kind, Answer::silent); // runs rescuer_thread()
    EXPECT_EQ(Asked(guest).about("task_struct", "worker_private", task.address, place), Answer::silent);
}

TEST(DeepPredicates, NamesThatAreCutOffAreWholeElsewhere)
{
    ViewGuest guest;
    guest.known["task_struct.worker_private"] = 0x2030;
    const auto& task = guest.tasks[5];
    const std::uint64_t kthread = guest.allocate(0x100);
    guest.put(task.address, "task_struct.worker_private", kthread);
    guest.memory.put(kthread + 0x28, guest.text("rcu_tasks_kthread"));
    guest.memory.put(kthread + 0x30, guest.text("rcu_tasks_kthre"));
    const auto about = [&](const char* name, std::int32_t offset) {
        guest.memory.put_text(task.address + guest.at.at("comm"), name, 16);
        return Asked(guest).about("kthread", "full_name", kthread, offset);
    };
    EXPECT_EQ(about("rcu_tasks_kthre", 0x28), Answer::shown);
    EXPECT_EQ(about("rcu_tasks_kthre", 0x30), Answer::refuted); // no more than the task has
    EXPECT_EQ(about("rcu_tasks_rude_", 0x28), Answer::refuted);
    EXPECT_EQ(about("rcu_tasks", 0x28), Answer::silent); // that is all of it
}
