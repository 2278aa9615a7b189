// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm_process.h"

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iterator>

#include <spdlog/fmt/fmt.h>

#include "qemu_disks.h"
#include "qemu_options.h"

namespace lacuna {

VmmProcess describe_vmm(pid_t pid, const std::vector<std::string>& arguments,
                        const std::filesystem::path& directory)
{
    VmmProcess process;
    process.pid = pid;
    process.command = fmt::format("{}", fmt::join(arguments, " "));
    for (std::size_t i = 1; i + 1 < arguments.size(); i++) {
        const std::string& value = arguments[i + 1];
        const std::string option = qemu_option(arguments[i]);
        if (option == "name")
            process.name = qemu_list(value, "guest").value("guest");
        else if (option == "uuid")
            process.uuid = value;
        else if (option == "kernel")
            process.kernel = (directory / value).lexically_normal();
        else
            continue;
        i++;
    }
    process.disks = qemu_disks(arguments, directory);
    if (process.name.empty())
        process.name = "vm-" + std::to_string(pid);
    return process;
}

namespace {

// 0: not known.
pid_t parent_of(const std::filesystem::path& process)
{
    std::ifstream status(process / "status");
    for (std::string line; std::getline(status, line);)
        if (line.starts_with("PPid:"))
            return static_cast<pid_t>(std::strtol(line.c_str() + 5, nullptr, 10));
    return 0;
}

} // namespace

VmmProcess find_vmm(pid_t pid, const std::filesystem::path& proc)
{
    const auto folder = proc / std::to_string(pid);
    const FileUser user = file_user_of(folder); // before its arguments: nobody is root for what a user's program was given
    std::ifstream stream(folder / "cmdline", std::ios::binary);
    std::vector<std::string> arguments;
    for (std::string argument; std::getline(stream, argument, '\0');)
        arguments.push_back(argument);
    std::error_code error;
    auto directory = std::filesystem::read_symlink(folder / "cwd", error);
    if (error)
        directory = folder / "cwd";
    VmmProcess process = describe_vmm(pid, arguments, directory);
    process.parent = parent_of(folder);
    process.user = user;
    return process;
}

} // namespace lacuna
