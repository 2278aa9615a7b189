// SPDX-License-Identifier: GPL-2.0-or-later
#include "names.h"

#include <cctype>
#include <ctime>

#include <spdlog/fmt/fmt.h>

namespace lacuna {

std::string hex(std::uint64_t value)
{
    return fmt::format("{:#x}", value);
}

std::string hex(ByteView bytes)
{
    return fmt::format("{:02x}", fmt::join(bytes, ""));
}

std::string iso_now()
{
    const std::time_t now = std::time(nullptr);
    std::tm utc{};
    gmtime_r(&now, &utc);
    char text[32];
    std::strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &utc);
    return text;
}

std::string file_name(const std::string& name)
{
    constexpr std::size_t longest = 100;
    std::string safe = name.substr(0, longest);
    for (char& c : safe)
        if (!std::isalnum(static_cast<unsigned char>(c)) && c != '.' && c != '_' && c != '-')
            c = '_';
    if (safe.empty() || safe.front() == '.')
        safe.insert(safe.begin(), '_');
    return safe.substr(0, longest);
}

} // namespace lacuna
