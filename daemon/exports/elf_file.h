// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "profile.h"

namespace lacuna {

// An ELF file for debuggers and pahole: the kernel's symbols where it has slid by `slide`, and DWARF of what is known (see dwarf.h). It
// holds no code: a debugger has it from the guest. `symbols` is a text as symbol_file.h has it.
std::string make_elf_file(const Json& isf, std::string_view symbols, std::uint64_t slide, bool is_64_bit);

} // namespace lacuna
