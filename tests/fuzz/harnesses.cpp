// SPDX-License-Identifier: GPL-2.0-or-later
#include <algorithm>

#include "error.h"
#include "harness.h"

namespace lacuna::fuzz {

const std::vector<Harness>& harnesses()
{
    static const std::vector<Harness> all = {engine,         recording, kernel,      system_map,       reader_answer, daemon_netlink,
                                             module_netlink, control,   constraints, deep_constraints, command_line};
    return all;
}

const Harness& harness(const std::string& name)
{
    const auto& all = harnesses();
    const auto found = std::find_if(all.begin(), all.end(), [&](const Harness& one) { return one.name == name; });
    if (found == all.end())
        throw Error("there is no such harness", name, "fuzz_round --list names them");
    return *found;
}

} // namespace lacuna::fuzz
