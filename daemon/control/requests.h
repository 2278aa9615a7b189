// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "supervisor.h"

namespace lacuna {

// Answers one request of the control socket (all but "watch", which the daemon keeps open):
//   {"command": "status"}                                    {"module": bool, "preparing": n, "guests":
//   [...]}
//   {"command": "stats" | "ps" | "lsmod", "guest": NAME}     as `lacunactl --json` prints them
//   {"command": "ps", "guest": NAME, "full": true}, {"command": "lsof" | "mounts", "guest": NAME, "pid": n (or none)},
//   {"command": "maps" | "env", "guest": NAME, "pid": n}, {"command": "ss", "guest": NAME}
//                                                            the same, with "stable", "lacks": what could not be told, and for
//                                                            want of which members, and perhaps "left_out": of what there is more
//   {"command": "profile", "name": GUEST or KERNEL-ID}       profile_answer()
//   {"command": "arm", "pid": n, "name": ..., "kernels": [...], "system_map": ..., "record": bool} {"guest":
//   NAME}
//   {"command": "learn", "guest": NAME or process number}    {"guest": NAME}
//   {"command": "learn", "guest": NAME, "deep": true}        {"guest": NAME, "looks": n, "members": {...}}
//   {"command": "disarm", "guest": NAME}                     {}
//   {"command": "forget", "kernel": KERNEL-ID}               {}
//   {"command": "record", "guest": NAME, "offset": n}        {"data": hex digits, empty at the end}
// Nothing: its kernels are still being read, ask again after Supervisor::kernels_ready().
// `breathe` is called every now and then while a guest is looked at, which takes its time.
// Throws ModuleGone only; other errors become answers.
using Breathe = std::function<void()>;
std::optional<Json> answer(Supervisor& supervisor, const Json& request, const Breathe& breathe = [] {});
// Whether it is one that takes its time.
bool takes_long(const Json& request);

// {"profile": {...}, "file": ..., "facts": {...} or null, "exports": [{"what", "file", "why_not"}]}. The profile must be there.
Json profile_answer(const Store& store, const std::string& kernel_id, const Json& facts);

// Looks at a guest that runs, some times, and puts what it finds into the profile of its kernel. Throws Error, also if the guest is
// reset, goes, or stands still meanwhile: nothing is put anywhere then.
Json learn_deep(Supervisor& supervisor, const std::string& guest, const Breathe& breathe);

// {"ok": false, ...} for what has been thrown.
Json error_answer(const std::exception& error);

// One line of "watch".
Json watch_line(const Supervisor& supervisor, const Guest& guest);

} // namespace lacuna
