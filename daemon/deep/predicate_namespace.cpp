// SPDX-License-Identifier: GPL-2.0-or-later
//
// What is asked of a namespace of mounts.
#include <algorithm>
#include <set>

#include "predicate.h"

namespace lacuna {

namespace {

constexpr std::int32_t word = 8;
constexpr std::uint64_t namespace_window = 512;
constexpr std::int32_t mount_low = -128, mount_high = 512; // around the vfsmount in a mount

// Whether this stands there in all mounts that are mounted in this one, which are of the same namespace, and what marks those that the
// kernel has for itself (MNT_NS_INTERNAL, fs/mount.h, since 2.6.38). Another place has the former since 7.x, but not the latter.
bool is_in_others_too(Look& look, std::uint64_t start, std::int32_t place, std::uint64_t wanted)
{
    constexpr std::uint64_t internal = ~std::uint64_t{0} - 21; // -EINVAL
    const auto up = look.known("mount.mnt_parent"), mnt = look.known("mount.mnt");
    const auto& all = look.instances_named("mount");
    return std::all_of(all.begin(), all.end(), [&](const Instance& mount) {
        if (is_internal_mount(look, mount))
            return mount.word(place) == internal;
        return mount.address == moved(start, *mnt) || mount.word(*up) != start || mount.word(place) == wanted;
    });
}

// It leads to something that leads to a mount which leads back: the one that all others of the namespace are mounted in, itself in
// none. Constants: root, and where the mount leads back.
Answer leads_to_root_mount(Look& look, const Instance& proxy, std::int32_t offset)
{
    const auto mnt = look.known("mount.mnt"), up = look.known("mount.mnt_parent");
    const auto value = proxy.word(offset);
    if (!mnt || !up)
        return {};
    if (!value || !look.leads_somewhere(*value))
        return Answer::refusal();
    Answer answer = Answer::searching(*value);
    const Bytes inside = look.block(*value, namespace_window);
    for (std::size_t at = 0; at + word <= inside.size(); at += word) {
        const auto start = *load<std::uint64_t>(inside, at);
        const std::uint64_t vfsmount = moved(start, *mnt);
        if (!look.leads_somewhere(start) || !look.is_mount(vfsmount) || look.word(moved(vfsmount, *up)) != start)
            continue;
        for (std::int32_t back = mount_low; back < mount_high; back += word)
            if (look.word(moved(vfsmount, back)) == *value && is_in_others_too(look, start, back, *value))
                answer.add({static_cast<std::int32_t>(at), back});
    }
    return answer;
}

// Whether this is the vfsmount of a mount of that namespace.
bool is_mount_of(Look& look, std::uint64_t vfsmount, const Instance& space)
{
    const auto back = look.known("mount.mnt_ns");
    return back && look.leads_somewhere(vfsmount) && look.word(moved(vfsmount, *back)) == space.address && look.is_mount(vfsmount);
}

// The distances from a vfsmount at which all these lie, each in a mount of the namespace.
Answer nodes_of_mounts(Look& look, const Instance& space, const std::vector<std::uint64_t>& nodes)
{
    Answer answer = Answer::searching(space.address);
    for (std::int32_t node = mount_low; node < mount_high; node += word)
        if (std::all_of(nodes.begin(), nodes.end(),
                        [&](std::uint64_t one) { return is_mount_of(look, moved(one, -std::int64_t{node}), space); }))
            answer.add({node});
    return answer;
}

// Up to 6.7: a list through all mounts of the namespace. Constant: where it goes through them.
Answer list_of_namespace(Look& look, const Instance& space, std::int32_t offset)
{
    if (!look.known("mount.mnt_ns"))
        return {};
    const auto first = space.word(offset);
    if (!first || !look.leads_somewhere(*first))
        return Answer::refusal();
    const auto nodes = look.nodes_of_list(moved(space.address, offset));
    return nodes.empty() ? Answer::refusal() : nodes_of_mounts(look, space, nodes);
}

// The nodes of the tree that this is the root of (struct rb_node: parent and colour, right, left); empty if it is none.
std::vector<std::uint64_t> nodes_of_tree(Look& look, std::uint64_t root)
{
    constexpr std::uint64_t colour = 3; // and what else is no address
    if (look.word(root).value_or(~std::uint64_t{0}) & ~colour)
        return {}; // it has a parent
    std::vector<std::uint64_t> nodes{root};
    std::set<std::uint64_t> seen(nodes.begin(), nodes.end());
    for (std::size_t i = 0; i < nodes.size(); i++)
        for (const std::int32_t side : {word, 2 * word}) {
            const auto child = look.word(moved(nodes[i], side));
            if (child == 0u)
                continue;
            if (!child || !look.leads_somewhere(*child) || (look.word(*child).value_or(0) & ~colour) != nodes[i] ||
                !seen.insert(*child).second || nodes.size() == look.limits().list)
                return {};
            nodes.push_back(*child);
        }
    return nodes;
}

// Since 6.8: a tree of all mounts of the namespace. Constant: where their nodes are.
Answer tree_of_namespace(Look& look, const Instance& space, std::int32_t offset)
{
    const auto root = space.word(offset);
    if (!look.known("mount.mnt_ns"))
        return {};
    if (!root || !look.leads_somewhere(*root))
        return Answer::refusal();
    const auto nodes = nodes_of_tree(look, *root);
    if (nodes.empty())
        return Answer::refusal();
    Answer answer = nodes_of_mounts(look, space, nodes);
    // where there is but one, what leads to the first and to the last of them leads to it, too
    return nodes.size() == 1 && answer.kind == Answer::shown ? Answer() : answer;
}

// The number that programs are told of a namespace (nsfs), which no other one has: counted from PROC_DYNAMIC_FIRST on, and below
// that for those that were there from the start (include/linux/proc_ns.h).
Answer number_of_namespace(Look& look, const Instance& space, std::int32_t offset)
{
    constexpr std::uint32_t lowest = 0xeffffff0, highest = 0xf0100000;
    const auto value = space.value<std::uint32_t>(offset);
    if (!value || *value < lowest || *value > highest)
        return Answer::refusal();
    return is_its_own(look.instances_named("mnt_namespace"), space, offset) ? Answer::show(*value) : Answer::refusal();
}

} // namespace

const PredicateMakers& namespace_predicates()
{
    static const PredicateMakers makers{
        {"leads-to-root-mount", plain(leads_to_root_mount)},
        {"list-of-namespace", plain(list_of_namespace)},
        {"tree-of-namespace", plain(tree_of_namespace)},
        {"number-of-namespace", plain(number_of_namespace)},
    };
    return makers;
}

} // namespace lacuna
