// SPDX-License-Identifier: GPL-2.0-or-later
#include "mounts.h"

#include <array>
#include <set>
#include <utility>

#include "error.h"
#include "files.h"

namespace lacuna {

namespace {

constexpr std::size_t most_mounts = 4096;
constexpr unsigned most_above = 64;

// The mount of the process's root; if that is not known, the first one above that of its program.
std::optional<std::uint64_t> first_mount(GuestView& view, const Instance& task)
{
    const auto fs = view.look().member(task, "task_struct.fs");
    auto mount = fs && view.look().leads_somewhere(*fs) ? view.word(*fs, "fs_struct.root.mnt") : std::nullopt;
    if (mount)
        return view.look().is_mount(*mount) ? mount : std::nullopt;
    if (const auto memory = view.memory_of(task); memory && !mount)
        if (const auto exe = view.look().member(*memory, "mm_struct.exe_file"); exe && view.look().leads_somewhere(*exe))
            mount = view.word(*exe, "file.f_path.mnt");
    const auto within = static_cast<std::uint64_t>(*view.look().known("mount.mnt"));
    for (unsigned i = 0; mount && view.look().is_mount(*mount) && i < most_above; i++) {
        const auto parent = view.word(*mount - within, "mount.mnt_parent");
        if (!parent || *parent + within == *mount)
            return mount;
        mount = *parent + within;
    }
    return std::nullopt;
}

Json file_system_of(GuestView& view, std::uint64_t mount)
{
    Look& look = view.look();
    const auto super_block = view.word(mount, "vfsmount.mnt_sb");
    const auto type = super_block && look.leads_somewhere(*super_block) ? view.word(*super_block, "super_block.s_type")
                                                                        : std::nullopt;
    const auto name = type && look.leads_somewhere(*type) ? view.word(*type, "file_system_type.name") : std::nullopt;
    return name ? Json(view.text(*name, 64)) : Json();
}

Json source_of(GuestView& view, std::uint64_t mount)
{
    const auto text = view.word(mount, "mount.mnt_devname");
    return text && view.look().leads_to_text(*text) ? Json(view.text(*text, 256)) : Json();
}

// As /proc/mounts says them (show_mnt_opts() in fs/proc_namespace.c); what a file system says of itself is not among them.
Json options_of(GuestView& view, std::uint64_t vfsmount)
{
    constexpr std::uint32_t read_only = 0x40; // MNT_READONLY and the others: include/linux/mount.h
    constexpr std::array<std::pair<std::uint32_t, const char*>, 7> names{{{0x01, "nosuid"}, {0x02, "nodev"}, {0x04, "noexec"},
                                                                          {0x08, "noatime"}, {0x10, "nodiratime"}, {0x20, "relatime"},
                                                                          {0x80, "nosymfollow"}}};
    const auto flags = view.value<std::uint32_t>(vfsmount, "vfsmount.mnt_flags");
    if (!flags)
        return {};
    Json options = Json::array({*flags & read_only ? "ro" : "rw"});
    for (const auto& [flag, name] : names)
        if (*flags & flag)
            options.push_back(name);
    return options;
}

} // namespace

Json list_mounts(GuestView& view, std::int32_t pid)
{
    if (!view.knows("task_struct.fs") || !view.knows("fs_struct.root.mnt"))
        view.need({"mm_struct.exe_file", "file.f_path.mnt"});
    view.need({"vfsmount.mnt_root", "mount.mnt", "mount.mnt_parent",
               "mount.mnt_mountpoint", "mount.mnt_mounts", "mount.mnt_child", "dentry.d_name.name", "dentry.d_parent"});
    view.want("file system", {"vfsmount.mnt_sb", "super_block.s_type", "file_system_type.name"});
    view.want("source", {"mount.mnt_devname"});
    view.want("options", {"vfsmount.mnt_flags"});
    const auto within = static_cast<std::uint64_t>(*view.look().known("mount.mnt"));
    const auto list = static_cast<std::uint64_t>(*view.look().known("mount.mnt_mounts"));
    const auto child = static_cast<std::uint64_t>(*view.look().known("mount.mnt_child"));
    const auto first = first_mount(view, view.process(pid));
    if (!first)
        throw Error("nothing of it leads to a mount", "process " + std::to_string(pid), "the guest may have been changing it: try again");
    std::vector<std::uint64_t> mounts{*first};
    std::set<std::uint64_t> seen(mounts.begin(), mounts.end());
    for (std::size_t i = 0; i < mounts.size(); i++)
        for (const std::uint64_t node : view.look().nodes_of_list(mounts[i] - within + list))
            if (const std::uint64_t mount = node - child + within; view.look().is_mount(mount) && seen.insert(mount).second) {
                if (mounts.size() < most_mounts)
                    mounts.push_back(mount);
                else
                    view.look().leave_out("mounts");
            }
    Json json = Json::array();
    for (const std::uint64_t mount : mounts) {
        const auto root = view.word(mount, "vfsmount.mnt_root");
        const auto path = root ? path_of(view, mount, *root) : std::nullopt;
        view.tell(path ? path->size() : 0);
        json.push_back({{"path", path ? Json(*path) : Json()}, {"file_system", file_system_of(view, mount)},
                        {"source", source_of(view, mount - within)}, {"options", options_of(view, mount)}});
    }
    return {{"mounts", std::move(json)}};
}

} // namespace lacuna
