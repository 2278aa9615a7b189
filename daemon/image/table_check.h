// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <string>

#include "elf_image.h"
#include "symbols.h"

namespace lacuna {

// Why a symbol table cannot be that of the image; empty if it is. Asks what code and data say by themselves: where the code
// begins, where the banner is and that start_kernel() prints it, which task is called "swapper", and where calls lead. Nothing
// of that may speak against the table, and two must speak for it.
std::string table_misfit(const ElfImage& elf, const Symbols& symbols);

} // namespace lacuna
