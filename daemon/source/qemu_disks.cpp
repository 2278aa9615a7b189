// SPDX-License-Identifier: GPL-2.0-or-later
#include "qemu_disks.h"

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <set>

#include <nlohmann/json.hpp>

#include "qemu_options.h"

namespace lacuna {

namespace {

using Json = nlohmann::json;

constexpr int max_depth = 8; // of one block node on another
// Drivers of QEMU that are no format of an image but say where its bytes are, or do something to them on the
// way.
constexpr std::array files = {"file", "host_device"};
constexpr std::array filters = {"throttle", "copy-on-read", "copy-before-write", "blkdebug", "preallocate"};

// Options whose value may look like an option.
constexpr std::array free_text = {"name", "append", "fw_cfg"};

template <typename List> bool holds(const List& list, const std::string& text)
{
    return std::find(list.begin(), list.end(), text) != list.end();
}

// Whoever starts a VMM chooses its arguments, and copying what is nested without end takes stack without end.
constexpr int deepest = 32;

// "file.filename=x" as {"file": {"filename": "x"}}
Json nested(const QemuList& list)
{
    Json json = Json::object();
    for (const auto& [key, value] : list.items) {
        if (std::count(key.begin(), key.end(), '.') > deepest)
            continue;
        Json* at = &json;
        std::size_t from = 0;
        for (auto dot = key.find('.'); dot != std::string::npos; from = dot + 1, dot = key.find('.', from)) {
            at = &(*at)[key.substr(from, dot - from)];
            if (!at->is_object() && !at->is_null())
                return json;
        }
        if (at->is_object() || at->is_null())
            (*at)[key.substr(from)] = value;
    }
    return json;
}

// -blockdev and -device take either form.
Json parse(const std::string& text, std::string_view first_key)
{
    if (!text.starts_with('{'))
        return nested(qemu_list(text, first_key));
    const auto shallow = [](int depth, Json::parse_event_t, Json&) { return depth <= deepest; };
    Json json = Json::parse(text, shallow, false);
    if (!json.is_object())
        json = Json::object();
    return json;
}

std::string text(const Json& json, const char* key)
{
    const auto found = json.find(key);
    return found != json.end() && found->is_string() ? found->get<std::string>() : std::string();
}

class Nodes {
public:
    void add(Json node)
    {
        const std::string name = text(node, "node-name");
        if (!name.empty())
            nodes_[name] = std::move(node);
    }

    // The disk behind a node.
    std::optional<Disk> disk(const std::string& name) const
    {
        const auto node = nodes_.find(name);
        return node == nodes_.end() ? std::nullopt : disk(node->second, "", 0);
    }

private:
    std::optional<Disk> disk(const Json& node, std::string format, int depth) const
    {
        const std::string driver = text(node, "driver");
        if (depth == max_depth || driver.empty())
            return std::nullopt;
        if (holds(files, driver)) {
            const std::string file = text(node, "filename");
            // a node of no format is as good as raw
            return file.empty() ? std::nullopt : std::optional<Disk>({file, format.empty() ? "raw" : format});
        }
        if (format.empty() && !holds(filters, driver))
            format = driver;
        const auto below = node.find("file");
        if (below == node.end())
            return std::nullopt;
        if (below->is_object())
            return disk(*below, format, depth + 1);
        const auto named = below->is_string() ? nodes_.find(below->get<std::string>()) : nodes_.end();
        return named == nodes_.end() ? std::nullopt : disk(named->second, format, depth + 1);
    }

    std::map<std::string, Json> nodes_;
};

// A drive in QEMU's old way, which puts image and device into one option.
std::optional<Disk> old_drive(const QemuList& drive)
{
    const std::string file = drive.value("file"), interface = drive.value("if");
    if (file.empty() || interface == "pflash" || interface == "floppy" || drive.value("media") == "cdrom" ||
        file.find("://") != std::string::npos)
        return std::nullopt;
    return Disk{file, drive.value("format")};
}

bool is_hard_disk(const std::string& device)
{
    return !device.ends_with("-cd") && device != "floppy";
}

} // namespace

std::vector<Disk> qemu_disks(const std::vector<std::string>& arguments,
                             const std::filesystem::path& directory)
{
    Nodes nodes;
    std::vector<std::string> used; // nodes
    std::set<Disk> disks;
    const auto add = [&](std::optional<Disk> disk) {
        if (!disk)
            return;
        disk->file = (directory / disk->file).lexically_normal();
        disks.insert(std::move(*disk));
    };
    for (std::size_t i = 1; i + 1 < arguments.size(); i++) {
        const std::string option = qemu_option(arguments[i]);
        const std::string& value = arguments[i + 1];
        if (option == "drive") {
            add(old_drive(qemu_list(value, "file")));
        } else if (option == "hda" || option == "hdb" || option == "hdc" || option == "hdd") {
            add(Disk{value, ""});
        } else if (option == "blockdev") {
            nodes.add(parse(value, "driver"));
        } else if (option == "device") {
            const Json device = parse(value, "driver");
            if (is_hard_disk(text(device, "driver")))
                used.push_back(text(device, "drive"));
        } else if (!holds(free_text, option)) {
            continue;
        }
        i++;
    }
    for (const std::string& node : used)
        add(nodes.disk(node));
    return {disks.begin(), disks.end()};
}

} // namespace lacuna
