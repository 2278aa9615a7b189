// SPDX-License-Identifier: GPL-2.0-or-later
#include "isf.h"

#include <algorithm>
#include <array>

#include <spdlog/fmt/fmt.h>

#include "base64.h"
#include "error.h"
#include "isf_types.h"

namespace lacuna {

namespace {

// Without these neither tool finds a process.
constexpr std::array needed_members = {"task_struct.tasks", "task_struct.pid", "task_struct.comm", "task_struct.mm",
                                       "mm_struct.pgd"};
constexpr std::array needed_symbols = {"init_task", "linux_banner"};
constexpr std::uint64_t kernel_map = 0xffffffff80000000; // __START_KERNEL_map, x86-64

bool wide(const Profile& profile)
{
    return profile.architecture == "x86_64";
}

Json base_type(unsigned size, bool is_signed, const char* kind)
{
    return {{"size", size}, {"signed", is_signed}, {"kind", kind}, {"endian", "little"}};
}

Json base_types(unsigned word)
{
    return {{"void", base_type(0, false, "void")},
            {"pointer", base_type(word, false, "int")},
            {"char", base_type(1, true, "char")},
            {"unsigned char", base_type(1, false, "char")},
            {"short", base_type(2, true, "int")},
            {"unsigned short", base_type(2, false, "int")},
            {"int", base_type(4, true, "int")},
            {"unsigned int", base_type(4, false, "int")},
            {"long", base_type(word, true, "int")},
            {"long int", base_type(word, true, "int")},
            {"unsigned long", base_type(word, false, "int")},
            {"long unsigned int", base_type(word, false, "int")},
            {"unsigned long long", base_type(8, false, "int")}};
}

// What C writes, as ISF does: "struct mm_struct *", "unsigned long", "char[]" and "void *[]" (of `size` bytes).
Json type_json(std::string_view c_type, unsigned size, unsigned word)
{
    constexpr std::string_view pointer = " *", text = "[]", structure = "struct ";
    if (c_type.ends_with(pointer))
        return {{"kind", "pointer"}, {"subtype", type_json(c_type.substr(0, c_type.size() - pointer.size()), size, word)}};
    if (c_type.ends_with(text)) {
        const auto element = c_type.substr(0, c_type.size() - text.size());
        return {{"kind", "array"},
                {"count", element.ends_with(pointer) ? size / word : size},
                {"subtype", type_json(element, size, word)}};
    }
    if (c_type.starts_with(structure))
        return {{"kind", "struct"}, {"name", c_type.substr(structure.size())}};
    return {{"kind", "base"}, {"name", c_type}};
}

std::string_view c_type_of(const ProfileMember& member)
{
    if (const auto known = c_type_of_member(member.qualified()); !known.empty())
        return known;
    if (member.type == "list")
        return "struct list_head";
    if (member.type == "pointer")
        return "void *";
    if (member.type == "text")
        return "char[]";
    return member.type == "long" ? "unsigned long" : "unsigned int";
}

// The structures of a file, with all that they refer to.
class Structures {
public:
    explicit Structures(unsigned word)
    {
        for (const std::string_view name : expected_structures())
            add(name);
        add("list_head", "next", 0, type_json("struct list_head *", 0, word));
        add("list_head", "prev", static_cast<std::int64_t>(word), type_json("struct list_head *", 0, word));
    }

    void add(std::string_view structure)
    {
        if (!json_.contains(std::string(structure)))
            json_[std::string(structure)] = {{"size", 0}, {"kind", "struct"}, {"fields", Json::object()}};
    }

    void add(std::string_view structure, const std::string& name, std::int64_t offset, Json type)
    {
        add(structure);
        const Json* innermost = &type;
        while (innermost->contains("subtype"))
            innermost = &innermost->at("subtype");
        if (innermost->at("kind") == "struct")
            add(innermost->at("name").get<std::string>());
        json_[std::string(structure)]["fields"][name] = {{"offset", offset}, {"type", std::move(type)}};
    }

    Json take() { return std::move(json_); }

private:
    Json json_ = Json::object();
};

Json user_types(const Profile& profile, unsigned word)
{
    Structures structures(word);
    // Offsets that count from a list node are of use once it is known where in the structure that lies.
    const ProfileMember* list = profile.find("module.list");
    const bool list_known = list && list->usable();
    for (const ProfileMember& member : profile.members) {
        const bool relative = member.relative_to_list && &member != list;
        if (!member.usable() || (relative && !list_known))
            continue;
        const std::int64_t offset = member.offset + (relative ? list->offset : 0);
        // Of a member of a member ("f_path.dentry") it is not known where the inner structure begins.
        if (offset >= 0 && member.name.find('.') == std::string::npos)
            structures.add(member.structure, member.name, offset, type_json(c_type_of(member), member.size, word));
    }
    return structures.take();
}

Json symbol_json(std::uint64_t address, std::string_view c_type)
{
    Json json = {{"address", address}};
    if (!c_type.empty())
        json["type"] = type_json(c_type, 0, 0);
    return json;
}

Json symbols_json(const Profile& profile, const std::map<std::string, std::uint64_t>& symbols, bool all)
{
    Json json = Json::object();
    for (const TypedName& symbol : exported_symbols())
        if (const auto found = symbols.find(std::string(symbol.name)); found != symbols.end())
            json[found->first] = symbol_json(found->second, symbol.c_type);
    json["linux_banner"]["type"] = type_json("char[]", static_cast<unsigned>(profile.banner.size()), 0);
    json["linux_banner"]["constant_data"] = banner_key(profile);
    // Not in kallsyms, and by definition this (arch/x86/kernel/vmlinux.lds.S): LibVMI finds the kernel by it.
    if (const auto start = symbols.find("startup_64"); start != symbols.end() && wide(profile))
        json["phys_startup_64"] = symbol_json(start->second - kernel_map, {});
    if (!all)
        return json;
    std::map<std::string, Json> more; // looking a name up in an ordered object takes as long as it has names
    for (const auto& [name, address] : symbols)
        more.emplace(name, symbol_json(address, {}));
    for (const auto& [name, symbol] : json.items())
        more[name] = symbol;
    return nlohmann::json(std::move(more));
}

} // namespace

std::string why_no_isf(const Profile& profile, const std::map<std::string, std::uint64_t>& symbols)
{
    for (const char* name : needed_members)
        if (const ProfileMember* member = profile.find(name); !member || !member->usable())
            return fmt::format("{} is not known (yet)", name);
    for (const char* name : needed_symbols)
        if (!symbols.contains(name))
            return symbols.empty() ? std::string("the symbols of its image have not been read by this version")
                                   : fmt::format("its image has no symbol {}", name);
    return {};
}

std::string banner_key(const Profile& profile)
{
    return base64(profile.banner);
}

Json make_isf(const Profile& profile, const std::map<std::string, std::uint64_t>& symbols, bool all_symbols)
{
    if (const std::string why = why_no_isf(profile, symbols); !why.empty())
        throw Error("there is no ISF of it: " + why, "kernel " + profile.kernel_id);
    const unsigned word = wide(profile) ? 8 : 4;
    Json json;
    json["metadata"] = {{"format", "6.2.0"}, {"producer", {{"name", "lacuna"}, {"version", LACUNA_VERSION}}}};
    json["base_types"] = base_types(word);
    json["user_types"] = user_types(profile, word);
    json["enums"] = Json::object();
    json["symbols"] = symbols_json(profile, symbols, all_symbols);
    return json;
}

} // namespace lacuna
