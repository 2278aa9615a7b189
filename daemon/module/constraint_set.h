// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include <lacuna/abi.h>

namespace lacuna {

// One file of the constraints folder: what is known of one structure, as JSON.
struct ConstraintFile {
    std::string name; // what errors call it
    std::string text;
};

// Checks the files against the format (constraints/schema.json, constraints/README.md) and against each
// other, and compiles them into the binary form that the module takes. Structures that hang on a pointer of
// another one come after it; members keep the order of their files. Throws Error that names the file, the
// member, and what is allowed.
lacuna_constraints compile_constraints(const std::vector<ConstraintFile>& files);

// Compiles every *.json in `directory` but schema.json.
lacuna_constraints load_constraints(const std::filesystem::path& directory);

} // namespace lacuna
