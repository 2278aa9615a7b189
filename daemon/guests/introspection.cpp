// SPDX-License-Identifier: GPL-2.0-or-later
#include "introspection.h"

#include <algorithm>
#include <functional>
#include <optional>

#include <spdlog/fmt/fmt.h>

#include "error.h"

namespace lacuna {

namespace {

// The nodes of the circular list behind `head`, without it. Throws Error if it is damaged (or being changed).
// Every step must lead back, so a circle that leaves out the head is found where it closes.
std::vector<std::uint64_t> nodes_of(AddressSpace& memory, std::uint64_t head, const char* name)
{
    std::vector<std::uint64_t> nodes;
    std::uint64_t from = head;
    for (std::uint64_t next = memory.word(head), after;; next = after) {
        after = memory.word(next);
        if (memory.word(next + memory.word_size()) != from)
            throw Error(
                fmt::format("the list {} is damaged: {:#x} leads to {:#x}, but not back", name, from, next));
        if (next == head)
            return nodes;
        if (nodes.size() == max_nodes)
            throw Error(fmt::format("the list {} has more than {} entries", name, max_nodes));
        nodes.push_back(next);
        from = next;
    }
}

std::string text_at(AddressSpace& memory, std::uint64_t gva, std::size_t size)
{
    const Bytes bytes = memory.read(gva, size);
    return std::string(bytes.begin(), std::find(bytes.begin(), bytes.end(), 0));
}

// Takes snapshots until two in a row are equal.
template <typename T> Snapshot<T> settle(AddressSpace& memory, const std::function<std::vector<T>()>& take)
{
    memory.give_up_at(std::chrono::steady_clock::now() + longest_look);
    std::optional<std::vector<T>> last;
    std::optional<Error> problem;
    for (unsigned tries = 0; tries < max_tries; tries++) {
        memory.forget();
        try {
            std::vector<T> fresh = take();
            if (last && *last == fresh)
                return {std::move(fresh), true};
            last = std::move(fresh);
        } catch (const Error& error) {
            problem = error;
        }
    }
    if (!last)
        throw Error(problem->failed(), problem->subject(), "the guest may have been changing it: try again");
    return {std::move(*last), false};
}

} // namespace

Snapshot<Process> list_processes(AddressSpace& memory, const Profile& profile, std::uint64_t init_task)
{
    const auto at = [&](const char* member) { return static_cast<std::uint64_t>(profile.offset(member)); };
    const std::uint64_t tasks = at("task_struct.tasks"), pid = at("task_struct.pid"),
                        comm = at("task_struct.comm"), mm = at("task_struct.mm"), pgd = at("mm_struct.pgd");
    const std::size_t comm_size = profile.find("task_struct.comm")->size;

    return settle<Process>(memory, [&] {
        std::vector<Process> processes;
        for (const std::uint64_t node : nodes_of(memory, init_task + tasks, "task_struct.tasks")) {
            Process process;
            process.address = node - tasks;
            process.pid = memory.value<std::int32_t>(process.address + pid);
            process.comm = text_at(memory, process.address + comm, comm_size);
            if (const auto space = memory.word(process.address + mm))
                process.pgd = memory.word(space + pgd);
            processes.push_back(std::move(process));
        }
        return processes;
    });
}

Snapshot<Module> list_modules(AddressSpace& memory, const Profile& profile, std::uint64_t modules)
{
    const auto at = [&](const char* member) { return static_cast<std::uint64_t>(profile.offset(member)); };
    const std::uint64_t name = at("module.name"), core = at("module.module_core"),
                        size = at("module.core_text_size");
    const std::size_t name_size = profile.find("module.name")->size;

    return settle<Module>(memory, [&] {
        std::vector<Module> found;
        for (const std::uint64_t node : nodes_of(memory, modules, "modules"))
            found.push_back({text_at(memory, node + name, name_size), memory.word(node + core),
                             memory.value<std::uint32_t>(node + size)});
        return found;
    });
}

} // namespace lacuna
