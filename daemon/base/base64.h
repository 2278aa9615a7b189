// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <string>
#include <string_view>

namespace lacuna {

// RFC 4648, with padding and without line breaks.
std::string base64(std::string_view bytes);

} // namespace lacuna
