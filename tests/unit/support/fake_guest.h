// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstring>
#include <functional>
#include <map>
#include <string>

#include <gtest/gtest.h>

#include "address_space.h"
#include "error.h"

namespace lacuna {

// The memory of a guest that exists in tests only: physical pages, page tables built by hand (Intel SDM
// volume 3A, 4.5).
class FakeGuest {
public:
    static constexpr std::uint64_t page = 4096;
    static constexpr std::uint64_t noise = 0x8000'0000'0000'0867; // NX, protection, accessed, dirty, present

    std::uint64_t root = 0x1000;
    lacuna_paging paging;
    unsigned reads = 0;
    std::function<void(unsigned)> before_read; // told how many reads there have been

    explicit FakeGuest(lacuna_paging how = LACUNA_PAGING_4LEVEL)
        : root(how == LACUNA_PAGING_PAE ? 0x10e0 : 0x1000),
          paging(how)
    {
        pages_[0x1000].resize(page);
    }

    bool wide() const { return paging == LACUNA_PAGING_4LEVEL || paging == LACUNA_PAGING_5LEVEL; }

    // Maps the page of `gva` to `gpa`; level 1: 4 KiB, 2: 2 MiB (4 MiB with 32-bit paging), 3: 1 GiB.
    void map(std::uint64_t gva, std::uint64_t gpa, unsigned level = 1)
    {
        constexpr unsigned levels[] = {4, 5, 3, 2};
        std::uint64_t table = root;
        for (unsigned l = levels[paging]; l > level; l--) {
            std::uint64_t entry = get_entry(table, gva, l);
            if (!entry) {
                // of an entry of a PAE root, all but the address and bit 0 is reserved
                entry = next_table_ | (paging == LACUNA_PAGING_PAE && l == 3 ? 1 : noise);
                set_entry(table, gva, l, entry);
                pages_[next_table_].resize(page);
                next_table_ += page;
            }
            table = entry & 0x000f'ffff'ffff'f000;
        }
        // with 32-bit paging the high bits of a large page's address stand in 13-20 (PSE-36)
        if (paging == LACUNA_PAGING_32BIT && level == 2)
            gpa = (gpa & 0xffff'ffff) | (gpa >> 32) << 13;
        set_entry(table, gva, level, gpa | noise | (level > 1 ? 0x80 : 0));
    }

    void put_physical(std::uint64_t gpa, const void* data, std::size_t size)
    {
        for (std::size_t i = 0; i < size; i++) {
            Bytes& bytes = pages_[(gpa + i) & ~(page - 1)];
            bytes.resize(page);
            bytes[(gpa + i) % page] = static_cast<const std::uint8_t*>(data)[i];
        }
    }

    // Writes at a virtual address; pages that are not mapped yet get physical memory of their own.
    void put(std::uint64_t gva, const void* data, std::size_t size)
    {
        for (std::size_t i = 0; i < size; i++) {
            const std::uint64_t address = gva + i, start = address & ~(page - 1);
            if (!mapped_.contains(start)) {
                map(start, next_page_);
                mapped_[start] = next_page_;
                next_page_ += 7 * page; // neighbours in virtual memory are none in physical memory
            }
            put_physical(mapped_[start] + address % page, static_cast<const std::uint8_t*>(data) + i, 1);
        }
    }
    template <typename T> void put(std::uint64_t gva, T value) { put(gva, &value, sizeof(value)); }
    // A text of `size` bytes, filled up with NULs.
    void put_text(std::uint64_t gva, std::string text, std::size_t size)
    {
        text.resize(size);
        put(gva, text.data(), size);
    }

    Bytes read(std::uint64_t gpa, std::size_t length)
    {
        if (before_read)
            before_read(++reads);
        const auto found = pages_.find(gpa & ~(page - 1));
        if (found == pages_.end() || gpa % page + length > page)
            throw Error("no memory there");
        const auto first = found->second.begin() + static_cast<std::ptrdiff_t>(gpa % page);
        return Bytes(first, first + static_cast<std::ptrdiff_t>(length));
    }

    AddressSpace space()
    {
        return AddressSpace([this](std::uint64_t gpa, std::size_t length) { return read(gpa, length); },
                            root | (paging == LACUNA_PAGING_PAE ? 0x18 : 0x801), paging);
    }

private:
    std::size_t entry_size() const { return paging == LACUNA_PAGING_32BIT ? 4 : 8; }
    std::uint8_t* entry_of(std::uint64_t table, std::uint64_t gva, unsigned level)
    {
        const unsigned bits = paging == LACUNA_PAGING_32BIT ? 10 : 9;
        std::uint64_t index = (gva >> (12 + bits * (level - 1))) & ((1u << bits) - 1);
        if (paging == LACUNA_PAGING_PAE && level == 3)
            index &= 3;
        return pages_.at(table & ~(page - 1)).data() + table % page + index * entry_size();
    }
    std::uint64_t get_entry(std::uint64_t table, std::uint64_t gva, unsigned level)
    {
        std::uint64_t entry = 0;
        std::memcpy(&entry, entry_of(table, gva, level), entry_size());
        return entry;
    }
    void set_entry(std::uint64_t table, std::uint64_t gva, unsigned level, std::uint64_t entry)
    {
        std::memcpy(entry_of(table, gva, level), &entry, entry_size());
    }

    std::map<std::uint64_t, Bytes> pages_;
    std::map<std::uint64_t, std::uint64_t> mapped_;
    std::uint64_t next_table_ = 0x2000;
    std::uint64_t next_page_ = 0x1000'0000;
};

// For the names of tests that are done with several ways of paging.
inline std::string name_of(const testing::TestParamInfo<lacuna_paging>& paging)
{
    const char* names[] = {"four", "five", "PAE", "two"};
    return names[paging.param];
}

// The offsets the fake kernel has; some members cross a page's end.
struct FakeLayout {
    static constexpr std::uint64_t tasks = 0x8b8, pid = 0x98c, comm = 0xffa, mm = 0x908, pgd = 0x48;
    static constexpr std::int64_t name = 16, core = -64, text_size = 0x150;
    static constexpr std::uint64_t init_task = 0xffffffff'8aa0'0000, modules = 0xffffffff'8ab0'0040;
    static constexpr std::uint64_t init_task_i386 = 0xc1aa'0000, modules_i386 = 0xc1ab'0040;
};

// A kernel with processes and modules on its lists.
class FakeKernel {
public:
    FakeGuest memory;
    const std::uint64_t init_task, modules;

    explicit FakeKernel(lacuna_paging paging = LACUNA_PAGING_4LEVEL)
        : memory(paging),
          init_task(memory.wide() ? FakeLayout::init_task : FakeLayout::init_task_i386),
          modules(memory.wide() ? FakeLayout::modules : FakeLayout::modules_i386)
    {
        if (!memory.wide()) {
            next_task_ = 0xc510'0000;
            next_module_ = 0xf820'0404;
        }
        add_task_at(init_task, 0, "swapper/0", false);
        link(modules, modules);
    }

    std::uint64_t add_process(std::int32_t pid, const std::string& comm, bool user)
    {
        const std::uint64_t task = next_task_;
        next_task_ += 0x3000;
        add_task_at(task, pid, comm, user);
        return task;
    }

    std::uint64_t add_module(const std::string& name, std::uint64_t core, std::uint32_t text_size)
    {
        const std::uint64_t node = next_module_;
        next_module_ += 0x1000;
        memory.put_text(node + FakeLayout::name, name, 56);
        put_word(node + static_cast<std::uint64_t>(FakeLayout::core), core);
        memory.put(node + FakeLayout::text_size, text_size);
        modules_.push_back(node);
        link_all(modules, modules_);
        return node;
    }

    // One direction of a list, for damage.
    void set_next(std::uint64_t node, std::uint64_t next) { put_word(node, next); }
    // Where a process's page tables are, as the kernel sees it.
    std::uint64_t pgd_of(std::uint64_t task) const
    {
        return memory.wide() ? task + 0x10'0000'0000 : task + 0x1000'0060;
    }
    static std::uint64_t tasks_node(std::uint64_t task) { return task + FakeLayout::tasks; }

private:
    void add_task_at(std::uint64_t task, std::int32_t pid, const std::string& comm, bool user)
    {
        memory.put(task + FakeLayout::pid, pid);
        memory.put_text(task + FakeLayout::comm, comm, 16);
        const std::uint64_t mm = user ? task + 0x2000 : 0;
        put_word(task + FakeLayout::mm, mm);
        if (user)
            put_word(mm + FakeLayout::pgd, pgd_of(task));
        if (task == init_task) {
            link(tasks_node(task), tasks_node(task));
            return;
        }
        tasks_.push_back(tasks_node(task));
        link_all(tasks_node(init_task), tasks_);
    }

    void put_word(std::uint64_t gva, std::uint64_t value) { memory.put(gva, &value, memory.wide() ? 8 : 4); }

    void link(std::uint64_t from, std::uint64_t to)
    {
        put_word(from, to);
        put_word(to + (memory.wide() ? 8 : 4), from);
    }
    void link_all(std::uint64_t head, const std::vector<std::uint64_t>& nodes)
    {
        std::uint64_t last = head;
        for (const std::uint64_t node : nodes)
            link(std::exchange(last, node), node);
        link(last, head);
    }

    std::vector<std::uint64_t> tasks_, modules_;
    std::uint64_t next_task_ = 0xffff8880'0010'0000, next_module_ = 0xffffffff'c020'0408;
};

} // namespace lacuna
