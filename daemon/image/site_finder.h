// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <optional>
#include <string>

#include "elf_image.h"
#include "kernel_descriptor.h"
#include "symbols.h"

namespace lacuna {

// Bytes a trap instruction overwrites: VMCALL is 0f 01 c1, VMMCALL 0f 01 d9.
inline constexpr unsigned trap_size = 3;

// Chooses the trap site in `function`, which every call of it passes exactly once:
// - in the straight-line code behind ENDBR and the ftrace call, before the first control transfer or
// patchable NOP;
// - the three overwritten bytes lie in one naturally aligned 8-byte word, so that one store changes them all;
// - preferably one instruction (no vCPU can stand between its bytes), else two or three whole ones; then the
// earliest;
// - only instructions KVM's emulator handles and that touch no memory but the stack;
// - for exit and initcall the function's first argument is still in its register;
// - no direct jump or call in the function leads to the displaced instructions.
// Nothing if there is no such place. Throws Error if the function's code is not in the image, or if it does not take its
// argument in that register (i386 without CONFIG_REGPARM).
std::optional<TrapSite> find_site(const ElfImage& elf, const Symbols& symbols, const std::string& function,
                                  SiteKind kind);

} // namespace lacuna
