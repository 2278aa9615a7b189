// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <stdexcept>
#include <string>

namespace lacuna {

// The one way anything in the daemon fails. Written for the person who reads it: what() is
// "<subject>: <failed>; <hint>", for example
// "/boot/vmlinuz: the payload ends 4096 bytes early; copy the file again, it is truncated".
class Error : public std::runtime_error {
public:
    // failed:  what went wrong, without a full stop.
    // subject: the guest, file or thing it went wrong on; may be empty.
    // hint:    what the reader can do about it; may be empty.
    explicit Error(std::string failed, std::string subject = {}, std::string hint = {});

    const std::string& failed() const noexcept { return failed_; }
    const std::string& subject() const noexcept { return subject_; }
    const std::string& hint() const noexcept { return hint_; }

private:
    std::string failed_;
    std::string subject_;
    std::string hint_;
};

// Somebody asked for a guest, kernel or profile that is not known.
class Unknown : public Error {
public:
    using Error::Error;
};

// An Error for the last failed system call: appends strerror(errno) to `failed`.
Error system_error(const std::string& failed, const std::string& subject, const std::string& hint = {});

} // namespace lacuna
