// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <chrono>

#include "address_space.h"
#include "profile.h"

namespace lacuna {

struct Process {
    std::int32_t pid = 0;
    std::string comm;
    std::uint64_t address = 0; // GVA of its task_struct
    std::uint64_t pgd =
        0; // GVA of its page-table root; 0: a kernel thread (or a process that has given up its memory)

    bool operator==(const Process&) const = default;
};

struct Module {
    std::string name;
    std::uint64_t address = 0; // GVA where its code starts
    std::uint32_t text_size = 0;

    bool operator==(const Module&) const = default;
};

// A list of a running guest changes while it is read: it is read until it came out the same twice.
template <typename T> struct Snapshot {
    std::vector<T> entries; // in the order of the guest's list
    bool stable = true;     // false: it never came out the same twice, this is the last one
};

inline constexpr unsigned max_nodes = 65536; // a longer list is taken for damaged
inline constexpr unsigned max_tries = 10;
inline constexpr std::chrono::seconds longest_look(10); // at one list: nothing else is done meanwhile

// All processes but the idle task, from the ring that starts at `init_task` (a run-time GVA).
// Throws Error that names what is missing in the profile, or what is wrong with the list.
Snapshot<Process> list_processes(AddressSpace& memory, const Profile& profile, std::uint64_t init_task);

// All modules, newest first, from the list head `modules` (a run-time GVA).
Snapshot<Module> list_modules(AddressSpace& memory, const Profile& profile, std::uint64_t modules);

} // namespace lacuna
