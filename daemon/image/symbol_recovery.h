// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "elf_image.h"
#include "symbols.h"

// What a kernel's symbol table leaves out, found in the image itself. Without CONFIG_KALLSYMS_ALL the table
// holds functions only. Each of these gives nothing rather than a guess.
namespace lacuna {

struct Recovered {
    std::uint64_t address;
    std::string how; // for the log: "in the code of find_module_all, print_modules, ..."
};

// The head of the list of all modules: the one address of an empty list (a list head that the compiler made
// points to itself, LIST_HEAD()) that several functions which walk the modules have in common.
std::optional<Recovered> recover_module_list(const ElfImage& elf, const Symbols& symbols);

// linux_banner: the only text "Linux version ...\n", or of several the one that start_kernel() prints: 6.1
// leaves a weak one without the build's number in the image.
std::optional<Recovered> recover_banner(const ElfImage& elf, const Symbols& symbols);

// _end, or a little more: where the last section ends. Some versions have one behind _end.
std::optional<Recovered> recover_end(const ElfImage& elf, std::uint64_t text);

// Bytes of the kernel stacks at whose low end the current thread_info lies (i386 up to 4.8), from code that
// masks the stack pointer with them.
std::optional<std::uint64_t> recover_stack_size(const ElfImage& elf, const Symbols& symbols);

} // namespace lacuna
