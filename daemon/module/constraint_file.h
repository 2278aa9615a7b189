// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <lacuna/abi.h>

namespace lacuna {

// One file of the constraints folder: what is known of one structure, as JSON.
struct ConstraintFile {
    std::string name; // what errors call it
    std::string text;
};

// A member that something else is described by: which one it is shows when all files have been read.
struct MemberReference {
    std::string name;        // "task_struct.mm"; empty: none
    std::uint8_t type = 0;   // that it must have, lacuna_type
    std::string file, place; // where it stands, for errors
};

struct ConstraintPredicate {
    lacuna_predicate binary{};
    MemberReference member;
};

struct ConstraintMember {
    lacuna_member binary{};
    std::vector<ConstraintPredicate> predicates;
};

// What a file says, checked as far as it can be without the other files. The binary forms lack what links
// them.
struct ConstraintStructure {
    lacuna_structure binary{};
    std::string file;
    MemberReference pointer; // source "pointer" only
    std::vector<ConstraintMember> members;
};

// Checks the file against the format (constraints/schema.json, constraints/README.md). Throws Error that
// names the file, the place, and what is allowed.
ConstraintStructure read_constraint_file(const ConstraintFile& file);

// "task", "pointer" or "module", as in the files.
std::string_view source_name(std::uint8_t source);

} // namespace lacuna
