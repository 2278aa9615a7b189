// SPDX-License-Identifier: GPL-2.0-or-later
//
// What is asked of modules' memory.
#include <algorithm>
#include <bit>
#include <set>

#include "predicate.h"
#include "taints.h"

namespace lacuna {

namespace {

constexpr std::uint64_t page_size = 4096;
constexpr std::int32_t word = 8;
constexpr std::size_t name_size = 56;      // MODULE_NAME_LEN
constexpr std::int32_t kobject_size = 128; // as large as it may be

std::string name_of(Look& look, const Instance& module)
{
    const auto name = look.known("module.name");
    return name ? look.text_at(moved(module.address, *name), name_size) : std::string();
}

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

// A pointer to the start of the structure it lies in, of which only a place behind the start is known. A kobject is before it,
// which has the module's name.
Answer leads_to_start(Look& look, const Instance& module, std::int32_t offset)
{
    constexpr std::int64_t furthest = 2048;
    const auto value = module.word(offset);
    const std::uint64_t place = moved(module.address, offset);
    if (!look.known("module.name"))
        return {};
    if (!value || *value > module.address || *value % 64 || module.address - *value > furthest || place < *value ||
        place - *value <= word) // a list's head that leads to itself
        return Answer::refusal();
    const std::string own = name_of(look, module);
    for (std::int32_t at = offset - kobject_size; at < offset; at += word)
        if (const auto pointer = module.word(at); pointer && *pointer >> 63 && !own.empty() && look.text_at(*pointer, name_size) == own)
            return Answer::show(*value, {static_cast<std::int32_t>(module.address - *value)});
    return Answer::refusal();
}

// The module's kobject: it begins with a pointer to the module's name (struct kobject, include/linux/kobject.h), and is on the list of
// a set that a symbol of the kernel's image leads to. Each in the set refers to it twice, as to the set and as to its parent, and it was
// made with one reference (kobject_add_internal(), kobj_kset_join()): that count is found by it, in the set's own kobject. Constants:
// the node in a kobject, the list's head in a set, and the count in a kobject.
Predicate kobject_in_set(const DeepConstraint& constraint, const DeepMember&)
{
    constexpr std::uint64_t set_size = 256;
    return [symbol = constraint.arguments.at("symbol").get<std::string>(),
            called = constraint.arguments.at("called").get<std::string>()](Look& look, const Instance& module, std::int32_t offset) {
        const auto leads = look.symbol(symbol);
        const auto set = leads ? look.word(*leads) : std::nullopt;
        if (!set || !look.leads_somewhere(*set) || !look.known("module.name"))
            return Answer();
        const auto name = module.word(offset);
        if (!name || !look.leads_to_text(*name))
            return Answer::refusal();
        const std::string own = name_of(look, module);
        if (own.empty() || look.text_at(*name, name_size) != own)
            return Answer::refusal();
        Answer answer = Answer::searching(module.address);
        for (std::int32_t entry = word; entry < kobject_size; entry += word) {
            look.breathe(); // a guest may have long lists behind each of its names
            const auto nodes = look.nodes_of_list(moved(module.address, offset + entry));
            const auto head = std::find_if(nodes.begin(), nodes.end(), [&](std::uint64_t node) { return node - *set < set_size; });
            if (head == nodes.end())
                continue;
            const std::uint64_t references = 2 * nodes.size() + 1; // the head is among them, and it is not itself
            for (std::uint64_t own_name = *set; own_name < *set + set_size; own_name += word) {
                if (look.text_at(look.word(own_name).value_or(0), name_size) != called)
                    continue;
                for (std::int32_t count = word; count < kobject_size; count += 4)
                    if (look.value<std::uint32_t>(moved(own_name, count)) == references)
                        answer.add({entry, static_cast<std::int32_t>(*head - *set), count});
            }
        }
        return answer;
    };
}

// What marks a module as other than the kernel's own, and the whole kernel with it, for ever: what all modules have there is what the
// kernel has of such marks. Two marks at least: a single one is too simple a number.
Predicate taints(const DeepConstraint& constraint, const DeepMember&)
{
    std::uint64_t of_modules = 0;
    for (const Taint& taint : module_taints)
        of_modules |= std::uint64_t{1} << taint.bit;
    return [symbol = constraint.arguments.at("symbol").get<std::string>(),
            of_modules](Look& look, const Instance& module, std::int32_t offset) {
        const auto mask = look.symbol(symbol);
        const auto all = mask ? look.word(*mask) : std::nullopt;
        const auto value = module.word(offset);
        if (!all || std::popcount(*all & of_modules) < 2)
            return Answer();
        if (!value || *value & ~(*all & of_modules))
            return Answer::refusal();
        std::uint64_t together = 0;
        for (const Instance& other : look.instances_named("module"))
            together |= other.word(offset).value_or(0);
        if (together != (*all & of_modules))
            return Answer::refusal();
        return std::popcount(*value) >= 2 ? Answer::show(*value) : Answer::pass();
    };
}

// It leads to a table of symbols as ELF has them, of which the first is none and each other has a name, and which ends where the names
// begin (layout_symtab(), kernel/module). What it leads to begins with it. Constants: the table, how many there are, and their names.
Answer leads_to_symbol_table(Look& look, const Instance& module, std::int32_t offset)
{
    constexpr std::uint64_t symbol_size = 24, most = 65536; // Elf64_Sym
    constexpr std::uint64_t looked_at = 32, longest_name = 512;
    constexpr std::int32_t window = 64;
    const auto value = module.word(offset);
    if (!value || !look.leads_somewhere(*value))
        return Answer::refusal();
    const auto table = look.word(*value);
    if (!table || !look.leads_somewhere(*table) || look.word(*table) != 0u || look.word(*table + word) != 0u)
        return Answer::refusal();
    Answer answer = Answer::searching(*table);
    for (std::int32_t at = word; at < window; at += word) {
        const auto names = look.word(moved(*value, at));
        if (!names || *names <= *table || (*names - *table) % symbol_size || !look.leads_to_text(*names + 1))
            continue;
        const std::uint64_t count = (*names - *table) / symbol_size;
        bool named = count > 1 && count < most && look.value<std::uint8_t>(*names) == 0u;
        for (std::uint64_t i = 1; named && i < std::min(count, looked_at); i++) {
            const auto name = look.value<std::uint32_t>(*table + i * symbol_size);
            named = name && !look.text_at(*names + *name, longest_name).empty();
        }
        for (std::int32_t number = word; named && number < window; number += 4)
            if (look.value<std::uint32_t>(moved(*value, number)) == count)
                answer.add({0, number, at});
    }
    return answer;
}

// The lowest address that any module has had, and behind it the highest (mod_update_bounds(), kernel/module): no module that is there lies
// below or above.
Answer bounds_of_modules(Look& look, const Instance& tree, std::int32_t offset)
{
    constexpr std::uint64_t area = std::uint64_t{3} << 29; // MODULES_LEN at most, arch/x86/include/asm/pgtable_64_types.h
    const auto lowest = tree.word(offset), highest = tree.word(offset + word);
    std::uint64_t low = ~std::uint64_t{0}, high = 0;
    for (const Instance& module : look.instances_named("module"))
        for (const auto inside : {look.member(module, "module.module_core"), std::optional(module.address)})
            if (inside && *inside) {
                low = std::min(low, *inside);
                high = std::max(high, *inside);
            }
    if (!high)
        return {};
    if (!lowest || !highest || *lowest % page_size || *lowest > low || *highest <= high || *highest - *lowest > area)
        return Answer::refusal();
    return Answer::show(*lowest, {offset + word});
}

} // namespace

const PredicateMakers& module_predicates()
{
    static const PredicateMakers makers{
        {"size-of-core", plain(size_of_core)},
        {"base-of-second-part", plain(base_of_second_part)},
        {"leads-to-start", plain(leads_to_start)},
        {"kobject-in-set", kobject_in_set},
        {"taints", taints},
        {"leads-to-symbol-table", plain(leads_to_symbol_table)},
        {"bounds-of-modules", plain(bounds_of_modules)},
    };
    return makers;
}

} // namespace lacuna
