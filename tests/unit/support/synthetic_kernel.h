// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "bytes.h"
#include "symbols.h"

namespace lacuna::synthetic {

// How scripts/kallsyms.c of different kernel versions lays its tables out.
enum class Layout {
    addresses,      // up to 4.5: pointers, 8-byte markers
    wide_markers,   // 4.6 to 4.19: offsets and base, 8-byte markers
    base_first,     // 4.20 to 6.1: 4-byte markers
    seqs_between,   // 6.2 and 6.3: three bytes per symbol between markers and tokens
    base_last,      // 6.4 to 6.19: offsets and base behind the token index
    place_relative, // from 7.0: no base, tables aligned to 4 bytes
};

inline constexpr std::uint64_t text_address = 0xffffffff81000000;
inline constexpr std::uint64_t rodata_address = 0xffffffff82000000;
inline constexpr std::uint64_t data_address = 0xffffffff82600000;

// A small vmlinux: enough of one to be described.
struct Kernel {
    Layout layout = Layout::base_first;
    bool absolute_percpu = false; // CONFIG_KALLSYMS_ABSOLUTE_PERCPU
    bool kallsyms = true;
    std::string banner = "Linux version 6.1.0-test-amd64 (someone@example.org) #1 SMP\n";
    Bytes build_id = {0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef, 0xfe, 0xdc};
    std::string first_comm = "swapper";
    std::vector<Symbol> symbols; // what kallsyms says, sorted by address
    Bytes text;

    Kernel(); // three traceable functions, one that tells of modules, and all the symbols a descriptor needs

    void remove(const std::string& name);
    void rename(const std::string& from, const std::string& to);
    std::uint64_t address(const std::string& name) const;
    Bytes vmlinux() const;
};

// Appends a little-endian value.
template <typename T> void append(Bytes& bytes, T value)
{
    for (unsigned i = 0; i < sizeof(T); ++i)
        bytes.push_back(static_cast<std::uint8_t>(static_cast<std::uint64_t>(value) >> (8 * i)));
}

Bytes xz(const Bytes& data);
Bytes lzma(const Bytes& data);
Bytes gzip(const Bytes& data);
Bytes zstd(const Bytes& data);
Bytes lz4(const Bytes& data); // the legacy frame
Bytes bzip2(const Bytes& data);
Bytes lzo(const Bytes& data); // as lzop(1) writes it, with a checksum of each block

// A bzImage around a packed payload (which must not have the trailing size yet, unless it is gzip).
Bytes bz_image(Bytes packed, std::uint32_t unpacked_size, bool append_size = true);

} // namespace lacuna::synthetic
