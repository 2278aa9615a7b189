// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <optional>

#include "bytes.h"
#include "elf_image.h"

namespace lacuna {

// Kernels without an ELF header had to fit into less.
inline constexpr std::size_t largest_raw_image = std::size_t{32} << 20;

// What a kernel without an ELF header was built for, and the address that its first byte is linked to.
struct RawPlace {
    Architecture architecture;
    std::uint64_t address;
};

// Found by what the kernel says of itself: its code and data point to the texts in it, and only at the right address do
// they lead to where the texts begin. Nothing unless most texts agree on one address, by far, and the banner
// ("Linux version ...") is among those texts.
std::optional<RawPlace> place_of_raw_image(ByteView image);

} // namespace lacuna
