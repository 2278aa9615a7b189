// SPDX-License-Identifier: GPL-2.0-or-later
// profile_samples DIRECTORY: writes profiles in which each kind of member and of provenance stands, as lacunad would.
#include <fstream>
#include <iostream>

#include "profile.h"

using namespace lacuna;

namespace {

ProfileMember member(const std::string& structure, const std::string& name, lacuna_member_state state,
                     std::int32_t offset, std::vector<std::int32_t> candidates = {})
{
    ProfileMember member;
    member.structure = structure;
    member.name = name;
    member.type = "pointer";
    member.size = 8;
    member.state = state;
    member.offset = offset;
    member.remaining = static_cast<std::uint32_t>(candidates.size());
    member.candidates = std::move(candidates);
    member.relative_to_list = structure == "module";
    member.evidence = {78, 21, 78, 4095, member.answered() ? 2u : 0u};
    return member;
}

Profile sample()
{
    Profile profile;
    profile.kernel_id = "6.1.0-56-amd64-eb4fbcd037e72537";
    profile.release = "6.1.0-56-amd64";
    profile.banner = "Linux version 6.1.0-56-amd64 (x@y) #1 SMP";
    profile.architecture = "x86_64";
    profile.provenance = {3, std::string(64, 'a'), {{"web1", 2, "2026-11-27T10:00:00Z"}}, 2, 0, 1, {1, 0, std::string(64, 'b')}};
    profile.members = {member("task_struct", "tasks", LACUNA_RESOLVED, 2192),
                       member("task_struct", "pid", LACUNA_TIED, 2416, {2416, 2420}),
                       member("task_struct", "mm", LACUNA_AMBIGUOUS, 0, {8, 16}),
                       member("mm_struct", "pgd", LACUNA_CONTRADICTED, 0),
                       member("module", "name", LACUNA_RESOLVED, -16),
                       member("module", "module_core", LACUNA_ABSENT, 0)};
    profile.members.push_back(member("task_struct", "files", LACUNA_RESOLVED, 3048));
    profile.members.back().deep = true;
    return profile;
}

} // namespace

int main(int argc, char** argv)
{
    if (argc != 2) {
        std::cerr << "usage: profile_samples DIRECTORY\n";
        return 2;
    }
    const std::string folder = argv[1];
    const auto write = [&](const std::string& name, const Json& json) {
        std::ofstream(folder + "/" + name + ".json") << to_text(json, 2) << '\n';
    };
    Profile profile = sample();
    write("all-states", to_json(profile));
    profile.provenance = {}; // read from a profile of schema 1
    write("without-provenance", to_json(profile));
    Json first = to_json(profile);
    first["schema"] = first_profile_schema;
    first.erase("provenance");
    for (Json& structure : first["members"])
        for (Json& one : structure)
            one["evidence"].erase("boots");
    write("schema-1", first);
    write("read-again", to_json(profile_from_json(first, "schema-1")));
}
