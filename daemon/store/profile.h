// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <lacuna/abi.h>
#include <nlohmann/json.hpp>

#include "kernel_descriptor.h"

namespace lacuna {

using Json = nlohmann::ordered_json;

inline constexpr const char* profile_schema = "lacuna-profile/1";

// How much stands behind a member.
struct Evidence {
    std::uint32_t events = 0;     // that told something about it
    std::uint32_t instances = 0;  // different ones it was seen in
    std::uint32_t witnesses = 0;  // events that showed it in action
    std::uint32_t eliminated = 0; // candidates that fell

    bool operator==(const Evidence&) const = default;
};

struct ProfileMember {
    std::string structure, name; // "task_struct", "pid"
    std::string type;            // "int", ...
    unsigned size = 0;           // bytes
    lacuna_member_state state = LACUNA_AMBIGUOUS;
    std::int32_t offset = 0;              // when usable; when tied the first of those that are
    std::vector<std::int32_t> candidates; // when ambiguous: the first of those left; when tied: all
    std::uint32_t remaining = 0;          // when ambiguous or tied: how many are left
    bool relative_to_list = false;        // to the structure's list node, not to its start (struct module)
    bool deep =
        false; // learned by looking at a guest that runs: what the traps have taught does not depend on it
    Evidence evidence;

    std::string qualified() const { return structure + "." + name; }
    bool resolved() const { return state == LACUNA_RESOLVED; }
    // Several places that have had the same value in every instance ever seen: each serves a reader as well.
    bool tied() const { return state == LACUNA_TIED; }
    bool usable() const { return resolved() || tied(); }
    // Of a structure that the kernel does not have.
    bool absent() const { return state == LACUNA_ABSENT; }
    // Nothing more is to be asked for a reader's sake.
    bool answered() const { return usable() || absent(); }
    bool lists_candidates() const { return state == LACUNA_AMBIGUOUS || tied(); }
    // Of a hunt that ended before its first event nothing was seen.
    bool was_seen() const { return !absent() && (state != LACUNA_AMBIGUOUS || remaining > 0); }
    // Whether a boot that found this has found out more than one that found `other`.
    bool says_more_than(const ProfileMember& other) const;
    // Whether this says that the member is not at `other`.
    bool rules_out(std::int32_t other) const;
    bool operator==(const ProfileMember&) const = default;
};

// Where one build of a kernel keeps its members. Belongs to the build, not to a guest or a boot.
struct Profile {
    std::string kernel_id, release, banner, architecture;
    std::vector<ProfileMember> members; // in the order of the constraint set

    bool complete() const;
    std::size_t resolved() const;
    std::size_t present() const; // members that are not absent
    const ProfileMember* find(const std::string& qualified) const;
    // The offset of a member that is resolved, or the one offered of those that are tied. Throws Error that
    // names the member if there is none.
    std::int64_t offset(const std::string& qualified) const;
    bool operator==(const Profile&) const = default;
};

// Throws Error if the reports do not belong to the set.
Profile make_profile(const KernelDescriptor& kernel, const lacuna_constraints& set,
                     const std::vector<lacuna_member_report>& reports);

// One sentence per member that one of them gives an offset which the other rules out; empty: they agree.
std::vector<std::string> contradictions(const Profile& old, const Profile& fresh);

// Of each member what says more in either of two agreeing profiles; `old` where both say as much.
Profile join(const Profile& old, const Profile& fresh);

// What two looks at deep members that are usable say together: what is tied in one may have been told apart
// in the other. Nothing: they do not agree, or did not before.
std::optional<ProfileMember> join_deep(const ProfileMember& old, const ProfileMember& fresh);

// As text; bytes that are no UTF-8 (names that guests and files have) are replaced. `indent`: -1 for one
// line.
std::string to_text(const Json& json, int indent = -1);

Json to_json(const Profile& profile);
// Throws Error that names `file` if it is not a profile of this schema.
Profile profile_from_json(const Json& json, const std::string& file);

} // namespace lacuna
