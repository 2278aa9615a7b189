// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm_process.h"

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <sstream>

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

// None if there are more than Linux lets programs be started with (a quarter of a stack of 8 MiB, fs/exec.c): a process may put its
// arguments where it likes, and make them as long (prctl(2), PR_SET_MM).
std::vector<std::string> arguments_of(const std::filesystem::path& process)
{
    constexpr std::size_t most_bytes = 2 << 20, most_words = 1 << 14;
    std::ifstream stream(process / "cmdline", std::ios::binary);
    std::string text(most_bytes + 1, '\0');
    stream.read(text.data(), static_cast<std::streamsize>(text.size()));
    text.resize(static_cast<std::size_t>(stream.gcount()));
    if (text.size() > most_bytes || std::count(text.begin(), text.end(), '\0') > static_cast<std::ptrdiff_t>(most_words))
        return {};
    std::istringstream words(text);
    std::vector<std::string> arguments;
    for (std::string argument; std::getline(words, argument, '\0');)
        arguments.push_back(argument);
    return arguments;
}

} // namespace

VmmProcess find_vmm(pid_t pid, const std::filesystem::path& proc)
{
    const auto folder = proc / std::to_string(pid);
    const FileUser user = file_user_of(folder); // before its arguments: nobody is root for what a user's program was given
    std::error_code error;
    auto directory = std::filesystem::read_symlink(folder / "cwd", error);
    if (error)
        directory = folder / "cwd";
    VmmProcess process = describe_vmm(pid, arguments_of(folder), directory);
    process.parent = parent_of(folder);
    process.user = user;
    return process;
}

} // namespace lacuna
