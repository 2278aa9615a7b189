// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "profile.h"

namespace lacuna {

// What belongs to one boot of a guest, in the forms that tools read. All of it is made of the guest's facts (facts_json()).

struct BootFacts {
    std::string guest, kernel_id, release, architecture, paging;
    std::uint64_t slide = 0;
    std::uint64_t text = 0; // run-time address of _text
    std::uint64_t text_gpa = 0;
    std::uint64_t page_table = 0; // physical address of the kernel's own root; 0: not known

    bool operator==(const BootFacts&) const = default;
};

// Nothing: its kernel has not been found, or it is gone. Throws Json::exception if these are no facts.
std::optional<BootFacts> boot_facts(const Json& facts);

// Why there is no such file of this boot; empty: there is one.
std::string why_no_libvmi_stanza(const BootFacts& boot, const std::filesystem::path& isf);
std::string why_no_volatility_config(const BootFacts& boot);
// `page_table`: the linked address of the top-level page table; 0: not known.
std::string why_no_vmcoreinfo(const BootFacts& boot, std::uint64_t page_table);

// A stanza of libvmi.conf.
std::string libvmi_stanza(const BootFacts& boot, const std::filesystem::path& isf);

// For `vol -c`: nothing is searched for. `memory`: the file with the guest's memory.
Json volatility_config(const BootFacts& boot, const std::filesystem::path& isf, const std::filesystem::path& memory);

// What the kernel itself would tell kdump (Documentation/admin-guide/kdump/vmcoreinfo.rst), as far as drgn needs it.
std::string vmcoreinfo(const BootFacts& boot, std::uint64_t page_table);

} // namespace lacuna
