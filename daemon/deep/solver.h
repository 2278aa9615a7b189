// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "deep_constraints.h"
#include "look.h"
#include "predicate.h"

namespace lacuna {

// What one look has found of one member.
struct DeepFinding {
    std::string member; // qualified
    std::string type;
    unsigned size = 0;
    std::vector<std::int32_t> offsets; // one: it lies there; several: tied; none: open
    std::uint32_t instances = 0, values = 0, eliminated = 0;
    std::uint32_t left = 0; // candidates that nothing speaks against, or too little

    bool operator==(const DeepFinding&) const = default;
};

// A member's constraints, made ready to be asked.
class DeepSolver {
public:
    // Throws Error that says what is wrong in the constraints.
    explicit DeepSolver(DeepStructures structures);

    static constexpr const char* clock = "jiffies"; // a guest that runs counts its ticks there

    const DeepStructures& structures() const { return structures_; }
    // Those of the kernel's image that the constraints name, and the clock.
    std::set<std::string, std::less<>> symbols() const;

    // All that one look at a guest tells, starting from what is known already. Each member that is found may
    // make new structures be found, in which others can be. Throws Error if the guest cannot be read, or
    // takes too long.
    std::vector<DeepFinding> solve(Look& look, KnownOffsets known) const;

private:
    struct Member {
        const DeepMember* said;
        const DeepStructure* structure;
        std::vector<Predicate> predicates; // one for each constraint
    };

    // Bytes of a structure that belong to a member whose only place is known.
    struct Taken {
        std::string structure, member;
        std::int32_t from, to;
    };

    // Whether it, and all that goes with it, has one place.
    static bool is_settled(const Member& member, const std::map<std::string, DeepFinding>& found);
    static Taken taken_by(const std::string& name, std::int32_t offset, std::int32_t size);
    std::vector<DeepFinding> solve(Look& look, const Member& member, const std::vector<Taken>& taken) const;

    DeepStructures structures_;
    std::vector<Member> members_;
};

} // namespace lacuna
