// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <map>
#include <random>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

extern "C" {
#include "engine.h"
}

namespace lacuna::test {

// Guest physical memory of a fixed size. Pages never written read as zeros; pages in `broken` cannot be read.
class GuestMemory {
public:
    explicit GuestMemory(std::uint64_t size) : size_(size) {}

    void write(std::uint64_t gpa, const void* data, std::size_t size);
    void read(std::uint64_t gpa, void* data, std::size_t size) const;
    template <typename T> void put(std::uint64_t gpa, T value) { write(gpa, &value, sizeof(value)); }
    template <typename T> T get(std::uint64_t gpa) const
    {
        T value;
        read(gpa, &value, sizeof(value));
        return value;
    }
    std::uint64_t allocate_page();
    lac_memory for_engine();

    std::unordered_set<std::uint64_t> broken; // page numbers

private:
    static int engine_read(void* context, u64 gpa, void* buffer, u32 len);

    std::uint64_t size_;
    std::uint64_t next_page_ = 0x100000;
    std::unordered_map<std::uint64_t, std::array<std::uint8_t, 4096>> pages_;
};

// Where the made-up kernel keeps what. Offsets of module members are relative to module.list.
struct Layout {
    std::int32_t pid, tgid, comm, tasks, mm, active_mm, cg_list, tid, clear_child_tid, exec_mm, thread_group;
    std::int32_t pgd, start_code, end_code, auxv, vdso;
    std::int32_t name, kobj_name, core, init_part, init_function, size, total_size, ro_size, init_size;
    std::int32_t core_copy = 0; // another pointer to the part that stays; 0: there is none

    // A declaration order as Debian's kernels have it.
    static Layout ordinary();
    static Layout ordinary_i386();
    // Everything anywhere, as with CONFIG_RANDSTRUCT_FULL.
    static Layout random(std::uint32_t seed);
};

// Where the made-up kernel and its processes live.
struct AddressMap {
    std::uint64_t linear_map, image, modules, programs, thread_memory, vdso;
    unsigned word; // bytes

    std::uint64_t modules_head() const { return image + 0x200000; }
};

// A Linux guest as the engine sees it: tasks, address spaces and modules in a made-up physical memory.
class SyntheticGuest {
public:
    struct Task {
        std::uint64_t address = 0;
        std::uint64_t space = 0; // 0: a kernel thread
    };

    explicit SyntheticGuest(const Layout& layout, lacuna_paging paging = LACUNA_PAGING_4LEVEL);

    lac_facts facts() const;

    Task init_task() const { return init_task_; }
    Task spawn_kernel_thread(const std::string& comm);
    // A process of its own program; each has another load address and other code bounds.
    Task spawn_process(const std::string& comm);
    // What was a kernel thread runs a program now, as process 1 does.
    Task exec(const Task& task);
    Task spawn_thread(const Task& leader, const std::string& comm);
    // Without an event of its own a thread is seen only where it hangs on its leader.
    void exit(const Task& task);
    void set_comm(const Task& task, const std::string& comm);
    // A kernel thread that does not run has no address space, not even a borrowed one (context_switch()).
    void switch_out(const Task& task) { put_word(task.address, layout.active_mm, 0); }

    // Process 1 runs its program, if it has not so far.
    void start_first();

    // What a program may do: have some number where its library keeps the thread's own, ...
    void say_number(const Task& task, std::int32_t number);
    // ... or make its data look like its code, in the headers that lie in its memory.
    void call_data_code(const Task& process);
    // What the kernel keeps of a program's code is what its headers do not say, but of other members they do (PR_SET_MM_MAP).
    void swap_code(const Task& process);
    // A 32-bit program in a 64-bit guest: the words of what the kernel keeps of it are of 32 bits.
    void make_compat(const Task& process);

    lac_event fork_event(const Task& current) const;
    lac_event exit_event(const Task& task);
    // Loads a module with so many pages of text and returns the event of its init function being about to run.
    lac_event load_module(const std::string& name, std::uint64_t pages);
    lac_event load_module(const std::string& name) { return load_module(name, 1 + random_() % 5); }
    // What the kernel does once the init function has returned.
    void finish_module();
    std::uint64_t last_text(); // where the part of the last module that stays starts
    void set_init_function(std::uint64_t function); // of the last module

    // Address translation as the kernel's linear map does it, for tests that damage something.
    std::uint64_t linear_to_gpa(std::uint64_t va) const { return va - where.linear_map; }
    std::uint64_t to_gpa(std::uint64_t va) const;

    // How modules are made: with notes; text not writable and data not executable (CONFIG_STRICT_MODULE_RWX).
    bool module_notes = true, strict_modules = true;
    // A page of somebody else's that is executable lies behind each module's text.
    bool trampolines = false;
    // Threads hang on a list of their leader: thread_group, or thread_node with its head elsewhere.
    bool threads_have_a_head = false;
    // So far what tasks are counted by otherwise (sched_ext's tid) is the same as pid.
    bool tids_are_pids = false;

    GuestMemory memory{1ull << 29};
    const Layout layout;
    const AddressMap where;

private:
    std::uint64_t make_task(const std::string& comm, std::int32_t pid, std::int32_t tgid);
    std::uint64_t make_space();
    void make_program(std::uint64_t mm, std::uint64_t root);
    std::uint64_t cr3(std::uint64_t root) const;
    // A page, or a large one where the paging has such with pages of 2^shift bytes.
    void map(std::uint64_t root, std::uint64_t va, std::uint64_t gpa, std::uint64_t flags, unsigned shift = 12);
    void keep_thread_id(const Task& task, std::int32_t pid);
    void link_process(std::uint64_t task);
    // At the end of the list, as list_add_tail() does.
    void link(std::uint64_t node, std::uint64_t head);
    void unlink(std::uint64_t node);
    std::uint64_t allocate(std::size_t pages);
    template <typename T> void put(std::uint64_t va, std::int64_t offset, T value)
    {
        memory.put<T>(to_gpa(va + static_cast<std::uint64_t>(offset)), value);
    }
    void put_word(std::uint64_t va, std::int64_t offset, std::uint64_t value);
    std::uint64_t word(std::uint64_t va) const;

    lacuna_paging paging_;
    std::mt19937 random_{1};
    std::uint64_t kernel_root_ = 0;
    std::int32_t next_pid_ = 1;
    Task init_task_;
    std::uint64_t cg_head_ = 0;
    std::map<std::uint64_t, std::uint64_t> thread_heads_; // by leader
    std::map<std::uint64_t, std::uint64_t> thread_ids_; // by task: the GPA at which its number is kept
    std::map<std::uint64_t, std::uint64_t> headers_; // by mm: the GPA of the program's headers
    std::uint64_t next_module_;
    std::uint64_t last_module_ = 0;
    std::map<std::uint64_t, std::uint64_t> module_pages_; // VA of a page -> GPA
};

} // namespace lacuna::test
