// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "guest_view.h"

namespace lacuna {

std::int32_t number_of(GuestView& view, const Instance& task);
std::string name_of(GuestView& view, const Instance& task);

// Its arguments, or its environment, as they stand in its memory now; empty of what has none, nothing where the guest has put that page
// out of its memory.
std::optional<std::vector<std::string>> arguments_of(GuestView& view, const Instance& memory);
std::optional<std::vector<std::string>> environment_of(GuestView& view, const Instance& memory);

// {"processes": [{"pid", "comm", "kind", "address", "uid", "gid", "ppid", "threads": [{"tid", "comm"}], "start_ns" (since
// the guest has booted), "command", "exe"}]}; what is not known is null.
Json list_processes_in_full(GuestView& view);

// {"pid", "comm", "environment": [...], or null where it is not in memory}.
Json list_environment(GuestView& view, std::int32_t pid);

} // namespace lacuna
