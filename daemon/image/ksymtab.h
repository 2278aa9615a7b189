// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "elf_image.h"

namespace lacuna {

// The link-time address of what the kernel exports to modules under this name, from the sections __ksymtab
// and
// __ksymtab_gpl; of a per-CPU symbol its value. Nothing if it is not exported, or the sections are not there
// or of an unknown form. The table is there whatever CONFIG_KALLSYMS_ALL says: modules are linked by it.
std::optional<std::uint64_t> find_exported(const ElfImage& elf, std::string_view name);

} // namespace lacuna
