// SPDX-License-Identifier: GPL-2.0-or-later
#include "areas.h"
#include "expect_error.h"
#include "files.h"
#include "loaded_modules.h"
#include "mounts.h"
#include "processes.h"
#include "sockets.h"
#include "view_guest.h"

using namespace lacuna;

namespace {

Json seen(ViewGuest& guest, const std::function<Json(GuestView&)>& take, const std::vector<std::string>& without = {})
{
    AddressSpace memory = guest.memory.space();
    return settled(memory, guest.view_profile(without), guest.anchors(), take);
}

Json files_of(ViewGuest& guest, std::int32_t pid)
{
    return seen(guest, [pid](GuestView& view) { return list_files(view, pid); });
}

// The root's mount, with another mounted on /var.
struct Tree {
    std::uint64_t top, var, mnt, root_of_var, mnt_var;
    explicit Tree(ViewGuest& guest)
    {
        top = guest.dentry("/");
        var = guest.dentry("var", top);
        mnt = guest.mount("ext4", top);
        root_of_var = guest.dentry("/");
        mnt_var = guest.mount("tmpfs", root_of_var, mnt, var);
    }
};

} // namespace

TEST(Views, ProcessesWithParentsThreadsAndUsers)
{
    ViewGuest guest;
    const DeepGuest::Task& one = guest.tasks.back();
    guest.memory.put(one.cred + guest.offset("cred.uid"), std::uint32_t{1001});
    guest.memory.put(one.address + guest.offset("task_struct.start_boottime"), std::uint64_t{12'340'000'000});
    const Json answer = seen(guest, list_processes_in_full);
    EXPECT_TRUE(answer.at("stable"));
    ASSERT_EQ(answer.at("processes").size(), guest.tasks.size() - 1); // without the idle task
    for (const Json& process : answer.at("processes")) {
        const auto task = std::find_if(guest.tasks.begin(), guest.tasks.end(),
                                       [&](const DeepGuest::Task& other) { return other.pid == process.at("pid"); });
        ASSERT_NE(task, guest.tasks.end());
        const auto parent = std::find_if(guest.tasks.begin(), guest.tasks.end(),
                                         [&](const DeepGuest::Task& other) { return other.address == task->parent; });
        EXPECT_EQ(process.at("ppid"), parent->pid);
        EXPECT_EQ(process.at("threads").size(),
                  std::count_if(guest.threads.begin(), guest.threads.end(),
                                [&](const DeepGuest::Task& thread) { return thread.leader == task->address; }));
        EXPECT_EQ(process.at("kind"), task->mm ? "user" : "kernel");
    }
    const Json& last = answer.at("processes").back();
    EXPECT_EQ(last.at("uid"), 1001);
    EXPECT_EQ(last.at("start_ns"), 12'340'000'000);
}

TEST(Views, WhatIsNotKnownIsSaidToBeSo)
{
    ViewGuest guest;
    const Json answer = seen(guest, list_processes_in_full, {"cred.uid", "task_struct.start_boottime"});
    EXPECT_TRUE(answer.at("processes").front().at("uid").is_null());
    EXPECT_EQ(answer.at("lacks").at("user"), Json::parse(R"(["cred.uid"])"));
    EXPECT_EQ(answer.at("lacks").at("start"), Json::parse(R"(["task_struct.start_boottime"])"));
    EXPECT_FALSE(answer.at("lacks").contains("parent"));
    EXPECT_ERROR(seen(guest, list_sockets, {"socket.sk", "file.private_data"}),
                 "the profile of its kernel: does not say where file.private_data, socket.sk is (yet)");
    EXPECT_ERROR(seen(guest, [](GuestView& view) { return list_areas(view, 1); }, {"vm_area_struct.vm_mm"}),
                 "the profile of its kernel: does not say where vm_area_struct.vm_mm is (yet)");
}

TEST(Views, PathsLeadThroughMounts)
{
    ViewGuest guest;
    const Tree tree(guest);
    const DeepGuest::Task& task = guest.tasks.back();
    const std::uint64_t log = guest.dentry("log", tree.root_of_var);
    guest.open(task, {guest.file(tree.mnt, guest.dentry("init", tree.top)), 0,
                      guest.file(tree.mnt_var, guest.dentry("messages", log)), guest.file(0, guest.dentry(""), 0x1180)});
    const std::uint64_t fs = guest.allocate(0x100);
    guest.memory.put(task.address + guest.offset("task_struct.fs"), fs);
    guest.put(fs, "fs_struct.root.mnt", tree.mnt);
    guest.put(fs, "fs_struct.root.dentry", tree.top);
    guest.put(fs, "fs_struct.pwd.mnt", tree.mnt_var);
    guest.put(fs, "fs_struct.pwd.dentry", log);
    std::map<std::string, std::string> paths;
    const Json answer = files_of(guest, task.pid);
    for (const Json& file : answer.at("files"))
        paths[file.at("fd").is_string() ? file.at("fd").get<std::string>() : file.at("fd").dump()] =
            file.at("kind").get<std::string>() + " " + file.at("path").get<std::string>();
    EXPECT_EQ(paths, (std::map<std::string, std::string>{{"0", "file /init"},
                                                         {"2", "file /var/log/messages"},
                                                         {"3", "pipe /"},
                                                         {"cwd", "directory /var/log"},
                                                         {"root", "directory /"}}));
    EXPECT_ERROR(files_of(guest, 99999), "99999: there is no process of this number");
}

TEST(Views, NamesInACircleEnd)
{
    ViewGuest guest;
    const std::uint64_t a = guest.dentry("a"), b = guest.dentry("b", a);
    guest.put(a, "dentry.d_parent", b);
    guest.open(guest.tasks.back(), {guest.file(guest.mount("ext4", guest.dentry("/")), a)});
    const Json answer = files_of(guest, guest.tasks.back().pid);
    ASSERT_EQ(answer.at("files").size(), 1u);
    EXPECT_TRUE(answer.at("files").front().at("path").is_null());
}

TEST(Views, MountsOfATree)
{
    ViewGuest guest;
    const Tree tree(guest);
    guest.mount("proc", guest.dentry("/"), tree.mnt_var, guest.dentry("within", tree.root_of_var));
    const std::uint64_t fs = guest.allocate(0x100);
    guest.memory.put(guest.tasks[1].address + guest.offset("task_struct.fs"), fs);
    guest.put(fs, "fs_struct.root.mnt", tree.mnt);
    guest.put(fs, "fs_struct.root.dentry", tree.top);
    const auto take = [](GuestView& view) { return list_mounts(view, 1); };
    EXPECT_EQ(seen(guest, take).at("mounts"), Json::parse(R"([
        {"path": "/", "file_system": "ext4", "source": null, "options": null},
        {"path": "/var", "file_system": "tmpfs", "source": null, "options": null},
        {"path": "/var/within", "file_system": "proc", "source": null, "options": null}])"));
    guest.known["mount.mnt_devname"] = 0x88;
    guest.known["vfsmount.mnt_flags"] = 0x10;
    guest.put(tree.mnt - guest.offset("mount.mnt"), "mount.mnt_devname", guest.text("x/dev/vda") + 1); // wherever it begins
    guest.put(tree.mnt, "vfsmount.mnt_flags", std::uint32_t{0x1061}); // and one that programs are not told of
    EXPECT_EQ(seen(guest, take).at("mounts").front(),
              Json::parse(R"({"path": "/", "file_system": "ext4", "source": "/dev/vda", "options": ["ro", "nosuid", "relatime"]})"));
    // one that is mounted in itself is mounted once
    guest.memory.put(tree.mnt - guest.offset("mount.mnt") + guest.offset("mount.mnt_mounts"), std::uint64_t{0});
    EXPECT_EQ(seen(guest, take).at("mounts").size(), 1u);
}

TEST(Views, SocketsOfBothSides)
{
    ViewGuest guest;
    const std::uint64_t tcp = guest.sock("TCP", 2, 1, 1), unix_one = guest.sock("UNIX-STREAM", 1, 1, 10),
                        unix_two = guest.sock("UNIX-STREAM", 1, 1, 1);
    guest.put(tcp, "sock.__sk_common.skc_num", std::uint16_t{5000});
    guest.put(tcp, "sock.__sk_common.skc_dport", std::uint16_t{0x5000}); // 80 in the network's order
    guest.put(tcp, "sock.__sk_common.skc_rcv_saddr", std::uint32_t{0x0200007f});
    guest.put(tcp, "sock.__sk_common.skc_daddr", std::uint32_t{0x0300007f});
    guest.name(unix_one, "/run/it.s");
    guest.put(unix_two, "unix_sock.peer", unix_one);
    guest.open(guest.tasks.back(), {guest.socket_file(tcp), guest.socket_file(unix_one)});
    guest.open(guest.tasks[guest.tasks.size() - 2], {guest.socket_file(unix_two), guest.socket_file(tcp)});
    const Json answer = seen(guest, list_sockets);
    ASSERT_EQ(answer.at("sockets").size(), 3u);
    std::map<std::string, Json> by_local;
    for (const Json& socket : answer.at("sockets"))
        by_local[socket.at("local").get<std::string>()] = socket;
    const Json& one = by_local.at("127.0.0.2:5000");
    EXPECT_EQ(one.at("remote"), "127.0.0.3:80");
    EXPECT_EQ(one.at("state"), "established");
    EXPECT_EQ(one.at("holders").size(), 2u);
    EXPECT_EQ(by_local.at("/run/it.s").at("state"), "listening");
    EXPECT_EQ(by_local.at("").at("remote"), "/run/it.s");
}

TEST(Views, MemoryAndWhatStandsInIt)
{
    ViewGuest guest;
    const DeepGuest::Task& task = guest.tasks.back();
    const std::uint64_t stack = 0x7f00'0000'0000;
    guest.give_memory(task);
    guest.memory.put_text(stack, std::string("prog\0-x\0A=1\0B=\0", 15), 15);
    guest.put(task.mm, "mm_struct.arg_start", stack);
    guest.put(task.mm, "mm_struct.arg_end", stack + 8);
    guest.put(task.mm, "mm_struct.env_start", stack + 8);
    guest.put(task.mm, "mm_struct.env_end", stack + 15);
    const std::uint64_t first = guest.allocate(0x100), second = guest.allocate(0x100);
    guest.put(task.mm, "mm_struct.mmap", first);
    for (const auto& [area, next, start, flags] : {std::tuple(first, second, std::uint64_t{0x400000}, std::uint64_t{5}),
                                                   std::tuple(second, std::uint64_t{0}, stack, std::uint64_t{0x83})}) {
        guest.put(area, "vm_area_struct.vm_mm", task.mm);
        guest.put(area, "vm_area_struct.vm_start", start);
        guest.put(area, "vm_area_struct.vm_end", start + 0x2000);
        guest.put(area, "vm_area_struct.vm_next", next);
        guest.put(area, "vm_area_struct.vm_flags", flags);
        guest.put(area, "vm_area_struct.vm_file", std::uint64_t{0});
    }
    const auto maps = [&](GuestView& view) { return list_areas(view, task.pid); };
    EXPECT_EQ(seen(guest, maps).at("areas"), Json::parse(R"([
        {"start": "0x400000", "end": "0x402000", "rights": "r-xp", "path": null},
        {"start": "0x7f0000000000", "end": "0x7f0000002000", "rights": "rw-s", "path": null}])"));
    EXPECT_EQ(seen(guest, [&](GuestView& view) { return list_environment(view, task.pid); }).at("environment"),
              Json::parse(R"(["A=1", "B="])"));
    EXPECT_EQ(seen(guest, list_processes_in_full).at("processes").back().at("command"), Json::parse(R"(["prog", "-x"])"));
    guest.put(second, "vm_area_struct.vm_next", first); // round and round
    EXPECT_ERROR(seen(guest, maps), "its areas lead nowhere");
    guest.put(second, "vm_area_struct.vm_mm", std::uint64_t{1});
    EXPECT_ERROR(seen(guest, maps), "its areas lead nowhere");
    EXPECT_ERROR(seen(guest, [](GuestView& view) { return list_environment(view, 2); }),
                 "process 2: has no memory of its own");
}

TEST(Views, ModulesWithTheirSizes)
{
    ViewGuest guest;
    const std::uint64_t node = guest.allocate(0x1000);
    guest.memory.put(guest.modules, node);
    guest.memory.put(guest.modules + 8, node);
    guest.memory.put(node, guest.modules);
    guest.memory.put(node + 8, guest.modules);
    guest.memory.put_text(node + guest.offset("module.name"), "loop", 56);
    guest.put(node, "module.module_core", std::uint64_t{0xffffffffc0000000});
    guest.put(node, "module.core_text_size", std::uint32_t{4096});
    guest.put(node, "module.core_size", std::uint32_t{20480});
    const Json answer = seen(guest, list_modules_in_full);
    EXPECT_EQ(answer.at("modules"), Json::parse(R"([{"name": "loop", "address": "0xffffffffc0000000", "text_size": 4096,
        "size": 20480, "state": null, "taints": null}])"));
    EXPECT_TRUE(answer.at("lacks").contains("state"));
    guest.known["module.taints"] = 400;
    guest.put(node, "module.taints", std::uint64_t{1 << 12 | 1 << 13 | 1 << 1});
    EXPECT_EQ(seen(guest, list_modules_in_full).at("modules").at(0).at("taints"), "FOE");
    guest.put(node, "module.taints", std::uint64_t{0});
    EXPECT_EQ(seen(guest, list_modules_in_full).at("modules").at(0).at("taints"), "");
}

TEST(Views, ManyProcessesAreAllSeen)
{
    ViewGuest guest(1, 600);
    const Json answer = seen(guest, list_processes_in_full);
    EXPECT_EQ(answer.at("processes").size(), guest.tasks.size() - 1);
    EXPECT_FALSE(answer.contains("left_out"));
}

TEST(Views, AListThatLeadsNowhereIsNoEmptyOne)
{
    ViewGuest guest;
    guest.open(guest.tasks.back(), {guest.file(0, guest.dentry("a"))});
    guest.memory.put(guest.tasks[5].address + guest.at.at("tasks"), std::uint64_t{0});
    EXPECT_ERROR(seen(guest, list_processes_in_full), "the list of processes leads nowhere");
    EXPECT_ERROR(seen(guest, list_sockets), "the list of processes leads nowhere");
    EXPECT_ERROR(seen(guest, [](GuestView& view) { return list_files(view, std::nullopt); }), "the list of processes leads nowhere");
    EXPECT_ERROR(files_of(guest, guest.tasks.back().pid), "the list of processes leads nowhere");
}

TEST(Views, WhatIsNotInTheGuestsMemoryIsNotSaidToBeEmpty)
{
    ViewGuest guest;
    const DeepGuest::Task& task = guest.tasks.back();
    const std::uint64_t stack = 0x7f00'0000'0000; // where nothing is mapped
    guest.give_memory(task);
    for (const auto& [member, place] : {std::pair("arg_start", 0u), std::pair("arg_end", 8u), std::pair("env_start", 8u), std::pair("env_end", 15u)})
        guest.put(task.mm, std::string("mm_struct.") + member, stack + place);
    const Json processes = seen(guest, list_processes_in_full);
    EXPECT_TRUE(processes.at("processes").back().at("command").is_null());
    EXPECT_EQ(processes.at("left_out").size(), 1u);
    EXPECT_TRUE(seen(guest, [&](GuestView& view) { return list_environment(view, task.pid); }).at("environment").is_null());
}

TEST(Views, WhatProcessesHaveMuchOfIsNotToldWithoutEnd)
{
    constexpr std::uint64_t stack = 0x7f00'0000'0000, bytes = 128 << 10;
    ViewGuest guest;
    const std::vector<char> empty(4096);
    for (std::uint64_t page = 0; page < bytes; page += empty.size())
        guest.memory.put(stack + page, empty.data(), empty.size());
    for (const DeepGuest::Task& task : guest.tasks) {
        if (!task.mm)
            continue;
        guest.give_memory(task);
        guest.put(task.mm, "mm_struct.arg_start", stack);
        guest.put(task.mm, "mm_struct.arg_end", stack + bytes); // each an argument, all of them empty
        guest.put(task.mm, "mm_struct.env_start", stack);
        guest.put(task.mm, "mm_struct.env_end", stack + bytes);
    }
    EXPECT_ERROR(seen(guest, list_processes_in_full), "there is more than is told at once");
    const Json answer = seen(guest, [&](GuestView& view) { return list_environment(view, guest.tasks.back().pid); });
    EXPECT_EQ(answer.at("environment").size(), bytes);
}

// Whatever a guest has in its memory, no view may do more than say that it cannot tell.
TEST(Views, NoiseIsNoHarm)
{
    for (unsigned seed = 0; seed < 20; seed++) {
        ViewGuest guest(seed + 1);
        const Tree tree(guest);
        guest.open(guest.tasks.back(), {guest.file(tree.mnt, tree.var), guest.socket_file(guest.sock("TCP", 2, 1, 1))});
        std::mt19937_64 random(seed);
        std::vector<std::uint64_t> places{tree.top, tree.var, tree.mnt, tree.mnt_var};
        for (const auto* tasks : {&guest.tasks, &guest.threads})
            for (const DeepGuest::Task& task : *tasks)
                for (const std::uint64_t place : {task.address, task.mm, task.signal, task.cred})
                    if (place)
                        places.push_back(place);
        for (unsigned i = 0; i < 400; i++) {
            const std::uint64_t place = places[random() % places.size()] + random() % 0x200 / 8 * 8;
            guest.memory.put(place, random() % 2 ? places[random() % places.size()] + random() % 64 * 8 : random());
        }
        for (const std::function<Json(GuestView&)>& take :
             std::vector<std::function<Json(GuestView&)>>{list_processes_in_full, list_sockets, list_modules_in_full,
                                                          [](GuestView& view) { return list_files(view, std::nullopt); },
                                                          [](GuestView& view) { return list_mounts(view, 1); },
                                                          [](GuestView& view) { return list_areas(view, 1); }}) {
            try {
                seen(guest, take);
            } catch (const Error&) { // it may say that
            }
        }
    }
}
