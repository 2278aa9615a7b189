// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernel_image.h"

namespace lacuna {

struct Symbol {
    std::uint64_t address; // link-time address; a small number for per-CPU symbols up to 6.15
    char type;             // as nm prints it; says little across versions, so nothing is filtered by it
    std::string name;
};

// A kernel's symbol table, sorted by address.
class Symbols {
public:
    // `source` is "kallsyms" or the path of a System.map.
    Symbols(std::vector<Symbol> symbols, std::string source);

    const std::vector<Symbol>& all() const { return symbols_; }
    const std::string& source() const { return source_; }

    // The address of the symbol with exactly this name, nothing if there is none. Of several the global one: there is
    // one at most.
    // Throws Error if static symbols of that name stand at different addresses: guessing could go wrong.
    std::optional<std::uint64_t> find(std::string_view name) const;
    // Where the function at `address` ends at the latest: at the next symbol, or where none is so long.
    std::uint64_t end_of(std::uint64_t address) const;

private:
    std::vector<Symbol> symbols_;
    std::string source_;
};

// A System.map as it lies in a file.
struct SystemMap {
    std::string name; // what errors call it: its path
    Bytes text;
};

// Throws Error if it cannot be read, or is larger than any is.
SystemMap read_system_map(const std::filesystem::path& path);

// The symbols of a kernel: from `system_map` if given and real, else from the kallsyms tables inside the
// image. What was ignored and why is appended to `notices`. Throws Error if the System.map belongs to another
// kernel, or if there is no symbol table at all.
Symbols read_symbols(const KernelImage& kernel, const std::optional<SystemMap>& system_map,
                     std::vector<std::string>& notices);

} // namespace lacuna
