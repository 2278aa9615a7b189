// SPDX-License-Identifier: GPL-2.0-or-later
#include "config.h"

#include <algorithm>
#include <array>
#include <fstream>
#include <iterator>

#include <fnmatch.h>
#include <grp.h>
#include <spdlog/fmt/fmt.h>
#include <toml++/toml.h>

#include "error.h"

namespace lacuna {

namespace {

constexpr unsigned max_deadline_seconds =
    60 * 60; // the module allows no more (MAX_DEADLINE_MS in kmod/netlink.c)
constexpr std::array log_levels = {"trace", "debug", "info", "warn", "error", "off"};

// A table of the file, read key by key; complains with file and line.
class Table {
public:
    Table(const toml::table& table, std::filesystem::path file) : table_(table), file_(std::move(file)) {}

    [[noreturn]] void fail(const toml::node& where, const std::string& what, const std::string& hint) const
    {
        throw Error(what, fmt::format("{}:{}", file_.string(), where.source().begin.line), hint);
    }

    void allow(const std::vector<std::string_view>& keys) const
    {
        for (const auto& [key, value] : table_)
            if (std::find(keys.begin(), keys.end(), key.str()) == keys.end())
                fail(value, fmt::format("unknown key \"{}\"", key.str()),
                     fmt::format("allowed here: {}", fmt::join(keys, ", ")));
    }

    const toml::node* find(std::string_view key) const { return table_.get(key); }
    const toml::table& raw() const { return table_; }

    std::optional<std::string> text(std::string_view key) const
    {
        const toml::node* node = find(key);
        if (!node)
            return std::nullopt;
        return text(*node, key);
    }

    std::optional<std::filesystem::path> path(std::string_view key) const
    {
        const auto value = text(key);
        return value ? std::optional(resolve(*value)) : std::nullopt;
    }

    std::vector<std::filesystem::path> paths(std::string_view key) const
    {
        const toml::node* node = find(key);
        if (!node)
            return {};
        const toml::array* array = node->as_array();
        if (!array || array->empty())
            fail(*node, fmt::format("\"{}\" is no list of files", key),
                 "write [\"/path/one\", \"/path/two\"]");
        std::vector<std::filesystem::path> paths;
        for (const toml::node& entry : *array)
            paths.push_back(resolve(text(entry, key)));
        return paths;
    }

    bool flag(std::string_view key, bool otherwise) const
    {
        const toml::node* node = find(key);
        if (!node)
            return otherwise;
        if (!node->is_boolean())
            fail(*node, fmt::format("\"{}\" is neither true nor false", key),
                 "write true or false without quotes");
        return node->as_boolean()->get();
    }

    unsigned integer(std::string_view key, unsigned min, unsigned max, unsigned otherwise) const
    {
        const toml::node* node = find(key);
        if (!node)
            return otherwise;
        if (!node->is_integer() || node->as_integer()->get() < min || node->as_integer()->get() > max)
            fail(*node, fmt::format("\"{}\" is out of range", key),
                 fmt::format("a whole number from {} to {} is allowed", min, max));
        return static_cast<unsigned>(node->as_integer()->get());
    }

private:
    std::string text(const toml::node& node, std::string_view key) const
    {
        if (!node.is_string() || node.as_string()->get().empty())
            fail(node, fmt::format("\"{}\" is no text, or an empty one", key), "write it in quotes");
        return node.as_string()->get();
    }

    std::filesystem::path resolve(const std::string& path) const
    {
        return (std::filesystem::absolute(file_).parent_path() / path).lexically_normal();
    }

    const toml::table& table_;
    std::filesystem::path file_;
};

Trust read_trust(const Table& table)
{
    constexpr unsigned most_boots = 1000, most = 1'000'000;
    Trust trust;
    trust.confirm_boots = table.integer("confirm_boots", 1, most_boots, trust.confirm_boots);
    trust.compare_one_in = table.integer("compare_one_in", 0, most, trust.compare_one_in);
    trust.final_after_boots = table.integer("final_after_boots", 1, most_boots, trust.final_after_boots);
    return trust;
}

std::optional<std::string> read_metrics(const Table& table)
{
    const auto address = table.text("metrics");
    const auto colon = address ? address->rfind(':') : 0;
    if (address && (colon == 0 || colon == std::string::npos || colon + 1 == address->size() ||
                    address->find_first_not_of("0123456789", colon + 1) != std::string::npos))
        table.fail(*table.find("metrics"), "\"metrics\" is no address with a port",
                   "write it as \"127.0.0.1:9464\"");
    return address;
}

constexpr std::array policies = {std::pair("learn", Policy::learn),
                                 std::pair("learn-if-unknown", Policy::learn_if_unknown),
                                 std::pair("ignore", Policy::ignore)};

Policy read_policy(const Table& table)
{
    const auto name = table.text("policy");
    if (!name)
        return Policy::learn;
    for (const auto& [known, policy] : policies)
        if (*name == known)
            return policy;
    table.fail(*table.find("policy"), "unknown policy \"" + *name + "\"",
               R"("learn", "learn-if-unknown" or "ignore" is allowed)");
}

Deep read_deep(const Table& table)
{
    const auto when = table.text("deep").value_or("on");
    for (const auto& [name, deep] :
         {std::pair("off", Deep::off), std::pair("on-request", Deep::on_request), std::pair("on", Deep::on)})
        if (when == name)
            return deep;
    table.fail(*table.find("deep"), "unknown \"deep\": \"" + when + "\"",
               R"("off", "on-request" or "on" is allowed)");
}

std::vector<Disk> read_images(const Table& table)
{
    const auto format = table.text("image_format").value_or("");
    if (!format.empty() && format != "raw" && format != "qcow2")
        table.fail(*table.find("image_format"), "unknown image format \"" + format + "\"",
                   "\"raw\" or \"qcow2\" is allowed");
    std::vector<Disk> images;
    for (const auto& file : table.paths("images"))
        images.push_back({file, format});
    if (const auto file = table.path("image"))
        images.push_back({*file, format});
    return images;
}

GuestRule read_rule(const Table& table)
{
    table.allow({"name", "uuid", "command", "policy", "kernel", "kernels", "image", "images", "image_format",
                 "system_map"});
    GuestRule rule;
    rule.name = table.text("name").value_or("");
    rule.uuid = table.text("uuid").value_or("");
    rule.command = table.text("command").value_or("");
    if (rule.name.empty() && rule.uuid.empty() && rule.command.empty())
        table.fail(table.raw(), "a [[guest]] that does not say which",
                   "add name, uuid or command = \"...\"; it may hold *, ? and [...]");
    rule.policy = read_policy(table);
    rule.kernels = table.paths("kernels");
    if (const auto kernel = table.path("kernel"))
        rule.kernels.push_back(*kernel);
    rule.images = read_images(table);
    rule.system_map = table.path("system_map");
    const std::vector<std::string_view> keys = {"kernel", "kernels", "image", "images"};
    if (std::count_if(keys.begin(), keys.end(), [&](auto key) { return table.find(key); }) > 1)
        table.fail(table.raw(), "the guest's kernel is named in more than one way",
                   "keep one of kernel, kernels, image and images");
    if (!rule.images.empty() && rule.system_map)
        table.fail(*table.find("system_map"), "\"system_map\" does not go with images",
                   "the System.map inside the image is looked for anyway");
    return rule;
}

bool fits(const std::string& pattern, const std::string& text)
{
    return pattern.empty() || fnmatch(pattern.c_str(), text.c_str(), 0) == 0;
}

// Does `earlier` take all guests that `later` could fit? A pattern is taken for a text that it fits itself.
bool covers(const GuestRule& earlier, const GuestRule& later)
{
    return fits(earlier.name, later.name) && fits(earlier.uuid, later.uuid) &&
           fits(earlier.command, later.command);
}

// "guest web*", "guest web* *microvm*"
std::string title(const GuestRule& rule)
{
    std::string title = "guest";
    for (const auto& pattern : {rule.name, rule.uuid, rule.command})
        if (!pattern.empty())
            title += " " + pattern;
    return title;
}

} // namespace

const GuestRule* Config::rule_for(const VmmProcess& vmm) const
{
    for (const GuestRule& rule : guests)
        if (fits(rule.name, vmm.name) && fits(rule.uuid, vmm.uuid) && fits(rule.command, vmm.command))
            return &rule;
    return nullptr;
}

Config parse_config(std::string_view text, const std::filesystem::path& file)
{
    toml::table parsed;
    try {
        parsed = toml::parse(text, file.string());
    } catch (const toml::parse_error& error) {
        throw Error(std::string(error.description()),
                    fmt::format("{}:{}", file.string(), error.source().begin.line),
                    "see lacunad.toml(5) for the format of the configuration");
    }
    const Table top(parsed, file);
    top.allow({"store", "socket", "constraints", "deadline_seconds", "record", "deep", "group", "log_level",
               "libvirt", "metrics", "confirm_boots", "compare_one_in", "final_after_boots", "guest"});
    Config config;
    config.store = top.path("store").value_or(config.store);
    config.socket = top.path("socket").value_or(config.socket);
    config.constraints = top.path("constraints").value_or(config.constraints);
    config.deadline_seconds =
        top.integer("deadline_seconds", 1, max_deadline_seconds, config.deadline_seconds);
    config.record = top.flag("record", config.record);
    config.trust = read_trust(top);
    config.deep = read_deep(top);
    config.group = top.text("group").value_or(config.group);
    config.log_level = top.text("log_level").value_or(config.log_level);
    if (std::find(log_levels.begin(), log_levels.end(), config.log_level) == log_levels.end())
        top.fail(*top.find("log_level"), "unknown log level \"" + config.log_level + "\"",
                 fmt::format("allowed are {}", fmt::join(log_levels, ", ")));
    config.metrics = read_metrics(top).value_or(config.metrics);
    if (const toml::node* libvirt = top.find("libvirt"); libvirt && libvirt->is_string())
        config.libvirt = libvirt->as_string()->get(); // may be empty
    else if (libvirt)
        top.fail(*libvirt, "\"libvirt\" is no text", "write a libvirt URI in quotes, or \"\" for none");
    if (const toml::node* guests = top.find("guest")) {
        if (!guests->is_array_of_tables())
            top.fail(*guests, "\"guest\" is no list of tables", "write [[guest]] with two brackets");
        for (const toml::node& guest : *guests->as_array())
            config.guests.push_back(read_rule(Table(*guest.as_table(), file)));
    }
    return config;
}

std::vector<std::string> doubts_about(const Config& config)
{
    std::vector<std::string> doubts;
    const auto need = [&](const std::filesystem::path& file, const std::string& what) {
        if (std::error_code error; !std::filesystem::exists(file, error))
            doubts.push_back(fmt::format("{} {} is not there", what, file.string()));
    };
    need(config.constraints, "the folder of constraints");
    if (!config.group.empty() && !getgrnam(config.group.c_str()))
        doubts.push_back(fmt::format("there is no group {}: lacunad will not start", config.group));
    for (auto rule = config.guests.begin(); rule != config.guests.end(); ++rule) {
        const auto of_guest = title(*rule) + ":";
        if (std::any_of(config.guests.begin(), rule,
                        [&](const GuestRule& earlier) { return covers(earlier, *rule); }))
            doubts.push_back(of_guest + " an earlier rule fits the same guests");
        for (const auto& kernel : rule->kernels)
            need(kernel, of_guest + " kernel");
        for (const Disk& image : rule->images)
            need(image.file, of_guest + " image");
        if (rule->system_map)
            need(*rule->system_map, of_guest + " System.map");
    }
    return doubts;
}

Config load_config(const std::filesystem::path& file)
{
    std::ifstream stream(file, std::ios::binary);
    const std::string text((std::istreambuf_iterator<char>(stream)), {});
    if (!stream)
        throw system_error("the configuration cannot be read", file.string(),
                           "name another one with --config");
    return parse_config(text, file);
}

} // namespace lacuna
