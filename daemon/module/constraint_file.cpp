// SPDX-License-Identifier: GPL-2.0-or-later
#include "constraint_file.h"

#include <algorithm>
#include <cctype>
#include <cstring>
#include <iterator>
#include <optional>
#include <set>
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
constexpr std::string_view event_names[] = {"fork", "exit", "initcall", "look"}; // LACUNA_ON_*, bit by bit

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
    {"leads-to-root", bit(LACUNA_TYPE_POINTER), of_task, "window", 0},
    {"is-root", bit(LACUNA_TYPE_POINTER), any_source, "", 0},
    {"code-start", bit(LACUNA_TYPE_LONG), of_pointer, "", 0},
    {"code-end", bit(LACUNA_TYPE_LONG), of_pointer, "", 0},
    {"text-part", bit(LACUNA_TYPE_POINTER), of_module, "", 0},
    {"extent", bit(LACUNA_TYPE_INT), of_module, "member", LACUNA_TYPE_POINTER},
    {"null-at-times", bit(LACUNA_TYPE_POINTER), any_source, "", 0},
    {"differs-in-threads", bit(LACUNA_TYPE_INT), of_task, "member", LACUNA_TYPE_POINTER},
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

ConstraintPredicate read_predicate(const Json& value, const std::string& file, const std::string& place,
                                   const lacuna_member& member, unsigned source)
{
    const Section section(value, file, place);
    ConstraintPredicate predicate;
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
        predicate.member = {named.text("member"), rule.member_type, file,
                            fmt::format("{}, predicate {}", place, rule.name)};
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

ConstraintMember read_member(const Json& value, const std::string& file, const std::string& structure,
                             unsigned source)
{
    const std::string name = Section(value, file, "a member of " + structure).name("name");
    const std::string place = fmt::format("member {}.{}", structure, name);
    const Section section(value, file, place);
    section.allow(
        {"name", "type", "size", "align", "strikes", "witnesses", "instances", "why", "constraints"});

    ConstraintMember member;
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

    const auto witnesses = [](const ConstraintPredicate& predicate) { return predicate.binary.witness; };
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

ConstraintStructure read_structure(const ConstraintFile& file, const Json& json)
{
    const Section top(json, file.name, "");
    const std::string name = top.name("structure");
    const Section section(json, file.name, "structure " + name);
    ConstraintStructure structure;
    structure.file = file.name;
    copy_text(structure.binary.name, name);
    structure.binary.source = section.choice("source", names_of(source_names), "source");
    structure.binary.member = LACUNA_NO_MEMBER;
    Names keys = {"structure", "source", "window", "members", "why", "$schema"};
    if (structure.binary.source == LACUNA_SOURCE_POINTER) {
        keys.push_back("pointer");
        structure.pointer = {section.text("pointer"), LACUNA_TYPE_POINTER, file.name, "structure " + name};
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

} // namespace

ConstraintStructure read_constraint_file(const ConstraintFile& file)
{
    return read_structure(file, parse_json(file));
}

std::string_view source_name(std::uint8_t source)
{
    return source < LACUNA_SOURCES ? source_names[source] : "unknown";
}

} // namespace lacuna
