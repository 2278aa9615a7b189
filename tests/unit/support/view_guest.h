// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <map>
#include <string>
#include <vector>

#include "deep_guest.h"

namespace lacuna {

// A made-up guest with files, mounts and sockets. Where their members lie is told, and may be put into a profile.
class ViewGuest : public DeepGuest {
public:
    std::map<std::string, std::int32_t> known{
        {"task_struct.files", 0x2000},
        {"task_struct.fs", 0x2008},
        {"task_struct.start_boottime", 0x2010},
        {"cred.uid", 8},
        {"cred.gid", 12},
        {"files_struct.fdt", 0x20},
        {"fdtable.fd", 8},
        {"fdtable.max_fds", 0},
        {"file.f_path.mnt", 0x10},
        {"file.f_path.dentry", 0x18},
        {"file.f_inode", 0x20},
        {"file.private_data", 0xc8},
        {"dentry.d_parent", 0x18},
        {"dentry.d_name.name", 0x28},
        {"inode.i_mode", 0},
        {"fs_struct.root.mnt", 0x18},
        {"fs_struct.root.dentry", 0x20},
        {"fs_struct.pwd.mnt", 0x28},
        {"fs_struct.pwd.dentry", 0x30},
        {"vfsmount.mnt_root", 0},
        {"vfsmount.mnt_sb", 8},
        {"super_block.s_type", 0x28},
        {"file_system_type.name", 0},
        {"mount.mnt", 0x20},
        {"mount.mnt_parent", 0x10},
        {"mount.mnt_mountpoint", 0x18},
        {"mount.mnt_mounts", 0x60},
        {"mount.mnt_child", 0x70},
        {"socket.state", 0},
        {"socket.type", 4},
        {"socket.file", 0x10},
        {"socket.sk", 0x18},
        {"sock.sk_socket", 0x270},
        {"sock.sk_protocol", 0x204},
        {"inet_sock.inet_saddr", 0x310},
        {"inet_sock.inet_sport", 0x324},
        {"sock.__sk_common.skc_v6_daddr", 0x38},
        {"sock.__sk_common.skc_v6_rcv_saddr", 0x48},
        {"sock.__sk_common.skc_prot", 0x28},
        {"sock.__sk_common.skc_family", 0x10},
        {"sock.__sk_common.skc_state", 0x12},
        {"sock.__sk_common.skc_num", 0xe},
        {"sock.__sk_common.skc_dport", 0xc},
        {"sock.__sk_common.skc_rcv_saddr", 4},
        {"sock.__sk_common.skc_daddr", 0},
        {"sock.sk_type", 0x202},
        {"proto.name", 0x158},
        {"unix_sock.addr", 0x308},
        {"unix_sock.peer", 0x360},
        {"unix_address.len", 4},
        {"unix_address.name", 8},
        {"mm_struct.arg_start", 0x138},
        {"mm_struct.arg_end", 0x140},
        {"mm_struct.env_start", 0x148},
        {"mm_struct.env_end", 0x150},
        {"mm_struct.mmap", 0},
        {"vm_area_struct.vm_start", 0},
        {"vm_area_struct.vm_end", 8},
        {"vm_area_struct.vm_next", 16},
        {"vm_area_struct.vm_mm", 64},
        {"vm_area_struct.vm_flags", 80},
        {"vm_area_struct.vm_file", 160},
        {"module.name", 16},
        {"module.module_core", 312},
        {"module.core_text_size", 324},
        {"module.core_size", 320},
    };

    explicit ViewGuest(unsigned seed = 1, unsigned more = 0) : DeepGuest(seed, more)
    {
        for (const char* name : {"tgid", "real_parent", "group_leader", "cred", "thread_node", "active_mm"})
            known[std::string("task_struct.") + name] = static_cast<std::int32_t>(at.at(name));
    }

    // All that is known of this guest, but for what is named.
    Profile view_profile(const std::vector<std::string>& without = {}) const
    {
        Profile all = profile();
        for (const auto& [name, offset] : known)
            if (std::find(without.begin(), without.end(), name) == without.end())
                add_member(all, name.substr(0, name.find('.')).c_str(), name.substr(name.find('.') + 1).c_str(),
                           static_cast<std::uint64_t>(offset));
        return all;
    }

    std::uint64_t offset(const std::string& member) const { return static_cast<std::uint64_t>(known.at(member)); }
    template <typename T> void put(std::uint64_t structure, const std::string& member, T value)
    {
        memory.put(structure + offset(member), value);
    }

    std::uint64_t word_at(std::uint64_t gva)
    {
        AddressSpace space = memory.space();
        return load<std::uint64_t>(space.read(gva, 8), 0).value();
    }

    std::uint64_t text(const std::string& words)
    {
        const std::uint64_t address = allocate(words.size() + 1);
        memory.put_text(address, words, words.size() + 1);
        return address;
    }

    std::uint64_t dentry(const std::string& name, std::uint64_t parent = 0)
    {
        const std::uint64_t address = allocate(0x100);
        put(address, "dentry.d_parent", parent ? parent : address);
        put(address, "dentry.d_name.name", text(name));
        return address;
    }

    // A vfsmount, of a file system of this kind, mounted there.
    std::uint64_t mount(const std::string& kind, std::uint64_t root, std::uint64_t parent = 0, std::uint64_t point = 0)
    {
        const std::uint64_t start = allocate(0x200), vfsmount = start + offset("mount.mnt");
        const std::uint64_t super_block = allocate(0x100), type = allocate(0x40);
        put(vfsmount, "vfsmount.mnt_root", root);
        put(vfsmount, "vfsmount.mnt_sb", super_block);
        put(super_block, "super_block.s_type", type);
        put(type, "file_system_type.name", text(kind));
        put(start, "mount.mnt_parent", parent ? parent - offset("mount.mnt") : start);
        put(start, "mount.mnt_mountpoint", point ? point : root);
        const std::uint64_t list = start + offset("mount.mnt_mounts");
        memory.put(list, list);
        memory.put(list + 8, list);
        if (parent)
            append(parent - offset("mount.mnt") + offset("mount.mnt_mounts"), start + offset("mount.mnt_child"));
        return vfsmount;
    }

    std::uint64_t file(std::uint64_t mnt, std::uint64_t dentry, std::uint16_t mode = 0x81a4)
    {
        const std::uint64_t address = allocate(0x200), inode = allocate(0x100);
        put(address, "file.f_path.mnt", mnt);
        put(address, "file.f_path.dentry", dentry);
        put(address, "file.f_inode", inode);
        put(inode, "inode.i_mode", mode);
        return address;
    }

    void open(const Task& task, const std::vector<std::uint64_t>& files)
    {
        const std::uint64_t structure = allocate(0x100), table = allocate(0x100), array = allocate(64 * 8);
        memory.put(task.address + offset("task_struct.files"), structure);
        put(structure, "files_struct.fdt", table);
        put(table, "fdtable.fd", array);
        put(table, "fdtable.max_fds", std::uint32_t{64});
        for (std::size_t i = 0; i < files.size(); i++)
            memory.put(array + 8 * i, files[i]);
    }

    // A sock of a protocol with this name, and the file that leads to it.
    std::uint64_t sock(const std::string& protocol, std::uint16_t family, std::uint16_t type, std::uint8_t state)
    {
        const std::uint64_t address = allocate(0x800), proto = allocate(0x200);
        put(address, "sock.__sk_common.skc_prot", proto);
        memory.put_text(proto + offset("proto.name"), protocol, 32);
        put(address, "sock.__sk_common.skc_family", family);
        put(address, "sock.__sk_common.skc_state", state);
        put(address, "sock.sk_type", type);
        return address;
    }
    std::uint64_t socket_file(std::uint64_t sock, std::uint32_t state = 1, std::uint16_t type = 1)
    {
        const std::uint64_t socket = allocate(0x200), inode = socket + 0x80;
        const std::uint64_t opened = file(0, dentry("a socket"), 0xc1ff);
        put(socket, "socket.state", state);
        put(socket, "socket.type", type);
        put(socket, "socket.file", opened);
        put(socket, "socket.sk", sock);
        put(sock, "sock.sk_socket", socket);
        put(inode, "inode.i_mode", std::uint16_t{0xc1ff});
        put(opened, "file.f_inode", inode);
        put(opened, "file.private_data", socket);
        return opened;
    }

    // One of the Internet's, with its own address and port, and those at the other end.
    struct End {
        std::uint32_t address;
        std::uint16_t port;
    };
    std::uint64_t internet(const std::string& protocol, std::uint8_t state, End own, End other, std::uint16_t number = 6)
    {
        const bool six = protocol.back() == '6';
        const auto swapped = [](std::uint16_t port) { return static_cast<std::uint16_t>(port << 8 | port >> 8); };
        const std::uint64_t address = sock(protocol, six ? 10 : 2, number == 6 ? 1 : 2, state);
        put(address, "sock.sk_protocol", number);
        put(address, "sock.__sk_common.skc_num", own.port);
        put(address, "sock.__sk_common.skc_dport", swapped(other.port));
        put(address, "sock.__sk_common.skc_rcv_saddr", own.address);
        put(address, "sock.__sk_common.skc_daddr", other.address);
        put(address, "inet_sock.inet_sport", swapped(own.port));
        put(address, "inet_sock.inet_saddr", own.address);
        for (const auto& [member, value] : {std::pair("skc_v6_daddr", other.address), std::pair("skc_v6_rcv_saddr", own.address)})
            if (six && value) {
                put(address, std::string("sock.__sk_common.") + member, std::uint64_t{0});
                memory.put(address + offset(std::string("sock.__sk_common.") + member) + 8, std::uint32_t{0xffff0000});
                memory.put(address + offset(std::string("sock.__sk_common.") + member) + 12, value);
            }
        return address;
    }
    // The name of a Unix socket.
    void name(std::uint64_t sock, const std::string& path)
    {
        const std::uint64_t address = allocate(0x80);
        put(address, "unix_address.len", static_cast<std::uint32_t>(path.size() + 3));
        put(address, "unix_address.name", std::uint16_t{1});
        memory.put_text(address + offset("unix_address.name") + 2, path, path.size() + 1);
        put(sock, "unix_sock.addr", address);
    }

    // A process's own memory has page tables of its own, here the kernel's.
    void give_memory(const Task& task) { memory.put(task.mm + 0x48, table_of_kernel()); }

    // To the end of a list with this head.
    void append(std::uint64_t head, std::uint64_t node)
    {
        std::uint64_t last = head;
        for (const auto& [from, to] : next_)
            if (from == head)
                last = to;
        next_.emplace_back(head, node);
        memory.put(last, node);
        memory.put(node + 8, last);
        memory.put(node, head);
        memory.put(head + 8, node);
    }

private:
    std::uint64_t table_of_kernel()
    {
        if (!table_) {
            table_ = 0xffff'b000'0000'0000;
            memory.map(table_, memory.root);
        }
        return table_;
    }

    std::uint64_t table_ = 0;
    std::vector<std::pair<std::uint64_t, std::uint64_t>> next_;
};

} // namespace lacuna
