// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include "guest_view.h"

namespace lacuna {

// {"modules": [{"name", "address", "text_size", "size", "state"}]}: the size of all that stays of it, its state ("live",
// "coming", "going"); null where that is not known. Newest first.
Json list_modules_in_full(GuestView& view);

} // namespace lacuna
