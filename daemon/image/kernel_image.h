// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <filesystem>
#include <string>

#include "bytes.h"
#include "elf_image.h"

namespace lacuna {

// A guest's kernel, unpacked: the bytes of its vmlinux and the ELF view of them.
class KernelImage {
public:
    // Reads and unpacks a vmlinuz, bzImage or vmlinux. Throws Error that names the file.
    explicit KernelImage(const std::filesystem::path& path);
    // The same from memory; `name` is what errors call it.
    KernelImage(ByteView image, std::string name);

    KernelImage(KernelImage&&) = default; // moving a vector keeps its buffer, so the ELF view stays valid
    KernelImage(const KernelImage&) = delete;
    KernelImage& operator=(KernelImage&&) = delete;
    KernelImage& operator=(const KernelImage&) = delete;

    const std::string& name() const { return name_; }
    ByteView vmlinux() const { return vmlinux_; }
    const ElfImage& elf() const { return elf_; }

    // 16 hex digits that tell kernel builds apart: the start of the SHA-256 of the vmlinux. Not the build id,
    // which whoever makes a kernel can give the value that another one has.
    std::string fingerprint() const;
    // The same of the vmlinux and what belongs to it.
    std::string fingerprint_with(ByteView other) const;
    // The GNU build id in hex, empty if there is none.
    std::string build_id() const;

private:
    std::string name_;
    Bytes vmlinux_;
    ElfImage elf_;
};

} // namespace lacuna
