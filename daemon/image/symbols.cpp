// SPDX-License-Identifier: GPL-2.0-or-later
#include "symbols.h"

#include <algorithm>
#include <charconv>
#include <tuple>
#include <utility>

#include "error.h"
#include "kallsyms.h"
#include "names.h"
#include "payload.h"
#include "table_check.h"

namespace lacuna {

namespace {

[[noreturn]] void wrong_map(const Symbols& map, const KernelImage& kernel, const std::string& why)
{
    throw Error("is the System.map of another kernel than " + kernel.name() + ": " + why, map.source(),
                "give the System.map of exactly this build, or none: the image's own table is used then");
}

// Sibling builds differ little, so what can be compared is compared.
void check_system_map(const Symbols& map, const KernelImage& kernel)
{
    for (const char* name : {"_text", "linux_banner"})
        if (!map.find(name))
            throw Error(std::string("holds no symbol ") + name, map.source(), "give a complete System.map");
    if (const std::string why = table_misfit(kernel.elf(), map); !why.empty())
        wrong_map(map, kernel, why);
}

// Every symbol of the image's own table that the map knows must be where the map says.
void compare_with_kallsyms(const Symbols& map, const Symbols& kallsyms, const KernelImage& kernel)
{
    const auto by_name = [](const Symbol& a, const Symbol& b) {
        return std::tie(a.name, a.address) < std::tie(b.name, b.address);
    };
    std::vector<Symbol> sorted = map.all();
    std::sort(sorted.begin(), sorted.end(), by_name);
    for (const Symbol& symbol : kallsyms.all()) {
        const auto first = std::lower_bound(sorted.begin(), sorted.end(), Symbol{0, ' ', symbol.name}, by_name);
        if (first == sorted.end() || first->name != symbol.name)
            continue; // the two are filtered by different rules
        if (!std::binary_search(first, sorted.end(), symbol, by_name))
            wrong_map(map, kernel,
                      "it has " + symbol.name + " at " + hex(first->address) + ", the image at " +
                          hex(symbol.address));
    }
}

} // namespace

Symbols::Symbols(std::vector<Symbol> symbols, std::string source)
    : symbols_(std::move(symbols)),
      source_(std::move(source))
{
    std::stable_sort(symbols_.begin(), symbols_.end(),
                     [](const Symbol& a, const Symbol& b) { return a.address < b.address; });
}

std::optional<std::uint64_t> Symbols::find(std::string_view name) const
{
    const Symbol* found = nullptr;
    const Symbol* other = nullptr; // as good
    for (const Symbol& symbol : symbols_) {
        if (symbol.name != name)
            continue;
        const bool global = symbol.type >= 'A' && symbol.type <= 'Z';
        const bool found_global = found && found->type >= 'A' && found->type <= 'Z';
        if (!found || (global && !found_global)) {
            found = &symbol;
            other = nullptr;
        } else if (global == found_global && symbol.address != found->address) {
            other = &symbol;
        }
    }
    if (other)
        throw Error("has two symbols " + other->name + ", at " + hex(found->address) + " and " +
                        hex(other->address),
                    source_, "this kernel is not supported yet: please report it");
    return found ? std::optional(found->address) : std::nullopt;
}

std::uint64_t Symbols::end_of(std::uint64_t address) const
{
    constexpr std::uint64_t longest = 0x10000;
    const auto next =
        std::upper_bound(symbols_.begin(), symbols_.end(), address,
                         [](std::uint64_t value, const Symbol& symbol) { return value < symbol.address; });
    return next == symbols_.end() ? address + longest : std::min(next->address, address + longest);
}

SystemMap read_system_map(const std::filesystem::path& path)
{
    constexpr std::size_t largest = std::size_t{16} << 20; // some 5 MiB are usual
    return {path.string(), read_file(path, largest)};
}

namespace {

// Nothing if it is Debian's stub ("The real System.map is in the linux-image-VERSION-dbg package").
std::optional<Symbols> symbols_of(const SystemMap& map)
{
    const std::string_view text(reinterpret_cast<const char*>(map.text.data()), map.text.size());
    if (text.starts_with("ffffffffffffffff B The real System.map is in "))
        return std::nullopt;
    std::vector<Symbol> symbols;
    std::size_t line_number = 0;
    for (std::size_t at = 0; at < text.size();) {
        const std::size_t end = std::min(text.find('\n', at), text.size());
        const std::string_view line = text.substr(at, end - at);
        at = end + 1;
        ++line_number;
        // "ffffffff81000000 T _text"
        std::uint64_t address = 0;
        const auto parsed = std::from_chars(line.data(), line.data() + line.size(), address, 16);
        const auto digits = static_cast<std::size_t>(parsed.ptr - line.data());
        if (parsed.ec != std::errc{} || line.size() < digits + 4 || line[digits] != ' ' ||
            line[digits + 2] != ' ')
            throw Error("is not a System.map: line " + std::to_string(line_number) +
                            " is not \"address type name\"",
                        map.name, "give the System.map that was made with this kernel, or none");
        symbols.push_back({address, line[digits + 1], std::string(line.substr(digits + 3))});
    }
    if (symbols.empty())
        throw Error("is empty", map.name, "give the System.map that was made with this kernel, or none");
    return Symbols(std::move(symbols), map.name);
}

} // namespace

Symbols read_symbols(const KernelImage& kernel, const std::optional<SystemMap>& system_map,
                     std::vector<std::string>& notices)
{
    if (!system_map)
        return read_kallsyms(kernel);
    auto map = symbols_of(*system_map);
    if (!map) {
        notices.push_back(system_map->name + ": is Debian's stub without symbols, ignored");
        return read_kallsyms(kernel);
    }
    check_system_map(*map, kernel);
    std::optional<Symbols> kallsyms;
    try {
        kallsyms = read_kallsyms(kernel);
    } catch (const Error& error) {
        notices.push_back(map->source() + ": could not be checked against the image's own table (" +
                          error.failed() + ")");
    }
    if (kallsyms)
        compare_with_kallsyms(*map, *kallsyms, kernel);
    return std::move(*map);
}

} // namespace lacuna
