// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <string_view>

#include "kernel_descriptor.h"

namespace lacuna {

// The symbols of a kernel as a text like System.map's, sorted by address. It is some MiB long, so it is kept as a file and gone
// through line by line.

// With what the descriptor says that the table leaves out.
std::string symbol_text(const KernelDescriptor& kernel, const Symbols& symbols);

using OnSymbol = std::function<void(std::uint64_t address, char type, std::string_view name)>;
// Throws Error if it is no such text.
void for_each_symbol(std::string_view text, const OnSymbol& found);

// By name; those that stand at several addresses are left out, since nobody could say which one is meant. `wanted`: only these.
std::map<std::string, std::uint64_t> addresses_of(std::string_view text, const std::set<std::string, std::less<>>& wanted = {});

// The same where the kernel has slid. What does not move with it (per-CPU offsets, absolute symbols) stays.
std::string slid_symbol_text(std::string_view text, std::uint64_t slide);

} // namespace lacuna
