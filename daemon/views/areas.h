// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include "guest_view.h"

namespace lacuna {

// {"pid", "comm", "areas": [{"start", "end", "rights" ("r-xp"), "path"}]}: a process's memory as /proc/PID/maps tells it; path is
// a file's, "[heap]", "[stack]" or "[vdso]", or null.
Json list_areas(GuestView& view, std::int32_t pid);

} // namespace lacuna
