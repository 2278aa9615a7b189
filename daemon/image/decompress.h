// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <optional>
#include <string>

#include "bytes.h"

namespace lacuna {

// How a kernel's build packs it: CONFIG_KERNEL_GZIP and its siblings.
enum class Packing { gzip, bzip2, lzma, xz, lzo, lz4, zstd };

// What the first bytes say; nothing if they are those of no packing.
std::optional<Packing> packing_of(ByteView packed);

// What is packed, which must be `size` bytes long exactly. It takes no more memory than `size` and what the
// format's decoder needs, whatever the bytes are. Throws Error that calls the image `name`.
Bytes decompress(Packing packing, ByteView packed, std::size_t size, const std::string& name);

// A gzip file at the start of `packed` that ends somewhere in it, and unpacks to `most` bytes at most; empty if
// there is none such. gzip holds a checksum and the size of what is packed, and both are right.
Bytes decompress_gzip_up_to(ByteView packed, std::size_t most, const std::string& name);

} // namespace lacuna
