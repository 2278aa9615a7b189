// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>

#include "address_space.h"
#include "profile.h"

namespace lacuna {

// Where a kernel lies in a running guest.
struct KernelPlace {
    std::uint64_t init_task = 0, modules = 0, text = 0; // GVAs; modules: 0 if it has none
    std::uint64_t text_gpa = 0;
};

// Does the profile hold in this guest? A handful of reads: the first three tasks are what they are in every
// Linux that has come as far as to its first process (idle task 0, process 1, kthreadd 2), process 1 runs on
// page tables that map the kernel where it is, and what is loaded first of modules has a name and text. Asked is
// what the profile says; what it leaves open is not.
// Throws Error that says what does not hold; early in a boot nothing does yet.
void verify(AddressSpace& memory, const Profile& profile, const KernelPlace& place);

} // namespace lacuna
