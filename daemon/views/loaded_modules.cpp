// SPDX-License-Identifier: GPL-2.0-or-later
#include "loaded_modules.h"

#include "error.h"
#include "taints.h"

namespace lacuna {

namespace {

constexpr std::size_t name_size = 56; // MODULE_NAME_LEN on 64 bit

// All that stays: one part up to 6.3, several since.
Json size_of(GuestView& view, std::uint64_t node)
{
    if (view.knows("module.core_size")) {
        const auto size = view.value<std::uint32_t>(node, "module.core_size");
        return size ? Json(*size) : Json();
    }
    if (!view.knows("module.mem[1].base"))
        return {};
    constexpr std::int32_t parts = 4; // text, data, read-only data, read-only after init
    const std::int32_t stride = *view.look().known("module.mem[1].base") - *view.look().known("module.module_core");
    std::uint64_t sum = 0;
    for (std::int32_t i = 0; i < parts; i++) {
        const auto at = node + static_cast<std::uint64_t>(
                                   static_cast<std::int64_t>(*view.look().known("module.core_text_size") + i * stride));
        sum += view.look().value<std::uint32_t>(at).value_or(0);
    }
    return sum;
}

Json state_of(GuestView& view, std::uint64_t node)
{
    constexpr std::array states = {"live", "coming", "going", "unformed"};
    const auto state = view.value<std::uint32_t>(node, "module.state");
    return state && *state < states.size() ? Json(states[*state]) : Json();
}

// As /proc/modules has them.
Json taints_of(GuestView& view, std::uint64_t node)
{
    const auto value = view.word(node, "module.taints");
    if (!value)
        return {};
    std::string letters;
    for (const auto& [bit, letter] : module_taints)
        if (*value >> bit & 1)
            letters += letter;
    return letters;
}

} // namespace

Json list_modules_in_full(GuestView& view)
{
    view.need({"module.name", "module.module_core", "module.core_text_size"});
    if (!view.knows("module.mem[1].base"))
        view.want("size", {"module.core_size"});
    view.want("state", {"module.state"});
    view.want("taints", {"module.taints"});
    const std::uint64_t head = view.look().anchors().modules;
    Json modules = Json::array();
    if (!head) // it can have none
        return {{"modules", std::move(modules)}};
    const auto nodes = view.look().nodes_of_list(head);
    if (nodes.empty() && view.look().word(head) != head)
        throw Error("the list of modules leads nowhere", "modules", "the guest may have been changing it: try again");
    for (const std::uint64_t node : nodes) {
        const auto core = view.word(node, "module.module_core");
        const auto text = view.value<std::uint32_t>(node, "module.core_text_size");
        const auto name = node + static_cast<std::uint64_t>(static_cast<std::int64_t>(*view.look().known("module.name")));
        modules.push_back({{"name", view.text(name, name_size)},
                           {"address", core ? Json(hex(*core)) : Json()},
                           {"text_size", text ? Json(*text) : Json()},
                           {"size", size_of(view, node)},
                           {"state", state_of(view, node)},
                           {"taints", taints_of(view, node)}});
    }
    return {{"modules", std::move(modules)}};
}

} // namespace lacuna
