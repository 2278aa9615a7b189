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

std::string printable(std::string_view text)
{
    std::string result;
    for (std::size_t i = 0; i < text.size(); i++) {
        const auto c = static_cast<unsigned char>(text[i]);
        // In UTF-8 the control characters from 0x80 to 0x9f begin with 0xc2.
        const bool wide =
            c == 0xc2 && i + 1 < text.size() && (static_cast<unsigned char>(text[i + 1]) & 0xe0) == 0x80;
        if (c < 0x20 || c == 0x7f || wide)
            result += fmt::format("\\x{:02x}", c);
        else
            result += text[i];
        if (wide)
            result += fmt::format("\\x{:02x}", static_cast<unsigned char>(text[++i]));
    }
    return result;
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
