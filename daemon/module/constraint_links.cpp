// SPDX-License-Identifier: GPL-2.0-or-later
#include "constraint_links.h"

#include <algorithm>
#include <cstring>
#include <functional>
#include <utility>

#include <spdlog/fmt/fmt.h>

#include "abi_names.h"
#include "error.h"

namespace lacuna {

namespace {

// How many pointers lead to the structure; cycles are stopped here and complained of later.
unsigned depth(const std::vector<ConstraintStructure>& all, const ConstraintStructure& structure,
               unsigned bound = LACUNA_MAX_STRUCTURES)
{
    const std::string parent = structure.pointer.name.substr(0, structure.pointer.name.find('.'));
    for (const ConstraintStructure& other : all)
        if (!structure.pointer.name.empty() && other.binary.name == parent && bound > 0)
            return 1 + depth(all, other, bound - 1);
    return 0;
}

void order(std::vector<ConstraintStructure>& all)
{
    std::vector<std::pair<unsigned, ConstraintStructure>> sorted;
    for (const ConstraintStructure& structure : all)
        sorted.emplace_back(depth(all, structure), structure);
    std::stable_sort(sorted.begin(), sorted.end(),
                     [](const auto& a, const auto& b) { return a.first < b.first; });
    for (std::size_t i = 0; i < all.size(); i++)
        all[i] = std::move(sorted[i].second);
}

void check_structures(const std::vector<ConstraintStructure>& all)
{
    std::size_t members = 0;
    for (const ConstraintStructure& structure : all) {
        members += structure.members.size();
        for (const ConstraintStructure& other : all) {
            if (&other == &structure)
                break;
            if (!std::strcmp(structure.binary.name, other.binary.name))
                throw Error(fmt::format("the structure {} is described by {} already", structure.binary.name,
                                        other.file),
                            structure.file, "put all its members into one file");
            if (structure.binary.source == other.binary.source &&
                structure.binary.source != LACUNA_SOURCE_POINTER)
                throw Error(fmt::format("the structure {} has the source {}, and so has {}",
                                        structure.binary.name, source_name(structure.binary.source),
                                        other.binary.name),
                            structure.file, "only one structure can come from it");
        }
    }
    if (all.size() > LACUNA_MAX_STRUCTURES)
        throw Error(fmt::format("{} structures are too many", all.size()), all.back().file,
                    fmt::format("{} are allowed in all", LACUNA_MAX_STRUCTURES));
    if (members > LACUNA_MAX_MEMBERS)
        throw Error(fmt::format("{} members are too many", members), all.back().file,
                    fmt::format("{} are allowed in all", LACUNA_MAX_MEMBERS));
}

void check_names(const lacuna_constraints& set, const std::vector<ConstraintStructure>& all)
{
    for (std::size_t i = 0; i < set.members_nr; i++)
        for (std::size_t j = 0; j < i; j++)
            if (qualified_name(set, i) == qualified_name(set, j))
                throw Error(fmt::format("the member {} is described twice", qualified_name(set, i)),
                            all[set.members[i].structure].file, "remove one of the two");
}

std::uint8_t resolve(const lacuna_constraints& set, const MemberReference& reference)
{
    std::string known;
    for (std::size_t i = 0; i < set.members_nr; i++) {
        const std::string name = qualified_name(set, i);
        known += (known.empty() ? "" : ", ") + name;
        if (name != reference.name)
            continue;
        if (set.members[i].type != reference.type)
            throw Error(
                fmt::format("{}: {} is of type {}", reference.place, name, type_name(set.members[i].type)),
                reference.file, fmt::format("refer to a member of type {}", type_name(reference.type)));
        return static_cast<std::uint8_t>(i);
    }
    throw Error(fmt::format("{}: there is no member \"{}\"", reference.place, reference.name), reference.file,
                "refer to one of " + known);
}

void resolve_all(lacuna_constraints& set, const std::vector<ConstraintStructure>& all)
{
    for (std::size_t s = 0; s < all.size(); s++)
        if (!all[s].pointer.name.empty())
            set.structures[s].member = resolve(set, all[s].pointer);
    std::size_t index = 0;
    for (const ConstraintStructure& structure : all)
        for (const ConstraintMember& member : structure.members) {
            lacuna_member& binary = set.members[index++];
            for (std::size_t p = 0; p < member.predicates.size(); p++) {
                const MemberReference& reference = member.predicates[p].member;
                if (reference.name.empty())
                    continue;
                const auto to = resolve(set, reference);
                if (set.members[to].structure != binary.structure)
                    throw Error(
                        fmt::format("{}: {} belongs to another structure", reference.place, reference.name),
                        reference.file, fmt::format("refer to a member of {}", structure.binary.name));
                binary.predicates[p].member = to;
            }
        }
}

std::vector<std::uint8_t> depends_on(const lacuna_constraints& set, std::size_t member)
{
    std::vector<std::uint8_t> others;
    const lacuna_member& binary = set.members[member];
    if (set.structures[binary.structure].member != LACUNA_NO_MEMBER)
        others.push_back(set.structures[binary.structure].member);
    for (std::size_t p = 0; p < binary.predicates_nr; p++)
        if (binary.predicates[p].member != LACUNA_NO_MEMBER)
            others.push_back(binary.predicates[p].member);
    return others;
}

// A member that is found with the help of another one must not be needed to find that one.
void check_cycles(const lacuna_constraints& set, const std::vector<ConstraintStructure>& all)
{
    std::vector<std::size_t> path;
    std::vector<bool> done(set.members_nr);
    const std::function<void(std::size_t)> visit = [&](std::size_t member) {
        const auto again = std::find(path.begin(), path.end(), member);
        if (again != path.end()) {
            std::string cycle;
            for (auto i = again; i != path.end(); ++i)
                cycle += qualified_name(set, *i) + " needs ";
            throw Error(fmt::format("the members depend on each other in a circle: {}{}", cycle,
                                    qualified_name(set, member)),
                        all[set.members[member].structure].file, "remove one of these references");
        }
        if (done[member])
            return;
        path.push_back(member);
        for (const auto other : depends_on(set, member))
            visit(other);
        path.pop_back();
        done[member] = true;
    };
    for (std::size_t i = 0; i < set.members_nr; i++)
        visit(i);
}

void check_pointers(const lacuna_constraints& set, const std::vector<ConstraintStructure>& all)
{
    for (std::size_t s = 0; s < all.size(); s++) {
        const auto pointer = set.structures[s].member;
        if (pointer == LACUNA_NO_MEMBER)
            continue;
        if (set.structures[set.members[pointer].structure].source != LACUNA_SOURCE_TASK)
            throw Error(fmt::format("structure {}: {} is not a member of a structure with source task",
                                    set.structures[s].name, all[s].pointer.name),
                        all[s].file, "only pointers of the task structure can be followed");
    }
}

} // namespace

lacuna_constraints link_constraints(std::vector<ConstraintStructure> all)
{
    check_structures(all);
    order(all);

    lacuna_constraints set{};
    set.magic = LACUNA_MAGIC;
    set.version = LACUNA_ABI_VERSION;
    for (const ConstraintStructure& structure : all) {
        for (const ConstraintMember& member : structure.members) {
            lacuna_member& binary = set.members[set.members_nr++];
            binary = member.binary;
            binary.structure = set.structures_nr;
            for (std::size_t p = 0; p < member.predicates.size(); p++)
                binary.predicates[p] = member.predicates[p].binary;
        }
        set.structures[set.structures_nr++] = structure.binary;
    }
    check_names(set, all);
    resolve_all(set, all);
    check_cycles(set, all);
    check_pointers(set, all);
    return set;
}

} // namespace lacuna
