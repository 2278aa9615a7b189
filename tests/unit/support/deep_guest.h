// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <algorithm>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "fake_guest.h"
#include "look.h"
#include "profile.h"

namespace lacuna {

// A made-up guest with what deep members are learned from: tasks with parents, threads, stacks and rights.
// Where its members lie is drawn by lot.
class DeepGuest {
public:
    static constexpr std::uint64_t stack_magic = 0x57ac6e9d; // STACK_END_MAGIC
    static constexpr unsigned kernel_threads = 20, users = 16;

    struct Task {
        std::uint64_t address = 0, mm = 0, signal = 0, stack = 0, cred = 0, leader = 0, parent = 0;
        std::int32_t pid = 0;
    };

    FakeGuest memory;
    std::vector<Task> tasks, threads;
    std::map<std::string, std::uint64_t> at; // members of task_struct
    const std::uint64_t thread_head = 0x28, init_task = 0xffffffff'8aa0'0000, modules = 0xffffffff'8ab0'0040;

    // `more`: so many programs run besides.
    explicit DeepGuest(unsigned seed, unsigned more = 0)
    {
        std::vector<std::uint64_t> places;
        for (std::uint64_t place = 0x40; place < 0x1f00; place += 0x10)
            places.push_back(place);
        std::shuffle(places.begin(), places.end(), std::mt19937(seed));
        for (const char* name :
             {"tasks", "pid", "comm", "mm", "active_mm", "tgid", "real_parent", "parent", "group_leader",
              "signal", "stack", "flags", "cred", "real_cred", "thread_node"}) {
            at[name] = places.back();
            places.pop_back();
        }
        memory.put(modules, modules);
        memory.put(modules + 8, modules);
        add(0, "swapper/0", 0, false);
        add(1, "init", 0, true);
        add(2, "kthreadd", 0, false);
        for (unsigned i = 0; i < kernel_threads; i++)
            add(static_cast<std::int32_t>(10 + 3 * i), "worker", 2, false);
        for (unsigned i = 0; i < users; i++)
            add(static_cast<std::int32_t>(200 + 7 * i), "program", i % 3 ? 1 : 3, true);
        for (unsigned i = 0; i < more; i++)
            add(static_cast<std::int32_t>(10000 + i), "program", 1, true);
        for (unsigned i = 3; i < 6; i++)
            for (unsigned j = 1; j < i; j++)
                add_thread(tasks[tasks.size() - i],
                           static_cast<std::int32_t>(200 + 7 * (users - i)) + static_cast<std::int32_t>(j));
        link();
    }

    template <typename T> void set(const Task& task, const std::string& member, T value)
    {
        memory.put(task.address + at.at(member), value);
    }

    Anchors anchors() const { return {init_task, modules, "6.1.0-made-up"}; }

    Profile profile() const
    {
        Profile profile;
        profile.kernel_id = "6.1-made-up";
        profile.architecture = "x86_64";
        for (const char* name : {"tasks", "pid", "comm", "mm"})
            add_member(profile, "task_struct", name, at.at(name));
        add_member(profile, "mm_struct", "pgd", 0x48);
        return profile;
    }

    void link()
    {
        for (std::size_t i = 0; i < tasks.size(); i++)
            link(node(tasks[i], "tasks"), node(tasks[(i + 1) % tasks.size()], "tasks"));
        for (const Task& leader : tasks) {
            std::uint64_t last = leader.signal + thread_head;
            const auto append = [&](const Task& task) {
                link(std::exchange(last, node(task, "thread_node")), node(task, "thread_node"));
            };
            append(leader);
            for (const Task& thread : threads)
                if (thread.leader == leader.address)
                    append(thread);
            link(last, leader.signal + thread_head);
        }
    }

    std::uint64_t allocate(std::uint64_t size)
    {
        const std::uint64_t address = next_;
        next_ += (size + 0xfff) & ~std::uint64_t{0xfff};
        memory.put(address, std::uint64_t{0});
        return address;
    }

protected:
    static void add_member(Profile& profile, const char* structure, const char* name, std::uint64_t offset)
    {
        ProfileMember member;
        member.structure = structure;
        member.name = name;
        member.state = LACUNA_RESOLVED;
        member.offset = static_cast<std::int32_t>(offset);
        profile.members.push_back(member);
    }

private:
    std::uint64_t node(const Task& task, const char* list) const { return task.address + at.at(list); }

    void link(std::uint64_t from, std::uint64_t to)
    {
        memory.put(from, to);
        memory.put(to + 8, from);
    }

    void write(const Task& task, const std::string& comm, bool user, std::int32_t tgid)
    {
        for (std::uint64_t page = 0; page < 0x3000; page += 0x1000)
            memory.put(task.address + page, std::uint64_t{0});
        set(task, "pid", task.pid);
        set(task, "tgid", tgid);
        memory.put_text(task.address + at.at("comm"), comm, 16);
        set(task, "mm", task.mm);
        set(task, "active_mm", task.mm);
        set(task, "real_parent", task.parent);
        set(task, "parent", task.parent);
        set(task, "group_leader", task.leader);
        set(task, "signal", task.signal);
        set(task, "stack", task.stack);
        set(task, "flags", (user ? 0x400100u : 0x208040u) | (static_cast<unsigned>(task.pid) & 3) << 16);
        set(task, "cred", task.cred);
        set(task, "real_cred", task.cred);
    }

    void add(std::int32_t pid, const std::string& comm, std::size_t parent, bool user)
    {
        Task task;
        task.pid = pid;
        task.address = pid ? allocate(0x4000) : init_task;
        task.mm = user ? allocate(0x1000) : 0;
        task.signal = allocate(0x400);
        task.stack = allocate(0x1000);
        task.cred = allocate(0x100);
        task.leader = task.address;
        task.parent = tasks.empty() ? init_task : tasks[parent].address;
        memory.put(task.stack, stack_magic);
        for (const std::uint64_t set : {48u, 56u, 64u})
            memory.put(task.cred + set, user ? std::uint64_t{0} : std::uint64_t{0x1ff'ffff'ffff});
        write(task, comm, user, pid);
        tasks.push_back(task);
    }

    void add_thread(const Task& leader, std::int32_t pid)
    {
        Task task = leader;
        task.pid = pid;
        task.address = allocate(0x4000);
        task.stack = allocate(0x1000);
        task.leader = leader.address;
        memory.put(task.stack, stack_magic);
        write(task, "thread", true, leader.pid);
        threads.push_back(task);
    }

    std::uint64_t next_ = 0xffff8880'0010'0000;
};

} // namespace lacuna
