// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include "guest_view.h"

namespace lacuna {

// {"mounts": [{"path", "file_system"}]} of all that process 1 sees, or another; the first one first.
Json list_mounts(GuestView& view, std::int32_t pid);

} // namespace lacuna
