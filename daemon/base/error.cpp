// SPDX-License-Identifier: GPL-2.0-or-later
#include "error.h"

#include <cerrno>
#include <system_error>
#include <utility>

namespace lacuna {

namespace {

std::string sentence(const std::string& failed, const std::string& subject, const std::string& hint)
{
    std::string text = subject.empty() ? failed : subject + ": " + failed;
    if (!hint.empty())
        text += "; " + hint;
    return text;
}

} // namespace

Error::Error(std::string failed, std::string subject, std::string hint)
    : std::runtime_error(sentence(failed, subject, hint)),
      failed_(std::move(failed)),
      subject_(std::move(subject)),
      hint_(std::move(hint))
{}

Error system_error(const std::string& failed, const std::string& subject, const std::string& hint)
{
    const int error = errno;
    return Error(failed + ": " + std::generic_category().message(error), subject, hint);
}

} // namespace lacuna
