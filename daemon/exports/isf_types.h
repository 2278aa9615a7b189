// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <span>
#include <string_view>

namespace lacuna {

// What is not learned because it is the same in every kernel, as tables: what C calls the types of members and symbols, and
// what readers look for. A member that stands in no table has the type that the profile gives it.

struct TypedName {
    std::string_view name;   // "task_struct.mm", "init_task"
    std::string_view c_type; // "struct mm_struct *", "int", "char[]"
};

// In the order of the alphabet.
std::span<const TypedName> member_types();
// Symbols of the kernel's image that tools ask for. Where only the address counts the type is void: Volatility makes no object of a
// symbol without any.
std::span<const TypedName> exported_symbols();
// Structures that some version of Volatility 3 wants to hear of when it loads the file, whatever is known of them.
std::span<const std::string_view> expected_structures();

// Empty: the table does not say.
std::string_view c_type_of_member(std::string_view qualified);

} // namespace lacuna
