// SPDX-License-Identifier: GPL-2.0-or-later
#include "symbol_file.h"

#include <charconv>
#include <iterator>
#include <set>

#include <spdlog/fmt/fmt.h>

#include "error.h"

namespace lacuna {

namespace {

void append(std::string& text, std::uint64_t address, char type, std::string_view name)
{
    fmt::format_to(std::back_inserter(text), "{:016x} {} {}\n", address, type, name);
}

// Symbols and what is known beside them; of kallsyms nobody knows which are names of the same thing.
std::vector<Symbol> all_symbols(const KernelDescriptor& kernel, const Symbols& symbols)
{
    std::vector<Symbol> all = symbols.all();
    std::set<std::string_view> there;
    for (const Symbol& symbol : symbols.all())
        there.insert(symbol.name);
    const auto add = [&](const char* name, std::uint64_t address, char type) {
        if (address && !there.contains(name))
            all.push_back({address, type, name});
    };
    add("_text", kernel.text, 'T');
    add("_end", kernel.end, 'B');
    add("linux_banner", kernel.banner_address, 'D');
    add("init_task", kernel.init_task, 'D');
    add("modules", kernel.modules, 'D');
    if (!there.contains("init_level4_pgt") && !there.contains("swapper_pg_dir"))
        add("init_top_pgt", kernel.page_table, 'D');
    return all;
}

} // namespace

std::string symbol_text(const KernelDescriptor& kernel, const Symbols& symbols)
{
    const Symbols sorted(all_symbols(kernel, symbols), symbols.source());
    std::string text;
    for (const Symbol& symbol : sorted.all())
        append(text, symbol.address, symbol.type, symbol.name);
    return text;
}

void for_each_symbol(std::string_view text, const OnSymbol& found)
{
    for (std::size_t at = 0; at < text.size();) {
        const std::size_t end = std::min(text.find('\n', at), text.size());
        const std::string_view line = text.substr(at, end - at);
        at = end + 1;
        std::uint64_t address = 0;
        const auto parsed = std::from_chars(line.data(), line.data() + line.size(), address, 16);
        const auto digits = static_cast<std::size_t>(parsed.ptr - line.data());
        if (parsed.ec != std::errc{} || line.size() < digits + 4 || line[digits] != ' ' || line[digits + 2] != ' ')
            throw Error("is not \"address type name\"", "\"" + std::string(line) + "\" among a kernel's symbols");
        found(address, line[digits + 1], line.substr(digits + 3));
    }
}

std::map<std::string, std::uint64_t> addresses_of(std::string_view text, const std::set<std::string, std::less<>>& wanted)
{
    std::map<std::string, std::uint64_t> addresses;
    std::set<std::string> ambiguous;
    for_each_symbol(text, [&](std::uint64_t address, char, std::string_view name) {
        if (!wanted.empty() && !wanted.contains(name))
            return;
        const auto [known, is_new] = addresses.emplace(name, address);
        if (!is_new && known->second != address)
            ambiguous.emplace(name);
    });
    for (const std::string& name : ambiguous)
        addresses.erase(name);
    return addresses;
}

std::string slid_symbol_text(std::string_view text, std::uint64_t slide)
{
    std::uint64_t first = 0; // _text: what lies below is no address of the image
    for_each_symbol(text, [&](std::uint64_t address, char, std::string_view name) {
        if (name == "_text")
            first = address;
    });
    if (!first)
        throw Error("has no symbol _text", "the kernel");
    std::string slid;
    slid.reserve(text.size());
    for_each_symbol(text, [&](std::uint64_t address, char type, std::string_view name) {
        append(slid, address >= first ? address + slide : address, type, name);
    });
    return slid;
}

} // namespace lacuna
