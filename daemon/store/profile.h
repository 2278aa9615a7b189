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

inline constexpr const char* profile_schema = "lacuna-profile/2";
// Without provenance, ties' boots and absence; still read.
inline constexpr const char* first_profile_schema = "lacuna-profile/1";

// How much stands behind a member.
struct Evidence {
    std::uint32_t events = 0;     // that told something about it
    std::uint32_t instances = 0;  // different ones it was seen in
    std::uint32_t witnesses = 0;  // events that showed it in action
    std::uint32_t eliminated = 0; // candidates that fell
    std::uint32_t boots = 0;      // that said the same of it, one by one; of what is open: 0

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
    // Whether both are settled in the same way.
    bool says_the_same_as(const ProfileMember& other) const;
    // Whether this says that the member is not at `other`.
    bool rules_out(std::int32_t other) const;
    bool operator==(const ProfileMember&) const = default;
};

// A guest that was learned from.
struct Teacher {
    std::string guest;
    std::uint32_t boots = 0; // that said something, and nothing else than the profile
    std::string last;        // ISO 8601, UTC

    bool operator==(const Teacher&) const = default;
};

// Whose word a profile is. Whoever relies on it can see how good that is.
struct Provenance {
    static constexpr std::size_t kept = 32; // teachers, those heard last

    std::uint32_t engine = 0; // LACUNA_ENGINE_VERSION of the one that found it; 0: not known
    std::string constraints;  // digest of the set it was found with; empty: not known
    std::vector<Teacher> teachers;
    std::uint32_t boots = 0;        // of all teachers, also of those that are not kept
    std::uint32_t without_news = 0; // the last of these boots in a row that added nothing
    std::uint32_t contradicted = 0; // boots that said something else

    // The same of boots that were looked at for deep members.
    struct Looks {
        std::uint32_t boots = 0, without_news = 0;
        std::string constraints; // digest of those that were looked for

        bool operator==(const Looks&) const = default;
    } looks;

    const Teacher* find(const std::string& guest) const;
    bool operator==(const Provenance&) const = default;
};

// Where one build of a kernel keeps its members. Belongs to the build, not to a guest or a boot.
struct Profile {
    // So many boots must agree on a member: of several guests where there are any (see KernelKnowledge).
    static constexpr std::uint32_t confirming_boots = 2;

    std::string kernel_id, release, banner, architecture;
    Provenance provenance;
    std::vector<ProfileMember> members; // in the order of the constraint set

    // All members but deep ones are settled.
    bool complete() const;
    // Two boots at least agree on each of these that is settled.
    bool confirmed() const { return confirmed_by(confirming_boots); }
    bool confirmed_by(std::uint32_t boots) const;
    std::size_t resolved() const;
    std::size_t present() const; // members that are not absent
    const ProfileMember* find(const std::string& qualified) const;
    // The offset of a member that is resolved, or the one offered of those that are tied. Throws Error that
    // names the member if there is none.
    std::int64_t offset(const std::string& qualified) const;
    bool operator==(const Profile&) const = default;
};

// What one hunt in one boot of a guest has taught, as a profile remembers it. A boot is counted once.
struct Lesson {
    enum class Weight {
        preliminary, // the hunt goes on, and will be told of as a whole
        whole,
        repeated, // an earlier hunt of this boot has been counted
    };

    std::string guest;
    std::uint32_t engine = 0;
    std::string constraints;
    std::string when; // ISO 8601, UTC
    Weight weight = Weight::whole;
};

// Throws Error if the reports do not belong to the set.
Profile make_profile(const KernelDescriptor& kernel, const lacuna_constraints& set,
                     const std::vector<lacuna_member_report>& reports, const Lesson& lesson);

// One sentence per member that one of them gives an offset which the other rules out; empty: they agree.
std::vector<std::string> contradictions(const Profile& old, const Profile& fresh);

// Of each member what says more in either of two agreeing profiles; `old` where both say as much. Counts who said so:
// from the beginning where the fresh one was found by a newer engine, or with other constraints. `had_news`: what was told of this
// boot before has added something.
Profile join(const Profile& old, const Profile& fresh, bool had_news = false);
// Whether the second one says something of a member that the first one does not say.
bool has_news(const Profile& old, const Profile& joined);

// What two looks at deep members that are usable say together: what is tied in one may have been told apart
// in the other. Nothing: they do not agree, or did not before.
std::optional<ProfileMember> join_deep(const ProfileMember& old, const ProfileMember& fresh);

// As text; bytes that are no UTF-8 (names that guests and files have) are replaced. `indent`: -1 for one
// line.
std::string to_text(const Json& json, int indent = -1, bool ascii = false);

Json to_json(const Profile& profile);
// Throws Error that names `file` if it is not a profile of a schema that is known.
Profile profile_from_json(const Json& json, const std::string& file);

} // namespace lacuna
