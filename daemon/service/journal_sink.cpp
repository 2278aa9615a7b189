// SPDX-License-Identifier: GPL-2.0-or-later
#include "journal_sink.h"

#include <syslog.h>

#define SD_JOURNAL_SUPPRESS_LOCATION
#include <systemd/sd-journal.h>

#include "names.h"

namespace lacuna {

namespace {

int priority_of(spdlog::level::level_enum level)
{
    switch (level) {
    case spdlog::level::critical:
        return LOG_CRIT;
    case spdlog::level::err:
        return LOG_ERR;
    case spdlog::level::warn:
        return LOG_WARNING;
    case spdlog::level::info:
        return LOG_INFO;
    default:
        return LOG_DEBUG;
    }
}

} // namespace

std::string_view guest_of(std::string_view message)
{
    const auto end = message.find("] ");
    return message.starts_with('[') && end != std::string_view::npos ? message.substr(1, end - 1)
                                                                     : std::string_view();
}

void JournalSink::sink_it_(const spdlog::details::log_msg& message)
{
    const std::string text = printable({message.payload.data(), message.payload.size()});
    const std::string guest(guest_of(text));
    // a field without a value would be one too: "LACUNA_GUEST=" is left out by the NULL before it
    sd_journal_send("MESSAGE=%s", text.c_str(), "PRIORITY=%d", priority_of(message.level),
                    "SYSLOG_IDENTIFIER=%s", "lacunad", guest.empty() ? nullptr : "LACUNA_GUEST=%s",
                    guest.c_str(), nullptr);
}

} // namespace lacuna
