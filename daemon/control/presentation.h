// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <map>
#include <ostream>
#include <string>

#include "profile.h"

namespace lacuna {

// What lacunactl shows to people, from the daemon's answers. Throws Json::exception if an answer lacks
// something.
void print_status(std::ostream& out, const Json& answer);
void print_stats(std::ostream& out, const Json& answer);
void print_findings(std::ostream& out, const Json& answer);
void print_processes(std::ostream& out, const Json& answer);
void print_modules(std::ostream& out, const Json& answer);
void print_deep(std::ostream& out, const Json& answer);
void print_profile(std::ostream& out, const Profile& profile, const std::string& file);
void print_exports(std::ostream& out, const Json& exports);
void print_kernel(std::ostream& out, const KernelDescriptor& kernel);

// `text` with everything that could command a terminal replaced: names of processes come from the guest.
std::string harmless(const std::string& text);

// Follows guests being learned from: one line per change, or on a terminal a table that is drawn anew in its
// place.
class WatchView {
public:
    WatchView(std::ostream& out, bool in_place) : out_(out), in_place_(in_place) {}

    // `guest` as in an answer of "watch".
    void update(const Json& guest);

private:
    void print_changes(const Json& old, const Json& guest);
    void draw();

    std::ostream& out_;
    bool in_place_;
    std::map<std::string, Json> guests_;
    std::size_t drawn_ = 0; // lines of the last drawing
};

} // namespace lacuna
