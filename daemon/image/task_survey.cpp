// SPDX-License-Identifier: GPL-2.0-or-later
#include "task_survey.h"

#include <algorithm>
#include <set>
#include <string_view>

#include "instruction.h"

namespace lacuna {

namespace {

constexpr std::uint64_t largest_task = 16384;
constexpr unsigned fewest_uses = 2; // of init_task; it is the anchor of each walk over all tasks
constexpr unsigned own_pointers = 3; // real_parent, parent and group_leader, since 2.6
constexpr unsigned fewest_loads = 3;
constexpr unsigned ahead = 2; // so many times as often as the next

// Where a segment's bytes hold the first task's name.
std::vector<std::uint64_t> find_names(const ElfImage::Segment& segment)
{
    constexpr std::string_view name("swapper\0", 8); // INIT_TASK_COMM
    constexpr std::size_t most = 64;                 // hostile images must not keep us busy
    std::vector<std::uint64_t> found;
    for (auto at = segment.data.begin(); found.size() < most; ++at) {
        at = std::search(at, segment.data.end(), name.begin(), name.end());
        if (at == segment.data.end())
            break;
        found.push_back(static_cast<std::uint64_t>(at - segment.data.begin()));
    }
    return found;
}

using Holders = std::map<std::uint64_t, std::set<std::uint64_t>>; // of each address the words that hold it

// Addresses before a name that words behind them hold, as a structure's pointers to itself do. An empty list's two words
// hold its own address, and are not meant.
void find_self_pointers(const ElfImage& elf, const ElfImage::Segment& segment, std::uint64_t name, Holders& holders)
{
    const unsigned word = elf.pointer_size();
    const std::uint64_t first = name > largest_task ? name - largest_task : 0;
    for (std::uint64_t at = (first + word - 1) / word * word; at < name + largest_task; at += word) {
        const auto value = elf.load_pointer(segment.data, at);
        if (value && *value % word == 0 && *value >= segment.address + first &&
            *value < segment.address + name && *value + word < segment.address + at &&
            segment.address + at - *value < largest_task)
            holders[*value].insert(segment.address + at);
    }
}

bool is_general(const ZydisDecodedOperand& operand)
{
    if (operand.type != ZYDIS_OPERAND_TYPE_REGISTER)
        return false;
    const ZydisRegisterClass kind = ZydisRegisterGetClass(operand.reg.value);
    return kind == ZYDIS_REGCLASS_GPR32 || kind == ZYDIS_REGCLASS_GPR64;
}

bool is_place(const ZydisDecodedOperand& operand)
{
    return operand.type == ZYDIS_OPERAND_TYPE_MEMORY && operand.mem.index == ZYDIS_REGISTER_NONE &&
           (operand.mem.base == ZYDIS_REGISTER_NONE || operand.mem.base == ZYDIS_REGISTER_RIP);
}

std::optional<std::uint64_t> stack_mask(const ZydisDecodedOperand& operand)
{
    if (operand.type != ZYDIS_OPERAND_TYPE_IMMEDIATE || operand.imm.is_relative)
        return std::nullopt;
    const auto size = static_cast<std::uint32_t>(-operand.imm.value.s);
    return size == 4096 || size == 8192 || size == 16384 || size == 32768 ? std::optional<std::uint64_t>(size)
                                                                          : std::nullopt;
}

bool is_stack_pointer(const ZydisDecodedOperand& operand)
{
    return operand.type == ZYDIS_OPERAND_TYPE_REGISTER &&
           (operand.reg.value == ZYDIS_REGISTER_ESP || operand.reg.value == ZYDIS_REGISTER_RSP);
}

} // namespace

TaskSurvey::TaskSurvey(const ElfImage& elf) : elf_(elf)
{
    find_init_task();
}

void TaskSurvey::find_init_task()
{
    Holders holders;
    for (const ElfImage::Segment& segment : elf_.segments())
        if (elf_.is_kernel(segment.address))
            for (const std::uint64_t name : find_names(segment))
                find_self_pointers(elf_, segment, name, holders);
    std::map<std::uint64_t, std::size_t> counts;
    for (const auto& [address, words] : holders)
        if (words.size() >= 2)
            counts[address] = words.size();
    sweep(counts);
    // A list inside it may have its head's address in two words of its only entry.
    const bool whole = std::any_of(counts.begin(), counts.end(), [](const auto& entry) { return entry.second >= own_pointers; });
    for (const auto& [address, uses] : uses_) {
        if (uses < fewest_uses || (whole && counts.at(address) < own_pointers))
            continue;
        if (init_task_) {
            init_task_.reset(); // two: neither is sure
            return;
        }
        init_task_ = address;
    }
}

void TaskSurvey::sweep(const std::map<std::uint64_t, std::size_t>& candidates)
{
    const bool wide = elf_.architecture() == Architecture::x86_64;
    const ZydisRegister own = wide ? ZYDIS_REGISTER_GS : ZYDIS_REGISTER_FS;
    // By the instruction before: mov $-8192,%eax; and %esp,%eax, or mov %esp,%eax; and $-8192,%eax.
    std::optional<std::uint64_t> loaded;
    bool has_stack = false;
    Decoder(elf_).sweep([&](const Instruction& instruction) {
        for (const std::uint64_t address : instruction.addresses())
            if (candidates.contains(address))
                ++uses_[address];
        const auto mnemonic = instruction.decoded.mnemonic;
        std::optional<std::uint64_t> mask;
        bool takes_stack = false;
        if (instruction.visible() == 2) {
            const auto& first = instruction.operands[0];
            const auto& second = instruction.operands[1];
            if (mnemonic == ZYDIS_MNEMONIC_MOV && is_general(first) && is_place(second) &&
                second.size == elf_.pointer_size() * 8) {
                const bool per_cpu = second.mem.segment == own;
                if (per_cpu || second.mem.segment == ZYDIS_REGISTER_DS)
                    for (const std::uint64_t address : instruction.addresses())
                        ++loads_[{per_cpu, address}];
            }
            if (mnemonic == ZYDIS_MNEMONIC_MOV && first.type == ZYDIS_OPERAND_TYPE_MEMORY &&
                first.mem.base != ZYDIS_REGISTER_NONE && first.mem.base != ZYDIS_REGISTER_RIP &&
                second.type == ZYDIS_OPERAND_TYPE_IMMEDIATE)
                for (const std::uint64_t value : instruction.addresses())
                    if (candidates.contains(value))
                        ++stores_[{value, static_cast<std::uint64_t>(first.mem.disp.value)}];
            if (mnemonic == ZYDIS_MNEMONIC_MOV)
                mask = stack_mask(second);
            if (mnemonic == ZYDIS_MNEMONIC_AND && loaded && is_stack_pointer(second))
                ++masks_[*loaded];
            if (mnemonic == ZYDIS_MNEMONIC_AND && stack_mask(second) && has_stack)
                ++masks_[*stack_mask(second)];
            takes_stack = mnemonic == ZYDIS_MNEMONIC_MOV && is_general(first) && is_stack_pointer(second);
        }
        loaded = mask;
        has_stack = takes_stack;
    });
}

bool TaskSurvey::holds_init_task(std::uint64_t variable) const
{
    const auto bytes = elf_.read(variable, elf_.pointer_size());
    return bytes && elf_.load_pointer(*bytes, 0) == init_task_;
}

std::optional<TaskSurvey::Current> TaskSurvey::current() const
{
    std::optional<Current> best;
    unsigned most = 0, next = 0;
    for (const auto& [variable, count] : loads_) {
        const auto& [per_cpu, address] = variable;
        if (!init_task_ ||
            !(holds_init_task(address) || (per_cpu && stores_.contains({*init_task_, address}))))
            continue;
        next = std::max(next, std::min(count, most));
        if (count > most) {
            most = count;
            best = {address, per_cpu};
        }
    }
    return most >= fewest_loads && most >= ahead * next ? best : std::nullopt;
}

std::optional<std::uint64_t> TaskSurvey::most_loaded() const
{
    constexpr unsigned fewest = 64;
    std::optional<std::uint64_t> best;
    unsigned most = 0, next = 0;
    for (const auto& [variable, count] : loads_) {
        if (!variable.first)
            continue;
        next = std::max(next, std::min(count, most));
        if (count > most) {
            most = count;
            best = variable.second;
        }
    }
    return most >= fewest && most >= ahead * next ? best : std::nullopt;
}

std::optional<std::uint64_t> TaskSurvey::stack_size() const
{
    const auto best = std::max_element(masks_.begin(), masks_.end(),
                                       [](const auto& a, const auto& b) { return a.second < b.second; });
    if (best == masks_.end() || best->second < fewest_loads)
        return std::nullopt;
    return is_stack_size(best->first) ? std::optional(best->first) : std::nullopt;
}

bool TaskSurvey::is_stack_size(std::uint64_t size) const
{
    for (const ElfImage::Segment& segment : elf_.segments()) {
        if (!elf_.is_kernel(segment.address))
            continue;
        for (std::uint64_t stack = (segment.address + size - 1) / size * size;
             stack < segment.address + segment.data.size(); stack += size)
            if (holds_init_task(stack))
                return true;
    }
    return false;
}

} // namespace lacuna
