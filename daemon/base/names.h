// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "bytes.h"

namespace lacuna {

std::string hex(std::uint64_t value); // "0x1f"
std::string hex(ByteView bytes);      // "1f00": two digits each

std::string iso_now(); // "2026-11-27T10:00:00Z"

// For logs and terminals: control characters are written as \xNN, so that nobody's words move a cursor or
// begin a line.
std::string printable(std::string_view text);

// `name` fit to be a file name: letters, digits, '.', '_' and '-', not beginning with a dot, at most 100
// characters.
std::string file_name(const std::string& name);

} // namespace lacuna
