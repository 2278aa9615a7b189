// SPDX-License-Identifier: GPL-2.0-or-later
#include "deep_constraints.h"

#include <algorithm>
#include <fstream>
#include <iterator>
#include <map>
#include <set>

#include <spdlog/fmt/fmt.h>

#include "digest.h"
#include "error.h"

namespace lacuna {

namespace {

using Json = nlohmann::ordered_json;

constexpr std::int32_t largest_window = 16384;

// Of an array or a structure as much as is looked at.
const std::map<std::string, unsigned> sizes{{"byte", 1},    {"short", 2},     {"int", 4},
                                            {"long", 8},    {"pointer", 8},   {"text-pointer", 8}, {"list", 16},
                                            {"address", 16}, {"array", 8},    {"structure", 8}};

void allow(const Json& json, const std::set<std::string>& keys, const std::string& place)
{
    for (const auto& [key, unused] : json.items())
        if (!keys.contains(key))
            throw Error(fmt::format("unknown key \"{}\"", key), place,
                        "constraints/README.md explains the format");
}

DeepConstraint read_constraint(const Json& json, const std::string& place)
{
    DeepConstraint constraint;
    constraint.predicate = json.at("predicate").get<std::string>();
    constraint.of_instances = json.value("in", "all");
    constraint.witness = json.value("witness", false);
    constraint.strikes = json.value("strikes", constraint.strikes);
    if (!constraint.strikes)
        throw Error("\"strikes\" is 0", place, "1 or more is allowed");
    for (const Json& constant : json.value("constants", Json::array())) {
        const auto text = constant.get<std::string>(); // "structure.member type", or "" for one of no use
        const auto space = text.find(' ');
        if (!text.empty() && (space == std::string::npos || !sizes.contains(text.substr(space + 1))))
            throw Error(fmt::format("the constant \"{}\" has no known type", text), place,
                        "write \"structure.member type\"");
        constraint.constants.push_back(text.empty()
                                           ? DeepConstant()
                                           : DeepConstant{text.substr(0, space), text.substr(space + 1),
                                                          sizes.at(text.substr(space + 1))});
    }
    const std::set<std::string> whom{"all", "leaders", "threads", "users", "kernel-threads", "privileged"};
    if (!whom.contains(constraint.of_instances))
        throw Error(fmt::format("unknown \"in\": \"{}\"", constraint.of_instances), place,
                    "all, leaders, threads, users, kernel-threads or privileged is allowed");
    if (constraint.constants.size() > 4)
        throw Error("has more than 4 \"constants\"", place, "a predicate finds at most four");
    constraint.arguments = json;
    return constraint;
}

DeepMember read_member(const Json& json, const std::string& structure)
{
    const std::string place = fmt::format("member {}.{}", structure, json.at("name").get<std::string>());
    allow(json, {"name", "type", "align", "instances", "values", "places", "why", "constraints"}, place);
    DeepMember member;
    member.structure = structure;
    member.name = json.at("name").get<std::string>();
    member.type = json.at("type").get<std::string>();
    const auto size = sizes.find(member.type);
    if (size == sizes.end())
        throw Error(fmt::format("unknown type \"{}\"", member.type), place,
                    "byte, short, int, long, pointer, text-pointer, list, address, array or structure is allowed");
    member.size = size->second;
    member.align = json.value("align", std::min(member.size, 8u));
    member.instances = json.at("instances").get<unsigned>();
    member.values = json.at("values").get<unsigned>();
    member.places = json.value("places", 0u);
    if (!member.instances || !member.values || !member.align || member.align > 8)
        throw Error("\"instances\", \"values\" or \"align\" is out of range", place,
                    "1 or more is allowed, 8 at most for \"align\"");
    for (const Json& constraint : json.at("constraints"))
        member.constraints.push_back(read_constraint(constraint, place));
    if (std::none_of(member.constraints.begin(), member.constraints.end(),
                     [](const DeepConstraint& constraint) { return constraint.witness; }))
        throw Error("no constraint has \"witness\": true", place,
                    "without one the member could never be confirmed: mark the one that shows it at work");
    return member;
}

} // namespace

DeepStructure read_deep_structure(const std::string& text, const std::string& file)
{
    try {
        const Json json = Json::parse(text);
        allow(json, {"structure", "source", "pointers", "symbol", "window", "members", "why"}, file);
        DeepStructure structure;
        structure.name = json.at("structure").get<std::string>();
        structure.source = json.at("source").get<std::string>();
        structure.pointers = json.value("pointers", std::vector<std::string>());
        structure.symbol = json.value("symbol", "");
        const std::set<std::string> sources{"tasks", "modules", "pointer", "symbol", "areas", "files",
                                            "dentries", "sockets", "mounts",  "trees", "nodes"};
        if (!sources.contains(structure.source) || (structure.source == "pointer") == structure.pointers.empty() ||
            (structure.source == "symbol") == structure.symbol.empty())
            throw Error("its \"source\" is none, or goes without its \"pointers\" or its \"symbol\"", file,
                        "tasks, modules, pointer (with \"pointers\"), symbol (with \"symbol\"), areas, files, dentries, sockets, mounts, "
                        "trees or nodes is allowed");
        structure.low = json.at("window").at(0).get<std::int32_t>();
        structure.high = json.at("window").at(1).get<std::int32_t>();
        if (structure.low > 0 || structure.high < 64 || structure.low % 8 || structure.high % 8 ||
            structure.high - structure.low > largest_window || structure.low < -largest_window)
            throw Error(
                "its \"window\" is out of range", file,
                fmt::format("low <= 0, 64 <= high, multiples of 8, at most {} in all", largest_window));
        for (const Json& member : json.at("members"))
            structure.members.push_back(read_member(member, structure.name));
        return structure;
    } catch (const Json::exception& error) {
        throw Error(fmt::format("is no constraint file: {}", error.what()), file,
                    "constraints/README.md explains the format");
    }
}

namespace {

struct NamedText {
    std::filesystem::path file;
    std::string text;
};

std::vector<NamedText> read_all(const std::filesystem::path& folder)
{
    std::vector<std::filesystem::path> files;
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator(folder, error))
        if (entry.path().extension() == ".json")
            files.push_back(entry.path());
    if (files.empty())
        throw Error("holds no constraint files of deep members", folder.string(),
                    "give the folder that was installed with lacunad");
    std::sort(files.begin(), files.end());
    std::vector<NamedText> all;
    for (const auto& file : files) {
        std::ifstream in(file, std::ios::binary);
        if (!in)
            throw system_error("cannot be read", file.string());
        all.push_back({file, std::string(std::istreambuf_iterator<char>(in), {})});
    }
    return all;
}

std::string digest_of(const std::vector<NamedText>& all)
{
    Digest digest;
    for (const NamedText& one : all)
        digest.add(ByteView(reinterpret_cast<const std::uint8_t*>(one.text.data()), one.text.size()));
    return digest.end();
}

} // namespace

std::string digest_of_deep_constraints(const std::filesystem::path& folder)
{
    return digest_of(read_all(folder));
}

DeepConstraints read_deep_constraints(const std::filesystem::path& folder)
{
    const std::vector<NamedText> all = read_all(folder);
    DeepConstraints constraints{{}, digest_of(all)};
    for (const NamedText& one : all)
        constraints.structures.push_back(read_deep_structure(one.text, one.file.string()));
    return constraints;
}

} // namespace lacuna
