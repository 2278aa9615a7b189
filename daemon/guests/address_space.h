// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <chrono>
#include <cstdint>
#include <cstring>
#include <functional>
#include <map>
#include <optional>

#include <lacuna/abi.h>

#include "bytes.h"

namespace lacuna {

// Reads that many bytes at a guest physical address. Throws Error if there is no memory.
using PhysicalReader = std::function<Bytes(std::uint64_t gpa, std::size_t length)>;

// A guest's virtual memory, seen from outside through one of its page tables.
// Paging as in the Intel SDM, volume 3A, sections 4.3 (32-bit), 4.4 (PAE) and 4.5 (4-level and 5-level). The
// module has its own walk (kmod/engine/space.c), since its GPL-2.0-only does not go with the OpenSSL 3 that
// lacunad links; both are tested on one table.
class AddressSpace {
public:
    static constexpr std::size_t max_read = 1 << 20; // bytes in one call

    // root: CR3, whose bits that are not part of the top-level table's address (PCID, PTI) are ignored.
    AddressSpace(PhysicalReader memory, std::uint64_t root, lacuna_paging paging);

    // The same memory through another page table.
    AddressSpace under(std::uint64_t root) const;

    // The guest physical address, or nothing if it is not canonical or not mapped.
    std::optional<std::uint64_t> translate(std::uint64_t gva);

    // Exactly `length` bytes. Throws Error that names the address if one of them is not mapped.
    Bytes read(std::uint64_t gva, std::size_t length);

    template <typename T> T value(std::uint64_t gva)
    {
        const Bytes bytes = read(gva, sizeof(T));
        T value;
        std::memcpy(&value, bytes.data(), sizeof(T));
        return value;
    }

    // Bytes of the guest kernel's longs and pointers, and one of them.
    unsigned word_size() const;
    std::uint64_t word(std::uint64_t gva);

    // Pages that were read are remembered until this is called: the guest may change them.
    void forget() { pages_.clear(); }

    // From then on whatever has to be read throws Error: a guest may have made its lists long, or its tables
    // many.
    void give_up_at(std::chrono::steady_clock::time_point when) { give_up_at_ = when; }

private:
    std::uint64_t entry(std::uint64_t gpa);
    const Bytes& page_at(std::uint64_t gpa); // the one that holds this address

    PhysicalReader memory_;
    const struct Paging& paging_;
    std::uint64_t root_;
    std::map<std::uint64_t, Bytes> pages_; // that were read, by GPA
    std::chrono::steady_clock::time_point give_up_at_ = std::chrono::steady_clock::time_point::max();
};

} // namespace lacuna
