// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>

#include <lacuna/abi.h>

namespace lacuna::test {

// What the engine says at the end of a replay, by qualified member name.
using Reports = std::map<std::string, lacuna_member_report>;

struct Replay {
    Reports reports;
    std::size_t events = 0;
    std::size_t wasted = 0; // at which nothing was struck, seen at work or settled
    std::uint64_t reads = 0, most_reads = 0; // of guest memory: all, and the most in one event
    std::uint64_t bytes = 0; // read of guest memory
    std::map<std::string, std::size_t> settled; // by member: the how manieth event settled it
};

// Plays a recording of a boot (<lacuna/recording.h>, xz-compressed) to the engine, under the constraints in `constraints`.
// Throws Error on a file that is not a recording or is damaged.
Replay replay(const std::filesystem::path& recording, const std::filesystem::path& constraints);

} // namespace lacuna::test
