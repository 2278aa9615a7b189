// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel_image.h"

#include <cinttypes>
#include <cstdio>
#include <utility>

#include "payload.h"

namespace lacuna {

namespace {

std::string hex16(std::uint64_t value)
{
    char text[17];
    std::snprintf(text, sizeof(text), "%016" PRIx64, value);
    return text;
}

std::uint64_t fnv1a(ByteView bytes)
{
    std::uint64_t hash = 0xcbf29ce484222325;
    for (const std::uint8_t byte : bytes)
        hash = (hash ^ byte) * 0x100000001b3;
    return hash;
}

} // namespace

KernelImage::KernelImage(const std::filesystem::path& path) : KernelImage(read_file(path), path.string()) {}

KernelImage::KernelImage(ByteView image, std::string name)
    : name_(std::move(name)),
      vmlinux_(extract_vmlinux(image, name_)),
      elf_(vmlinux_, name_)
{}

std::string KernelImage::build_id() const
{
    std::string text;
    for (const std::uint8_t byte : elf_.build_id().value_or(Bytes{})) {
        constexpr char digits[] = "0123456789abcdef";
        text += digits[byte >> 4];
        text += digits[byte & 15];
    }
    return text;
}

std::string KernelImage::fingerprint() const
{
    const std::string id = build_id();
    return id.size() >= 16 ? id.substr(0, 16) : hex16(fnv1a(vmlinux_));
}

} // namespace lacuna
