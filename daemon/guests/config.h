// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "disk_image.h"
#include "vmm_process.h"

namespace lacuna {

enum class Policy {
    learn,            // trap it at every boot
    learn_if_unknown, // trap it unless the profile of its kernel holds in it
    ignore,
};

// When deep members are learned, by looking at guests that run.
enum class Deep { off, on_request, on };

// What to do with the guests that fit; a pattern that is empty fits all.
struct GuestRule {
    std::string name;    // a glob: *, ?, [...]
    std::string uuid;    // a glob
    std::string command; // a glob over the VMM's whole command line, its words with one space between them
    Policy policy = Policy::learn;
    // Where its kernels are; if nothing is named: what its VMM was given, its -kernel or else its disks.
    std::vector<std::filesystem::path> kernels;
    std::vector<Disk> images;
    std::optional<std::filesystem::path> system_map;

    bool operator==(const GuestRule&) const = default;
};

inline constexpr const char* default_store = "/var/lib/lacuna";
inline constexpr const char* default_socket = "/run/lacuna/lacunad.sock";
inline constexpr const char* default_config = "/etc/lacuna/lacunad.toml";

// How much is asked before a profile is believed, and when no more is asked.
struct Trust {
    unsigned confirm_boots = 2;     // that must agree on each member
    unsigned compare_one_in = 100;  // later boots is learned from all the same, and compared; 0: none
    unsigned final_after_boots = 3; // in a row that add nothing: what is open then stays open

    bool operator==(const Trust&) const = default;
};

struct Config {
    std::filesystem::path store = default_store;
    std::filesystem::path socket = default_socket;
    std::filesystem::path constraints = "/usr/share/lacuna/constraints";
    unsigned deadline_seconds = 120;        // of trapping
    bool record = false;                    // keep a recording of the boot
    Trust trust;                            // for "learn-if-unknown"
    Deep deep = Deep::on;
    std::string group;                      // may read the profiles; empty: everybody
    std::string log_level = "info";         // as spdlog calls them
    std::string metrics;                    // address and port to serve Prometheus metrics at; empty: none
    std::string libvirt = "qemu:///system"; // whose domains are prepared ahead; empty: none
    std::vector<GuestRule> guests;

    // The first rule that fits; null: nobody wants to know about this guest.
    const GuestRule* rule_for(const VmmProcess& vmm) const;
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
