// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <ostream>
#include <string>
#include <vector>

namespace lacuna {

// What lacunactl ends with.
enum ExitCode {
    exit_ok = 0,
    exit_failed = 1,      // the request failed
    exit_usage = 2,       // the command line is wrong
    exit_unreachable = 3, // no daemon at the socket
    exit_unknown = 4,     // no such guest, kernel or profile
};

struct Streams {
    std::ostream& out;
    std::ostream& err;
    bool out_is_terminal = false;
};

// lacunactl, without the program around it. `arguments` without the program's name. Never throws.
int run_lacunactl(std::vector<std::string> arguments, const Streams& streams);

} // namespace lacuna
