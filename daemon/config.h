// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace lacuna {

enum class Policy { learn, ignore };

// What to do with the guests whose name fits a pattern.
struct GuestRule {
    std::string name; // a glob: *, ?, [...]
    Policy policy = Policy::learn;
    std::vector<std::filesystem::path> kernels; // and image empty: the -kernel of the VMM's command line
    std::optional<std::filesystem::path> image; // a disk image that holds the kernels
    std::string image_format;                   // "raw" or "qcow2"; empty: look at the image
    std::optional<std::filesystem::path> system_map;

    bool operator==(const GuestRule&) const = default;
};

inline constexpr const char* default_store = "/var/lib/lacuna";
inline constexpr const char* default_socket = "/run/lacuna/lacunad.sock";
inline constexpr const char* default_config = "/etc/lacuna/lacunad.toml";

struct Config {
    std::filesystem::path store = default_store;
    std::filesystem::path socket = default_socket;
    std::filesystem::path constraints = "/usr/share/lacuna/constraints";
    unsigned deadline_seconds = 120; // of trapping
    bool record = false;             // keep a recording of the boot
    std::string group;               // may read the profiles; empty: everybody
    std::string log_level = "info";  // as spdlog calls them
    std::vector<GuestRule> guests;

    // The first rule that fits; null: nobody wants to know about this guest.
    const GuestRule* rule_for(const std::string& guest) const;
};

// Relative paths in `text` are relative to the folder of `file`.
// Throws Error with file, line and what is allowed: for bad TOML, unknown keys, wrong types and values out of
// range.
Config parse_config(std::string_view text, const std::filesystem::path& file);
Config load_config(const std::filesystem::path& file);

// What a valid configuration says that cannot be had on this machine as it is now: files and groups that are
// not there, rules that no guest ever reaches. One sentence each.
std::vector<std::string> doubts_about(const Config& config);

} // namespace lacuna
