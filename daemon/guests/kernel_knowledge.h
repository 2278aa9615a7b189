// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "address_space.h"
#include "guest.h"
#include "store.h"

namespace lacuna {

// What is known of kernels: their profiles in the store, seen with the constraints that count now.
class KernelKnowledge {
public:
    // Both must outlive it.
    KernelKnowledge(Store& store, const lacuna_constraints& constraints)
        : store_(store),
          constraints_(constraints)
    {}

    // Whether nothing is left to be learned: there may be more members by now than when it was made.
    bool says_all(const Profile& profile) const;
    // The ids of those whose profiles say all.
    std::set<std::string> known_among(const std::vector<KernelDescriptor>& kernels) const;

    // Gives what was learned from the guest to the store, and logs what became of it. Nothing: there was
    // nothing to give. Throws Error.
    std::optional<Stored::Outcome> publish(const Guest& guest);

    // Throws Error that says what of the profile of the guest's kernel does not hold in the guest; early in a
    // boot nothing does yet.
    void verify(const Guest& guest, AddressSpace& memory) const;

private:
    Store& store_;
    const lacuna_constraints& constraints_;
};

} // namespace lacuna
