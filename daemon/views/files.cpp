// SPDX-License-Identifier: GPL-2.0-or-later
#include "files.h"

#include <algorithm>
#include <map>

#include "processes.h"

namespace lacuna {

namespace {

constexpr unsigned most_steps = 256; // of a path, over all its mounts

Json or_null(std::optional<std::string> text)
{
    return text ? Json(std::move(*text)) : Json();
}

} // namespace

std::optional<std::string> path_of(GuestView& view, std::optional<std::uint64_t> mnt, std::uint64_t dentry)
{
    Look& look = view.look();
    const auto within = look.known("mount.mnt");
    std::vector<std::string> names;
    std::uint64_t at = dentry;
    for (unsigned i = 0; i < most_steps; i++) {
        const auto name = look.dentry_name(at);
        const auto up = view.word(at, "dentry.d_parent");
        if (!name || !up)
            return std::nullopt;
        const bool at_root = *up == at || (mnt && view.word(*mnt, "vfsmount.mnt_root") == at);
        if (!at_root) {
            names.push_back(*name);
            at = *up;
            continue;
        }
        // of its mount, which may be mounted in another
        const auto parent = mnt && within ? view.word(*mnt - static_cast<std::uint64_t>(*within), "mount.mnt_parent")
                                          : std::nullopt;
        const auto point = parent ? view.word(*mnt - static_cast<std::uint64_t>(*within), "mount.mnt_mountpoint")
                                  : std::nullopt;
        const auto above = parent ? std::optional(*parent + static_cast<std::uint64_t>(*within)) : std::nullopt;
        if (!point || above == mnt || !look.is_mount(*above)) {
            // what lies in no directory, as sockets and pipes, has a name all the same
            std::string path;
            for (auto one = names.rbegin(); one != names.rend(); ++one)
                path += "/" + *one;
            return !path.empty() ? path : *name == "/" || name->empty() ? std::string("/") : *name;
        }
        mnt = above;
        at = *point;
    }
    return std::nullopt;
}

std::optional<std::string> path_of_file(GuestView& view, std::uint64_t file)
{
    const auto dentry = view.word(file, "file.f_path.dentry");
    if (!dentry || !view.look().leads_somewhere(*dentry))
        return std::nullopt;
    return path_of(view, view.word(file, "file.f_path.mnt"), *dentry);
}

std::optional<std::string> kind_of_file(GuestView& view, std::uint64_t file)
{
    static const std::map<unsigned, std::string> kinds{{0x1000, "pipe"},      {0x2000, "character device"},
                                                       {0x4000, "directory"}, {0x6000, "block device"},
                                                       {0x8000, "file"},      {0xa000, "link"},
                                                       {0xc000, "socket"},    {0, "anonymous"}};
    const auto inode = view.word(file, "file.f_inode");
    const auto mode = inode && view.look().leads_somewhere(*inode) ? view.value<std::uint16_t>(*inode, "inode.i_mode")
                                                                   : std::nullopt;
    const auto kind = mode ? kinds.find(*mode & 0xf000u) : kinds.end();
    return kind == kinds.end() ? std::nullopt : std::optional(kind->second);
}

Json list_files(GuestView& view, std::optional<std::int32_t> pid)
{
    view.need({"task_struct.files", "files_struct.fdt", "fdtable.fd", "fdtable.max_fds", "file.f_path.dentry",
               "dentry.d_name.name", "dentry.d_parent"});
    view.want("what kind of file it is", {"file.f_inode", "inode.i_mode"});
    view.want("where its mount is mounted", {"file.f_path.mnt", "vfsmount.mnt_root", "mount.mnt", "mount.mnt_parent",
                                             "mount.mnt_mountpoint"});
    view.want("root and working directory", {"task_struct.fs", "fs_struct.root.dentry", "fs_struct.root.mnt",
                                             "fs_struct.pwd.dentry", "fs_struct.pwd.mnt"});
    view.want("program", {"mm_struct.exe_file"});
    Look& look = view.look();
    if (pid)
        view.process(*pid);
    Json files = Json::array();
    for (const Instance& task : view.tasks()) {
        const auto memory = view.memory_of(task);
        const auto number = number_of(view, task);
        if (!task.leads() || !memory || (pid && number != *pid))
            continue;
        const auto add = [&](Json fd, std::optional<std::string> kind, std::optional<std::string> path) {
            view.tell(path ? path->size() : 0);
            files.push_back({{"pid", number}, {"comm", name_of(view, task)}, {"fd", std::move(fd)},
                             {"kind", or_null(std::move(kind))}, {"path", or_null(std::move(path))}});
        };
        if (const auto fs = look.member(task, "task_struct.fs"); fs && look.leads_somewhere(*fs))
            for (const char* what : {"pwd", "root"}) {
                const auto member = std::string("fs_struct.") + what;
                if (const auto dentry = view.word(*fs, (member + ".dentry").c_str()))
                    add(what == std::string("pwd") ? "cwd" : "root", "directory",
                        path_of(view, view.word(*fs, (member + ".mnt").c_str()), *dentry));
            }
        if (const auto exe = look.member(*memory, "mm_struct.exe_file"); exe && look.leads_somewhere(*exe))
            add("exe", kind_of_file(view, *exe), path_of_file(view, *exe));
        for (const Look::OpenFile& open : look.open_files(task))
            add(open.descriptor, kind_of_file(view, open.file), path_of_file(view, open.file));
    }
    return {{"files", std::move(files)}};
}

} // namespace lacuna
