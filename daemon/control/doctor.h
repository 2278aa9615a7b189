// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "profile.h"

namespace lacuna {

// One thing that was looked at on this host.
struct Finding {
    enum Verdict { good, doubtful, bad } verdict = good;
    std::string subject; // "KVM", "module", ...
    std::string found;
    std::string advice; // what to do about it; empty if it is good
};

std::string running_kernel(); // "6.1.0-40-amd64"

// What a doctor needs to know; tests have a host of their own.
struct Examination {
    std::filesystem::path root = "/";            // of the host's files
    std::filesystem::path config, store, socket; // as on the host
    bool privileged = true;                      // whether this is root, who may see everything
    std::string kernel = running_kernel();       // the host's
};

// Whether what Lacuna needs is there: KVM, ftrace, module, daemon, libvirt, libguestfs' kernel,
// configuration, permissions of the store. Changes nothing.
std::vector<Finding> examine(const Examination& examination);

// [{"verdict", "subject", "found", "advice"}]
Json to_json(const std::vector<Finding>& findings);

} // namespace lacuna
