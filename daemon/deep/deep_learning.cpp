// SPDX-License-Identifier: GPL-2.0-or-later
#include "deep_learning.h"

#include <algorithm>
#include <array>

#include "error.h"

namespace lacuna {

namespace {

constexpr const char* architecture = "x86_64";
constexpr std::array needed = {"task_struct.tasks", "task_struct.pid", "task_struct.comm", "task_struct.mm", "mm_struct.pgd"};

} // namespace

bool DeepLearning::can_start_from(const Profile& profile)
{
    return profile.architecture == architecture && std::all_of(needed.begin(), needed.end(), [&](const char* name) {
               const ProfileMember* member = profile.find(name);
               return member && member->usable();
           });
}

DeepLearning::DeepLearning(const DeepSolver& solver, const Profile& profile, Anchors anchors)
    : solver_(solver),
      anchors_(std::move(anchors))
{
    if (profile.architecture != architecture)
        throw Error("deep members are learned of 64-bit kernels only", "kernel " + profile.kernel_id);
    for (const char* name : needed)
        core_[name] = static_cast<std::int32_t>(profile.offset(name));
    for (const char* name : {"mm_struct.start_code", "mm_struct.end_code", "module.name", "module.module_core",
                             "module.core_text_size"})
        if (const ProfileMember* member = profile.find(name); member && member->usable())
            core_[name] = member->offset;
}

void DeepLearning::look(AddressSpace& memory, const std::function<void()>& breathe)
{
    Look look(memory, anchors_, std::chrono::steady_clock::now() + longest_look, breathe);
    const std::vector<DeepFinding> findings = solver_.solve(look, core_);
    looks_++;
    for (const DeepFinding& finding : findings) {
        Votes& votes = votes_[finding.member];
        votes.last = finding;
        if (finding.offsets.empty())
            continue;
        if (votes.offsets.empty())
            votes.offsets = finding.offsets;
        // what is tied may be told apart by a later look
        std::vector<std::int32_t> common;
        std::set_intersection(votes.offsets.begin(), votes.offsets.end(), finding.offsets.begin(),
                              finding.offsets.end(), std::back_inserter(common));
        votes.torn |= common.empty();
        votes.offsets = common.empty() ? votes.offsets : common;
        votes.found++;
    }
}

std::vector<ProfileMember> DeepLearning::members() const
{
    std::vector<ProfileMember> members;
    std::optional<std::int32_t> mnt; // mounts are found by a structure within them
    for (const auto& [name, votes] : votes_) {
        ProfileMember member;
        member.structure = name.substr(0, name.find('.'));
        member.name = name.substr(name.find('.') + 1);
        member.type = votes.last.type;
        member.size = votes.last.size;
        member.relative_to_list = member.structure == "module" && member.name != "list";
        member.deep = true;
        member.evidence = {looks_, votes.last.instances, votes.found, votes.last.eliminated};
        member.state = LACUNA_AMBIGUOUS;
        if (!votes.torn && votes.found >= std::min(looks_wanted, 2u) && !votes.offsets.empty()) {
            member.state = votes.offsets.size() == 1 ? LACUNA_RESOLVED : LACUNA_TIED;
            member.offset = votes.offsets.front();
            if (member.tied())
                member.candidates = votes.offsets;
        }
        member.remaining = member.resolved() ? 0
                                             : static_cast<std::uint32_t>(member.tied() ? votes.offsets.size()
                                                                                        : votes.last.left);
        if (member.qualified() == "mount.mnt" && member.resolved())
            mnt = member.offset;
        members.push_back(std::move(member));
    }
    for (ProfileMember& member : members) {
        if (member.structure != "mount" || member.name == "mnt" || !member.usable())
            continue;
        if (!mnt)
            member.state = LACUNA_AMBIGUOUS;
        member.offset = member.usable() ? member.offset + *mnt : 0;
        for (std::int32_t& candidate : member.candidates)
            candidate += mnt.value_or(0);
    }
    return members;
}

} // namespace lacuna
