// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <set>
#include <vector>

#include "replay.h"

namespace lacuna::test {

// The method as it was published, taken literally, to compare the engine with: at each event each candidate of each member is read
// from the guest by itself, through its page tables from the root on, checked by what is published of the member, and struck for good
// when that does not hold. Nothing is confirmed, and nothing is remembered from one candidate to the next. A member is found when one
// candidate is left; those of mm_struct and module.core_text_size are looked for when what they are found by is.
//
//   comm            printable, not empty, ends in NUL
//   pid             0 to 4194304, and no other task known alive has it
//   tasks           circular from init_task on, each next->prev is the node itself, and all tasks known alive are on it
//   mm              0 while the kernel's own page tables are in use, else a pointer equal to the next word (active_mm)
//   pgd             a pointer whose physical address is the one in CR3
//   start_code      a user address that is executable and not writable, below the word behind it
//   end_code        a user address above the word before it, which is such an address
//   module.name     as comm
//   module_core     page-aligned, executable, and the init function does not lie in the pages from there on
//   core_text_size  a whole number of pages, as many as are executable from module_core on
class LiteralHunter : public Hunter {
public:
    explicit LiteralHunter(const lacuna_constraints& set);
    void start(const lac_facts& facts) override;
    void event(const lac_event& event, const lac_memory& memory) override;
    void forget(std::uint64_t task) override;
    Reports reports() const override;

private:
    struct Member {
        std::string name;
        std::vector<std::int32_t> left; // offsets
        std::uint32_t number = 0; // of them at first
    };

    Member& member(const std::string& name);
    template <typename Check> void eliminate(const std::string& name, Check check);
    void ask_task(std::uint64_t task);
    void ask_mm(std::uint64_t mm);
    void ask_module(std::uint64_t module);
    bool read(std::uint64_t va, void* to, unsigned size) const;
    bool translate(std::uint64_t va, lac_page& page) const;
    bool word(std::uint64_t va, std::uint64_t& value) const;
    bool is_text(std::uint64_t va, unsigned size) const;
    bool is_code(std::uint64_t va) const;
    bool is_ring(std::int32_t offset) const;
    bool is_unique(std::uint64_t task, std::int32_t offset, std::int32_t value) const;
    std::uint64_t executable_bytes(std::uint64_t base) const;

    lacuna_constraints set_;
    std::vector<Member> members_;
    lac_facts facts_{};
    unsigned word_ = 8; // bytes
    std::uint64_t kernel_root_ = 0;
    std::set<std::uint64_t> alive_;
    const lac_event* event_ = nullptr;
    const lac_memory* memory_ = nullptr;
};

} // namespace lacuna::test
