// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <mutex>
#include <string>
#include <string_view>

#include <spdlog/sinks/base_sink.h>

namespace lacuna {

// The guest that a message of ours is about: they begin with "[guest] ". Empty: none.
std::string_view guest_of(std::string_view message);

// Log messages as entries of systemd's journal, with the fields of journald's own (MESSAGE, PRIORITY,
// SYSLOG_IDENTIFIER) and LACUNA_GUEST for those about a guest: journalctl LACUNA_GUEST=web1
class JournalSink : public spdlog::sinks::base_sink<std::mutex> {
protected:
    void sink_it_(const spdlog::details::log_msg& message) override;
    void flush_() override {}
};

} // namespace lacuna
