// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include <lacuna/abi.h>

namespace lacuna {

// What people and files call that for which the ABI has numbers.

// "waiting", "trapping", ...
const char* to_string(lacuna_guest_state state);
// "resolved", ...; "open" while it is looked for
const char* to_string(lacuna_member_state state);
// "4-level", "5-level", "PAE", "32-bit"
const char* to_string(lacuna_paging paging);

// "int", "long", "pointer", "list" or "text", as in the constraint files.
const char* type_name(std::uint8_t type);
// Bytes of the member in a guest of that architecture.
unsigned member_size(const lacuna_member& member, lacuna_architecture architecture);
// "task_struct.pid"
std::string qualified_name(const lacuna_constraints& set, std::size_t member);

} // namespace lacuna
