// SPDX-License-Identifier: GPL-2.0-or-later
#include "guest_registry.h"

#include <algorithm>

#include <spdlog/spdlog.h>

#include "abi_names.h"
#include "names.h"

namespace lacuna {

namespace {

constexpr std::size_t kept_gone = 32;             // guests that are gone, but may still be asked for
constexpr std::chrono::hours remembered(24 * 30); // facts of guests that are gone
constexpr std::size_t most_remembered = 1024;      // guests: whoever may start some may start, and end, many

template <typename Fits> Guest* first_present(std::list<Guest>& guests, const Fits& fits)
{
    const auto found = std::find_if(guests.begin(), guests.end(),
                                    [&](const Guest& guest) { return guest.present() && fits(guest); });
    return found == guests.end() ? nullptr : &*found;
}

} // namespace

Guest* GuestRegistry::by_number(std::uint32_t number)
{
    return first_present(guests_, [&](const Guest& guest) { return guest.number == number; });
}

Guest* GuestRegistry::by_process(pid_t vmm_pid)
{
    return first_present(guests_, [&](const Guest& guest) { return guest.vmm_pid == vmm_pid; });
}

Guest* GuestRegistry::by_name_or_process(const std::string& name_or_pid)
{
    const std::string name = file_name(name_or_pid);
    if (Guest* found = first_present(guests_, [&](const Guest& guest) { return guest.name == name; }))
        return found;
    return first_present(guests_,
                         [&](const Guest& guest) { return std::to_string(guest.vmm_pid) == name_or_pid; });
}

const Guest* GuestRegistry::find(const std::string& name) const
{
    const Guest* found = nullptr;
    for (const Guest& guest : guests_)
        if (guest.name == file_name(name) && (!found || guest.present() || !found->present()))
            found = &guest;
    return found;
}

const Guest& GuestRegistry::at(const std::string& name) const
{
    const Guest* found = find(name);
    if (!found)
        throw Unknown("no guest of this name is known", name, "lacunactl status lists them");
    return *found;
}

Guest& GuestRegistry::add(std::uint32_t number, pid_t vmm_pid)
{
    if (guests_.size() > kept_gone) {
        const auto gone =
            std::find_if(guests_.begin(), guests_.end(), [](const Guest& g) { return !g.present(); });
        if (gone != guests_.end())
            guests_.erase(gone);
    }
    Guest& guest = guests_.emplace_back();
    guest.number = number;
    guest.vmm_pid = vmm_pid;
    return guest;
}

void GuestRegistry::name(Guest& guest, const std::string& name) const
{
    const std::string wanted = file_name(name);
    const auto taken = [&](const std::string& candidate) {
        return std::any_of(guests_.begin(), guests_.end(), [&](const Guest& other) {
            return &other != &guest && other.present() && other.name == candidate;
        });
    };
    std::string candidate = wanted;
    for (unsigned i = 2; taken(candidate); i++)
        candidate = fmt::format("{}-{}", wanted, i);
    guest.name = candidate;
}

void GuestRegistry::recall(Guest& guest) const
{
    for (const Json& facts : store_.guests()) {
        try {
            if (facts.at("vmm_pid") != guest.vmm_pid || facts.at("state") == to_string(LACUNA_GUEST_GONE))
                continue;
            guest.sources = sources_from_facts(facts);
            name(guest, facts.at("name").get<std::string>());
            guest.by_hand = guest.wanted == Policy::ignore;
            if (guest.sources.empty())
                guest.wanted = Policy::ignore;
            else if (guest.by_hand)
                guest.wanted = Policy::learn;
            guest.constraints = facts.value("constraints", "");
            return;
        } catch (const Json::exception&) { // not written by us: as if it were not there
        }
    }
}

void GuestRegistry::remember(const Guest& guest)
{
    try {
        // Of one that is left alone nothing is kept; but facts of another boot must not stay.
        if (guest.wanted == Policy::ignore && !store_.guest(guest.name))
            return;
        store_.put_guest(guest.name, facts_json(guest));
    } catch (const std::exception& error) {
        spdlog::error("[{}] {}", guest.name, error.what());
    }
}

void GuestRegistry::bury()
{
    for (Json facts : store_.guests()) {
        try {
            const auto name = facts.at("name").get<std::string>();
            const Guest* guest = find(name);
            if ((guest && guest->present()) || facts.at("state") == to_string(LACUNA_GUEST_GONE))
                continue;
            facts["state"] = to_string(LACUNA_GUEST_GONE);
            store_.put_guest(name, facts);
        } catch (const std::exception& error) {
            spdlog::warn("the facts of a guest that is gone: {}", error.what());
        }
    }
}

void GuestRegistry::forget()
{
    store_.forget_guests(remembered, most_remembered);
}

} // namespace lacuna
