// SPDX-License-Identifier: GPL-2.0-or-later
//
// What is asked of where processes are, of mounts and of file systems.
#include <algorithm>
#include <array>
#include <set>
#include <string_view>

#include "predicate.h"

namespace lacuna {

namespace {

constexpr std::int32_t word = 8;

bool contains(const std::vector<std::uint64_t>& path, std::optional<std::uint64_t> dentry)
{
    return dentry && std::find(path.begin(), path.end(), *dentry) != path.end();
}

// A mount and, as far behind or before it as in a file, a name within that mount. Of a root also: that name is a root, and the
// one that process 1 has. Constant: the name.
Predicate mount_of_path(const DeepConstraint& constraint, const DeepMember&)
{
    return [is_root = constraint.arguments.value("root", false)](Look& look, const Instance& fs, std::int32_t offset) {
        const auto mnt = look.known("file.f_path.mnt"), name = look.known("file.f_path.dentry"),
                   top = look.known("vfsmount.mnt_root");
        if (!mnt || !name || !top || !fs.owner || !is_privileged(look, *fs.owner))
            return Answer();
        const auto value = fs.word(offset);
        const auto dentry = fs.word(offset + *name - *mnt);
        if (!value || !dentry || !look.is_mount(*value))
            return Answer::refusal();
        const auto path = look.path_of(*dentry);
        const auto& tasks = look.tasks();
        const auto first = tasks.size() > 1 ? look.member(tasks[1], "task_struct.fs") : std::nullopt;
        const auto place = static_cast<std::uint64_t>(static_cast<std::int64_t>(offset + *name - *mnt));
        const bool root = path.size() == 1 && first && look.word(*first + place) == dentry;
        return contains(path, look.word(*value + static_cast<std::uint64_t>(*top))) && (root || !is_root)
                   ? Answer::show(*value, {offset + *name - *mnt})
                   : Answer::refusal();
    };
}

const std::vector<Instance>& all_mounts(Look& look)
{
    return look.instances_named("mount");
}

bool is_known_mount(Look& look, std::uint64_t vfsmount)
{
    const auto& mounts = all_mounts(look);
    return std::any_of(mounts.begin(), mounts.end(), [&](const Instance& one) { return one.address == vfsmount; });
}

// One that no process has a file in, as what a system was started from and the roots of namespaces are mounted in: its root is in
// a directory tree, and belongs to the file system that the mount says.
bool is_like_mount(Look& look, std::uint64_t vfsmount)
{
    const auto top = look.known("vfsmount.mnt_root"), file_system = look.known("vfsmount.mnt_sb"), sb = look.known("dentry.d_sb");
    if (!top || !file_system || !sb || !look.is_mount(vfsmount))
        return false;
    const auto root = look.word(vfsmount + static_cast<std::uint64_t>(*top));
    const auto wanted = look.word(vfsmount + static_cast<std::uint64_t>(*file_system));
    return root && wanted && look.word(*root + static_cast<std::uint64_t>(*sb)) == wanted;
}

// How far two mounts are from each other at least: none is larger.
std::uint64_t nearest_mounts(Look& look)
{
    std::set<std::uint64_t> addresses;
    for (const Instance& one : all_mounts(look))
        addresses.insert(one.address);
    std::uint64_t nearest = ~std::uint64_t{0}, before = 0;
    for (const std::uint64_t address : addresses) {
        nearest = std::min(nearest, before ? address - before : nearest);
        before = address;
    }
    return nearest;
}

// It leads to the start of the mount that this one is mounted in, which for the first one is this one itself; and another
// member leads to a name within that one. Constants: mnt, mnt_mountpoint.
Answer leads_to_parent_mount(Look& look, const Instance& mount, std::int32_t offset)
{
    constexpr std::uint64_t furthest = 512;
    const auto top = look.known("vfsmount.mnt_root");
    const auto value = mount.word(offset);
    if (!top)
        return {};
    if (!value || !look.leads_somewhere(*value))
        return Answer::refusal();
    const auto own_root = mount.word(*top);
    const std::uint64_t nearest = nearest_mounts(look);
    // whether it is within a mount that starts so far before what is known of it: its neighbour in memory is a mount, too
    const auto lies_in_it = [&](std::int32_t place, std::uint64_t within) {
        const std::int64_t from_start = std::int64_t{place} + static_cast<std::int64_t>(within);
        return from_start >= 0 && static_cast<std::uint64_t>(from_start) < nearest;
    };
    Answer answer = Answer::searching(*value);
    for (std::uint64_t within = 0; within < furthest; within += word) {
        if (!lies_in_it(offset, within))
            continue;
        const std::uint64_t parent = *value + within;
        const bool itself = parent == mount.address;
        if (!itself && !is_known_mount(look, parent) && !is_like_mount(look, parent))
            continue;
        const auto root = look.word(parent + static_cast<std::uint64_t>(*top));
        for (std::int32_t at = mount.low; const auto name = mount.word(at); at += word) {
            if (at == *top || at == offset || !lies_in_it(at, within))
                continue;
            const bool fits = itself ? name == own_root : look.leads_somewhere(*name) && contains(look.path_of(*name), root);
            if (fits)
                answer.add({static_cast<std::int32_t>(within), at});
        }
    }
    const auto leads_to_itself = [&](const Constants& constants) {
        return *value + static_cast<std::uint64_t>(constants[0]) == mount.address;
    };
    if (answer.kind == Answer::shown && std::all_of(answer.constants.begin(), answer.constants.end(), leads_to_itself))
        answer.kind = Answer::passes; // the first one shows nothing
    return answer;
}

// A list of all mounts that are mounted in this one, and of nothing else. Constant: where it goes through them.
Answer list_of_mounts(Look& look, const Instance& mount, std::int32_t offset)
{
    constexpr std::int32_t furthest = 512;
    const auto up = look.known("mount.mnt_parent"), mnt = look.known("mount.mnt");
    if (!up || !mnt)
        return {};
    const std::uint64_t start = mount.address - static_cast<std::uint64_t>(*mnt);
    const std::uint64_t head = mount.address + static_cast<std::uint64_t>(static_cast<std::int64_t>(offset));
    std::vector<std::uint64_t> children;
    for (const Instance& other : all_mounts(look))
        if (other.word(*up) == start && other.address != mount.address)
            children.push_back(other.address);
    std::vector<std::uint64_t> nodes;
    std::uint64_t from = head;
    for (auto next = mount.word(offset); next != head; next = look.word(*next)) {
        if (!next || !look.leads_somewhere(*next) || nodes.size() > Look::longest_list ||
            look.word(*next + word) != from)
            return Answer::refusal();
        nodes.push_back(*next);
        from = *next;
    }
    if (mount.word(offset + word) != from || nodes.size() < children.size())
        return Answer::refusal();
    if (nodes.empty())
        return Answer(); // neither this nor that
    Answer answer = Answer::searching(mount.address);
    for (std::int32_t child = -furthest; child < furthest; child += word) {
        const auto vfsmount = [&](std::uint64_t node) {
            return node - static_cast<std::uint64_t>(static_cast<std::int64_t>(child));
        };
        const bool all = std::all_of(nodes.begin(), nodes.end(), [&](std::uint64_t node) {
            return look.word(vfsmount(node) + static_cast<std::uint64_t>(static_cast<std::int64_t>(*up))) == start &&
                   look.is_mount(vfsmount(node));
        });
        if (all)
            answer.add({child});
    }
    return answer;
}

// The file system that the root of the mount belongs to.
Answer file_system_of_root(Look& look, const Instance& mount, std::int32_t offset)
{
    const auto top = look.known("vfsmount.mnt_root"), sb = look.known("dentry.d_sb");
    if (!top || !sb)
        return {};
    const auto root = mount.word(*top);
    const auto wanted = root && look.leads_somewhere(*root) ? look.word(*root + static_cast<std::uint64_t>(*sb)) : std::nullopt;
    if (!wanted)
        return {};
    return mount.word(offset) == *wanted ? Answer::show(*wanted) : Answer::refusal();
}

// The text that something leads to over this place in it, if it is the name of a kind of file system.
std::string file_system_at(Look& look, std::uint64_t type, std::size_t at)
{
    // Every kernel has some of these; of others nothing is said.
    constexpr auto names = std::to_array<std::string_view>({"proc", "sysfs", "tmpfs", "devtmpfs", "rootfs", "ramfs", "ext4",
                                                            "xfs", "btrfs", "cgroup2", "sockfs", "pipefs", "anon_inodefs",
                                                            "devpts", "overlay", "bpf", "securityfs", "mqueue", "nsfs"});
    const auto text = look.word(type + at).value_or(0);
    if (!(text >> 63) || !look.leads_somewhere(text & ~std::uint64_t{7}))
        return {};
    const Bytes& bytes = look.block(text, 16);
    const std::string name(bytes.begin(), std::find(bytes.begin(), bytes.end(), 0));
    return name.size() < bytes.size() && std::find(names.begin(), names.end(), name) != names.end() ? name : std::string();
}

// It leads over one more pointer to the name of a kind of file system, which is one for all of that kind. Constant: name.
Answer leads_to_file_system(Look& look, const Instance& super_block, std::int32_t offset)
{
    constexpr std::size_t window = 64;
    const auto value = super_block.word(offset);
    if (!value || !look.leads_somewhere(*value))
        return Answer::refusal();
    // a node of a list: that of the mounts leads to the only one of them, which has a name, too
    const std::uint64_t place = super_block.address + static_cast<std::uint64_t>(std::int64_t{offset});
    if (look.word(*value + word) == place || look.word(*value) == place - word)
        return Answer::refusal();
    Answer answer = Answer::searching(*value);
    for (std::size_t at = 0; at < window; at += word) {
        const std::string name = file_system_at(look, *value, at);
        if (name.empty())
            continue;
        // what belongs to one file system alone, as its mounts do, may well have the same name
        const auto is_other = [&](const Instance& other) {
            const auto theirs = other.word(offset).value_or(0);
            return theirs != *value && look.leads_somewhere(theirs) && file_system_at(look, theirs, at) == name;
        };
        const auto& all = look.instances_named("super_block");
        if (std::none_of(all.begin(), all.end(), is_other))
            answer.add({static_cast<std::int32_t>(at)});
    }
    return answer;
}

// The number that programs are told of a file system (st_dev): no two have the same. Those that need no device are given numbers
// whose upper part is 0, from 1 on.
Answer number_of_device(Look& look, const Instance& super_block, std::int32_t offset)
{
    constexpr auto without = std::to_array<std::string_view>({"proc", "sysfs", "tmpfs", "devtmpfs", "rootfs", "ramfs", "btrfs", "cgroup2",
                                                              "sockfs", "pipefs", "anon_inodefs", "devpts", "overlay", "bpf",
                                                              "securityfs", "mqueue", "nsfs"});
    constexpr unsigned minor_bits = 20; // MINORBITS, include/linux/kdev_t.h
    const std::string kind = look.kind_of_file_system(super_block.address);
    const auto value = super_block.value<std::uint32_t>(offset);
    if (kind.empty())
        return {};
    if (!value || !*value)
        return Answer::refusal();
    for (const Instance& other : look.instances_named("super_block"))
        if (other.address != super_block.address && other.value<std::uint32_t>(offset) == value)
            return Answer::refusal();
    if (std::find(without.begin(), without.end(), kind) == without.end())
        return Answer::pass();
    return *value >> minor_bits ? Answer::refusal() : Answer::show(*value);
}

} // namespace

Predicate make_mount_predicate(const DeepConstraint& constraint, const DeepMember& member)
{
    const std::string& name = constraint.predicate;
    if (name == "mount-of-path")
        return mount_of_path(constraint, member);
    if (name == "leads-to-parent-mount")
        return leads_to_parent_mount;
    if (name == "list-of-mounts")
        return list_of_mounts;
    if (name == "file-system-of-root")
        return file_system_of_root;
    if (name == "leads-to-file-system")
        return leads_to_file_system;
    if (name == "number-of-device")
        return number_of_device;
    return nullptr;
}

} // namespace lacuna
