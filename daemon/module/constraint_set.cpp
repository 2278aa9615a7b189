// SPDX-License-Identifier: GPL-2.0-or-later
#include "constraint_set.h"

#include <algorithm>
#include <cstring>
#include <fstream>
#include <functional>
#include <iterator>
#include <optional>
#include <set>
#include <string_view>
#include <utility>

#include <nlohmann/json.hpp>
#include <spdlog/fmt/fmt.h>

#include "abi_names.h"
#include "error.h"

namespace lacuna {

namespace {

using Json = nlohmann::json;
using Names = std::vector<std::string_view>;

constexpr int max_text = 64;      // bytes of a text, the smallest window: as the engine has it
constexpr int max_instances = 32; // different instances the engine counts up to

constexpr std::string_view source_names[LACUNA_SOURCES] = {"task", "pointer", "module"};
constexpr std::string_view event_names[] = {"fork", "exit", "initcall"}; // LACUNA_ON_*, bit by bit

constexpr unsigned bit(unsigned n)
{
    return 1u << n;
}
constexpr unsigned numbers = bit(LACUNA_TYPE_INT) | bit(LACUNA_TYPE_LONG) | bit(LACUNA_TYPE_POINTER);
constexpr unsigned any_source =
    bit(LACUNA_SOURCE_TASK) | bit(LACUNA_SOURCE_POINTER) | bit(LACUNA_SOURCE_MODULE);
constexpr unsigned of_task = bit(LACUNA_SOURCE_TASK);
constexpr unsigned of_pointer = bit(LACUNA_SOURCE_POINTER);
constexpr unsigned of_module = bit(LACUNA_SOURCE_MODULE);

// What a predicate may be asked of, and what it takes.
struct PredicateRule {
    std::string_view name;
    unsigned types;           // of the member, bits of lacuna_type
    unsigned sources;         // of the structure, bits of lacuna_source
    std::string_view key;     // its first key, if any
    std::uint8_t member_type; // of the member referred to, if key is "member"
};
constexpr PredicateRule predicate_rules[LACUNA_PREDICATES] = {
    {"anchor-text", bit(LACUNA_TYPE_TEXT), of_task, "text", 0},
    {"anchor-value", numbers, of_task, "value", 0},
    {"range", numbers, any_source, "min", 0},
    {"text", bit(LACUNA_TYPE_TEXT), any_source, "", 0},
    {"text-echoed", bit(LACUNA_TYPE_TEXT), any_source, "", 0},
    {"ring", bit(LACUNA_TYPE_LIST), of_task, "member", LACUNA_TYPE_TEXT},
    {"ring-counts", bit(LACUNA_TYPE_INT), of_task, "member", LACUNA_TYPE_LIST},
    {"unique", bit(LACUNA_TYPE_INT), of_task, "", 0},
    {"thread-id", bit(LACUNA_TYPE_INT), of_task, "", 0},
    {"leads-to-root", bit(LACUNA_TYPE_POINTER), of_task, "window", 0},
    {"is-root", bit(LACUNA_TYPE_POINTER), any_source, "", 0},
    {"code-start", bit(LACUNA_TYPE_LONG), of_pointer, "", 0},
    {"code-end", bit(LACUNA_TYPE_LONG), of_pointer, "", 0},
    {"text-part", bit(LACUNA_TYPE_POINTER), of_module, "", 0},
    {"extent", bit(LACUNA_TYPE_INT), of_module, "member", LACUNA_TYPE_POINTER},
    {"null-at-times", bit(LACUNA_TYPE_POINTER), any_source, "", 0},
};

// "a, b or c"
std::string listed(const Names& names)
{
    std::string text;
    for (std::size_t i = 0; i < names.size(); i++) {
        if (i > 0)
            text += i + 1 == names.size() ? " or " : ", ";
        text += names[i];
    }
    return text;
}

template <typename Rules> Names names_of(const Rules& rules, unsigned chosen = ~0u)
{
    Names names;
    for (unsigned i = 0; i < std::size(rules); i++) {
        if (!(chosen & bit(i)))
            continue;
        if constexpr (requires { rules[i].name; })
            names.push_back(rules[i].name);
        else
            names.push_back(rules[i]);
    }
    return names;
}

// Bits of lacuna_type.
Names names_of_types(unsigned chosen = ~0u)
{
    Names names;
    for (std::uint8_t type = 0; type < LACUNA_TYPES; type++)
        if (chosen & bit(type))
            names.push_back(type_name(type));
    return names;
}

std::optional<std::uint8_t> index_of(const Names& names, std::string_view name)
{
    const auto found = std::find(names.begin(), names.end(), name);
    if (found == names.end())
        return std::nullopt;
    return static_cast<std::uint8_t>(found - names.begin());
}

// An object of a constraint file, read key by key. Complains with the file and the place in it.
class Section {
public:
    Section(const Json& value, std::string file, std::string place)
        : value_(value),
          file_(std::move(file)),
          place_(std::move(place))
    {
        if (!value_.is_object())
            fail("is not an object", "write { \"key\": value, ... }");
    }

    [[noreturn]] void fail(const std::string& what, const std::string& hint) const
    {
        throw Error(place_.empty() ? what : place_ + ": " + what, file_, hint);
    }

    void allow(const Names& keys) const
    {
        for (const auto& [key, unused] : value_.items())
            if (std::find(keys.begin(), keys.end(), key) == keys.end())
                fail("unknown key \"" + key + "\"", "allowed here: " + listed(keys));
    }

    bool has(std::string_view key) const { return value_.contains(key); }

    const Json& need(std::string_view key) const
    {
        if (!has(key))
            fail(fmt::format("the key \"{}\" is missing", key),
                 "add it; constraints/README.md explains the format");
        return value_.find(key).value();
    }

    std::string text(std::string_view key) const
    {
        if (!need(key).is_string())
            fail(fmt::format("\"{}\" is not a text", key), "write it in quotes");
        return need(key).get<std::string>();
    }

    std::int64_t integer(std::string_view key, std::int64_t min, std::int64_t max) const
    {
        const Json& value = need(key);
        const bool fits = value.is_number_integer() &&
                          !(value.is_number_unsigned() && value.get<std::uint64_t>() > INT64_MAX);
        if (!fits || value.get<std::int64_t>() < min || value.get<std::int64_t>() > max)
            fail(fmt::format("\"{}\" is {}", key, value.dump()),
                 fmt::format("a whole number from {} to {} is allowed", min, max));
        return value.get<std::int64_t>();
    }

    bool flag(std::string_view key) const
    {
        if (!has(key))
            return false;
        if (!need(key).is_boolean())
            fail(fmt::format("\"{}\" is {}", key, need(key).dump()), "true or false is allowed");
        return need(key).get<bool>();
    }

    const Json& array(std::string_view key, std::size_t min, std::size_t max) const
    {
        const Json& value = need(key);
        if (!value.is_array() || value.size() < min || value.size() > max)
            fail(fmt::format("\"{}\" is not a list of {} to {} entries", key, min, max),
                 "see constraints/README.md");
        return value;
    }

    std::uint8_t choice(std::string_view key, const Names& names, const char* noun) const
    {
        const std::string name = text(key);
        const auto index = index_of(names, name);
        if (!index)
            fail(fmt::format("unknown {} \"{}\"", noun, name), "allowed are " + listed(names));
        return *index;
    }

    // An identifier that fits into LACUNA_NAME_LEN.
    std::string name(std::string_view key) const
    {
        const std::string name = text(key);
        const auto fine = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_'; };
        if (name.empty() || name.size() >= LACUNA_NAME_LEN || !std::all_of(name.begin(), name.end(), fine))
            fail(fmt::format("\"{}\" is no name: \"{}\"", key, name),
                 fmt::format("use letters, digits and _, at most {}", LACUNA_NAME_LEN - 1));
        return name;
    }

    const std::string& file() const { return file_; }

private:
    const Json& value_;
    std::string file_, place_;
};

// A reference to another member, to be resolved once all files are read.
struct Reference {
    std::string name; // empty: none
    std::string file, place;
};

struct Predicate {
    lacuna_predicate binary{};
    Reference member;
};

struct Member {
    lacuna_member binary{};
    std::vector<Predicate> predicates;
};

struct Structure {
    lacuna_structure binary{};
    std::string file;
    Reference pointer;
    std::vector<Member> members;
};

template <std::size_t N> void copy_text(char (&to)[N], const std::string& from)
{
    std::memcpy(to, from.data(), std::min(from.size(), N - 1));
}

std::uint8_t read_events(const Section& section)
{
    if (!section.has("on"))
        return LACUNA_ON_ALL;
    unsigned on = 0;
    for (const Json& event : section.array("on", 1, std::size(event_names))) {
        const auto index =
            event.is_string() ? index_of(names_of(event_names), event.get<std::string>()) : std::nullopt;
        if (!index)
            section.fail("unknown event " + event.dump() + " in \"on\"",
                         "allowed are " + listed(names_of(event_names)));
        on |= bit(*index);
    }
    return static_cast<std::uint8_t>(on);
}

void read_argument(const Section& section, std::string_view key, std::size_t member_size,
                   lacuna_predicate& binary)
{
    if (key == "text") {
        const std::string text = section.text("text");
        const std::size_t most = std::min<std::size_t>(LACUNA_TEXT_LEN, member_size) - 1;
        if (text.empty() || text.size() > most || text.find('\0') != std::string::npos)
            section.fail("\"text\" is empty or too long",
                         fmt::format("1 to {} characters are allowed", most));
        copy_text(binary.text, text);
    } else if (key == "value") {
        binary.arg[0] = section.integer("value", INT64_MIN, INT64_MAX);
    } else if (key == "min") {
        binary.arg[0] = section.integer("min", INT64_MIN, INT64_MAX);
        binary.arg[1] = section.integer("max", INT64_MIN, INT64_MAX);
        if (binary.arg[0] > binary.arg[1])
            section.fail("\"min\" is greater than \"max\"", "no value would fit: exchange them");
    } else if (key == "window") {
        binary.arg[0] = section.integer("window", 8, 4096);
        if (binary.arg[0] % 8)
            section.fail("\"window\" is not a multiple of 8", "pointers lie at multiples of 8");
    }
}

Predicate read_predicate(const Json& value, const std::string& file, const std::string& place,
                         const lacuna_member& member, unsigned source)
{
    const Section section(value, file, place);
    Predicate predicate;
    const auto kind = section.choice("predicate", names_of(predicate_rules), "predicate");
    const PredicateRule& rule = predicate_rules[kind];
    const Section named(value, file, fmt::format("{}, predicate {}", place, rule.name));

    Names keys = {"predicate", "on", "witness", "why"};
    if (!rule.key.empty())
        keys.push_back(rule.key);
    if (rule.key == "min")
        keys.push_back("max");
    named.allow(keys);
    if (!(rule.types & bit(member.type)))
        named.fail(fmt::format("cannot be asked of the type {}", type_name(member.type)),
                   "it is for " + listed(names_of_types(rule.types)));
    if (!(rule.sources & bit(source)))
        named.fail(fmt::format("cannot be asked of a structure with source {}", source_names[source]),
                   "it is for " + listed(names_of(source_names, rule.sources)));
    predicate.binary.kind = kind;
    predicate.binary.on = read_events(named);
    predicate.binary.witness = named.flag("witness");
    predicate.binary.member = LACUNA_NO_MEMBER;
    read_argument(named, rule.key, member.size, predicate.binary);
    if (rule.key == "member")
        predicate.member = {named.text("member"), file, fmt::format("{}, predicate {}", place, rule.name)};
    return predicate;
}

std::uint8_t read_size(const Section& section, std::uint8_t type)
{
    if (type == LACUNA_TYPE_TEXT)
        return static_cast<std::uint8_t>(section.integer("size", 2, max_text));
    if (section.has("size"))
        section.fail(
            fmt::format("\"size\" of the type {} follows from the guest's architecture", type_name(type)),
            "leave it out; only a text has one");
    return 0;
}

std::uint8_t read_align(const Section& section)
{
    if (!section.has("align"))
        return 0; // as the guest's architecture has it
    const auto align = section.integer("align", 1, 8);
    if (align & (align - 1))
        section.fail(fmt::format("\"align\" is {}", align), "1, 2, 4 or 8 is allowed");
    return static_cast<std::uint8_t>(align);
}

Member read_member(const Json& value, const std::string& file, const std::string& structure, unsigned source)
{
    const std::string name = Section(value, file, "a member of " + structure).name("name");
    const std::string place = fmt::format("member {}.{}", structure, name);
    const Section section(value, file, place);
    section.allow(
        {"name", "type", "size", "align", "strikes", "witnesses", "instances", "why", "constraints"});

    Member member;
    lacuna_member& binary = member.binary;
    copy_text(binary.name, name);
    binary.type = section.choice("type", names_of_types(), "type");
    binary.size = read_size(section, binary.type);
    binary.align = read_align(section);
    binary.strikes =
        section.has("strikes") ? static_cast<std::uint8_t>(section.integer("strikes", 1, 255)) : 2;
    binary.witnesses = static_cast<std::uint8_t>(section.integer("witnesses", 1, 255));
    binary.instances = static_cast<std::uint8_t>(section.integer("instances", 1, max_instances));
    for (const Json& predicate : section.array("constraints", 1, LACUNA_MAX_PREDICATES))
        member.predicates.push_back(read_predicate(predicate, file, place, binary, source));
    binary.predicates_nr = static_cast<std::uint8_t>(member.predicates.size());

    const auto witnesses = [](const Predicate& predicate) { return predicate.binary.witness; };
    if (std::none_of(member.predicates.begin(), member.predicates.end(), witnesses))
        section.fail("no constraint has \"witness\": true",
                     "without one the member could never be confirmed: mark the one that shows it in action");
    return member;
}

void read_window(const Section& section, lacuna_structure& binary)
{
    const Json& window = section.array("window", 2, 2);
    const std::string rule = fmt::format(
        "[low, high] with low <= 0, high >= {}, both multiples of 8, high - low at most {} is allowed",
        max_text, LACUNA_MAX_WINDOW);
    const auto in_range = [](const Json& v) {
        return v.is_number_integer() && v >= -LACUNA_MAX_WINDOW && v <= LACUNA_MAX_WINDOW;
    };
    if (!in_range(window[0]) || !in_range(window[1]))
        section.fail("\"window\" is " + window.dump(), rule);
    binary.low = window[0].get<int>();
    binary.high = window[1].get<int>();
    if (binary.low % 8 || binary.high % 8 || binary.low > 0 || binary.high < max_text ||
        binary.high - binary.low > LACUNA_MAX_WINDOW)
        section.fail("\"window\" is " + window.dump(), rule);
}

Structure read_structure(const ConstraintFile& file, const Json& json)
{
    const Section top(json, file.name, "");
    const std::string name = top.name("structure");
    const Section section(json, file.name, "structure " + name);
    Structure structure;
    structure.file = file.name;
    copy_text(structure.binary.name, name);
    structure.binary.source = section.choice("source", names_of(source_names), "source");
    structure.binary.member = LACUNA_NO_MEMBER;
    Names keys = {"structure", "source", "window", "members", "why", "$schema"};
    if (structure.binary.source == LACUNA_SOURCE_POINTER) {
        keys.push_back("pointer");
        structure.pointer = {section.text("pointer"), file.name, "structure " + name};
    }
    section.allow(keys);
    read_window(section, structure.binary);
    for (const Json& member : section.array("members", 1, LACUNA_MAX_MEMBERS))
        structure.members.push_back(read_member(member, file.name, name, structure.binary.source));
    return structure;
}

// JSON allows the same key twice and keeps one of the two; nobody means that.
Json parse_json(const ConstraintFile& file)
{
    std::vector<std::set<std::string>> open;
    const auto check = [&](int, Json::parse_event_t event, Json& parsed) {
        if (event == Json::parse_event_t::object_start)
            open.emplace_back();
        else if (event == Json::parse_event_t::object_end)
            open.pop_back();
        else if (event == Json::parse_event_t::key && !open.back().insert(parsed.get<std::string>()).second)
            throw Error("the key " + parsed.dump() + " stands twice in one object", file.name,
                        "remove one of the two");
        return true;
    };
    try {
        return Json::parse(file.text, check);
    } catch (const Json::exception& error) {
        throw Error(fmt::format("is not JSON: {}", error.what()), file.name, "correct it at the place named");
    }
}

// How many pointers lead to the structure; cycles are stopped here and complained of later.
unsigned depth(const std::vector<Structure>& all, const Structure& structure,
               unsigned bound = LACUNA_MAX_STRUCTURES)
{
    const std::string parent = structure.pointer.name.substr(0, structure.pointer.name.find('.'));
    for (const Structure& other : all)
        if (!structure.pointer.name.empty() && other.binary.name == parent && bound > 0)
            return 1 + depth(all, other, bound - 1);
    return 0;
}

void order(std::vector<Structure>& all)
{
    std::vector<std::pair<unsigned, Structure>> sorted;
    for (const Structure& structure : all)
        sorted.emplace_back(depth(all, structure), structure);
    std::stable_sort(sorted.begin(), sorted.end(),
                     [](const auto& a, const auto& b) { return a.first < b.first; });
    for (std::size_t i = 0; i < all.size(); i++)
        all[i] = std::move(sorted[i].second);
}

void check_structures(const std::vector<Structure>& all)
{
    std::size_t members = 0;
    for (const Structure& structure : all) {
        members += structure.members.size();
        for (const Structure& other : all) {
            if (&other == &structure)
                break;
            if (!std::strcmp(structure.binary.name, other.binary.name))
                throw Error(fmt::format("the structure {} is described by {} already", structure.binary.name,
                                        other.file),
                            structure.file, "put all its members into one file");
            if (structure.binary.source == other.binary.source &&
                structure.binary.source != LACUNA_SOURCE_POINTER)
                throw Error(fmt::format("the structure {} has the source {}, and so has {}",
                                        structure.binary.name, source_names[structure.binary.source],
                                        other.binary.name),
                            structure.file, "only one structure can come from it");
        }
    }
    if (all.size() > LACUNA_MAX_STRUCTURES)
        throw Error(fmt::format("{} structures are too many", all.size()), all.back().file,
                    fmt::format("{} are allowed in all", LACUNA_MAX_STRUCTURES));
    if (members > LACUNA_MAX_MEMBERS)
        throw Error(fmt::format("{} members are too many", members), all.back().file,
                    fmt::format("{} are allowed in all", LACUNA_MAX_MEMBERS));
}

void check_names(const lacuna_constraints& set, const std::vector<Structure>& all)
{
    for (std::size_t i = 0; i < set.members_nr; i++)
        for (std::size_t j = 0; j < i; j++)
            if (qualified_name(set, i) == qualified_name(set, j))
                throw Error(fmt::format("the member {} is described twice", qualified_name(set, i)),
                            all[set.members[i].structure].file, "remove one of the two");
}

std::uint8_t resolve(const lacuna_constraints& set, const Reference& reference, std::uint8_t type)
{
    std::string known;
    for (std::size_t i = 0; i < set.members_nr; i++) {
        const std::string name = qualified_name(set, i);
        known += (known.empty() ? "" : ", ") + name;
        if (name != reference.name)
            continue;
        if (set.members[i].type != type)
            throw Error(
                fmt::format("{}: {} is of type {}", reference.place, name, type_name(set.members[i].type)),
                reference.file, fmt::format("refer to a member of type {}", type_name(type)));
        return static_cast<std::uint8_t>(i);
    }
    throw Error(fmt::format("{}: there is no member \"{}\"", reference.place, reference.name), reference.file,
                "refer to one of " + known);
}

void resolve_all(lacuna_constraints& set, const std::vector<Structure>& all)
{
    for (std::size_t s = 0; s < all.size(); s++)
        if (!all[s].pointer.name.empty())
            set.structures[s].member = resolve(set, all[s].pointer, LACUNA_TYPE_POINTER);
    std::size_t index = 0;
    for (const Structure& structure : all)
        for (const Member& member : structure.members) {
            lacuna_member& binary = set.members[index++];
            for (std::size_t p = 0; p < member.predicates.size(); p++) {
                const Reference& reference = member.predicates[p].member;
                if (reference.name.empty())
                    continue;
                const auto to =
                    resolve(set, reference, predicate_rules[binary.predicates[p].kind].member_type);
                if (set.members[to].structure != binary.structure)
                    throw Error(
                        fmt::format("{}: {} belongs to another structure", reference.place, reference.name),
                        reference.file, fmt::format("refer to a member of {}", structure.binary.name));
                binary.predicates[p].member = to;
            }
        }
}

std::vector<std::uint8_t> depends_on(const lacuna_constraints& set, std::size_t member)
{
    std::vector<std::uint8_t> others;
    const lacuna_member& binary = set.members[member];
    if (set.structures[binary.structure].member != LACUNA_NO_MEMBER)
        others.push_back(set.structures[binary.structure].member);
    for (std::size_t p = 0; p < binary.predicates_nr; p++)
        if (binary.predicates[p].member != LACUNA_NO_MEMBER)
            others.push_back(binary.predicates[p].member);
    return others;
}

// A member that is found with the help of another one must not be needed to find that one.
void check_cycles(const lacuna_constraints& set, const std::vector<Structure>& all)
{
    std::vector<std::size_t> path;
    std::vector<bool> done(set.members_nr);
    const std::function<void(std::size_t)> visit = [&](std::size_t member) {
        const auto again = std::find(path.begin(), path.end(), member);
        if (again != path.end()) {
            std::string cycle;
            for (auto i = again; i != path.end(); ++i)
                cycle += qualified_name(set, *i) + " needs ";
            throw Error(fmt::format("the members depend on each other in a circle: {}{}", cycle,
                                    qualified_name(set, member)),
                        all[set.members[member].structure].file, "remove one of these references");
        }
        if (done[member])
            return;
        path.push_back(member);
        for (const auto other : depends_on(set, member))
            visit(other);
        path.pop_back();
        done[member] = true;
    };
    for (std::size_t i = 0; i < set.members_nr; i++)
        visit(i);
}

void check_pointers(const lacuna_constraints& set, const std::vector<Structure>& all)
{
    for (std::size_t s = 0; s < all.size(); s++) {
        const auto pointer = set.structures[s].member;
        if (pointer == LACUNA_NO_MEMBER)
            continue;
        if (set.structures[set.members[pointer].structure].source != LACUNA_SOURCE_TASK)
            throw Error(fmt::format("structure {}: {} is not a member of a structure with source task",
                                    set.structures[s].name, all[s].pointer.name),
                        all[s].file, "only pointers of the task structure can be followed");
    }
}

} // namespace

lacuna_constraints compile_constraints(const std::vector<ConstraintFile>& files)
{
    std::vector<Structure> all;
    for (const ConstraintFile& file : files)
        all.push_back(read_structure(file, parse_json(file)));
    check_structures(all);
    order(all);

    lacuna_constraints set{};
    set.magic = LACUNA_MAGIC;
    set.version = LACUNA_ABI_VERSION;
    for (const Structure& structure : all) {
        for (const Member& member : structure.members) {
            lacuna_member& binary = set.members[set.members_nr++];
            binary = member.binary;
            binary.structure = set.structures_nr;
            for (std::size_t p = 0; p < member.predicates.size(); p++)
                binary.predicates[p] = member.predicates[p].binary;
        }
        set.structures[set.structures_nr++] = structure.binary;
    }
    check_names(set, all);
    resolve_all(set, all);
    check_cycles(set, all);
    check_pointers(set, all);
    return set;
}

lacuna_constraints load_constraints(const std::filesystem::path& directory)
{
    std::vector<std::filesystem::path> paths;
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator(directory, error))
        if (entry.path().extension() == ".json" && entry.path().filename() != "schema.json")
            paths.push_back(entry.path());
    if (error)
        throw Error("the constraints cannot be listed: " + error.message(), directory.string(),
                    "name the folder that holds task_struct.json with --constraints or in the configuration");
    if (paths.empty())
        throw Error("there is no constraint file here", directory.string(),
                    "it should hold task_struct.json and others");
    std::sort(paths.begin(), paths.end());

    std::vector<ConstraintFile> files;
    for (const auto& path : paths) {
        std::ifstream stream(path, std::ios::binary);
        const std::string text((std::istreambuf_iterator<char>(stream)), {});
        if (!stream)
            throw system_error("cannot be read", path.string());
        files.push_back({path.string(), text});
    }
    return compile_constraints(files);
}

} // namespace lacuna
