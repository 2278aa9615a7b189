// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "address_space.h"
#include "look.h"
#include "profile.h"
#include "solver.h"

namespace lacuna {

// Learns deep members of one guest, look by look.
class DeepLearning {
public:
    static constexpr unsigned looks_wanted = 3; // that agree
    static constexpr std::chrono::seconds longest_look{180};

    // Whether its profile has all that looking starts from.
    static bool can_start_from(const Profile& profile);
    // `profile`: what is known of the guest's kernel; must have tasks, pid, comm, mm, pgd. Throws Error if it
    // has not.
    DeepLearning(const DeepSolver& solver, const Profile& profile, Anchors anchors);

    // Looks once. Throws Error if the guest cannot be read, or takes too long.
    void look(AddressSpace& memory, const std::function<void()>& breathe = {});
    unsigned looks() const { return looks_; }

    // What all looks together say: a member counts if so many have found it and none has found another place
    // for it.
    std::vector<ProfileMember> members() const;

private:
    struct Votes {
        DeepFinding last;
        std::vector<std::int32_t> offsets; // that all who found it agree on
        unsigned found = 0;
        bool torn = false; // they did not agree
    };

    const DeepSolver& solver_;
    Anchors anchors_;
    KnownOffsets core_;
    std::map<std::string, Votes> votes_;
    unsigned looks_ = 0;
};

} // namespace lacuna
