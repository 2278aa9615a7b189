// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace lacuna {

// One of QEMU's "a,key=value,..." lists. In it ",," is a comma, and the first value may stand without its
// key.
struct QemuList {
    std::vector<std::pair<std::string, std::string>> items; // a word alone but the first: {word, ""}

    // The last of that key, as QEMU takes it; empty: there is none.
    std::string value(std::string_view key) const;
};

// `first_key`: the key of a first value that stands without one.
QemuList qemu_list(std::string_view text, std::string_view first_key);

// "name" for "-name" and "--name", which QEMU takes alike; empty for what is no option.
std::string qemu_option(std::string_view argument);

} // namespace lacuna
