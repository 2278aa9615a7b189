// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include "kernel_image.h"
#include "symbols.h"

namespace lacuna {

// Recovers the symbol table the kernel carries for itself (CONFIG_KALLSYMS), from its bytes alone: no symbol,
// section or version is needed. Knows the layouts of scripts/kallsyms.c from 4.4 on. Throws Error if there is
// none or it cannot be understood.
Symbols read_kallsyms(const KernelImage& kernel);

} // namespace lacuna
