// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm_process.h"

#include <algorithm>
#include <cctype>
#include <fstream>
#include <iterator>
#include <string_view>

namespace lacuna {

namespace {

// The value of `key` in QEMU's "a,key=value,..." lists, where the first may stand without its key and ",," is
// a comma.
std::string option(std::string_view list, std::string_view key)
{
    std::string first, found, item;
    bool is_first = true;
    const auto finish = [&] {
        const std::string prefix = std::string(key) + "=";
        if (item.starts_with(prefix))
            found = item.substr(prefix.size());
        else if (is_first && item.find('=') == std::string::npos)
            first = item;
        is_first = false;
        item.clear();
    };
    for (std::size_t i = 0; i < list.size(); i++) {
        if (list[i] != ',')
            item += list[i];
        else if (i + 1 < list.size() && list[i + 1] == ',')
            item += list[i++];
        else
            finish();
    }
    finish();
    return found.empty() ? first : found;
}

// QEMU takes -name and --name alike.
bool is_option(std::string_view argument, std::string_view name)
{
    if (argument.starts_with("--"))
        argument.remove_prefix(1);
    return argument.starts_with('-') && argument.substr(1) == name;
}

} // namespace

VmmProcess describe_vmm(pid_t pid, const std::vector<std::string>& arguments,
                        const std::filesystem::path& directory)
{
    VmmProcess process;
    process.pid = pid;
    for (std::size_t i = 1; i + 1 < arguments.size(); i++) {
        const std::string& value = arguments[i + 1];
        if (is_option(arguments[i], "name"))
            process.name = option(value, "guest");
        else if (is_option(arguments[i], "uuid"))
            process.uuid = value;
        else if (is_option(arguments[i], "kernel"))
            process.kernel = (directory / value).lexically_normal();
        else
            continue;
        i++;
    }
    if (process.name.empty())
        process.name = "vm-" + std::to_string(pid);
    return process;
}

VmmProcess find_vmm(pid_t pid, const std::filesystem::path& proc)
{
    const auto folder = proc / std::to_string(pid);
    std::ifstream stream(folder / "cmdline", std::ios::binary);
    std::vector<std::string> arguments;
    for (std::string argument; std::getline(stream, argument, '\0');)
        arguments.push_back(argument);
    std::error_code error;
    auto directory = std::filesystem::read_symlink(folder / "cwd", error);
    if (error)
        directory = folder / "cwd";
    return describe_vmm(pid, arguments, directory);
}

std::string file_name(const std::string& name)
{
    constexpr std::size_t longest = 100;
    std::string safe = name.substr(0, longest);
    for (char& c : safe)
        if (!std::isalnum(static_cast<unsigned char>(c)) && c != '.' && c != '_' && c != '-')
            c = '_';
    if (safe.empty() || safe.front() == '.')
        safe.insert(0, "_");
    return safe.substr(0, longest);
}

} // namespace lacuna
