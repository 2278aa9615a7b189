// SPDX-License-Identifier: GPL-2.0-or-later
#include "literal.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cstring>

#include "abi_names.h"

namespace lacuna::test {
namespace {

constexpr std::uint64_t page_size = 4096, most_pages = 8192;
constexpr std::size_t longest_ring = 4096, most_modules = 32;

} // namespace

LiteralHunter::LiteralHunter(const lacuna_constraints& set) : set_(set) {}

void LiteralHunter::start(const lac_facts& facts)
{
    facts_ = facts;
    word_ = facts.text >> 32 ? 8 : 4;
    kernel_root_ = 0;
    alive_.clear();
    members_.clear();
    const lacuna_architecture architecture = word_ == 8 ? LACUNA_X86_64 : LACUNA_I386;
    for (std::size_t i = 0; i < set_.members_nr; i++) {
        const lacuna_member& described = set_.members[i];
        const lacuna_structure& structure = set_.structures[described.structure];
        const auto size = static_cast<std::int32_t>(member_size(described, architecture));
        const std::int32_t align = described.type == LACUNA_TYPE_TEXT ? 1 : std::min<std::int32_t>(size, static_cast<std::int32_t>(word_));
        Member member{.name = qualified_name(set_, i), .left = {}};
        for (std::int32_t offset = structure.low; offset + size <= structure.high; offset += align)
            member.left.push_back(offset);
        member.number = static_cast<std::uint32_t>(member.left.size());
        members_.push_back(std::move(member));
    }
}

void LiteralHunter::forget(std::uint64_t task)
{
    if (task == LAC_ALL_TASKS)
        alive_.clear();
    else
        alive_.erase(task);
}

Reports LiteralHunter::reports() const
{
    Reports all;
    for (const Member& member : members_) {
        lacuna_member_report& report = all[member.name];
        report.remaining = static_cast<std::uint32_t>(member.left.size());
        report.eliminated = member.number - report.remaining;
        report.state = report.remaining == 1 ? LACUNA_RESOLVED : report.remaining ? LACUNA_OPEN : LACUNA_CONTRADICTED;
        std::copy_n(member.left.begin(), std::min<std::size_t>(member.left.size(), LACUNA_LISTED_CANDIDATES), report.candidates);
    }
    return all;
}

void LiteralHunter::event(const lac_event& event, const lac_memory& memory)
{
    event_ = &event;
    memory_ = &memory;
    lac_page page;
    if (event.on == LACUNA_ON_INITCALL) {
        std::uint64_t node = facts_.modules;
        for (std::size_t i = 0; i < most_modules && word(node, node) && node != facts_.modules; i++) {
            for (std::int32_t offset = -2048; offset < 2048; offset += static_cast<std::int32_t>(word_))
                if (std::uint64_t value; word(node + static_cast<std::uint64_t>(offset), value) && value == event.subject)
                    return ask_module(node);
        }
    } else if (event.on != LACUNA_ON_LOOK && translate(event.subject, page)) {
        if (event.subject == facts_.init_task)
            kernel_root_ = lac_root_of(event.cr3, event.paging);
        alive_.insert(event.subject);
        ask_task(event.subject);
        if (event.on == LACUNA_ON_EXIT)
            alive_.erase(event.subject);
    }
}

LiteralHunter::Member& LiteralHunter::member(const std::string& name)
{
    return *std::find_if(members_.begin(), members_.end(), [&](const Member& m) { return m.name == name; });
}

template <typename Check> void LiteralHunter::eliminate(const std::string& name, Check check)
{
    Member& asked = member(name);
    if (asked.left.size() > 1)
        std::erase_if(asked.left, [&](std::int32_t offset) { return !check(offset); });
}

void LiteralHunter::ask_task(std::uint64_t task)
{
    const auto at = [&](std::int32_t offset) { return task + static_cast<std::uint64_t>(offset); };
    const bool kernel = lac_root_of(event_->cr3, event_->paging) == kernel_root_;
    eliminate("task_struct.comm", [&](std::int32_t offset) { return is_text(at(offset), 16); });
    eliminate("task_struct.tasks", [&](std::int32_t offset) { return is_ring(offset); });
    eliminate("task_struct.pid", [&](std::int32_t offset) {
        std::int32_t value = 0;
        return read(at(offset), &value, sizeof(value)) && value >= 0 && value <= 4194304 && is_unique(task, offset, value);
    });
    if (event_->on != LACUNA_ON_FORK)
        return;
    eliminate("task_struct.mm", [&](std::int32_t offset) {
        std::uint64_t mm = 0, active = 0;
        if (!word(at(offset), mm) || !word(at(offset) + word_, active))
            return false;
        return kernel ? !mm : mm && mm == active;
    });
    const auto& found = member("task_struct.mm").left;
    if (std::uint64_t mm; !kernel && found.size() == 1 && word(at(found[0]), mm) && mm)
        ask_mm(mm);
}

void LiteralHunter::ask_mm(std::uint64_t mm)
{
    const auto at = [&](std::int32_t offset) { return mm + static_cast<std::uint64_t>(offset); };
    eliminate("mm_struct.pgd", [&](std::int32_t offset) {
        std::uint64_t pointer = 0;
        lac_page page;
        return word(at(offset), pointer) && translate(pointer, page) && page.gpa == lac_root_of(event_->cr3, event_->paging);
    });
    const auto bounds = [&](std::int32_t offset) {
        std::uint64_t start = 0, end = 0;
        return word(at(offset), start) && word(at(offset) + word_, end) && start < end && is_code(start) && is_code(end - 1);
    };
    eliminate("mm_struct.start_code", bounds);
    eliminate("mm_struct.end_code", [&](std::int32_t offset) { return bounds(offset - static_cast<std::int32_t>(word_)); });
}

void LiteralHunter::ask_module(std::uint64_t module)
{
    const auto at = [&](std::int32_t offset) { return module + static_cast<std::uint64_t>(offset); };
    eliminate("module.name", [&](std::int32_t offset) { return is_text(at(offset), 56); });
    eliminate("module.module_core", [&](std::int32_t offset) {
        std::uint64_t base = 0;
        if (!word(at(offset), base) || base % page_size)
            return false;
        const std::uint64_t bytes = executable_bytes(base);
        return bytes && !(base <= event_->subject && event_->subject < base + bytes);
    });
    const auto& core = member("module.module_core").left;
    std::uint64_t base = 0;
    if (core.size() != 1 || !word(at(core[0]), base))
        return;
    eliminate("module.core_text_size", [&](std::int32_t offset) {
        std::uint32_t size = 0;
        return read(at(offset), &size, sizeof(size)) && size && size == executable_bytes(base);
    });
}

// Without anything remembered: each translation reads the tables from the root down.
bool LiteralHunter::translate(std::uint64_t va, lac_page& page) const
{
    lac_space space;
    lac_space_init(&space, memory_, event_->cr3, event_->paging);
    return !lac_translate(&space, va, &page);
}

bool LiteralHunter::read(std::uint64_t va, void* to, unsigned size) const
{
    lac_space space;
    lac_space_init(&space, memory_, event_->cr3, event_->paging);
    return !lac_read(&space, va, to, size);
}

bool LiteralHunter::word(std::uint64_t va, std::uint64_t& value) const
{
    std::uint64_t read_value = 0;
    if (!read(va, &read_value, word_))
        return false;
    value = read_value;
    return true;
}

bool LiteralHunter::is_text(std::uint64_t va, unsigned size) const
{
    std::array<char, 64> text{};
    if (!read(va, text.data(), size))
        return false;
    const auto end = std::find(text.begin(), text.begin() + size, '\0');
    return end != text.begin() && end != text.begin() + size &&
        std::all_of(text.begin(), end, [](unsigned char c) { return std::isprint(c); });
}

bool LiteralHunter::is_code(std::uint64_t va) const
{
    lac_page page;
    return translate(va, page) && page.rights & LAC_USER && page.rights & LAC_EXEC && !(page.rights & LAC_WRITE);
}

bool LiteralHunter::is_ring(std::int32_t offset) const
{
    const std::uint64_t first = facts_.init_task + static_cast<std::uint64_t>(offset);
    std::set<std::uint64_t> met;
    std::uint64_t node = first, next = 0, back = 0;
    do {
        met.insert(node - static_cast<std::uint64_t>(offset));
        if (!word(node, next) || !word(next + word_, back) || back != node)
            return false;
        node = next;
    } while (node != first && met.size() < longest_ring);
    return node == first && std::includes(met.begin(), met.end(), alive_.begin(), alive_.end());
}

bool LiteralHunter::is_unique(std::uint64_t task, std::int32_t offset, std::int32_t value) const
{
    return std::none_of(alive_.begin(), alive_.end(), [&](std::uint64_t other) {
        std::int32_t theirs = 0;
        return other != task && read(other + static_cast<std::uint64_t>(offset), &theirs, sizeof(theirs)) && theirs == value;
    });
}

std::uint64_t LiteralHunter::executable_bytes(std::uint64_t base) const
{
    std::uint64_t pages = 0;
    lac_page page;
    while (pages < most_pages && translate(base + pages * page_size, page) && page.rights & LAC_EXEC && !(page.rights & LAC_WRITE))
        pages++;
    return pages * page_size;
}

} // namespace lacuna::test
