// SPDX-License-Identifier: GPL-2.0-or-later
#include "predicate.h"

#include <algorithm>

#include <spdlog/fmt/fmt.h>

#include "error.h"

namespace lacuna {

bool has_exited(Look& look, const Instance& task)
{
    return look.member(task, "task_struct.mm") == 0u && !look.is_kernel_thread(task);
}

bool is_privileged(Look& look, const Instance& task)
{
    constexpr std::size_t window = 64, word = 8; // the ids are in there
    const auto mine = look.member(task, "task_struct.cred");
    if (!mine || !look.leads_somewhere(*mine))
        return false;
    const Bytes own = look.block(*mine, window);
    std::vector<bool> zero(window / 4, true);
    bool any = false;
    for (const Instance& other : look.tasks()) {
        if (!look.is_kernel_thread(other))
            continue;
        const auto theirs = look.member(other, "task_struct.cred");
        if (!theirs || !look.leads_somewhere(*theirs))
            continue;
        any = true;
        const Bytes& bytes = look.block(*theirs, window);
        for (std::size_t i = 0; i < zero.size(); i++)
            zero[i] = zero[i] && load<std::uint32_t>(bytes, 4 * i) == 0u;
    }
    for (std::size_t i = 0; any && i < zero.size(); i++) {
        const auto around = load<std::uint64_t>(own, 4 * i / word * word);
        const bool pointer = around && *around >> 48 == 0xffff;
        if (zero[i] && load<std::uint32_t>(own, 4 * i) != 0u && !pointer)
            return false;
    }
    return any;
}

bool is_its_own(const std::vector<Instance>& all, const Instance& one, std::int32_t offset)
{
    const auto value = one.value<std::uint32_t>(offset);
    return std::none_of(all.begin(), all.end(), [&](const Instance& other) {
        return other.address != one.address && other.value<std::uint32_t>(offset) == value;
    });
}

Predicate make_predicate(const DeepConstraint& constraint, const DeepMember& member)
{
    for (const auto group : predicate_groups)
        if (const auto found = group().find(constraint.predicate); found != group().end())
            return found->second(constraint, member);
    throw Error(fmt::format("unknown predicate \"{}\"", constraint.predicate), "member " + member.qualified(),
                "constraints/README.md lists them");
}

} // namespace lacuna
