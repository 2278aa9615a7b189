// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <type_traits>
#include <vector>

namespace lacuna {

using Bytes = std::vector<std::uint8_t>;
using ByteView = std::span<const std::uint8_t>;

// The part of `view` from offset on, `size` bytes long; nothing if it does not lie wholly inside.
inline std::optional<ByteView> slice(ByteView view, std::uint64_t offset, std::uint64_t size)
{
    if (offset > view.size() || size > view.size() - offset)
        return std::nullopt;
    return view.subspan(static_cast<std::size_t>(offset), static_cast<std::size_t>(size));
}

// A little-endian value (x86 images on x86 hosts) at any alignment; nothing if out of bounds.
template <typename T> std::optional<T> load(ByteView view, std::uint64_t offset)
{
    static_assert(std::is_trivially_copyable_v<T>);
    const auto part = slice(view, offset, sizeof(T));
    if (!part)
        return std::nullopt;
    T value;
    std::memcpy(&value, part->data(), sizeof(T));
    return value;
}

} // namespace lacuna
