// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <map>
#include <optional>

#include "elf_image.h"

namespace lacuna {

// What the whole code of a kernel does with its tasks, whatever its symbol table says. Takes a second or two.
class TaskSurvey {
public:
    explicit TaskSurvey(const ElfImage& elf);

    // init_task: the one structure that holds the text "swapper" and three pointers to itself (it is its own parent, twice
    // over, and its own leader), or where none has three the one with two, and whose address several instructions have in them.
    std::optional<std::uint64_t> init_task() const { return init_task_; }

    struct Current {
        std::uint64_t address; // of the variable, or its place among a CPU's own
        bool per_cpu;          // it is reached by GS, on i386 by FS
    };
    // Where a CPU keeps the task that it runs: among the variables that hold init_task before anything has run,
    // or that the code gives it, the one that is loaded by far most often.
    std::optional<Current> current() const;

    // What is loaded by GS, on i386 by FS, by far most often, whatever it holds: the current task, unless it is on the
    // stack.
    std::optional<std::uint64_t> most_loaded() const;

    // Bytes of the kernel stacks at whose low end the current thread_info lies: code masks the stack pointer with
    // them, and the first task's stack, which lies at a multiple of them, begins with init_task.
    std::optional<std::uint64_t> stack_size() const;
    // Whether a stack of this size begins with init_task.
    bool is_stack_size(std::uint64_t size) const;

    // Whether the code reaches this variable by GS or FS.
    bool is_per_cpu(std::uint64_t variable) const { return loads_.contains({true, variable}); }

private:
    void find_init_task();
    void sweep(const std::map<std::uint64_t, std::size_t>& candidates);
    bool holds_init_task(std::uint64_t variable) const;

    const ElfImage& elf_;
    std::optional<std::uint64_t> init_task_;
    std::map<std::uint64_t, unsigned> uses_;                    // of what may be init_task, by address
    std::map<std::pair<bool, std::uint64_t>, unsigned> loads_;  // of a word, by GS or FS or neither
    std::map<std::pair<std::uint64_t, std::uint64_t>, unsigned> stores_; // what may be init_task, and to which offset
    std::map<std::uint64_t, unsigned> masks_;                   // of the stack pointer, by size
};

} // namespace lacuna
