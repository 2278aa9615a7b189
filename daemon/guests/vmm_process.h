// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include <sys/types.h>

#include "disk_image.h"
#include "file_access.h"

namespace lacuna {

// The process behind a guest, as its command line describes it (QEMU and what is called like it).
struct VmmProcess {
    pid_t pid = 0, parent = 0;
    std::string command;                         // all of its command line, words with a space between them
    std::string name;                            // -name NAME or guest=NAME,...; "vm-PID" if there is none
    std::string uuid;                            // -uuid
    std::optional<std::filesystem::path> kernel; // -kernel, absolute
    std::vector<Disk> disks;                     // its hard disks, see qemu_disks.h
    FileUser user;                               // what it may open
};

// Reads `arguments` as QEMU does; relative paths start at `directory`.
VmmProcess describe_vmm(pid_t pid, const std::vector<std::string>& arguments,
                        const std::filesystem::path& directory);

// Reads <proc>/<pid>. Never throws: of a process that is gone only the pid and the name "vm-PID" are known.
VmmProcess find_vmm(pid_t pid, const std::filesystem::path& proc = "/proc");

} // namespace lacuna
