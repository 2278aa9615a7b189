// SPDX-License-Identifier: GPL-2.0-or-later
#include "qemu_options.h"

#include <algorithm>

namespace lacuna {

std::string QemuList::value(std::string_view key) const
{
    const auto found =
        std::find_if(items.rbegin(), items.rend(), [&](const auto& item) { return item.first == key; });
    return found == items.rend() ? "" : found->second;
}

QemuList qemu_list(std::string_view text, std::string_view first_key)
{
    QemuList list;
    std::string item;
    const auto finish = [&] {
        const auto sign = item.find('=');
        if (sign != std::string::npos)
            list.items.emplace_back(item.substr(0, sign), item.substr(sign + 1));
        else if (list.items.empty())
            list.items.emplace_back(first_key, item);
        else
            list.items.emplace_back(item, "");
        item.clear();
    };
    for (std::size_t i = 0; i < text.size(); i++) {
        if (text[i] != ',')
            item += text[i];
        else if (i + 1 < text.size() && text[i + 1] == ',')
            item += text[i++];
        else
            finish();
    }
    finish();
    return list;
}

std::string qemu_option(std::string_view argument)
{
    if (!argument.starts_with('-'))
        return {};
    argument.remove_prefix(argument.starts_with("--") ? 2 : 1);
    return std::string(argument);
}

} // namespace lacuna
