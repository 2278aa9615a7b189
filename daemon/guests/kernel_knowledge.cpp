// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel_knowledge.h"

#include <algorithm>
#include <random>

#include <spdlog/spdlog.h>

#include "abi_names.h"
#include "digest.h"
#include "error.h"
#include "names.h"
#include "verification.h"

namespace lacuna {

KernelKnowledge::KernelKnowledge(Store& store, const lacuna_constraints& constraints, Choose choose)
    : store_(store),
      constraints_(constraints),
      constraints_digest_(
          digest_of({ByteView(reinterpret_cast<const std::uint8_t*>(&constraints), sizeof(constraints))})),
      choose_(std::move(choose))
{}

// Not by counting: who could count too would know which boot is looked at.
bool KernelKnowledge::by_chance(unsigned one_in)
{
    std::random_device random;
    return one_in > 0 && std::uniform_int_distribution<unsigned>(1, one_in)(random) == 1;
}

// There may be more members by now than when it was made.
bool KernelKnowledge::says_all(const Profile& profile) const
{
    for (std::size_t i = 0; i < constraints_.members_nr; i++)
        if (const ProfileMember* member = profile.find(qualified_name(constraints_, i));
            !member || !(member->resolved() || member->absent()))
            return false;
    return true;
}

bool KernelKnowledge::is_settled(const Profile& profile, const std::string& guest, const Trust& trust) const
{
    const Provenance& provenance = profile.provenance;
    if (provenance.engine < LACUNA_ENGINE_VERSION || provenance.constraints != constraints_digest_)
        return false;
    if (provenance.without_news >= trust.final_after_boots)
        return true;
    // Where there is another guest, one guest's word is not enough.
    const bool of_one_guest =
        trust.confirm_boots > 1 && provenance.teachers.size() == 1 && !provenance.find(guest);
    return says_all(profile) && profile.confirmed_by(trust.confirm_boots) && !of_one_guest;
}

std::set<std::string> KernelKnowledge::among(const std::vector<KernelDescriptor>& kernels,
                                             const std::function<bool(const Profile&)>& fits) const
{
    std::set<std::string> found;
    for (const KernelDescriptor& kernel : kernels) {
        try {
            const auto profile = store_.profile(kernel.id);
            if (profile && fits(*profile))
                found.insert(kernel.id);
        } catch (const Error& error) { // it is learned anew
            spdlog::warn("{}", error.what());
        }
    }
    return found;
}

std::set<std::string> KernelKnowledge::known_among(const std::vector<KernelDescriptor>& kernels,
                                                   const std::string& guest, const Trust& trust) const
{
    return among(kernels, [&](const Profile& profile) {
        return is_settled(profile, guest, trust) && !choose_(trust.compare_one_in);
    });
}

std::set<std::string> KernelKnowledge::with_profile(const std::vector<KernelDescriptor>& kernels) const
{
    return among(kernels, [](const Profile&) { return true; });
}

std::optional<Stored::Outcome> KernelKnowledge::publish(const Guest& guest, Lesson::Weight weight)
{
    const Profile profile = make_profile(*guest.boot.kernel, constraints_, guest.boot.members,
                                         {guest.name, guest.engine, constraints_digest_, iso_now(), weight});
    if (std::none_of(profile.members.begin(), profile.members.end(),
                     [](const ProfileMember& member) { return member.was_seen(); })) {
        spdlog::info("[{}] nothing was seen of its members: there is no profile of this boot", guest.name);
        return std::nullopt;
    }
    const Stored stored = store_.put_profile(profile, guest.boot.had_news);
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
    case Stored::replaced:
        for (const std::string& objection : stored.objections)
            spdlog::warn("[{}] replaces the profile in the store: {}", guest.name, objection);
        spdlog::warn("[{}] more stands behind the new profile; the old one lies in contradicting/",
                     guest.name);
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
