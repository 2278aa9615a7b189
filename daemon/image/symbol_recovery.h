// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "elf_image.h"
#include "symbols.h"

// What a kernel's symbol table leaves out, found in the image itself. Without CONFIG_KALLSYMS_ALL the table
// holds functions only. Each of these gives nothing rather than a guess.
namespace lacuna {

struct Recovered {
    std::uint64_t address;
    std::string how; // for the log: "in the code of find_module_all, print_modules, ..."
};

// Where the image holds "Linux version ...\n" as a text of its own.
std::vector<std::uint64_t> find_banners(const ElfImage& elf);

// The banner at linux_banner, which is the text itself, or up to 2.6.10 a pointer to it.
std::optional<std::uint64_t> banner_at(const ElfImage& elf, std::uint64_t linux_banner);

// The first task's comm is "swapper" in every kernel (INIT_TASK_COMM), wherever comm lies.
bool is_first_task(const ElfImage& elf, std::uint64_t address);

// A list head that the compiler made points to itself (LIST_HEAD()).
bool is_empty_list(const ElfImage& elf, std::uint64_t address);

// The head of the list of all modules: the one address of an empty list (a list head that the compiler made
// points to itself) that several functions which walk the modules have in common.
std::optional<Recovered> recover_module_list(const ElfImage& elf, const Symbols& symbols);

// linux_banner: the only text "Linux version ...\n", or of several the one that start_kernel() prints: 6.1
// leaves a weak one in the image, without the build's number or, where that is fixed, the very same. Then either will do.
std::optional<Recovered> recover_banner(const ElfImage& elf, const Symbols& symbols);

// _end, or a little more: where the last section ends. Some versions have one behind _end.
std::optional<Recovered> recover_end(const ElfImage& elf, std::uint64_t text);

// Whether `end` may be _end: a label of that name may stand anywhere in an assembler's file.
bool is_end(const ElfImage& elf, std::uint64_t end);

// What system calls that do nothing but tell something of the current task load by GS, on i386 by FS: the same in all of
// them, two at least.
std::optional<std::uint64_t> recover_current_by_users(const ElfImage& elf, const Symbols& symbols);

// Whether two such system calls at least load this variable, by GS or FS or neither.
bool users_load(const ElfImage& elf, const Symbols& symbols, std::uint64_t variable, bool per_cpu);

// Bytes of the kernel stacks at whose low end the current thread_info lies (i386 up to 4.8), from code that
// masks the stack pointer with them.
std::optional<std::uint64_t> recover_stack_size(const ElfImage& elf, const Symbols& symbols);

} // namespace lacuna
