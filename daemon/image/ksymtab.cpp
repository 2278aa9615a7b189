// SPDX-License-Identifier: GPL-2.0-or-later
#include "ksymtab.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <string>
#include <vector>

namespace lacuna {

namespace {

// struct kernel_symbol (include/linux/export.h): the value, its name, and from 5.4 on a namespace. Pointers;
// or, with CONFIG_HAVE_ARCH_PREL32_RELOCATIONS (4.19), numbers of 4 bytes that count from their own place.
struct Form {
    bool relative;
    unsigned fields;
};
constexpr std::array<Form, 4> forms = {{{true, 3}, {true, 2}, {false, 3}, {false, 2}}};

struct Export {
    std::uint64_t value;
    std::string_view name;
};

// A kernel exports some ten thousand symbols, with names that are shorter than KSYM_NAME_LEN.
constexpr std::size_t most_exports = std::size_t{1} << 17;
constexpr std::size_t longest_name = 512;

bool is_of_identifier(std::uint8_t c)
{
    return std::isalnum(c) || c == '_' || c == '.' || c == '$';
}

class Table {
public:
    Table(const ElfImage& elf, const ElfImage::Section& table, const ElfImage::Section& strings)
        : elf_(elf),
          table_(table),
          strings_(strings)
    {}

    // Nothing unless every name of the table is one of the strings.
    std::optional<std::vector<Export>> read(const Form& form) const
    {
        const std::uint64_t field = form.relative ? 4 : elf_.pointer_size(), entry = form.fields * field;
        if (table_.data.empty() || table_.data.size() % entry || table_.data.size() / entry > most_exports)
            return std::nullopt;
        std::vector<Export> exports;
        for (std::uint64_t at = 0; at < table_.data.size(); at += entry) {
            const auto name = string_at(value(at + field, form));
            if (!name)
                return std::nullopt;
            exports.push_back({value(at, form), *name});
        }
        return exports;
    }

private:
    // The field at `at` holds its bytes: the table is a whole number of entries.
    std::uint64_t value(std::uint64_t at, const Form& form) const
    {
        if (!form.relative)
            return *elf_.load_pointer(table_.data, at);
        const auto place = table_.address + at +
                           static_cast<std::uint64_t>(std::int64_t{*load<std::int32_t>(table_.data, at)});
        return elf_.pointer_size() == 8 ? place : place & 0xffff'ffff;
    }

    std::optional<std::string_view> string_at(std::uint64_t address) const
    {
        const std::uint64_t index = address - strings_.address;
        if (address < strings_.address || index >= strings_.data.size())
            return std::nullopt;
        // The linker may let a name be the tail of another.
        const auto all = strings_.data.subspan(index);
        const auto rest = all.first(std::min(all.size(), longest_name));
        const auto end = std::find(rest.begin(), rest.end(), std::uint8_t{0});
        if (end == rest.begin() || end == rest.end() || !std::all_of(rest.begin(), end, is_of_identifier))
            return std::nullopt;
        return std::string_view(reinterpret_cast<const char*>(rest.data()),
                                static_cast<std::size_t>(end - rest.begin()));
    }

    const ElfImage& elf_;
    const ElfImage::Section& table_;
    const ElfImage::Section& strings_;
};

} // namespace

std::optional<std::uint64_t> find_exported(const ElfImage& elf, std::string_view name)
{
    const auto* strings = elf.section("__ksymtab_strings");
    std::optional<std::uint64_t> found;
    for (const char* section : {"__ksymtab", "__ksymtab_gpl"}) {
        const auto* table = elf.section(section);
        if (!table || !strings)
            continue;
        for (const Form& form : forms) {
            const auto exports = Table(elf, *table, *strings).read(form);
            if (!exports)
                continue;
            for (const Export& one : *exports)
                if (one.name == name) {
                    if (found && *found != one.value)
                        return std::nullopt;
                    found = one.value;
                }
            break;
        }
    }
    return found;
}

} // namespace lacuna
