// SPDX-License-Identifier: GPL-2.0-or-later
//
// What single predicates say of the right place of a member, and of a wrong one.
#include "asked.h"

using namespace lacuna;

namespace {

// Files in a directory of a file system of this kind.
class FileGuest : public ViewGuest {
public:
    std::uint64_t super_block = 0;
    std::vector<std::uint64_t> dentries, inodes, files; // the root's first

    explicit FileGuest(const std::string& kind)
    {
        known["dentry.d_inode"] = 0x30;
        known["dentry.d_sb"] = 0x68;
        const std::uint64_t root = dentry("/"), vfsmount = mount(kind, root);
        super_block = word_at(vfsmount + offset("vfsmount.mnt_sb"));
        for (const char* name : {"/", "one", "two", "three"}) {
            const std::uint64_t own = dentries.empty() ? root : dentry(name, root), inode = allocate(0x400);
            put(own, "dentry.d_inode", inode);
            put(own, "dentry.d_sb", super_block);
            memory.put(inode + at_number, std::uint64_t{inodes.empty() ? 1u : 100 + inodes.size()});
            dentries.push_back(own);
            inodes.push_back(inode);
            files.push_back(file(vfsmount, own));
        }
        open(tasks.back(), files);
    }

    static constexpr std::int32_t at_number = 64, elsewhere = 72;
};

// A process that runs a program of this many bytes, at whose end are the headers of its sections.
class ProgramGuest : public ViewGuest {
public:
    static constexpr std::int32_t at_size = 80, elsewhere = 88;
    std::uint64_t inode = 0;

    explicit ProgramGuest(std::uint64_t bytes)
    {
        constexpr std::uint64_t header = 0x40'0000, program_headers = header + 64, section_header = 64;
        constexpr std::uint16_t sections = 30;
        constexpr std::uint64_t at_phdr = 3; // AT_PHDR
        known["dentry.d_inode"] = 0x30;
        known["mm_struct.exe_file"] = 0x380;
        known["mm_struct.saved_auxv"] = 0x180;
        const std::uint64_t name = dentry("program", dentry("/")), opened = file(0, name);
        inode = allocate(0x400);
        put(name, "dentry.d_inode", inode);
        memory.put(inode + at_size, bytes);
        memory.put(inode + elsewhere, (bytes + 511) / 512); // in blocks
        put(tasks.back().mm, "mm_struct.exe_file", opened);
        put(tasks.back().mm, "mm_struct.saved_auxv", at_phdr);
        memory.put(tasks.back().mm + offset("mm_struct.saved_auxv") + 8, program_headers);
        give_memory(tasks.back());
        memory.put(header, std::uint64_t{0x00010102'464c457f}); // for 64 bits, little-endian, version 1
        memory.put(header + 32, program_headers - header);
        memory.put(header + 40, bytes - sections * section_header);
        memory.put(header + 58, static_cast<std::uint16_t>(section_header));
        memory.put(header + 60, sections);
    }
};

} // namespace

TEST(DeepPredicates, AProgramsHeaderTellsTheSizeOfItsFile)
{
    ProgramGuest guest(125'640);
    EXPECT_EQ(Asked(guest).about("inode", "i_size", guest.inode, guest.at_size), Answer::shown);
    EXPECT_EQ(Asked(guest).about("inode", "i_size", guest.inode, guest.elsewhere), Answer::refuted);
    guest.memory.put(0x40'0004, std::uint8_t{1}); // for 32 bits: its header is another one
    EXPECT_EQ(Asked(guest).about("inode", "i_size", guest.inode, guest.at_size), Answer::silent);
}

TEST(DeepPredicates, AProcessWithAnotherRootTellsTheRootFromWhereItIs)
{
    constexpr std::int32_t root = 0x18, pwd = 0x28;
    FileGuest guest("proc");
    guest.known["task_struct.fs"] = 0x2008;
    const std::uint64_t vfsmount = guest.word_at(guest.files[0] + guest.offset("file.f_path.mnt"));
    for (const auto& task : guest.tasks) {
        const std::uint64_t fs = guest.allocate(0x80);
        for (const std::int32_t place : {root, pwd}) {
            guest.memory.put(fs + place, vfsmount);
            guest.memory.put(fs + place + 8, guest.dentries[0]);
        }
        guest.put(task.address, "task_struct.fs", fs);
    }
    const auto of = [&](const auto& task) { return guest.word_at(task.address + guest.offset("task_struct.fs")); };
    for (const std::int32_t place : {root, pwd})
        EXPECT_EQ(Asked(guest).about("fs_struct", "root.mnt", of(guest.tasks[1]), place), Answer::shown) << place;
    guest.memory.put(of(guest.tasks[1]) + pwd + 8, guest.dentries[1]); // it has changed its directory
    EXPECT_EQ(Asked(guest).about("fs_struct", "root.mnt", of(guest.tasks[1]), root), Answer::shown);
    EXPECT_EQ(Asked(guest).about("fs_struct", "root.mnt", of(guest.tasks[1]), pwd), Answer::refuted);
    EXPECT_EQ(Asked(guest).about("fs_struct", "pwd.mnt", of(guest.tasks[1]), pwd), Answer::shown);
}

TEST(DeepPredicates, InodesHaveNumbersOfTheirOwn)
{
    FileGuest guest("proc");
    for (const std::uint64_t inode : guest.inodes)
        guest.memory.put(inode + guest.elsewhere, std::uint64_t{1}); // as the root has it, and others, too
    Asked asked(guest);
    for (const std::uint64_t inode : guest.inodes)
        EXPECT_EQ(asked.about("inode", "i_ino", inode, guest.at_number), Answer::shown);
    EXPECT_EQ(asked.about("inode", "i_ino", guest.inodes[1], guest.elsewhere), Answer::refuted);
    guest.memory.put(guest.inodes[0] + guest.at_number, std::uint64_t{7}); // not what the root of /proc has
    EXPECT_EQ(Asked(guest).about("inode", "i_ino", guest.inodes[0], guest.at_number), Answer::refuted);
}

TEST(DeepPredicates, WhatHasNoRootOfAKnownNumberTellsNothingOfNumbers)
{
    FileGuest guest("btrfs");
    EXPECT_EQ(Asked(guest).about("inode", "i_ino", guest.inodes[1], guest.at_number), Answer::silent);
}

TEST(DeepPredicates, ProcessesHaveARootBehindALockOfAnySize)
{
    for (const std::uint64_t place : {0x18, 0x40}) { // of the root in fs_struct: of usual kernels, and of those with PREEMPT_RT
        FileGuest guest("proc");
        for (const auto& task : guest.tasks) {
            const std::uint64_t fs = guest.allocate(0x80);
            guest.memory.put(fs + place + 8, guest.dentries[0]);
            guest.memory.put(fs + place + 24, guest.dentries[1]);
            guest.put(task.address, "task_struct.fs", fs);
        }
        Asked asked(guest);
        const auto right = static_cast<std::int32_t>(guest.offset("task_struct.fs"));
        const Answer answer = asked.answer("task_struct", "fs", guest.tasks.back().address, right);
        EXPECT_EQ(answer.kind, Answer::shown) << place;
        EXPECT_EQ(asked.about("task_struct", "fs", guest.tasks.back().address, right - 8), Answer::refuted);
    }
}

TEST(DeepPredicates, DevicesHaveNumbersOfTheirOwn)
{
    constexpr std::int32_t place = 16, elsewhere = 20;
    FileGuest guest("proc");
    const std::uint64_t root = guest.dentry("/"), vfsmount = guest.mount("tmpfs", root);
    const std::uint64_t other = guest.word_at(vfsmount + guest.offset("vfsmount.mnt_sb"));
    guest.put(root, "dentry.d_sb", other);
    guest.files.push_back(guest.file(vfsmount, root));
    guest.open(guest.tasks.back(), guest.files);
    for (const auto& [super_block, number] : {std::pair(guest.super_block, 21u), std::pair(other, 22u)}) {
        guest.memory.put(super_block + place, std::uint32_t{number});
        guest.memory.put(super_block + elsewhere, std::uint32_t{12});
    }
    Asked asked(guest);
    for (const std::uint64_t super_block : {guest.super_block, other}) {
        EXPECT_EQ(asked.about("super_block", "s_dev", super_block, place), Answer::shown);
        EXPECT_EQ(asked.about("super_block", "s_dev", super_block, elsewhere), Answer::refuted); // both have it
    }
    guest.memory.put(other + place, std::uint32_t{8u << 20 | 1}); // a disk's
    EXPECT_EQ(Asked(guest).about("super_block", "s_dev", other, place), Answer::refuted);
}

TEST(DeepPredicates, ListsOfMountsAreNoKindOfFileSystem)
{
    constexpr std::int32_t list = 0xc8;
    FileGuest guest("proc");
    const std::uint64_t node = guest.allocate(0x40); // in a mount, with its name behind
    guest.memory.put(guest.super_block + list, node);
    guest.memory.put(guest.super_block + list + 8, node);
    guest.memory.put(node, guest.super_block + list);
    guest.memory.put(node + 8, guest.super_block + list);
    guest.memory.put(node + 16, guest.text("proc"));
    Asked asked(guest);
    EXPECT_EQ(asked.about("super_block", "s_type", guest.super_block, guest.known.at("super_block.s_type")), Answer::shown);
    EXPECT_EQ(asked.about("super_block", "s_type", guest.super_block, list), Answer::refuted);
    EXPECT_EQ(asked.about("super_block", "s_type", guest.super_block, list + 8), Answer::refuted);
}

TEST(DeepPredicates, SocketsHaveTablesOfTheKernels)
{
    constexpr std::uint64_t dname = 0xffffffff'8123'4560, operations = 0xffffffff'8200'0100;
    ViewGuest guest;
    guest.known["dentry.d_inode"] = 0x30;
    const std::uint64_t name = guest.dentry("a socket"), opened = guest.file(0, name, 0xc1ff), table = guest.allocate(0x100);
    const std::uint64_t inode = guest.allocate(0x100);
    guest.put(name, "dentry.d_inode", inode);
    guest.put(inode, "inode.i_mode", std::uint16_t{0xc1ff});
    guest.memory.put(table + 0x40, dname);
    guest.memory.put(name + 0x60, table);
    guest.memory.put(name + 0x70, guest.allocate(0x100)); // another table
    guest.memory.put(opened + 0x28, operations);
    guest.memory.put(operations, std::uint64_t{0});
    guest.memory.put(opened + 0x30, operations + 8);
    guest.open(guest.tasks.back(), {opened});
    Asked asked(guest, {{"sockfs_dname", dname}, {"socket_file_ops", operations}});
    EXPECT_EQ(asked.about("dentry", "d_op", name, 0x60), Answer::shown);
    EXPECT_EQ(asked.about("dentry", "d_op", name, 0x70), Answer::refuted);
    EXPECT_EQ(asked.about("file", "f_op", opened, 0x28), Answer::shown);
    EXPECT_EQ(asked.about("file", "f_op", opened, 0x30), Answer::refuted);
    EXPECT_EQ(Asked(guest).about("dentry", "d_op", name, 0x60), Answer::silent); // an image without the symbol
}

TEST(DeepPredicates, NetworksHangOnTheKernelsListAndHaveALoopback)
{
    constexpr std::uint64_t head = 0xffffffff'8230'0000;
    constexpr std::int32_t node = 0x20, devices = 0x90, loopback = 0x108, nothing = 0x110;
    ViewGuest guest;
    guest.known["task_struct.nsproxy"] = 0x2020;
    guest.known["nsproxy.net_ns"] = 0x28;
    const std::uint64_t proxy = guest.allocate(0x100), net = guest.allocate(0x1000), device = guest.allocate(0x800);
    guest.memory.put(guest.tasks.back().address + 0x2020, proxy);
    guest.put(proxy, "nsproxy.net_ns", net);
    const auto link = [&](std::uint64_t from, std::uint64_t to) {
        guest.memory.put(from, to);
        guest.memory.put(to + 8, from);
        guest.memory.put(to, from);
        guest.memory.put(from + 8, to);
    };
    link(net + node, head);
    link(net + devices, device + 0x50);
    guest.memory.put_text(device + 0x10, "lo", 16);
    guest.memory.put(net + loopback, device);
    guest.memory.put(net + nothing, guest.allocate(0x800));
    // a list of other things that have names, one of them this one, as the folders of sysctl have
    constexpr std::int32_t others = 0xa0, to_other = 0x118;
    const std::uint64_t other = guest.allocate(0x200), unnamed = guest.allocate(0x200);
    guest.memory.put(net + others, other + 0x50);
    guest.memory.put(other + 0x50, unnamed + 0x50);
    guest.memory.put(unnamed + 0x50, net + others);
    guest.memory.put(net + others + 8, unnamed + 0x50);
    guest.memory.put(unnamed + 0x58, other + 0x50);
    guest.memory.put(other + 0x58, net + others);
    guest.memory.put_text(other + 0x10, "lo", 16);
    guest.memory.put(net + to_other, other);
    Asked asked(guest, {{"net_namespace_list", head}});
    EXPECT_EQ(asked.about("net", "list", net, node), Answer::shown);
    EXPECT_EQ(asked.about("net", "list", net, devices), Answer::refuted);
    EXPECT_EQ(asked.about("net", "loopback_dev", net, loopback), Answer::shown);
    EXPECT_EQ(asked.about("net", "loopback_dev", net, nothing), Answer::refuted);
    EXPECT_EQ(asked.about("net", "loopback_dev", net, to_other), Answer::refuted);
    guest.memory.put_text(unnamed + 0x10, "eth0", 16);
    EXPECT_EQ(Asked(guest, {{"net_namespace_list", head}}).about("net", "loopback_dev", net, to_other), Answer::shown); // as devices are
}

// Mounts, each with a file in it.
class MountGuest : public ViewGuest {
public:
    // from the vfsmount on
    static constexpr std::int32_t flags = 0x10, devname = 0x68, share = 0x90, master = 0xc0, next = 0xc8, id = 0x104, unique = 0x108,
                                  group = 0x118, of_file_system = 0x50;
    static constexpr std::uint32_t internal = 0x4000;

    MountGuest()
    {
        known["mount.mnt_group_id"] = group + known.at("mount.mnt");
        known["dentry.d_sb"] = 0x68;
    }

    // In another one, or in none; of a file system of its own, or of another one's.
    std::uint64_t add(const std::string& kind, std::uint32_t flag, std::uint32_t peers, std::uint64_t in = 0, std::uint64_t like = 0)
    {
        const std::uint64_t top = dentry("/");
        const std::uint64_t own = in ? mount(kind, top, in, dentry("point", word_at(in + offset("vfsmount.mnt_root")))) : mount(kind, top);
        if (like)
            put(own, "vfsmount.mnt_sb", word_at(like + offset("vfsmount.mnt_sb")));
        put(top, "dentry.d_sb", file_system(own));
        memory.put(own + flags, flag);
        memory.put(own + devname, text("x" + kind) + 1); // wherever it begins
        memory.put(own + share, own + share);
        memory.put(own + share + 8, own + share);
        memory.put(own + id, ++made_);
        memory.put(own + unique, std::uint64_t{1} << 32 | made_);
        memory.put(own + group, peers);
        files_.push_back(file(own, top));
        open(tasks.back(), files_);
        return own;
    }
    std::uint64_t start(std::uint64_t vfsmount) const { return vfsmount - offset("mount.mnt"); }
    std::uint64_t file_system(std::uint64_t vfsmount) { return word_at(vfsmount + offset("vfsmount.mnt_sb")); }

private:
    std::uint32_t made_ = 0;
    std::vector<std::uint64_t> files_;
};

TEST(DeepPredicates, StreamsSayWhetherTheyAreConnected)
{
    constexpr std::uint8_t established = 1, closed = 7, listening = 10;
    constexpr std::uint32_t unconnected = 1, connected = 3;
    ViewGuest guest;
    std::vector<std::uint64_t> files;
    const auto stream = [&](const char* protocol, std::uint16_t family, std::uint8_t state, std::uint32_t in_socket) {
        const std::uint64_t sock = guest.sock(protocol, family, 1, state);
        files.push_back(guest.socket_file(sock, in_socket));
        guest.open(guest.tasks.back(), files);
        return sock;
    };
    const std::uint64_t tcp = stream("TCP", 2, established, connected), alone = stream("TCP", 2, established, unconnected);
    const std::uint64_t reset = stream("TCP", 2, closed, connected), server = stream("TCP", 2, listening, unconnected);
    const std::uint64_t odd = stream("TCP", 2, listening, connected), pair = stream("UNIX-STREAM", 1, established, unconnected);
    const std::uint64_t left = stream("UNIX-STREAM", 1, established, unconnected);
    guest.put(pair, "unix_sock.peer", left);
    Asked asked(guest);
    const auto says = [&](std::uint64_t sock) {
        return asked.about("sock", "__sk_common.skc_state", sock, guest.known.at("sock.__sk_common.skc_state"));
    };
    EXPECT_EQ(says(tcp), Answer::shown);
    EXPECT_EQ(says(alone), Answer::refuted);
    EXPECT_EQ(says(reset), Answer::passes);
    EXPECT_EQ(says(server), Answer::shown); // though the type of a stream is the same number
    EXPECT_EQ(says(odd), Answer::refuted);
    EXPECT_EQ(says(pair), Answer::shown);
    EXPECT_EQ(says(left), Answer::refuted);
}

// What lies further behind the start of a structure than the next one of its kind is that one's, however well it fits.
TEST(DeepSolver, NeighboursOfAKindAreNoPartOfEachOther)
{
    constexpr std::uint64_t size = 0x80, sb = 0x68, count = 8, in_inode = 0x28;
    MountGuest guest;
    const std::uint64_t mount = guest.add("ext4", 0x20, 1), root = guest.word_at(mount + guest.offset("vfsmount.mnt_root"));
    const std::uint64_t other = guest.add("proc", 0xf, 2), row = guest.allocate((count + 1) * size); // and one more, which nobody has open
    std::vector<std::uint64_t> files;
    for (std::uint64_t i = 0; i <= count; i++) {
        const std::uint64_t own = row + i * size;
        guest.put(own, "dentry.d_parent", root);
        guest.put(own, "dentry.d_name.name", guest.text("name"));
        const std::uint64_t within = i < count / 2 ? mount : other;
        guest.memory.put(own + sb, guest.file_system(within));
        if (i == count)
            break;
        files.push_back(guest.file(within, own));
        const std::uint64_t inode = guest.word_at(files.back() + guest.offset("file.f_inode"));
        guest.memory.put(own + 0x30, inode);
        guest.memory.put(inode + in_inode, guest.file_system(within));
    }
    guest.open(guest.tasks.back(), files);
    guest.known["dentry.d_inode"] = 0x30;
    KnownOffsets known;
    for (const ProfileMember& member : guest.view_profile().members)
        if (member.qualified() != "dentry.d_sb" && !member.qualified().starts_with("mount."))
            known[member.qualified()] = member.offset;
    DeepStructures structures = read_deep_constraints(LACUNA_CONSTRAINTS "/deep").structures;
    for (DeepStructure& structure : structures)
        std::erase_if(structure.members, [](const DeepMember& member) { return member.qualified() != "dentry.d_sb"; });
    AddressSpace memory = guest.memory.space();
    Look look(memory, guest.anchors(), std::chrono::steady_clock::now() + std::chrono::minutes(5));
    const DeepSolver one_member(structures);
    const auto found = one_member.solve(look, known);
    const auto finding = std::find_if(found.begin(), found.end(), [](const DeepFinding& one) { return one.member == "dentry.d_sb"; });
    ASSERT_NE(finding, found.end());
    EXPECT_EQ(finding->offsets, std::vector<std::int32_t>{static_cast<std::int32_t>(sb)});
}

TEST(DeepPredicates, MountsSayWhoseTheyAre)
{
    MountGuest guest;
    using G = MountGuest;
    const std::uint64_t sockets = guest.add("sockfs", G::internal, 0), root = guest.add("ext4", 0x20, 1), proc = guest.add("proc", 0xf, 2, root);
    guest.memory.put(guest.file_system(sockets) + G::of_file_system, ~std::uint64_t{0} << 32 | 0xe0400000);
    guest.memory.put(guest.file_system(proc) + G::of_file_system, std::uint64_t{0x6000000e});
    guest.memory.put(guest.file_system(sockets) + G::of_file_system + 8, std::uint64_t{0x7fffffffffffffff}); // s_maxbytes
    guest.memory.put(guest.file_system(proc) + G::of_file_system + 8, std::uint64_t{0x7fffffff});
    Asked asked(guest);
    EXPECT_EQ(asked.about("vfsmount", "mnt_flags", sockets, G::flags), Answer::shown);
    EXPECT_EQ(asked.about("vfsmount", "mnt_flags", sockets, G::flags + 4), Answer::refuted);
    EXPECT_EQ(asked.about("vfsmount", "mnt_flags", proc, G::flags), Answer::passes);
    EXPECT_EQ(asked.about("super_block", "s_flags", guest.file_system(sockets), G::of_file_system), Answer::shown);
    EXPECT_EQ(asked.about("super_block", "s_flags", guest.file_system(proc), G::of_file_system), Answer::shown);
    EXPECT_EQ(asked.about("super_block", "s_flags", guest.file_system(proc), G::of_file_system + 8), Answer::refuted);
    EXPECT_EQ(asked.about("mount", "mnt_devname", sockets, G::devname), Answer::shown);
    EXPECT_EQ(asked.about("mount", "mnt_devname", root, G::devname), Answer::passes);
    EXPECT_EQ(asked.about("mount", "mnt_devname", sockets, G::share), Answer::refuted);
    guest.memory.put(proc + G::flags, G::internal);
    guest.memory.put(sockets + G::devname, guest.text("mounted"));
    guest.memory.put(guest.file_system(proc) + G::of_file_system, std::uint64_t{0xe0000000});
    Asked other(guest);
    EXPECT_EQ(other.about("vfsmount", "mnt_flags", proc, G::flags), Answer::refuted);
    EXPECT_EQ(other.about("mount", "mnt_devname", sockets, G::devname), Answer::refuted);
    EXPECT_EQ(other.about("super_block", "s_flags", guest.file_system(proc), G::of_file_system), Answer::refuted);
}

TEST(DeepPredicates, MountsHaveNumbers)
{
    MountGuest guest;
    using G = MountGuest;
    const std::uint64_t sockets = guest.add("sockfs", G::internal, 0), root = guest.add("ext4", 0x20, 1), proc = guest.add("proc", 0xf, 2, root);
    const std::uint64_t again = guest.add("proc", 0xf, 2, root, proc);
    Asked asked(guest);
    for (const std::uint64_t mount : {sockets, root, proc, again})
        EXPECT_EQ(asked.about("mount", "mnt_id", mount, G::id), Answer::shown);
    EXPECT_EQ(asked.about("mount", "mnt_id", sockets, G::unique), Answer::refuted); // is never given again
    EXPECT_EQ(asked.about("mount", "mnt_id", root, G::devname), Answer::refuted);
    EXPECT_EQ(asked.about("mount", "mnt_id", proc, G::group), Answer::refuted); // two have the same
    EXPECT_EQ(asked.about("mount", "mnt_group_id", sockets, G::group), Answer::passes);
    EXPECT_EQ(asked.about("mount", "mnt_group_id", root, G::group), Answer::shown);
    EXPECT_EQ(asked.about("mount", "mnt_group_id", again, G::group), Answer::shown);
    EXPECT_EQ(asked.about("mount", "mnt_group_id", sockets, G::id), Answer::refuted);
    guest.memory.put(root + G::group, std::uint32_t{2}); // of another file system
    EXPECT_EQ(Asked(guest).about("mount", "mnt_group_id", root, G::group), Answer::refuted);
}

TEST(DeepPredicates, MountsPassOnWhatIsMounted)
{
    MountGuest guest;
    using G = MountGuest;
    const std::uint64_t root = guest.add("ext4", 0x20, 1), proc = guest.add("proc", 0xf, 2, root), peer = guest.add("proc", 0xf, 2, root, proc);
    std::vector<std::uint64_t> slaves;
    for (int i = 0; i < 2; i++) {
        slaves.push_back(guest.add("ext4", 0x20, 0, 0, root));
        guest.memory.put(slaves.back() + G::master, guest.start(root));
    }
    guest.memory.put(slaves[0] + G::next, guest.start(root)); // a chain of all that show a file system, as there is since 6.18
    const auto link = [&](std::uint64_t from, std::uint64_t to) {
        guest.memory.put(from + G::share, to + G::share);
        guest.memory.put(to + G::share + 8, from + G::share);
    };
    link(proc, peer);
    link(peer, proc);
    Asked asked(guest);
    EXPECT_EQ(asked.about("mount", "mnt_share", proc, G::share), Answer::shown);
    EXPECT_EQ(asked.about("mount", "mnt_share", root, G::share), Answer::passes);
    EXPECT_EQ(asked.about("mount", "mnt_share", root, G::devname), Answer::refuted);
    for (const std::uint64_t slave : slaves)
        EXPECT_EQ(asked.about("mount", "mnt_master", slave, G::master), Answer::shown);
    EXPECT_EQ(asked.about("mount", "mnt_master", root, G::master), Answer::passes);
    EXPECT_EQ(asked.about("mount", "mnt_master", slaves[0], G::next), Answer::passes); // nobody else's
    link(proc, root); // another file system
    link(root, proc);
    for (const std::uint64_t slave : slaves)
        guest.memory.put(slave + G::master, guest.start(proc));
    Asked other(guest);
    EXPECT_EQ(other.about("mount", "mnt_share", proc, G::share), Answer::refuted);
    EXPECT_EQ(other.about("mount", "mnt_master", slaves[0], G::master), Answer::refuted);
}

TEST(DeepPredicates, NeighboursOfMountsAreNotTheirParents)
{
    constexpr std::int32_t list = 0x80; // from the vfsmount on
    constexpr std::uint64_t size = 0x180;
    MountGuest guest;
    const std::uint64_t root = guest.add("ext4", 0x20, 1), inner = guest.add("proc", 0xf, 2, root), pair = guest.allocate(2 * size);
    for (const std::uint64_t start : {pair, pair + size}) { // one behind the other, and only the first has files
        const std::uint64_t own = start + guest.offset("mount.mnt"), top = guest.dentry("/");
        guest.put(own, "vfsmount.mnt_root", top);
        guest.put(own, "vfsmount.mnt_sb", guest.file_system(inner));
        guest.put(top, "dentry.d_sb", guest.file_system(inner));
        guest.put(start, "mount.mnt_parent", guest.start(root));
        guest.put(start, "mount.mnt_mountpoint", guest.dentry("point", guest.word_at(root + guest.offset("vfsmount.mnt_root"))));
    }
    const std::uint64_t first = pair + guest.offset("mount.mnt");
    guest.open(guest.tasks.back(), {guest.file(root, guest.word_at(root)), guest.file(inner, guest.word_at(inner)),
                                    guest.file(first, guest.word_at(first))});
    for (const char* name : {"mount.mnt", "mount.mnt_parent", "mount.mnt_mountpoint", "mount.mnt_mounts", "mount.mnt_child", "mount.mnt_group_id"})
        guest.known.erase(name); // as it is when they are looked for
    guest.memory.put(first + list, first + list); // empty, so that it leads as far before the neighbour in all mounts
    for (const Constants& one : Asked(guest).answer("mount", "mnt_parent", first, list).constants)
        EXPECT_NE(list + one[0], static_cast<std::int32_t>(size)) << one[1];
}

TEST(DeepPredicates, NamespacesOfMountsLeadToTheirRoot)
{
    constexpr std::int32_t place = 0x18, root = 0x20, list = 0x30, tree = 0x48, last = 0x50, number = 0x10, back = 0x100;
    constexpr std::int32_t in_list = 0xa0, in_tree = 0xc0; // from the start of a mount
    ViewGuest guest;
    guest.known["task_struct.nsproxy"] = 0x2020;
    guest.known["nsproxy.mnt_ns"] = place;
    guest.known["mount.mnt_ns"] = back;
    const std::uint64_t proxy = guest.allocate(0x100), space = guest.allocate(0x200), within = guest.offset("mount.mnt");
    guest.memory.put(guest.tasks.back().address + 0x2020, proxy);
    guest.memory.put(proxy + place, space);
    guest.memory.put(proxy + place + 8, guest.allocate(0x200)); // another namespace
    const std::uint64_t top = guest.dentry("/"), first = guest.mount("ext4", top) - within;
    const std::uint64_t second = guest.mount("tmpfs", guest.dentry("/"), first + within, guest.dentry("run", top)) - within;
    for (const std::uint64_t mount : {first, second})
        guest.memory.put(mount + back, space);
    guest.memory.put(space + root, first);
    guest.memory.put(space + root + 8, second); // is mounted in another
    const auto link = [&](std::uint64_t from, std::uint64_t to) {
        guest.memory.put(from, to);
        guest.memory.put(to + 8, from);
    };
    link(space + list, first + in_list);
    link(first + in_list, second + in_list);
    link(second + in_list, space + list);
    guest.memory.put(first + in_tree, std::uint64_t{1}); // black, no parent
    guest.memory.put(first + in_tree + 8, second + in_tree);
    guest.memory.put(first + in_tree + 16, std::uint64_t{0});
    guest.memory.put(second + in_tree, first + in_tree);
    guest.memory.put(second + in_tree + 8, std::uint64_t{0});
    guest.memory.put(second + in_tree + 16, std::uint64_t{0});
    guest.memory.put(space + tree, first + in_tree);
    guest.memory.put(space + last, second + in_tree);
    guest.memory.put(space + number, std::uint32_t{0xf0000001});
    Asked asked(guest);
    EXPECT_EQ(asked.about("nsproxy", "mnt_ns", proxy, place), Answer::shown);
    EXPECT_EQ(asked.about("nsproxy", "mnt_ns", proxy, place + 8), Answer::refuted);
    EXPECT_EQ(asked.about("mnt_namespace", "list", space, list), Answer::shown);
    EXPECT_EQ(asked.about("mnt_namespace", "list", space, tree), Answer::refuted);
    EXPECT_EQ(asked.about("mnt_namespace", "mounts", space, tree), Answer::shown);
    EXPECT_EQ(asked.about("mnt_namespace", "mounts", space, last), Answer::refuted);
    EXPECT_EQ(asked.about("mnt_namespace", "ns.inum", space, number), Answer::shown);
    EXPECT_EQ(asked.about("mnt_namespace", "ns.inum", space, root), Answer::refuted);
    guest.memory.put(second + back, std::uint64_t{0}); // hangs there, and belongs elsewhere
    EXPECT_EQ(Asked(guest).about("mnt_namespace", "list", space, list), Answer::refuted);
    EXPECT_EQ(Asked(guest).about("mnt_namespace", "mounts", space, tree), Answer::refuted);
}

TEST(DeepPredicates, SetsOfCapabilitiesAreToldByWhatContainsWhat)
{
    constexpr std::int32_t permitted = 48, effective = 56, bounding = 64, ambient = 72;
    constexpr std::uint64_t all = 0x1ff'ffff'ffff, given = 0x3000;
    ViewGuest guest;
    guest.known["cred.cap_bset"] = bounding;
    guest.known["cred.cap_permitted"] = permitted;
    const DeepGuest::Task service = guest.tasks.back();
    for (const auto& [place, set] : {std::pair(permitted, given), std::pair(effective, std::uint64_t{0x1000}), std::pair(bounding, all),
                                     std::pair(ambient, std::uint64_t{0x2000})})
        guest.memory.put(service.cred + static_cast<std::uint64_t>(place), std::uint64_t{set});
    guest.memory.put(service.cred + 80, std::uint64_t{0x8000}); // what it is not permitted
    Asked asked(guest);
    const auto says = [&](const char* member, std::int32_t place) { return asked.about("cred", member, service.cred, place); };
    EXPECT_EQ(says("cap_bset", bounding), Answer::shown);
    EXPECT_EQ(says("cap_bset", permitted), Answer::refuted);
    EXPECT_EQ(says("cap_permitted", permitted), Answer::shown);
    EXPECT_EQ(says("cap_permitted", effective), Answer::refuted);
    EXPECT_EQ(says("cap_permitted", bounding), Answer::refuted);
    EXPECT_EQ(says("cap_effective", effective), Answer::shown);
    EXPECT_EQ(says("cap_effective", permitted), Answer::refuted);
    EXPECT_EQ(says("cap_ambient", ambient), Answer::shown);
    EXPECT_EQ(says("cap_ambient", 80), Answer::refuted);
    EXPECT_EQ(asked.about("cred", "cap_ambient", guest.tasks[5].cred, permitted), Answer::refuted); // a kernel thread's is empty
}
