// SPDX-License-Identifier: GPL-2.0-or-later
//
// What is asked of modules' memory.
#include <set>

#include "predicate.h"

namespace lacuna {

namespace {

constexpr std::uint64_t page_size = 4096;

// That many bytes from there are mapped, in whole pages, and not the page behind: each part of a module is an area of its own
// (vmalloc), with a page behind it that is not mapped.
bool is_extent(Look& look, std::uint64_t start, std::uint64_t size)
{
    constexpr std::uint64_t most = std::uint64_t{64} << 20;
    if (start % page_size || !size || size > most)
        return false;
    const std::uint64_t end = start + (size + page_size - 1) / page_size * page_size;
    for (std::uint64_t page = start; page < end; page += page_size)
        if (!look.leads_somewhere(page))
            return false;
    return !look.leads_somewhere(end);
}

// Up to 6.3 all that stays of a module is one part, which begins with its text: this is how long it is.
Answer size_of_core(Look& look, const Instance& module, std::int32_t offset)
{
    const auto core = look.member(module, "module.module_core");
    const auto text = look.known("module.core_text_size");
    const auto value = module.value<std::uint32_t>(offset);
    if (!core || !text || !*core)
        return {};
    const auto text_size = module.value<std::uint32_t>(*text);
    if (!value || !text_size || *value % page_size || *value <= *text_size || !is_extent(look, *core, *value))
        return Answer::refusal();
    return Answer::show(*value);
}

// Since 6.4 there are several, in an array of which text is the first: data, read-only data and what is read-only once it is
// initialised. Each has a base and a size, or is not there; this is the base of the second.
Answer base_of_second_part(Look& look, const Instance& module, std::int32_t offset)
{
    constexpr std::int32_t smallest = 16, largest = 128, parts = 4;
    const auto base = look.known("module.module_core"), size = look.known("module.core_text_size");
    if (!base || !size)
        return {};
    const std::int32_t stride = offset - *base;
    if (stride < smallest || stride > largest)
        return Answer::refusal();
    std::set<std::uint64_t> bases;
    for (std::int32_t i = 1; i < parts; i++) {
        const auto start = module.word(*base + i * stride);
        const auto length = module.value<std::uint32_t>(*size + i * stride);
        if (!start || !length || (*start ? !is_extent(look, *start, *length) : *length != 0))
            return Answer::refusal();
        if (*start)
            bases.insert(*start);
    }
    return bases.size() >= 2 ? Answer::show(*module.word(offset)) : Answer::pass();
}

} // namespace

const PredicateMakers& module_predicates()
{
    static const PredicateMakers makers{
        {"size-of-core", plain(size_of_core)},
        {"base-of-second-part", plain(base_of_second_part)},
    };
    return makers;
}

} // namespace lacuna
