// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <filesystem>
#include <vector>

#include <lacuna/abi.h>

#include "constraint_file.h"

namespace lacuna {

// Reads the files (constraint_file.h), and links them (constraint_links.h) to the binary form that the module
// takes. Throws Error that names the file, the member, and what is allowed.
lacuna_constraints compile_constraints(const std::vector<ConstraintFile>& files);

// Compiles every *.json in `directory` but schema.json.
lacuna_constraints load_constraints(const std::filesystem::path& directory);

} // namespace lacuna
