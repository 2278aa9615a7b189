// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <initializer_list>
#include <string>

#include "bytes.h"

namespace lacuna {

// SHA-256 over some pieces and their lengths, in hex: whoever makes one of them must not be able to pass it
// off as another. Throws Error if OpenSSL has none.
std::string digest_of(std::initializer_list<ByteView> pieces);

} // namespace lacuna
