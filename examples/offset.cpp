// SPDX-License-Identifier: GPL-2.0-or-later
// offset PROFILE STRUCTURE MEMBER: where a kernel keeps a member, with a JSON library.
// c++ -std=c++17 offset.cpp -o offset
#include <fstream>
#include <iostream>
#include <stdexcept>
#include <string>

#include <nlohmann/json.hpp>

struct Offset {
    long offset;
    bool from_list, tied;
};

// Only what is resolved or tied may be used; of a tie the first place is offered.
Offset find(const nlohmann::json& profile, const std::string& structure, const std::string& name)
{
    const std::string schema = profile.at("schema");
    if (schema != "lacuna-profile/1" && schema != "lacuna-profile/2")
        throw std::runtime_error("is no profile");
    const auto& members = profile.at("members");
    if (!members.contains(structure) || !members.at(structure).contains(name))
        throw std::runtime_error("is not in the profile");
    const auto& member = members.at(structure).at(name);
    const std::string state = member.at("state");
    if (state != "resolved" && state != "tied")
        throw std::runtime_error("is not known");
    return {member.at("offset"), member.contains("relative_to"), state == "tied"};
}

int main(int argc, char** argv)
{
    if (argc != 4) {
        std::cerr << "usage: " << argv[0] << " PROFILE STRUCTURE MEMBER\n";
        return 2;
    }
    try {
        std::ifstream file(argv[1]);
        const Offset found = find(nlohmann::json::parse(file), argv[2], argv[3]);
        std::cout << found.offset << (found.from_list ? " from list" : "") << (found.tied ? " tied" : "") << '\n';
    } catch (const std::exception& error) {
        std::cerr << argv[1] << ": " << argv[2] << '.' << argv[3] << ": " << error.what() << '\n';
        return 1;
    }
}
