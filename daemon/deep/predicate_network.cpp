// SPDX-License-Identifier: GPL-2.0-or-later
//
// What is asked of a network namespace.
#include <algorithm>
#include <string_view>

#include "predicate.h"

namespace lacuna {

namespace {

constexpr std::int32_t word = 8;

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

// It leads to the start of the device "lo", which is in each namespace, and in the list of all its devices. Constants: the
// device's name, its node in that list, and the list's head.
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
            const std::uint64_t at = moved(net.address, head);
            if (*first == at) // an empty list
                continue;
            for (const std::uint64_t node : look.leads_somewhere(*first) ? look.nodes_of_list(at) : std::vector<std::uint64_t>())
                if (node > *value && node - *value < furthest)
                    answer.add({static_cast<std::int32_t>(name), static_cast<std::int32_t>(node - *value), head});
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
