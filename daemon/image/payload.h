// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <filesystem>
#include <string>

#include "bytes.h"

namespace lacuna {

// No kernel comes near this; hostile input must not fill the memory.
inline constexpr std::size_t max_kernel_size = std::size_t{512} << 20;

// The whole file. Throws Error if it cannot be read, is not a regular file, or is larger than
// `most` bytes.
Bytes read_file(const std::filesystem::path& path, std::size_t most = max_kernel_size);

// The ELF vmlinux inside a kernel image: a bzImage (vmlinuz) with an xz, lzma, gzip, zstd or lz4 payload, or
// an ELF file, which is returned as it is. `name` is what errors call the image. Throws Error if the image is
// of no known kind, truncated or damaged.
Bytes extract_vmlinux(ByteView image, const std::string& name);

} // namespace lacuna
