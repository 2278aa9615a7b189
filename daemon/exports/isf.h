// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "profile.h"

namespace lacuna {

// Volatility's Intermediate Symbol Format 6.2.0, which LibVMI (volatility_ist) reads too: what a profile and the image's symbols
// say, and nothing else. Structures have the size 0, since it is not known; those that must be there to be loaded may be empty.

// Why there is no such file of this kernel (yet); empty: there is one.
std::string why_no_isf(const Profile& profile, const std::map<std::string, std::uint64_t>& symbols);

// `all_symbols`: not only those that tools ask for by themselves.
Json make_isf(const Profile& profile, const std::map<std::string, std::uint64_t>& symbols, bool all_symbols = false);

// What Volatility recognises the kernel by: linux_banner's text.
std::string banner_key(const Profile& profile);

} // namespace lacuna
