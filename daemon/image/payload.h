// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <filesystem>
#include <string>

#include "bytes.h"

namespace lacuna {

// No kernel comes near this, packed or not (Debian's need some 70 MiB); hostile input must not fill the memory.
inline constexpr std::size_t max_kernel_size = std::size_t{128} << 20;

// The whole file. Throws Error if it cannot be read, is not a regular file, or is larger than
// `most` bytes.
Bytes read_file(const std::filesystem::path& path, std::size_t most = max_kernel_size);

// All that an open file still holds; `name` is what errors call it. Throws Error if it cannot be read.
Bytes read_whole(int fd, const std::string& name);

bool is_elf(ByteView bytes);

// The kernel inside a kernel image: a bzImage (vmlinuz) however it is packed, a unified kernel image with one in it, or an ELF file, which is returned as it
// is. An ELF vmlinux, or, of bzImages that are older than boot protocol 2.08, the bytes that it has in memory. `name`
// is what errors call the image. Throws Error if the image is of no known kind, truncated or damaged.
Bytes extract_vmlinux(ByteView image, const std::string& name);

} // namespace lacuna
