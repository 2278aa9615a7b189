// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

namespace lacuna {

// A member that a predicate finds on its way.
struct DeepConstant {
    std::string member; // qualified; empty: of no use
    std::string type;
    unsigned size = 0;
};

// One thing that must be true of a member; what else the predicate needs to be told stands in `arguments`.
struct DeepConstraint {
    std::string predicate;
    nlohmann::ordered_json arguments;
    std::string of_instances; // "all", "leaders", "threads", "users", "kernel-threads", "privileged"
    bool witness = false;     // it shows the member at work
    unsigned strikes = 2;     // so many instances must speak against a place: one may have been torn
    std::vector<DeepConstant> constants;
};

struct DeepMember {
    std::string structure, name, type;
    unsigned size = 0, align = 0;
    unsigned instances = 0, values = 0; // so many different ones must have shown it at work
    unsigned places =
        0; // so many are alike and stay so: fewer would say that somebody plays with them; 0: any number
    std::vector<DeepConstraint> constraints;

    std::string qualified() const { return structure + "." + name; }
};

// What is known of a structure: constraints/deep/<structure>.json, see constraints/README.md.
struct DeepStructure {
    std::string name, source;          // where instances come from, as constraints/README.md lists
    std::vector<std::string> pointers; // with source "pointer": the members that lead to it
    std::string symbol;                // with source "symbol": where the only one lies, in the kernel's image
    std::int32_t low = 0, high = 0;    // the window of offsets
    std::vector<DeepMember> members;
};
using DeepStructures = std::vector<DeepStructure>;

struct DeepConstraints {
    DeepStructures structures;
    std::string digest; // of all files: another one says that other members may be found, or found otherwise
};

// The digest alone, whatever the files say.
std::string digest_of_deep_constraints(const std::filesystem::path& folder);
// Reads all files of a folder. Throws Error that names file and place of what is wrong.
DeepConstraints read_deep_constraints(const std::filesystem::path& folder);
// `file` is what errors call it.
DeepStructure read_deep_structure(const std::string& text, const std::string& file);

} // namespace lacuna
