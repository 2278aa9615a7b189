// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

namespace lacuna {

// What may mark a module as other than the kernel's own: the bit, in it and in the kernel (Documentation/admin-guide/tainted-kernels.rst),
// and the letter in /proc/modules (struct taint_flag, kernel/panic.c).
struct Taint {
    unsigned bit;
    char letter;
};

inline constexpr Taint module_taints[] = {{0, 'P'}, {1, 'F'}, {10, 'C'}, {12, 'O'}, {13, 'E'}, {15, 'K'}, {16, 'X'}, {18, 'N'}};

} // namespace lacuna
