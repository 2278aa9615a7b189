// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "deep_constraints.h"
#include "look.h"

namespace lacuna {

// Offsets that a predicate has found on the way: it holds with these. Those that are not needed are 0.
using Constants = std::array<std::int32_t, 4>;

// What an instance says of a member's being at one offset.
struct Answer {
    enum Kind {
        silent,  // nothing, whatever the offset
        refuted, // it is not
        passes,  // it may be
        shown,   // it was seen at work
    } kind = silent;
    std::vector<Constants> constants; // with any of which it passes
    std::uint64_t value = 0;          // that was seen: many different ones are wanted

    static Answer refusal() { return {refuted, {}, 0}; }
    static Answer pass(Constants with = {}) { return {passes, {with}, 0}; }
    static Answer show(std::uint64_t value, Constants with = {}) { return {shown, {with}, value}; }
    // Shown with none yet: refuted, unless something is added.
    static Answer searching(std::uint64_t value) { return {refuted, {}, value}; }
    void add(const Constants& with)
    {
        kind = shown;
        constants.push_back(with);
    }
};

// Asked for every offset of every instance; `offset` is a place in that instance.
using Predicate = std::function<Answer(Look&, const Instance&, std::int32_t offset)>;

// Throws Error that says what is wrong with the name or the arguments.
Predicate make_predicate(const DeepConstraint& constraint, const DeepMember& member);

// What makes a predicate of what a constraint says, by the name that it has there.
using PredicateMaker = std::function<Predicate(const DeepConstraint&, const DeepMember&)>;
using PredicateMakers = std::map<std::string, PredicateMaker, std::less<>>;

// Of a predicate that takes no arguments.
inline PredicateMaker plain(Predicate predicate)
{
    return [predicate = std::move(predicate)](const DeepConstraint&, const DeepMember&) { return predicate; };
}

// The groups of predicates, by what they look at.
const PredicateMakers& task_predicates();
const PredicateMakers& memory_predicates();
const PredicateMakers& file_predicates();
const PredicateMakers& module_predicates();
const PredicateMakers& mount_predicates();
const PredicateMakers& namespace_predicates();
const PredicateMakers& network_predicates();
const PredicateMakers& socket_predicates();
inline constexpr std::array predicate_groups{task_predicates,  memory_predicates,    file_predicates,    module_predicates,
                                             mount_predicates, namespace_predicates, network_predicates, socket_predicates};

// A task that has given up what only live ones have.
bool has_exited(Look& look, const Instance& task);
// A process of root's own: in what it may do it has all numbers that kernel threads have as 0 there, too.
// What others put into their memory, or where they are, is theirs to choose.
bool is_privileged(Look& look, const Instance& task);
// Whether no other one has the same four bytes there.
bool is_its_own(const std::vector<Instance>& all, const Instance& one, std::int32_t offset);
// A mount that the kernel has made for itself, and that no program can see: of a kind that nobody can mount.
bool is_internal_mount(Look& look, const Instance& mount);

} // namespace lacuna
