// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <ostream>

#include "profile.h"

namespace lacuna {

// What goes on in a guest, for people. Each ends with what could not be told, and for want of which members.
enum class ProcessForm { full, threads, tree };
void print_processes_in_full(std::ostream& out, const Json& answer, ProcessForm form);
void print_files(std::ostream& out, const Json& answer);
void print_sockets(std::ostream& out, const Json& answer);
void print_areas(std::ostream& out, const Json& answer);
void print_environment(std::ostream& out, const Json& answer);
void print_mounts(std::ostream& out, const Json& answer);
void print_modules_in_full(std::ostream& out, const Json& answer);

} // namespace lacuna
