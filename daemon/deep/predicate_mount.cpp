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
        return contains(path, look.word(moved(*value, *top))) && (root || !is_root)
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
    const auto root = look.word(moved(vfsmount, *top));
    const auto wanted = look.word(moved(vfsmount, *file_system));
    return root && wanted && look.word(moved(*root, *sb)) == wanted;
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
    const std::uint64_t nearest = look.nearest("mount");
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
        const auto root = look.word(moved(parent, *top));
        for (std::int32_t at = mount.low; const auto name = mount.word(at); at += word) {
            // nor is it the root of a neighbour, to which a list of this one's that is empty seems to lead
            if (at == *top || at == offset || !lies_in_it(at, within) || moved(mount.address, at) == moved(parent, *top))
                continue;
            const bool fits = itself ? name == own_root : look.leads_somewhere(*name) && contains(look.path_of(*name), root);
            if (fits)
                answer.add({static_cast<std::int32_t>(within), at});
        }
    }
    const auto leads_to_itself = [&](const Constants& constants) {
        return moved(*value, constants[0]) == mount.address;
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
    const std::uint64_t start = moved(mount.address, -std::int64_t{*mnt});
    const std::uint64_t head = moved(mount.address, offset);
    std::vector<std::uint64_t> children;
    for (const Instance& other : all_mounts(look))
        if (other.word(*up) == start && other.address != mount.address)
            children.push_back(other.address);
    std::vector<std::uint64_t> nodes;
    std::uint64_t from = head;
    for (auto next = mount.word(offset); next != head; next = look.word(*next)) {
        if (!next || !look.leads_somewhere(*next) || nodes.size() > look.limits().list ||
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
            return moved(node, -std::int64_t{child});
        };
        const bool all = std::all_of(nodes.begin(), nodes.end(), [&](std::uint64_t node) {
            return look.word(moved(vfsmount(node), *up)) == start &&
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
    const auto wanted = root && look.leads_somewhere(*root) ? look.word(moved(*root, *sb)) : std::nullopt;
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
    const std::uint64_t place = moved(super_block.address, offset);
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
    if (!is_its_own(look.instances_named("super_block"), super_block, offset))
        return Answer::refusal();
    if (std::find(without.begin(), without.end(), kind) == without.end())
        return Answer::pass();
    return *value >> minor_bits ? Answer::refusal() : Answer::show(*value);
}

// What kind of file system a mount shows; empty if that is not known.
std::string kind_of_mount(Look& look, const Instance& mount)
{
    const auto super_block = look.member(mount, "vfsmount.mnt_sb");
    return super_block ? look.kind_of_file_system(*super_block) : std::string();
}

// Of kinds that nobody can mount: the kernel has, once, for itself (kern_mount(), since 2.6), with the kind for a source.
bool is_internal(std::string_view kind)
{
    return kind == "sockfs" || kind == "pipefs" || kind == "anon_inodefs";
}

// Whether it hangs in another one: what the kernel has for itself does not.
bool is_mounted(Look& look, const Instance& mount)
{
    const auto up = look.known("mount.mnt_parent"), mnt = look.known("mount.mnt");
    const auto parent = up ? look.word(moved(mount.address, *up)) : std::nullopt;
    return mnt && parent && *parent && moved(*parent, *mnt) != mount.address;
}

// Whether four bytes are half of an address in the kernel.
bool is_half_of_pointer(const Instance& instance, std::int32_t offset)
{
    const auto around = instance.word(offset / word * word);
    return around && *around >> 47 == 0x1ffff;
}

// MNT_INTERNAL is set where the kernel has mounted for itself, and nowhere where programs see it; nothing is set that is no flag.
Answer flags_of_mount(Look& look, const Instance& mount, std::int32_t offset)
{
    constexpr std::uint32_t internal = 0x4000, no_flags = 0xf0000000; // include/linux/mount.h
    const std::string kind = kind_of_mount(look, mount);
    const auto value = mount.value<std::uint32_t>(offset);
    if (kind.empty())
        return {};
    if (!value || *value & no_flags || is_half_of_pointer(mount, offset))
        return Answer::refusal();
    if (is_internal(kind))
        return *value & internal ? Answer::show(mount.address) : Answer::refusal();
    return is_mounted(look, mount) && *value & internal ? Answer::refusal() : Answer::pass();
}

// SB_ACTIVE and SB_BORN are set in what is mounted, SB_NOUSER where nobody can mount it (include/linux/fs.h), and not in these others.
// Nowhere set is what only tells mount() what to do: MS_BIND, MS_MOVE, MS_REC, MS_PRIVATE, MS_SLAVE, MS_SHARED.
Answer flags_of_file_system(Look& look, const Instance& super_block, std::int32_t offset)
{
    constexpr std::uint32_t born = 1u << 29, active = 1u << 30, no_user = 1u << 31, to_do = 0x1c7000;
    constexpr auto mountable = std::to_array<std::string_view>({"proc", "sysfs", "ext4", "xfs", "btrfs", "cgroup2", "devpts"});
    const std::string kind = look.kind_of_file_system(super_block.address);
    const auto value = super_block.word(offset);
    if (kind.empty())
        return {};
    // SB_NOUSER was a number with a sign until 6.6: the upper half is full of it then
    const bool is_flags = value && (*value >> 32 == 0 || (*value >> 31 == 0x1ffffffff));
    if (!is_flags || (*value & (born | active | to_do)) != (born | active))
        return Answer::refusal();
    if (is_internal(kind))
        return *value & no_user ? Answer::show(super_block.address) : Answer::refusal();
    if (std::find(mountable.begin(), mountable.end(), kind) == mountable.end())
        return Answer::pass();
    return *value & no_user ? Answer::refusal() : Answer::show(super_block.address);
}

// Whether this place is within a mount and not in its neighbour: nothing, if it is not known where a mount starts.
std::optional<bool> lies_in_mount(Look& look, std::int32_t offset)
{
    const auto mnt = look.known("mount.mnt");
    if (!mnt)
        return std::nullopt;
    const std::int64_t from_start = std::int64_t{offset} + *mnt;
    return from_start >= 0 && static_cast<std::uint64_t>(from_start) < look.nearest("mount");
}

// Numbers are given to mounts, and to groups of them, from the lowest that is free (ida_alloc()): none is far above how many there are.
std::uint32_t highest_number(Look& look)
{
    return static_cast<std::uint32_t>(64 + 16 * all_mounts(look).size());
}

// What is to be said where no small number is, or too little is known; else nothing.
std::optional<Answer> without_small_number(Look& look, const Instance& mount, std::int32_t offset)
{
    const auto inside = lies_in_mount(look, offset);
    const auto value = mount.value<std::uint32_t>(offset);
    if (!inside || kind_of_mount(look, mount).empty())
        return Answer();
    return !*inside || !value || *value > highest_number(look) ? std::optional(Answer::refusal()) : std::nullopt;
}

// A number that no other mount has. Not the lower half of those that are never given again (since 6.8): their upper half is
// not 0, while beside the number of what the kernel has mounted for itself nothing stands.
Answer number_of_mount(Look& look, const Instance& mount, std::int32_t offset)
{
    if (const auto answer = without_small_number(look, mount, offset))
        return *answer;
    if (is_internal_mount(look, mount) && offset % word == 0 && mount.value<std::uint32_t>(offset + 4) != 0u)
        return Answer::refusal();
    return is_its_own(all_mounts(look), mount, offset) ? Answer::show(*mount.value<std::uint32_t>(offset)) : Answer::refusal();
}

// 0 where nothing is passed on, as in what the kernel has mounted for itself; the same in mounts of one file system only.
Answer number_of_peers(Look& look, const Instance& mount, std::int32_t offset)
{
    if (const auto answer = without_small_number(look, mount, offset))
        return *answer;
    const auto value = mount.value<std::uint32_t>(offset);
    if (*value == 0)
        return Answer::pass();
    if (is_internal_mount(look, mount))
        return Answer::refusal();
    for (const Instance& other : all_mounts(look))
        if (other.value<std::uint32_t>(offset) == value &&
            look.member(other, "vfsmount.mnt_sb") != look.member(mount, "vfsmount.mnt_sb"))
            return Answer::refusal();
    return Answer::show(*value);
}

bool is_of_same_file_system(Look& look, const Instance& mount, std::uint64_t vfsmount)
{
    const auto sb = look.known("vfsmount.mnt_sb");
    return sb && (is_known_mount(look, vfsmount) || is_like_mount(look, vfsmount)) &&
           look.word(moved(vfsmount, *sb)) == mount.word(*sb);
}

// A ring without a head through mounts that pass on to each other what is mounted: all of one file system, with one number.
Answer ring_of_peers(Look& look, const Instance& mount, std::int32_t offset)
{
    const auto inside = lies_in_mount(look, offset);
    const auto group = look.known("mount.mnt_group_id");
    if (!inside || !group)
        return {};
    const std::uint64_t place = moved(mount.address, offset);
    if (!*inside || look.word(place).value_or(0) == 0)
        return Answer::refusal();
    if (look.word(place) == place)
        return mount.word(offset + word) == place ? Answer::pass() : Answer::refusal();
    const auto nodes = look.nodes_of_list(place);
    const auto number = mount.value<std::uint32_t>(*group);
    const bool peers = !nodes.empty() && std::all_of(nodes.begin(), nodes.end(), [&](std::uint64_t node) {
        const std::uint64_t other = moved(node, -std::int64_t{offset});
        return is_of_same_file_system(look, mount, other) && look.value<std::uint32_t>(moved(other, *group)) == number;
    });
    return peers && number != 0u ? Answer::show(*number) : Answer::refusal();
}

// The start of a mount of the same file system that passes on what is mounted there. Several may have the same one, and that shows it:
// whatever else leads from mount to mount is a chain.
Answer leads_to_master(Look& look, const Instance& mount, std::int32_t offset)
{
    const auto group = look.known("mount.mnt_group_id"), mnt = look.known("mount.mnt"), up = look.known("mount.mnt_parent");
    const auto value = mount.word(offset);
    if (!group || !mnt || !up || value == 0u)
        return group && value ? Answer::pass() : Answer();
    const std::uint64_t master = moved(*value, *mnt), start = moved(mount.address, -std::int64_t{*mnt});
    const bool fits = master != mount.address && !is_internal_mount(look, mount) &&
                      is_of_same_file_system(look, mount, master) && look.word(moved(master, *up)) != start &&
                      look.value<std::uint32_t>(moved(master, *group)).value_or(0) != 0;
    if (!fits)
        return Answer::refusal();
    const auto& all = all_mounts(look);
    const bool shared = std::any_of(all.begin(), all.end(), [&](const Instance& other) {
        return other.address != mount.address && other.word(offset) == value;
    });
    return shared ? Answer::show(*value) : Answer::pass();
}

// It leads to a text, which is the kind where the kernel has mounted for itself. No text has the bytes that addresses in the kernel begin with.
Answer leads_to_source(Look& look, const Instance& mount, std::int32_t offset)
{
    constexpr std::size_t longest = 256;
    const auto value = mount.word(offset);
    const std::string kind = kind_of_mount(look, mount);
    if (kind.empty())
        return {};
    if (!value || !look.leads_to_text(*value))
        return Answer::refusal();
    const Bytes& bytes = look.block(*value, longest);
    const std::string text(bytes.begin(), std::find(bytes.begin(), bytes.end(), 0));
    if (is_internal(kind))
        return text == kind ? Answer::show(mount.address) : Answer::refusal();
    const bool readable = std::all_of(text.begin(), text.end(), [](char c) {
        const auto byte = static_cast<unsigned char>(c);
        return byte >= ' ' && byte != 0x7f && byte != 0xff;
    });
    return readable && !text.empty() ? Answer::pass() : Answer::refusal();
}

} // namespace

bool is_internal_mount(Look& look, const Instance& mount)
{
    return is_internal(kind_of_mount(look, mount));
}

const PredicateMakers& mount_predicates()
{
    static const PredicateMakers makers{
        {"mount-of-path", mount_of_path},
        {"leads-to-parent-mount", plain(leads_to_parent_mount)},
        {"list-of-mounts", plain(list_of_mounts)},
        {"file-system-of-root", plain(file_system_of_root)},
        {"leads-to-file-system", plain(leads_to_file_system)},
        {"number-of-device", plain(number_of_device)},
        {"flags-of-mount", plain(flags_of_mount)},
        {"flags-of-file-system", plain(flags_of_file_system)},
        {"number-of-mount", plain(number_of_mount)},
        {"number-of-peers", plain(number_of_peers)},
        {"ring-of-peers", plain(ring_of_peers)},
        {"leads-to-master", plain(leads_to_master)},
        {"leads-to-source", plain(leads_to_source)},
    };
    return makers;
}

} // namespace lacuna
