// SPDX-License-Identifier: GPL-2.0-or-later
#include "kallsyms.h"

#include <algorithm>
#include <array>

#include "error.h"
#include "table_check.h"

// What scripts/kallsyms.c writes, one object in .rodata, each table aligned to the pointer size (from 7.0 to
// 4 bytes):
//
//   up to 6.3   offsets, relative_base, num_syms, names, markers, [seqs_of_names,] token_table, token_index
//   from 6.4    num_syms, names, markers, token_table, token_index, offsets, relative_base (to 6.19),
//   seqs_of_names up to 4.5, or without CONFIG_KALLSYMS_BASE_RELATIVE (gone in 6.11): an array of pointers
//   instead of offsets and base
//
//   names        per symbol a length (one byte; two, ULEB128, from 6.1 for 128 and more) and that many token
//   numbers;
//                the text they expand to starts with the symbol's type
//   markers      where every 256th name starts; 4 bytes each, 8 up to 4.19 on 64-bit
//   token_table  256 NUL-terminated strings; token_index: where each starts, 2 bytes each
//   offsets      4 bytes each, unsigned from relative_base; or, with CONFIG_KALLSYMS_ABSOLUTE_PERCPU (up
//   to 6.14), signed:
//                not negative: the value itself (per-CPU symbols), negative: relative_base - 1 - offset;
//                from 7.0 there is no base, an offset is signed and counts from its own place
//
// The tables are found by what must hold between them, and nothing is believed before it was checked against
// the rest.

namespace lacuna {

namespace {

struct Tokens {
    std::uint64_t table; // offsets into the segment's bytes
    std::uint64_t index;
    std::array<std::string, 256> text;
};

struct Names {
    std::uint64_t count_at; // of num_syms
    std::uint64_t end;      // of the markers
    std::vector<std::string> text;
};

constexpr std::uint64_t align_up(std::uint64_t value, std::uint64_t to)
{
    return (value + to - 1) / to * to;
}

// Hostile images must not keep us busy for long; honest ones stay far below.
class Budget {
public:
    bool spend(std::uint64_t steps)
    {
        left_ -= std::min(left_, steps);
        return left_ != 0;
    }

private:
    std::uint64_t left_ = std::uint64_t{1} << 28;
};

std::optional<Tokens> tokens_at(ByteView data, std::uint64_t table, std::uint64_t index)
{
    Tokens tokens{table, index, {}};
    std::uint64_t expected = 0;
    for (unsigned i = 0; i < 256; ++i) {
        const auto start = load<std::uint16_t>(data, index + 2 * i);
        if (start != expected || table + *start >= index)
            return std::nullopt;
        const auto rest = data.subspan(table + *start, index - table - *start);
        const auto end = std::find(rest.begin(), rest.end(), std::uint8_t{0});
        if (end == rest.end())
            return std::nullopt;
        tokens.text[i].assign(rest.begin(), end);
        expected += tokens.text[i].size() + 1;
    }
    // Only alignment may stand between the two tables.
    if (index - table - expected >= 8)
        return std::nullopt;
    return tokens;
}

// Digits occur in symbol names and are tokens of their own, so the table holds "0\0" "1\0" … "9\0" in
// sequence, and the index, which follows it, holds for these ten numbers that grow by two.
std::optional<Tokens> find_tokens(ByteView data, Budget& budget)
{
    constexpr std::array<std::uint8_t, 20> digits = {'0', 0, '1', 0, '2', 0, '3', 0, '4', 0,
                                                     '5', 0, '6', 0, '7', 0, '8', 0, '9', 0};
    constexpr std::uint64_t max_table = 256 * 128;
    for (auto from = data.begin();;) {
        const auto found = std::search(from, data.end(), digits.begin(), digits.end());
        if (found == data.end())
            return std::nullopt;
        from = found + 1;
        const auto zero = static_cast<std::uint64_t>(found - data.begin());
        for (std::uint64_t index = align_up(zero + digits.size(), 4); index < zero + max_table; index += 4) {
            if (!budget.spend(1))
                return std::nullopt;
            const auto first = load<std::uint16_t>(data, index);
            const auto at_zero = load<std::uint16_t>(data, index + 2 * '0');
            const auto at_nine = load<std::uint16_t>(data, index + 2 * '9');
            if (first != 0 || !at_zero || !at_nine || *at_nine != *at_zero + 18 || *at_zero > zero)
                continue;
            if (!budget.spend(256))
                return std::nullopt;
            if (auto tokens = tokens_at(data, zero - *at_zero, index))
                return tokens;
        }
    }
}

// Expands `count` names from `start` on and checks that every 256th stands where the markers say.
std::optional<std::vector<std::string>> expand_names(ByteView data, std::uint64_t start, std::uint32_t count,
                                                     const std::vector<std::uint64_t>& markers,
                                                     std::uint64_t end, const Tokens& tokens, Budget& budget)
{
    constexpr std::size_t longest_name = 2048;
    // Kernels have some hundred thousand; what a guest's disk holds must not fill the memory.
    constexpr std::uint32_t most_names = 1 << 21;
    constexpr std::size_t most_characters = std::size_t{128} << 20;
    std::vector<std::string> names;
    std::size_t characters = 0;
    std::uint64_t at = start;
    if (count > most_names)
        return std::nullopt;
    for (std::uint32_t i = 0; i < count; ++i) {
        if (i % 256 == 0 && at - start != markers[i / 256])
            return std::nullopt;
        if (at + 2 > end)
            return std::nullopt;
        std::uint32_t length = data[at++];
        if (length & 0x80)
            length = (length & 0x7f) | std::uint32_t{data[at++]} << 7;
        if (length == 0 || length > end - at || !budget.spend(length))
            return std::nullopt;
        std::string name;
        for (const std::uint8_t token : data.subspan(at, length)) {
            name += tokens.text[token];
            if (name.size() > longest_name)
                return std::nullopt;
        }
        characters += name.size();
        if (characters > most_characters)
            return std::nullopt;
        if (name.size() < 2) // the type and at least one character
            return std::nullopt;
        names.push_back(std::move(name));
        at += length;
    }
    if (end - at >= 8) // only alignment between names and markers
        return std::nullopt;
    return names;
}

std::optional<Names> names_before(ByteView data, std::uint64_t markers_at, unsigned marker_size,
                                  const Tokens& tokens, Budget& budget)
{
    // 256 names take at least 512 bytes; a plausible upper bound keeps the search from running on into what
    // follows.
    constexpr std::uint64_t least = 256 * 2;
    constexpr std::uint64_t most = 256 * 256;
    std::vector<std::uint64_t> markers;
    for (std::uint64_t at = markers_at; at + marker_size <= tokens.table; at += marker_size) {
        const std::uint64_t value =
            marker_size == 8 ? *load<std::uint64_t>(data, at) : *load<std::uint32_t>(data, at);
        if (markers.empty() ? value != 0 : value < markers.back() + least || value > markers.back() + most)
            break;
        markers.push_back(value);
    }
    if (markers.size() < 2 || markers.back() > markers_at)
        return std::nullopt;
    const std::uint64_t latest = markers_at - markers.back();
    const std::uint64_t earliest = latest > most ? latest - most : 0;
    for (std::uint64_t start = latest / 4 * 4; start >= earliest + 8; start -= 4) {
        if (!budget.spend(1))
            return std::nullopt;
        for (const unsigned back : {8U, 4U}) { // num_syms is a 4-byte number, padded to the pointer size
            const auto count = load<std::uint32_t>(data, start - back);
            if (!count || *count == 0 || (*count - 1) / 256 + 1 != markers.size())
                continue;
            if (auto text = expand_names(data, start, *count, markers, markers_at, tokens, budget))
                return Names{start - back, markers_at + markers.size() * marker_size, std::move(*text)};
        }
    }
    return std::nullopt;
}

// The markers stand before the token table, in 6.2 and 6.3 with 3 or 4 bytes per symbol in between.
std::optional<Names> find_names(ByteView data, const Tokens& tokens, Budget& budget)
{
    constexpr std::uint64_t window = std::uint64_t{8} << 20;
    const std::uint64_t lowest = tokens.table > window ? tokens.table - window : 0;
    for (std::uint64_t at = tokens.table / 4 * 4; at >= lowest + 4;) {
        at -= 4;
        if (!budget.spend(1))
            return std::nullopt;
        if (load<std::uint32_t>(data, at) != 0u)
            continue;
        for (const unsigned marker_size : {4U, 8U})
            if (auto names = names_before(data, at, marker_size, tokens, budget))
                return names;
    }
    return std::nullopt;
}

enum class Encoding { addresses, offsets, offsets_with_absolute_percpu, offsets_from_place };

// `base` is relative_base; for offsets_from_place the address of the table itself.
std::optional<std::vector<std::uint64_t>> decode_addresses(ByteView data, std::uint64_t at,
                                                           std::uint64_t count, Encoding encoding,
                                                           std::uint64_t base, unsigned pointer_size)
{
    const unsigned size = encoding == Encoding::addresses ? pointer_size : 4;
    if (!slice(data, at, count * size))
        return std::nullopt;
    std::vector<std::uint64_t> addresses;
    addresses.reserve(count);
    for (std::uint64_t i = 0; i < count; ++i) {
        std::uint64_t address = 0;
        if (size == 8) {
            address = *load<std::uint64_t>(data, at + i * 8);
        } else {
            const std::uint32_t value = *load<std::uint32_t>(data, at + i * 4);
            const bool is_absolute =
                encoding == Encoding::addresses ||
                (encoding == Encoding::offsets_with_absolute_percpu && value < 0x80000000);
            if (is_absolute)
                address = value;
            else if (encoding == Encoding::offsets)
                address = base + value;
            else if (encoding == Encoding::offsets_from_place)
                address = base + i * 4 + static_cast<std::uint64_t>(static_cast<std::int32_t>(value));
            else
                address = base - 1 - static_cast<std::uint64_t>(static_cast<std::int32_t>(value));
        }
        if (pointer_size == 4)
            address &= 0xffffffff;
        if (!addresses.empty() && address < addresses.back())
            return std::nullopt; // the kernel itself needs them sorted
        addresses.push_back(address);
    }
    return addresses;
}

Symbols make_symbols(const Names& names, const std::vector<std::uint64_t>& addresses)
{
    std::vector<Symbol> symbols;
    symbols.reserve(addresses.size());
    for (std::size_t i = 0; i < addresses.size(); ++i)
        symbols.push_back({addresses[i], names.text[i][0], names.text[i].substr(1)});
    return Symbols(std::move(symbols), "kallsyms");
}

// `why`: what speaks against the last reading that was tried.
std::optional<Symbols> find_symbols(const ElfImage::Segment& segment, const ElfImage& elf, const Tokens& tokens,
                                    const Names& names, std::string& why)
{
    const ByteView data = segment.data;
    const unsigned pointer = elf.pointer_size();
    const std::uint64_t count = names.text.size();
    const std::uint64_t offsets_size = align_up(count * 4, pointer);
    const std::uint64_t after = align_up(tokens.index + 512, pointer);
    const auto base_at = [&](std::uint64_t at) -> std::optional<std::uint64_t> {
        if (pointer == 8)
            return load<std::uint64_t>(data, at);
        return load<std::uint32_t>(data, at);
    };
    const auto attempt = [&](std::uint64_t at, Encoding encoding,
                             std::uint64_t base) -> std::optional<Symbols> {
        const auto addresses = decode_addresses(data, at, count, encoding, base, pointer);
        if (!addresses)
            return std::nullopt;
        Symbols symbols = make_symbols(names, *addresses);
        why = table_misfit(elf, symbols);
        return why.empty() ? std::optional(std::move(symbols)) : std::nullopt;
    };
    // Base and offsets: in front of num_syms, or behind token_index.
    const std::uint64_t bases[] = {names.count_at - pointer, after + offsets_size};
    const std::uint64_t tables[] = {names.count_at - pointer - offsets_size, after};
    for (unsigned i = 0; i < 2; ++i)
        if (const auto base = base_at(bases[i]))
            for (const Encoding encoding : {Encoding::offsets_with_absolute_percpu, Encoding::offsets})
                if (auto symbols = attempt(tables[i], encoding, *base))
                    return symbols;
    const std::uint64_t at_once = tokens.index + 512; // without pointers the tables are aligned to 4 bytes
    if (auto symbols = attempt(at_once, Encoding::offsets_from_place, segment.address + at_once))
        return symbols;
    for (const std::uint64_t table : {names.count_at - count * pointer, after})
        if (auto symbols = attempt(table, Encoding::addresses, 0))
            return symbols;
    return std::nullopt;
}

} // namespace

Symbols read_kallsyms(const KernelImage& kernel)
{
    constexpr const char* hint = "give the System.map of exactly this build: system_map in the configuration, --system-map, or in the "
                                 "guest beside the kernel, as System.map-VERSION is beside vmlinuz-VERSION";
    Budget budget;
    std::string why;
    bool tokens_seen = false;
    bool names_seen = false;
    for (const ElfImage::Segment& segment : kernel.elf().segments()) {
        const auto tokens = find_tokens(segment.data, budget);
        if (!tokens)
            continue;
        tokens_seen = true;
        auto names = find_names(segment.data, *tokens, budget);
        if (!names)
            continue;
        names_seen = true;
        if (auto symbols = find_symbols(segment, kernel.elf(), *tokens, *names, why))
            return std::move(*symbols);
    }
    if (!tokens_seen)
        throw Error("holds no symbol table (kallsyms): built without CONFIG_KALLSYMS?", kernel.name(), hint);
    throw Error(names_seen ? "holds a kallsyms table whose addresses cannot be understood" +
                                 (why.empty() ? "" : " (" + why + ")")
                           : "holds a kallsyms table whose names cannot be understood",
                kernel.name(), hint);
}

} // namespace lacuna
