// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>

namespace lacuna {

// What a process may use that reads what a guest has written.
struct Limits {
    std::uint64_t memory;  // bytes of address space
    std::uint64_t seconds; // of processor time; it gets SIGXCPU after them
};

// From here on this process can compute, and write to its standard output; it has no capability, opens no
// file and no socket, starts nothing, and makes no memory executable. What tries to is killed by SIGSYS
// (seccomp(2)). There is no way back. Throws Error if the kernel of this host does not let itself be told so.
void confine(const Limits& limits);

} // namespace lacuna
