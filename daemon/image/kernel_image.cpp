// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel_image.h"

#include <utility>

#include "digest.h"
#include "error.h"
#include "payload.h"
#include "raw_image.h"

namespace lacuna {

namespace {

ElfImage view_of(ByteView vmlinux, const std::string& name)
{
    if (is_elf(vmlinux))
        return ElfImage(vmlinux, name);
    const auto place = place_of_raw_image(vmlinux);
    if (!place)
        throw Error("holds a payload that is neither an ELF vmlinux nor a kernel whose address can be found", name,
                    "give the ELF vmlinux of this build");
    return ElfImage(place->architecture, place->address, vmlinux);
}

} // namespace

KernelImage::KernelImage(const std::filesystem::path& path) : KernelImage(read_file(path), path.string()) {}

KernelImage::KernelImage(ByteView image, std::string name)
    : name_(std::move(name)),
      vmlinux_(extract_vmlinux(image, name_)),
      elf_(view_of(vmlinux_, name_))
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
    return digest_of({vmlinux_}).substr(0, 16);
}

std::string KernelImage::fingerprint_with(ByteView other) const
{
    return digest_of({vmlinux_, other}).substr(0, 16);
}

} // namespace lacuna
