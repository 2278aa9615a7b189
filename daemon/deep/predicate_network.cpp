// SPDX-License-Identifier: GPL-2.0-or-later
//
// What is asked of a network namespace.
#include <algorithm>
#include <set>
#include <string_view>

#include "predicate.h"

namespace lacuna {

namespace {

constexpr std::int32_t word = 8;
constexpr std::size_t name_size = 16; // IFNAMSIZ

// On the list whose head this symbol of the kernel's image is.
Predicate on_list_of_symbol(const DeepConstraint& constraint, const DeepMember&)
{
    return [symbol = constraint.arguments.at("symbol").get<std::string>()](Look& look, const Instance& instance, std::int32_t offset) {
        const auto head = look.symbol(symbol);
        if (!head)
            return Answer();
        const auto nodes =
            look.nodes_of_list(moved(instance.address, offset));
        return std::find(nodes.begin(), nodes.end(), *head) != nodes.end() ? Answer::show(instance.address) : Answer::refusal();
    };
}

// What a device may be called (dev_valid_name(), net/core/dev.c).
bool names_a_device(const std::string& name)
{
    return !name.empty() && name.size() < name_size && name.find_first_of("/: ") == std::string::npos;
}

// Whether all these devices have names there that differ.
bool have_names(Look& look, const std::vector<std::uint64_t>& nodes, std::uint64_t node, std::uint64_t name)
{
    std::set<std::string> names;
    for (const std::uint64_t one : nodes)
        if (const std::string text = look.text_at(one - node + name, name_size); !names_a_device(text) || !names.insert(text).second)
            return false;
    return true;
}

// It leads to the start of the device "lo", which each namespace has as the first in the list of all its devices (loopback_net_ops in
// net_dev_init(), net/core/dev.c), which have names as well. Constants: the device's name, its node in that list, and the list's head.
Answer leads_to_loopback(Look& look, const Instance& net, std::int32_t offset)
{
    constexpr std::uint64_t furthest = 1024; // from the start of a net_device
    constexpr std::string_view loopback("lo\0", 3);
    const auto value = net.word(offset);
    if (!value || !look.leads_somewhere(*value))
        return Answer::refusal();
    Answer answer = Answer::searching(net.address);
    const Bytes device = look.block(*value, furthest);
    for (std::uint64_t name = 0; name + word <= device.size(); name += word) {
        if (!std::equal(loopback.begin(), loopback.end(), device.begin() + static_cast<std::ptrdiff_t>(name)))
            continue;
        for (std::int32_t head = net.low; const auto first = net.word(head); head += word) {
            const std::uint64_t node = *first - *value; // from the device's start
            if (*first <= *value || node >= furthest)
                continue;
            const auto nodes = look.nodes_of_list(moved(net.address, head));
            if (!nodes.empty() && have_names(look, nodes, node, name))
                answer.add({static_cast<std::int32_t>(name), static_cast<std::int32_t>(node), head});
        }
    }
    return answer;
}

} // namespace

const PredicateMakers& network_predicates()
{
    static const PredicateMakers makers{
        {"on-list-of-symbol", on_list_of_symbol},
        {"leads-to-loopback", plain(leads_to_loopback)},
    };
    return makers;
}

} // namespace lacuna
