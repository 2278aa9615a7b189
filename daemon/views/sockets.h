// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include "guest_view.h"

namespace lacuna {

// {"sockets": [{"protocol", "family", "type", "state", "local", "remote", "holders": [{"pid", "comm", "fd"}]}]}: all that
// processes hold; what is not known is null.
Json list_sockets(GuestView& view);

} // namespace lacuna
