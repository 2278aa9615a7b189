// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bytes.h"

namespace lacuna {

enum class Architecture { x86_64, i386 };

// A view into the bytes of a vmlinux (ELF64 x86-64 or ELF32 i386), which must outlive it. Everything is
// bounds-checked: the file comes from a guest.
class ElfImage {
public:
    struct Segment {
        std::uint64_t address; // link-time virtual address
        std::uint64_t memory_size;
        ByteView data; // what the file holds of it; the rest is zero at boot
        bool executable;
    };
    struct Section {
        std::string name;
        std::uint64_t address;
        std::uint64_t size;
        ByteView data; // empty for NOBITS
        bool executable;
    };

    // Throws Error if it is not such a file or its headers point outside it.
    ElfImage(ByteView file, const std::string& name);
    // Of a kernel without an ELF header: one segment of code and data, whose first byte is at an address.
    ElfImage(Architecture architecture, std::uint64_t address, ByteView memory);

    Architecture architecture() const { return architecture_; }
    unsigned pointer_size() const { return architecture_ == Architecture::x86_64 ? 8 : 4; }
    const std::vector<Segment>& segments() const { return segments_; } // PT_LOAD only
    const std::vector<Section>& sections() const { return sections_; } // address 0: not part of the kernel
    const Section* section(std::string_view section_name) const;       // nullptr if there is none

    // Whether a kernel may be linked to such an address. What the image holds elsewhere is no part of it in memory: the
    // first copy of the per-CPU variables of x86-64, which is linked to 0, and the pages that processes see.
    bool is_kernel(std::uint64_t address) const;
    // Where its code begins: _text.
    std::uint64_t code_start() const;
    bool is_code(std::uint64_t address) const;
    // All stretches of code: executable segments, and executable sections outside of them. From 7.0 on what is only needed to
    // start (.init.text) may stand in a segment of data.
    std::vector<std::pair<std::uint64_t, ByteView>> code() const;

    // The bytes the file holds from a link-time address on, at most `size`, cut at the segment's end; empty
    // if the address is in no segment or in zeroed memory.
    ByteView read_up_to(std::uint64_t address, std::uint64_t size) const;
    // A pointer at an offset of some of its bytes; nothing if out of bounds.
    std::optional<std::uint64_t> load_pointer(ByteView bytes, std::uint64_t offset) const
    {
        if (architecture_ == Architecture::x86_64)
            return load<std::uint64_t>(bytes, offset);
        return load<std::uint32_t>(bytes, offset);
    }
    // Exactly `size` bytes, or nothing.
    std::optional<ByteView> read(std::uint64_t address, std::uint64_t size) const;

    // The NT_GNU_BUILD_ID note's bytes, if there is one.
    std::optional<Bytes> build_id() const;

private:
    Architecture architecture_ = Architecture::x86_64;
    std::vector<Segment> segments_;
    std::vector<Section> sections_;
    std::vector<ByteView> notes_;
};

} // namespace lacuna
