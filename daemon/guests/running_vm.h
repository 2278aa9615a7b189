// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <filesystem>
#include <vector>

#include <sys/types.h>

#include "fd.h"

namespace lacuna {

// A virtual machine of KVM on this host, as its VMM has it open.
struct RunningVm {
    pid_t vmm_pid = 0;
    int number = -1; // of the file in the VMM
};

// All that there are. `proc` is replaced by tests. Needs CAP_SYS_PTRACE for VMMs of other users; those that
// cannot be looked into are left out.
std::vector<RunningVm> running_vms(const std::filesystem::path& proc = "/proc");

// The machine's file, as a descriptor of our own. Throws Error if the VMM is gone or does not let us.
Fd open_vm(const RunningVm& vm);

} // namespace lacuna
