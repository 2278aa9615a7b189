// SPDX-License-Identifier: GPL-2.0-or-later
#include "asked.h"

using namespace lacuna;

namespace {

// A guest with files, mounts and sockets; what sockets and mounts are learned from is known, they themselves are not.
class NetGuest : public ViewGuest {
public:
    const End none{0, 0}, server{0x0300007f, 5000}, client{0x0200007f, 5010}, other{0x0400007f, 5011};
    std::uint64_t top = 0, mnt = 0;

    NetGuest()
    {
        top = dentry("/");
        mnt = mount("ext4", top);
        std::vector<std::uint64_t> files;
        const auto pair = [&](End one, End two, const char* protocol) {
            files.push_back(socket_file(internet("TCP", 1, one, two), 3));
            files.push_back(socket_file(internet(protocol, 1, two, one), 3));
        };
        files.push_back(socket_file(internet("TCP", 10, server, none)));
        pair(client, server, "TCP");
        pair(other, server, "TCP");
        pair({0x0500007f, 5012}, {0x0600007f, 5001}, "TCPv6");
        files.push_back(socket_file(internet("UDP", 7, {0x0900007f, 5003}, none, 17), 1, 2));
        files.push_back(socket_file(internet("UDP", 7, {0, 5004}, none, 17), 1, 2));
        files.push_back(socket_file(sock("NETLINK", 16, 3, 0), 1, 3));
        for (const char* path : {"/run/one", "/run/two", "/run/three"}) {
            const std::uint64_t listener = sock("UNIX-STREAM", 1, 1, 10), left = sock("UNIX-STREAM", 1, 1, 1),
                                right = sock("UNIX-STREAM", 1, 1, 1);
            name(listener, path);
            put(left, "unix_sock.peer", right);
            put(right, "unix_sock.peer", left);
            files.push_back(socket_file(listener));
            files.push_back(socket_file(left, 3));
            files.push_back(socket_file(right, 3));
        }
        open(tasks.back(), files);
    }

    std::map<std::string, DeepFinding> found()
    {
        KnownOffsets start;
        const Profile all = view_profile();
        for (const ProfileMember& member : all.members)
            if (!member.structure.ends_with("sock") && member.structure != "socket" && member.structure != "proto" &&
                member.structure != "unix_address" && member.qualified() != "file.private_data" &&
                !member.qualified().starts_with("mount.") && !member.structure.starts_with("super"))
                start[member.qualified()] = member.offset;
        AddressSpace memory_of_guest = memory.space();
        Look look(memory_of_guest, anchors(), std::chrono::steady_clock::now() + std::chrono::minutes(5));
        std::map<std::string, DeepFinding> by_name;
        for (DeepFinding& finding : shipped_solver().solve(look, start))
            by_name.emplace(finding.member, std::move(finding));
        return by_name;
    }

    void expect_right(const std::map<std::string, DeepFinding>& findings, const std::vector<std::string>& members) const
    {
        for (const std::string& name : members) {
            const auto found = findings.find(name);
            ASSERT_NE(found, findings.end()) << name;
            EXPECT_EQ(found->second.offsets, std::vector<std::int32_t>{known.at(name)})
                << name << ": " << found->second.left << " left, seen at work in " << found->second.instances;
        }
    }
    void expect_nothing_wrong(const std::map<std::string, DeepFinding>& findings) const
    {
        for (const auto& [name, finding] : findings)
            if (const auto truth = known.find(name); truth != known.end() && !finding.offsets.empty()) {
                EXPECT_NE(std::find(finding.offsets.begin(), finding.offsets.end(), truth->second), finding.offsets.end()) << name;
            }
    }
};

const std::vector<std::string> of_sockets{"file.private_data", "socket.file", "socket.sk", "sock.sk_socket", "proto.name",
                                          "sock.__sk_common.skc_prot", "sock.__sk_common.skc_family", "sock.sk_type",
                                          "socket.type", "sock.sk_protocol", "sock.__sk_common.skc_state", "socket.state",
                                          "sock.__sk_common.skc_num", "inet_sock.inet_sport", "unix_sock.addr",
                                          "unix_address.name", "unix_address.len", "unix_sock.peer"};
const std::vector<std::string> of_connections{"sock.__sk_common.skc_dport", "sock.__sk_common.skc_daddr",
                                              "sock.__sk_common.skc_rcv_saddr", "sock.__sk_common.skc_v6_daddr",
                                              "sock.__sk_common.skc_v6_rcv_saddr"};

} // namespace

TEST(DeepSockets, AreFoundWhereverTheyAre)
{
    NetGuest guest;
    guest.expect_right(guest.found(), of_sockets);
    guest.expect_right(guest.found(), of_connections);
}

class OnePort : public ViewGuest {
public:
    // what is found of connections, with these sockets
    std::map<std::string, std::vector<std::int32_t>> found(const std::vector<std::uint64_t>& socks)
    {
        std::vector<std::uint64_t> files;
        for (const std::uint64_t sock : socks)
            files.push_back(socket_file(sock));
        open(tasks.back(), files);
        KnownOffsets start;
        for (const ProfileMember& member : view_profile().members)
            if (std::find(of_connections.begin(), of_connections.end(), member.qualified()) == of_connections.end())
                start[member.qualified()] = member.offset;
        AddressSpace space = memory.space();
        Look look(space, anchors(), std::chrono::steady_clock::now() + std::chrono::minutes(5));
        std::map<std::string, std::vector<std::int32_t>> all;
        for (const DeepFinding& finding : shipped_solver().solve(look, start))
            all[finding.member] = finding.offsets;
        return all;
    }
};

// All that are connected are connected with somebody outside.
TEST(DeepSockets, ConnectionsWithOthersTellToo)
{
    OnePort guest;
    const auto found = guest.found({guest.internet("TCP", 10, {0, 22}, {0, 0}), guest.internet("TCP", 1, {0x0f02000a, 22}, {0x0202000a, 40000}),
                                    guest.internet("TCP", 1, {0x0f02000a, 22}, {0x0302000a, 40001})});
    for (const char* name : {"skc_dport", "skc_daddr", "skc_rcv_saddr"}) {
        const std::string member = std::string("sock.__sk_common.") + name;
        EXPECT_EQ(found.at(member), std::vector<std::int32_t>{guest.known.at(member)}) << name;
    }
}

// Who only listens, wherever it is asked for, has no address.
TEST(DeepSockets, OfNoAddressNothingIsSaid)
{
    OnePort guest;
    const auto found = guest.found({guest.internet("TCP", 10, {0, 22}, {0, 0}), guest.internet("TCP", 10, {0, 25}, {0, 0})});
    EXPECT_EQ(found.at("sock.__sk_common.skc_dport"), std::vector<std::int32_t>{guest.known.at("sock.__sk_common.skc_dport")});
    EXPECT_TRUE(found.at("sock.__sk_common.skc_rcv_saddr").empty());
}

// A port at the other end where somebody listens, or none where he is connected: this is not the place.
TEST(DeepSockets, APortThatContradictsTheStateIsNone)
{
    OnePort guest;
    const auto found = guest.found({guest.internet("TCP", 10, {0, 22}, {0, 7}), guest.internet("TCP", 10, {0, 25}, {0, 7})});
    EXPECT_TRUE(found.at("sock.__sk_common.skc_dport").empty());
}

TEST(DeepSockets, NoiseMakesNothingWrong)
{
    for (unsigned seed = 0; seed < 2; seed++) {
        NetGuest guest;
        std::mt19937_64 random(seed);
        // what a guest may do to its own: one socket in three has another thing in it
        for (const std::string& member : of_sockets)
            if (random() % 3 == 0 && member.starts_with("sock."))
                guest.put(guest.sock("TCP", 2, 1, 1), member, random());
        guest.expect_nothing_wrong(guest.found());
    }
}

TEST(DeepMounts, AreFoundByWhatTheyAreMountedIn)
{
    ViewGuest guest;
    const std::uint64_t top = guest.dentry("/"), mnt = guest.mount("ext4", top);
    std::vector<std::uint64_t> files{guest.file(mnt, guest.dentry("init", top))};
    std::uint64_t below = mnt, root = top;
    for (const char* kind : {"tmpfs", "proc", "tmpfs", "sysfs"}) { // each in the one before, but for the last two
        const std::uint64_t point = guest.dentry("place", root), inner = guest.dentry("/");
        const std::uint64_t mounted = guest.mount(kind, inner, below, point);
        files.push_back(guest.file(mounted, guest.dentry("file", inner)));
        if (std::string(kind) != "tmpfs" || files.size() < 4) {
            below = mounted;
            root = inner;
        }
    }
    guest.open(guest.tasks.back(), files);
    KnownOffsets start;
    for (const ProfileMember& member : guest.view_profile().members)
        if (member.structure != "mount")
            start[member.qualified()] = member.offset;
    AddressSpace memory = guest.memory.space();
    Look look(memory, guest.anchors(), std::chrono::steady_clock::now() + std::chrono::minutes(5));
    std::map<std::string, std::vector<std::int32_t>> found;
    for (const DeepFinding& finding : shipped_solver().solve(look, start))
        found[finding.member] = finding.offsets;
    const std::int32_t within = guest.known.at("mount.mnt"); // what is found counts from there
    EXPECT_EQ(found.at("mount.mnt"), std::vector<std::int32_t>{within});
    for (const char* name : {"mount.mnt_parent", "mount.mnt_mountpoint", "mount.mnt_mounts", "mount.mnt_child"})
        EXPECT_EQ(found.at(name), std::vector<std::int32_t>{guest.known.at(name) - within}) << name;
}
