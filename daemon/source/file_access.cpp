// SPDX-License-Identifier: GPL-2.0-or-later
#include "file_access.h"

#include <algorithm>
#include <array>
#include <fstream>
#include <optional>
#include <sstream>
#include <string>

#include <fcntl.h>
#include <linux/capability.h>
#include <spdlog/fmt/fmt.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "error.h"
#include "names.h"

namespace lacuna {

namespace {

constexpr const char* subject = "the daemon";

// "0\t0\t0\t0": real, effective, saved, and that for files; nothing if they differ.
std::optional<unsigned> one_id(const std::string& text)
{
    std::istringstream numbers(text);
    std::array<unsigned, 4> ids{};
    for (unsigned& id : ids)
        numbers >> id;
    return numbers && std::all_of(ids.begin(), ids.end(), [&](unsigned id) { return id == ids[0]; })
               ? std::optional(ids[0])
               : std::nullopt;
}

std::vector<gid_t> own_groups()
{
    std::vector<gid_t> groups(static_cast<std::size_t>(std::max(getgroups(0, nullptr), 0)));
    const int count = getgroups(static_cast<int>(groups.size()), groups.data());
    groups.resize(static_cast<std::size_t>(std::max(count, 0)));
    return groups;
}

// The library's setgroups() would change all threads.
bool set_groups(const std::vector<gid_t>& groups)
{
    return syscall(SYS_setgroups, groups.size(), groups.data()) == 0;
}

constexpr int no_change = -1; // to ask setfsuid(2) what counts now

bool is_user(const FileUser& user)
{
    return setfsuid(static_cast<uid_t>(no_change)) == static_cast<int>(user.user) &&
           setfsgid(static_cast<gid_t>(no_change)) == static_cast<int>(user.group);
}

// sudo(8) becomes root altogether, and only then asks what for.
bool acts_for_another(const std::filesystem::path& process)
{
    struct stat program {};
    return stat((process / "exe").c_str(), &program) != 0 || (program.st_mode & (S_ISUID | S_ISGID));
}

FileUser in_status_of(const std::filesystem::path& process)
{
    std::ifstream status(process / "status");
    std::optional<unsigned> user, group;
    FileUser found;
    for (std::string line; std::getline(status, line);) {
        if (line.starts_with("Uid:"))
            user = one_id(line.substr(4));
        else if (line.starts_with("Gid:"))
            group = one_id(line.substr(4));
        else if (line.starts_with("Groups:")) {
            std::istringstream numbers(line.substr(7));
            for (gid_t number = 0; numbers >> number;)
                found.groups.push_back(number);
        }
    }
    if (!user || !group)
        return {};
    found.user = *user;
    found.group = *group;
    return found;
}

} // namespace

FileUser file_user_of(const std::filesystem::path& process)
{
    // It may execute such a program, or be done with it, while it is looked at.
    if (acts_for_another(process))
        return {};
    FileUser user = in_status_of(process);
    return acts_for_another(process) ? FileUser{} : user;
}

ActingAs::ActingAs(const FileUser& user)
{
    if (user.user == 0 ? geteuid() == 0 : geteuid() != 0 && is_user(user))
        return;
    groups_ = own_groups();
    changed_ = true;
    if (set_groups(user.groups)) {
        setfsgid(user.group);
        setfsuid(user.user); // takes the capabilities for files out of effect
        if (is_user(user))
            return;
    }
    back();
    throw Error(fmt::format("may not open files as user {} would", user.user), subject,
                "it must have CAP_SETUID and CAP_SETGID");
}

ActingAs::~ActingAs()
{
    if (changed_)
        back();
}

void ActingAs::back() const
{
    setfsuid(geteuid());
    setfsgid(getegid());
    set_groups(groups_);
}

Error not_for(const FileUser& user, const std::string& path)
{
    return Error(fmt::format("may not be read by user {}, whom its VMM belongs to", user.user), printable(path),
                 "name the guest's kernel or disks in the configuration");
}

Fd open_as(const FileUser& user, const std::filesystem::path& path)
{
    const ActingAs acting(user);
    return Fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
}

bool may_read(const FileUser& user, const std::filesystem::path& path, dev_t device, ino_t inode)
{
    const Fd file = open_as(user, path);
    struct stat status {};
    return file && fstat(file.get(), &status) == 0 && status.st_dev == device && status.st_ino == inode;
}

void keep_file_capabilities()
{
    constexpr std::uint32_t kept = 1u << CAP_DAC_READ_SEARCH | 1u << CAP_DAC_OVERRIDE | 1u << CAP_FOWNER |
                                   1u << CAP_CHOWN;
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3] = {};
    if (syscall(SYS_capget, &header, sets) != 0)
        throw system_error("its capabilities cannot be told", subject);
    for (auto& set : sets) {
        const std::uint32_t mask = &set == &sets[0] ? kept : 0;
        set.effective &= mask;
        set.permitted &= mask;
        set.inheritable &= mask;
    }
    if (syscall(SYS_capset, &header, sets) != 0)
        throw system_error("its capabilities cannot be given up", subject);
}

} // namespace lacuna
