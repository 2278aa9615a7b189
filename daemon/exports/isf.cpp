// SPDX-License-Identifier: GPL-2.0-or-later
#include "isf.h"

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <utility>

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

// A number without any bytes, which reads as 0: what is not known has none.
constexpr const char* nothing = "lacuna nothing";

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
            {"unsigned long long", base_type(8, false, "int")},
            {nothing, base_type(0, false, "int")}};
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
    if (member.type == "byte")
        return "unsigned char";
    if (member.type == "short")
        return "unsigned short";
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

    void set_size(std::string_view structure, std::int64_t size) { json_[std::string(structure)]["size"] = size; }

    Json take() { return std::move(json_); }

private:
    Json json_ = Json::object();
};

// Where a member lies from the start of its structure, if that is known: of a module's it is once the place of its list is.
std::optional<std::int64_t> offset_of(const Profile& profile, const ProfileMember& member)
{
    const ProfileMember* list = profile.find("module.list");
    const bool relative = member.relative_to_list && &member != list;
    if (!member.usable() || (relative && !(list && list->usable())))
        return std::nullopt;
    const std::int64_t offset = member.offset + (relative ? list->offset : 0);
    return offset < 0 ? std::nullopt : std::optional(offset);
}

// Members of structures within structures ("file.f_path.dentry"). Where the inner one begins nobody has said; a reader adds
// both offsets, so it is put where the first member of it that is known is, the same in all that have one of it.
void add_nested(Structures& structures, const Profile& profile, unsigned word)
{
    struct Part {
        std::string outer, name; // "file.f_path", "dentry"
        std::int64_t offset;
        const ProfileMember* member;
    };
    std::map<std::string, std::vector<Part>> by_inner; // by the name of the inner structure
    for (const ProfileMember& member : profile.members) {
        const auto dot = member.name.find('.');
        if (dot == std::string::npos || member.name.find('[') != std::string::npos)
            continue;
        const std::string outer = member.structure + "." + member.name.substr(0, dot);
        constexpr std::string_view structure = "struct ";
        const auto type = c_type_of_member(outer);
        if (const auto offset = offset_of(profile, member); offset && type.starts_with(structure))
            by_inner[std::string(type.substr(structure.size()))].push_back(
                {outer, member.name.substr(dot + 1), *offset, &member});
    }
    for (const auto& [inner, parts] : by_inner) {
        // Each outer one's beginning, and each inner member's place, as far as they hang together.
        std::map<std::string, std::int64_t> begins{{parts.front().outer, parts.front().offset}}, places;
        for (bool more = true; std::exchange(more, false);)
            for (const Part& part : parts) {
                if (begins.contains(part.outer) && !places.contains(part.name))
                    more = places.emplace(part.name, part.offset - begins[part.outer]).second;
                if (!begins.contains(part.outer) && places.contains(part.name))
                    more = begins.emplace(part.outer, part.offset - places[part.name]).second;
            }
        std::int64_t first = 0;
        for (const auto& [unused, place] : places)
            first = std::min(first, place);
        const bool agree = std::all_of(parts.begin(), parts.end(), [&](const Part& part) {
            return !begins.contains(part.outer) || begins[part.outer] + places[part.name] == part.offset;
        });
        if (!agree)
            continue;
        for (const Part& part : parts) {
            const auto begin = begins.find(part.outer);
            if (begin == begins.end())
                continue;
            const auto dot = part.outer.find('.');
            structures.add(part.outer.substr(0, dot), part.outer.substr(dot + 1), begin->second + first,
                           type_json("struct " + inner, 0, word));
            const auto type = c_type_of_member(inner + "." + part.name);
            structures.add(inner, part.name, places[part.name] - first,
                           type_json(type.empty() ? c_type_of(*part.member) : type, part.member->size, word));
        }
    }
}

// Since 6.4 a module has an array of parts (enum mod_mem_type, include/linux/module.h).
constexpr std::array module_parts = {"MOD_TEXT",          "MOD_DATA",      "MOD_RODATA",     "MOD_RO_AFTER_INIT",
                                     "MOD_INIT_TEXT", "MOD_INIT_DATA", "MOD_INIT_RODATA"};

bool has_module_parts(const Profile& profile)
{
    for (const char* name : {"module.mem[1].base", "module.module_core", "module.core_text_size"})
        if (const ProfileMember* member = profile.find(name); !member || !offset_of(profile, *member))
            return false;
    return true;
}

void add_module_parts(Structures& structures, const Profile& profile, unsigned word)
{
    const auto first = *offset_of(profile, *profile.find("module.module_core"));
    const auto second = *offset_of(profile, *profile.find("module.mem[1].base"));
    const auto size = *offset_of(profile, *profile.find("module.core_text_size"));
    structures.add("module_memory", "base", 0, type_json("void *", 0, word));
    structures.add("module_memory", "size", size - first, type_json("unsigned int", 0, word));
    structures.set_size("module_memory", second - first);
    structures.add("module", "mem", first,
                   {{"kind", "array"}, {"count", module_parts.size()}, {"subtype", type_json("struct module_memory", 0, word)}});
}

Json enumerations(const Profile& profile)
{
    Json json = Json::object();
    if (!has_module_parts(profile))
        return json;
    Json constants = Json::object();
    for (std::size_t i = 0; i < module_parts.size(); i++)
        constants[module_parts[i]] = i;
    json["mod_mem_type"] = {{"size", 4}, {"base", "unsigned int"}, {"constants", std::move(constants)}};
    return json;
}

// In a node of a maple tree there are its parent, pivots, and then one entry more than there are pivots: as many bytes of them
// as lie before them (struct maple_range_64, struct maple_arange_64, include/linux/maple_tree.h).
unsigned size_in_isf(const ProfileMember& member)
{
    return member.structure.starts_with("maple_") && member.name == "slot" ? static_cast<unsigned>(member.offset) : member.size;
}

// A node is a union of its kinds.
void add_tree_nodes(Structures& structures, const Profile& profile, unsigned word)
{
    for (const auto& [kind, name] : {std::pair("maple_range_64", "mr64"), std::pair("maple_arange_64", "ma64")})
        if (const ProfileMember* slot = profile.find(std::string(kind) + ".slot"); slot && slot->usable())
            structures.add("maple_node", name, 0, type_json(std::string("struct ") + kind, 0, word));
}

bool knows(const Profile& profile, std::string_view name)
{
    const ProfileMember* member = profile.find(std::string(name));
    return member && member->usable();
}

// Tools read these, and do nothing at all without them. What they print of a time that is 0 is that there is none; of a count
// they only want to know that it is not negative; and a module that has been initialised has no init part (do_init_module()). Of a
// kind of file system some programs make several (fuse), whose names are left out.
void add_unknown(Structures& structures, const Profile& profile, unsigned word)
{
    const auto unknown = [&](const char* type) { return type_json(type, 0, word); };
    if (knows(profile, "inode.i_mode")) {
        for (const char* time : {"i_atime", "i_ctime", "i_mtime"})
            structures.add("inode", time, 0, unknown("struct timespec64"));
        structures.add("timespec64", "tv_sec", 0, unknown(nothing));
        structures.add("timespec64", "tv_nsec", 0, unknown(nothing));
        structures.add("inode", "i_count", 0, unknown("struct lacuna_count"));
        structures.add("lacuna_count", "counter", 0, unknown(nothing));
    }
    if (knows(profile, "super_block.s_flags"))
        structures.add("super_block", "s_subtype", 0, unknown(nothing));
    if (knows(profile, "module.core_size"))
        structures.add("module", "init_size", 0, unknown(nothing));
}

// What is so by definition. What a protocol knows of a socket begins with what all know of theirs (include/net/inet_sock.h,
// include/net/af_unix.h); a Unix socket's path stands where programs put it (include/uapi/linux/un.h). Of a socket's inode it is
// known how far behind the socket it lies, so that the socket is put at the start of what holds both. A set of capabilities has 64 bits
// (include/linux/capability.h), a kobject begins with its name and a kref is nothing but a count (include/linux/kobject.h, kref.h), a node
// of a tree has its children behind its parent (include/linux/rbtree_types.h).
void add_by_definition(Structures& structures, const Profile& profile, unsigned word)
{
    if (knows(profile, "socket_alloc.vfs_inode"))
        structures.add("socket_alloc", "socket", 0, type_json("struct socket", 0, word));
    if (knows(profile, "cred.cap_bset"))
        structures.add("kernel_cap_t", "val", 0, type_json("unsigned long long", 0, word));
    if (knows(profile, "mnt_namespace.mounts")) {
        const auto node = [&] { return type_json("struct rb_node *", 0, word); };
        // Volatility 2.11 takes the nodes of the tree by the list that was there before, and in one place with them up to 6.13.
        if (const ProfileMember* nodes = profile.find("mount.mnt_node"); nodes && nodes->usable())
            structures.add("mount", "mnt_list", nodes->offset, type_json("struct list_head", 2 * word, word));
        structures.add("rb_root", "rb_node", 0, node());
        structures.add("rb_node", "rb_right", word, node());
        structures.add("rb_node", "rb_left", 2 * std::int64_t{word}, node());
    }
    if (knows(profile, "kobject.kref")) {
        structures.add("kobject", "name", 0, type_json("char *", 0, word));
        structures.add("kref", "refcount", 0, type_json("struct atomic_t", 0, word));
        structures.add("atomic_t", "counter", 0, type_json("int", 0, word));
    }
    if (!knows(profile, "sock.sk_socket"))
        return;
    for (const char* kind : {"inet_sock", "unix_sock"})
        structures.add(kind, "sk", 0, type_json("struct sock", 0, word));
    structures.add("sockaddr_un", "sun_family", 0, type_json("unsigned short", 0, word));
    structures.add("sockaddr_un", "sun_path", 2, type_json("char[]", 108, word));
    // Where Volatility looks for an IPv6 socket's own address: its copy in what all sockets have serves as well.
    if (const ProfileMember* own = profile.find("sock.__sk_common.skc_v6_rcv_saddr"); own && own->usable()) {
        structures.add("inet_sock", "pinet6", own->offset, type_json("struct ipv6_pinfo", 0, word));
        structures.add("ipv6_pinfo", "saddr", 0, type_json("struct in6_addr", 0, word));
    }
}

Json user_types(const Profile& profile, unsigned word)
{
    Structures structures(word);
    for (const ProfileMember& member : profile.members)
        if (const auto offset = offset_of(profile, member); offset && member.name.find_first_of(".[") == std::string::npos)
            structures.add(member.structure, member.name, *offset, type_json(c_type_of(member), size_in_isf(member), word));
    add_tree_nodes(structures, profile, word);
    add_unknown(structures, profile, word);
    add_by_definition(structures, profile, word);
    add_nested(structures, profile, word);
    if (has_module_parts(profile))
        add_module_parts(structures, profile, word);
    return structures.take();
}

Json symbol_json(std::uint64_t address, std::string_view c_type)
{
    Json json = {{"address", address}};
    if (!c_type.empty())
        json["type"] = type_json(c_type, 0, 0);
    return json;
}

// What has no path is named by a function of its file system (struct dentry_operations.d_dname), which tools tell kinds of files by.
bool names_dentries(std::string_view symbol)
{
    return symbol.ends_with("_dname") && !symbol.starts_with("__pfx_");
}

Json symbols_json(const Profile& profile, const std::map<std::string, std::uint64_t>& symbols, bool all)
{
    Json json = Json::object();
    for (const TypedName& symbol : exported_symbols())
        if (const auto found = symbols.find(std::string(symbol.name)); found != symbols.end())
            json[found->first] = symbol_json(found->second, symbol.c_type);
    constexpr unsigned most = 256; // kernels have some ten, but whoever builds one may call as much so as he likes
    unsigned named = 0;
    for (const auto& [name, address] : symbols)
        if (names_dentries(name) && named++ < most)
            json[name] = symbol_json(address, "void");
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
    more.erase("taint_flags"); // where Volatility finds it, it wants to know its structure; otherwise it does without
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
    json["enums"] = enumerations(profile);
    json["symbols"] = symbols_json(profile, symbols, all_symbols);
    return json;
}

} // namespace lacuna
