// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel_knowledge.h"

#include <algorithm>

#include <spdlog/spdlog.h>

#include "abi_names.h"
#include "error.h"
#include "verification.h"

namespace lacuna {

bool KernelKnowledge::says_all(const Profile& profile) const
{
    for (std::size_t i = 0; i < constraints_.members_nr; i++)
        if (const ProfileMember* member = profile.find(qualified_name(constraints_, i));
            !member || !(member->resolved() || member->absent()))
            return false;
    return true;
}

std::set<std::string> KernelKnowledge::known_among(const std::vector<KernelDescriptor>& kernels) const
{
    std::set<std::string> known;
    for (const KernelDescriptor& kernel : kernels) {
        try {
            const auto profile = store_.profile(kernel.id);
            if (profile && says_all(*profile))
                known.insert(kernel.id);
        } catch (const Error& error) { // it is learned anew
            spdlog::warn("{}", error.what());
        }
    }
    return known;
}

std::optional<Stored::Outcome> KernelKnowledge::publish(const Guest& guest)
{
    const Profile profile = make_profile(*guest.boot.kernel, constraints_, guest.boot.members);
    if (std::none_of(profile.members.begin(), profile.members.end(),
                     [](const ProfileMember& member) { return member.was_seen(); })) {
        spdlog::info("[{}] nothing was seen of its members: there is no profile of this boot", guest.name);
        return std::nullopt;
    }
    const Stored stored = store_.put_profile(profile);
    const auto found = fmt::format("{} of {} members", profile.resolved(), profile.present());
    switch (stored.outcome) {
    case Stored::written:
        spdlog::info("[{}] {}: profile written to {}", guest.name, found, stored.file.string());
        break;
    case Stored::improved:
        spdlog::info("[{}] {}: profile {} improved", guest.name, found, stored.file.string());
        break;
    case Stored::kept:
        spdlog::info("[{}] {}: nothing that {} does not say already", guest.name, found,
                     stored.file.string());
        break;
    case Stored::refused:
        for (const std::string& objection : stored.objections)
            spdlog::error("[{}] contradicts the profile in the store: {}", guest.name, objection);
        spdlog::error("[{}] the old profile stays; the new one lies in {}", guest.name, stored.file.string());
        break;
    }
    return stored.outcome;
}

void KernelKnowledge::verify(const Guest& guest, AddressSpace& memory) const
{
    const Boot& boot = guest.boot;
    const auto profile = store_.profile(boot.kernel_id);
    if (!profile)
        throw Error("the profile is not in the store any more", boot.kernel_id);
    const KernelDescriptor& kernel = *boot.kernel;
    lacuna::verify(memory, *profile,
                   {kernel.init_task_at(boot.slide), kernel.modules_at(boot.slide), kernel.text + boot.slide,
                    boot.text_gpa});
}

} // namespace lacuna
