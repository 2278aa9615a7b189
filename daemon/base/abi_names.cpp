// SPDX-License-Identifier: GPL-2.0-or-later
#include "abi_names.h"

namespace lacuna {

namespace {

constexpr const char* paging_names[LACUNA_PAGINGS] = {"4-level", "5-level", "PAE", "32-bit"};

struct Type {
    const char* name;
    unsigned bytes, words; // its size in all kernels: so many bytes and words; a text's says the file
};
constexpr Type types[LACUNA_TYPES] = {
    {"int", 4, 0}, {"long", 0, 1}, {"pointer", 0, 1}, {"list", 0, 2}, {"text", 0, 0}};

} // namespace

const char* to_string(lacuna_guest_state state)
{
    switch (state) {
    case LACUNA_GUEST_CREATED:
        return "created";
    case LACUNA_GUEST_IGNORED:
        return "ignored";
    case LACUNA_GUEST_WAITING:
        return "waiting";
    case LACUNA_GUEST_TRAPPING:
        return "trapping";
    case LACUNA_GUEST_RESTORING:
        return "restoring";
    case LACUNA_GUEST_DONE:
        return "done";
    case LACUNA_GUEST_FAILED:
        return "failed";
    case LACUNA_GUEST_GONE:
        return "gone";
    }
    return "unknown";
}

const char* to_string(lacuna_member_state state)
{
    switch (state) {
    case LACUNA_OPEN:
        return "open";
    case LACUNA_RESOLVED:
        return "resolved";
    case LACUNA_AMBIGUOUS:
        return "ambiguous";
    case LACUNA_CONTRADICTED:
        return "contradicted";
    case LACUNA_TIED:
        return "tied";
    case LACUNA_ABSENT:
        return "absent";
    }
    return "unknown";
}

const char* to_string(lacuna_paging paging)
{
    return paging < LACUNA_PAGINGS ? paging_names[paging] : "unknown";
}

const char* type_name(std::uint8_t type)
{
    return type < LACUNA_TYPES ? types[type].name : "unknown";
}

unsigned member_size(const lacuna_member& member, lacuna_architecture architecture)
{
    if (member.type == LACUNA_TYPE_TEXT)
        return member.size;
    const Type& type = types[member.type];
    return type.bytes + type.words * (architecture == LACUNA_I386 ? 4 : 8);
}

std::string qualified_name(const lacuna_constraints& set, std::size_t member)
{
    const lacuna_member& binary = set.members[member];
    return std::string(set.structures[binary.structure].name) + "." + binary.name;
}

} // namespace lacuna
