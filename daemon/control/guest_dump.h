// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <filesystem>
#include <functional>
#include <string>

namespace lacuna {

// Copying all of a guest's memory into a file, by its VMM: QEMU stops the guest while it writes and lets it go on after, so that
// nothing changes meanwhile.

enum class DumpFormat {
    raw, // a guest physical address is a place in the file; where there is no memory it has a hole
    elf, // as QEMU writes it: a core file
};

struct DumpRequest {
    std::string guest;
    std::filesystem::path file; // absolute; there must be none
    DumpFormat format = DumpFormat::raw;
    std::filesystem::path qmp; // socket to ask QEMU at; empty: libvirt is asked, of which the guest is a domain
    std::string libvirt;       // URI
};

// Told how many of 100 parts are done, some times a second.
using OnProgress = std::function<void(unsigned)>;

// Throws Error; then there is no file.
void dump_guest(const DumpRequest& request, const OnProgress& progress);

// Makes a core file's memory a raw file. Throws Error if it is none of x86, or damaged.
void core_to_raw(const std::filesystem::path& core, const std::filesystem::path& raw);

} // namespace lacuna
