// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <functional>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "address_space.h"
#include "config.h"
#include "guest.h"
#include "store.h"

namespace lacuna {

// What is known of kernels: their profiles in the store, seen with the constraints that count now.
class KernelKnowledge {
public:
    // Whether this is the one that is chosen of so many.
    using Choose = std::function<bool(unsigned)>;
    static bool by_chance(unsigned one_in);

    // All must outlive it.
    KernelKnowledge(Store& store, const lacuna_constraints& constraints, Choose choose = by_chance);

    // Whether nothing is to be asked of this guest about the kernel of that profile: it says all and is confirmed, or boot
    // after boot has added nothing. What an older engine or other constraints have found is asked again, and so is the
    // second guest of a kernel of which all is known from one.
    bool is_settled(const Profile& profile, const std::string& guest, const Trust& trust) const;
    // The ids of those that nothing is to be asked about; now and then one is left out, to be compared.
    std::set<std::string> known_among(const std::vector<KernelDescriptor>& kernels, const std::string& guest,
                                      const Trust& trust) const;

    // The ids of those that have a profile, whatever it is worth.
    std::set<std::string> with_profile(const std::vector<KernelDescriptor>& kernels) const;

    // Gives what was learned from the guest to the store, and logs what became of it. Nothing: there was
    // nothing to give. Throws Error.
    std::optional<Stored::Outcome> publish(const Guest& guest, Lesson::Weight weight = Lesson::Weight::whole);

    // Throws Error that says what of the profile of the guest's kernel does not hold in the guest; early in a
    // boot nothing does yet.
    void verify(const Guest& guest, AddressSpace& memory) const;

    const std::string& constraints_digest() const { return constraints_digest_; }

private:
    bool says_all(const Profile& profile) const;
    std::set<std::string> among(const std::vector<KernelDescriptor>& kernels,
                                const std::function<bool(const Profile&)>& fits) const;

    Store& store_;
    const lacuna_constraints& constraints_;
    std::string constraints_digest_;
    Choose choose_;
};

} // namespace lacuna
