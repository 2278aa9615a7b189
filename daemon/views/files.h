// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <optional>
#include <string>

#include "guest_view.h"

namespace lacuna {

// Where this name is, from the root of its mount tree on; of one whose mount or whose place in the tree is not known, from
// the root of its file system. Nothing if it is no name.
std::optional<std::string> path_of(GuestView& view, std::optional<std::uint64_t> mnt, std::uint64_t dentry);
std::optional<std::string> path_of_file(GuestView& view, std::uint64_t file);

// "file", "directory", "socket", "pipe", …; nothing where that is not known.
std::optional<std::string> kind_of_file(GuestView& view, std::uint64_t file);

// {"files": [{"pid", "comm", "fd" (a number, "cwd", "root" or "exe"), "kind", "path"}]} of all processes, or of one.
Json list_files(GuestView& view, std::optional<std::int32_t> pid);

} // namespace lacuna
