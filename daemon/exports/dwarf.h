// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "profile.h"

namespace lacuna {

// DWARF 4 as debuggers and pahole read it.
struct Dwarf {
    std::string info;         // .debug_info: one unit
    std::string abbreviation; // .debug_abbrev
};

// The types of an ISF (see isf.h) and the symbols of it that have one. A structure ends behind its last member that is known, and what
// stands in an ISF only for tools to go on, without bytes, is left out. `address`: where a symbol is, nothing if it is not to be told.
Dwarf make_dwarf(const Json& isf, const std::function<std::optional<std::uint64_t>(const std::string& symbol)>& address);

} // namespace lacuna
