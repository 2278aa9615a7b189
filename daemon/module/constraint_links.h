// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <vector>

#include "constraint_file.h"

namespace lacuna {

// Puts what the files say together: checks it against each other, and resolves what refers to members of
// others. Structures that hang on a pointer of another one come after it; members keep the order of their
// files. Throws Error that names the file, the place, and what is allowed.
lacuna_constraints link_constraints(std::vector<ConstraintStructure> all);

} // namespace lacuna
