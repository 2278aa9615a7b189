// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>

#include "fd.h"
#include "file_access.h"

namespace lacuna {

// A copy of a file in memory that nobody can change any more (memfd_create(2), sealed): what has been hashed
// is what is read.
class FrozenFile {
public:
    // Throws Error if it cannot be read, is not a regular file, or is larger than `most` bytes.
    // `as`: also if this user may not read it.
    FrozenFile(const std::filesystem::path& path, std::size_t most, const std::optional<FileUser>& as = {});

    const std::string& name() const { return name_; }
    int fd() const { return copy_.get(); }                // its position is at the start, and shared
    const std::string& digest() const { return digest_; } // SHA-256, in hex

private:
    std::string name_;
    Fd copy_;
    std::string digest_;
};

} // namespace lacuna
