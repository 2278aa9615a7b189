// SPDX-License-Identifier: GPL-2.0-or-later
//
// What is asked of a process's memory: mm_struct and its areas.
#include <algorithm>

#include "predicate.h"

namespace lacuna {

namespace {

constexpr std::uint64_t page_size = 4096;
constexpr std::int32_t word = 8;
constexpr std::int32_t most_auxiliary = 32; // entries

// Types of the auxiliary vector (include/uapi/linux/auxvec.h).
constexpr std::uint64_t at_phdr = 3, at_pagesz = 6, at_entry = 9, at_uid = 11, at_egid = 14, at_hwcap = 16,
                        at_random = 25, at_sysinfo_ehdr = 33, at_most = 64;

// The vector of which the kernel keeps a copy (create_elf_tables()); x86 puts the vDSO's address first.
Answer auxiliary_vector(Look&, const Instance& mm, std::int32_t offset)
{
    if (mm.word(offset) != at_sysinfo_ehdr || mm.word(offset - 2 * word) == at_sysinfo_ehdr)
        return Answer::refusal();
    std::uint64_t found = 0, vdso = 0;
    for (std::int32_t i = 0; i < most_auxiliary; i++) {
        const auto type = mm.word(offset + 2 * i * word), value = mm.word(offset + (2 * i + 1) * word);
        if (!type || !value || *type >= at_most)
            return Answer::refusal();
        if (*type == 0)
            break;
        if (*type == at_pagesz && *value != page_size)
            return Answer::refusal();
        if (*type == at_sysinfo_ehdr)
            vdso = *value;
        found |= std::uint64_t{1} << *type;
    }
    for (const std::uint64_t type : {at_phdr, at_pagesz, at_entry, at_uid, at_egid, at_hwcap, at_random})
        if (!(found >> type & 1))
            return Answer::refusal();
    return Answer::show(vdso);
}

// What the kernel has put on a new program's stack: argc, argv, 0, envp, 0 and the vector.
struct Arguments {
    std::uint64_t first_argument = 0, end_of_arguments = 0, first_of_environment = 0;
};

std::optional<Arguments> arguments_at(Look& look, const Instance& mm, std::uint64_t stack)
{
    constexpr std::uint64_t most = 4096;
    const auto vector = look.known("mm_struct.saved_auxv");
    const auto count = look.user_word(mm, stack);
    if (!vector || stack % word || !count || !*count || *count > most ||
        look.user_word(mm, stack + (1 + *count) * word) != 0u)
        return std::nullopt;
    Arguments arguments;
    arguments.first_argument = look.user_word(mm, stack + word).value_or(0);
    arguments.first_of_environment = look.user_word(mm, stack + (2 + *count) * word).value_or(0);
    std::uint64_t at = stack + (2 + *count) * word;
    for (std::uint64_t i = 0; i < most; i++, at += word) {
        const auto variable = look.user_word(mm, at);
        if (!variable)
            return std::nullopt;
        if (!*variable)
            break;
    }
    // whoever takes variables away leaves zeros
    for (std::uint64_t i = 0; i < most && look.user_word(mm, at + word) == 0u; i++)
        at += word;
    for (std::int32_t i = 0; i < 4 * word; i += word)
        if (look.user_word(mm, at + static_cast<std::uint64_t>(word + i)) != mm.word(*vector + i))
            return std::nullopt;
    if (const auto last = look.user_word(mm, stack + *count * word)) {
        const Bytes text = look.user_bytes(mm, *last, page_size);
        const auto end = std::find(text.begin(), text.end(), 0);
        if (end != text.end())
            arguments.end_of_arguments = *last + static_cast<std::uint64_t>(end - text.begin()) + 1;
    }
    return arguments;
}

Answer program_stack(Look& look, const Instance& mm, std::int32_t offset)
{
    const auto value = mm.word(offset);
    if (!look.known("mm_struct.saved_auxv"))
        return {};
    return value && *value && *value >> 48 == 0 && arguments_at(look, mm, *value) ? Answer::show(*value)
                                                                                  : Answer::refusal();
}

// A bound of what was put on the stack.
Predicate stack_bound(const DeepConstraint& constraint, const DeepMember&)
{
    const auto bound = constraint.arguments.at("bound").get<std::string>();
    return [bound](Look& look, const Instance& mm, std::int32_t offset) {
        const auto stack = look.member(mm, "mm_struct.start_stack");
        const auto arguments = stack ? arguments_at(look, mm, *stack) : std::nullopt;
        if (!arguments)
            return Answer();
        const std::uint64_t wanted = bound == "first-argument"     ? arguments->first_argument
                                     : bound == "end-of-arguments" ? arguments->end_of_arguments
                                                                   : arguments->first_of_environment;
        if (!wanted)
            return Answer();
        return mm.word(offset) == wanted ? Answer::show(wanted) : Answer::refusal();
    };
}

// A word of the auxiliary vector, but not that word itself.
Predicate auxiliary_word(const DeepConstraint& constraint, const DeepMember&)
{
    return [type = constraint.arguments.at("type").get<std::uint64_t>()](Look& look, const Instance& mm,
                                                                         std::int32_t offset) {
        const auto vector = look.known("mm_struct.saved_auxv");
        const auto wanted = look.auxiliary(mm, type);
        if (!vector || !wanted || !*wanted)
            return Answer();
        if (mm.word(offset) != *wanted || (offset >= *vector && offset < *vector + 2 * most_auxiliary * word))
            return Answer::refusal();
        return Answer::show(*wanted);
    };
}

// Which places of these structures hold what the areas of a process are known by.
std::vector<AreaLayout> layouts(const std::vector<Bytes>& structures, std::uint64_t mm)
{
    std::vector<AreaLayout> found;
    if (structures.size() < 3)
        return found;
    const auto at = [](const Bytes& bytes, std::int32_t offset) {
        return load<std::uint64_t>(bytes, static_cast<std::uint64_t>(offset)).value_or(0);
    };
    const auto all = [&](auto&& holds) { return std::all_of(structures.begin(), structures.end(), holds); };
    const auto bound = [&](const Bytes& bytes, std::int32_t offset) {
        const std::uint64_t value = at(bytes, offset);
        return value >= page_size && value % page_size == 0 && value >> 56 == 0;
    };
    std::vector<std::int32_t> backs, bounds;
    for (std::int32_t offset = 0; offset < 256; offset += word) {
        if (all([&](const Bytes& bytes) { return at(bytes, offset) == mm; }))
            backs.push_back(offset);
        if (all([&](const Bytes& bytes) { return bound(bytes, offset); }))
            bounds.push_back(offset);
    }
    for (const std::int32_t back : backs)
        for (const std::int32_t start : bounds)
            for (const std::int32_t end : bounds)
                if (all([&](const Bytes& bytes) { return at(bytes, start) < at(bytes, end); }))
                    found.push_back({back, start, end});
    return found;
}

// The root of a tree whose leaves are all areas of this memory: they lead back to it, lie side by side, and
// hold what every program has. Constants: the root's place in the tree; vm_mm, vm_start, vm_end.
Answer area_tree(Look& look, const Instance& mm, std::int32_t offset)
{
    constexpr std::int32_t tree_size = 64;
    const auto landmarks = look.landmarks(mm);
    if (landmarks.empty())
        return {};
    Answer answer = Answer::searching(mm.address);
    for (std::int32_t root = 0; root < tree_size; root += word) {
        const auto entry = mm.word(offset + root);
        if (!entry)
            continue;
        const auto words = look.tree_words(moved(mm.address, offset), *entry);
        if (words.empty())
            continue;
        // only what leads back to this memory somewhere can be an area
        std::vector<Bytes> structures;
        std::map<std::int32_t, std::vector<Bytes>> by_back;
        for (const std::uint64_t leaf : std::set<std::uint64_t>(words.begin(), words.end()))
            if (look.leads_somewhere(leaf)) {
                const Bytes& bytes = look.block(leaf, 256);
                for (std::int32_t at = 0; at < 256; at += word)
                    if (load<std::uint64_t>(bytes, static_cast<std::uint64_t>(at)) == mm.address)
                        by_back[at].push_back(bytes);
            }
        for (const auto& [back, found] : by_back)
            for (const AreaLayout& layout : layouts(found, mm.address))
                if (layout.mm == back && Look::cover(look.areas_among(words, mm, layout), landmarks))
                    answer.add({root, layout.mm, layout.start, layout.end});
    }
    return answer;
}

// It leads to the first of a chain of all areas of this memory. Constants: vm_mm, vm_next, vm_start, vm_end.
Answer area_list(Look& look, const Instance& mm, std::int32_t offset)
{
    const auto first = mm.word(offset);
    const auto landmarks = look.landmarks(mm);
    if (landmarks.empty())
        return {};
    if (!first || !look.leads_somewhere(*first))
        return Answer::refusal();
    Answer answer = Answer::searching(*first);
    const Bytes head = look.block(*first, 256);
    for (std::int32_t back = 0; back < 256; back += word) {
        if (load<std::uint64_t>(head, static_cast<std::uint64_t>(back)) != mm.address)
            continue;
        for (std::int32_t next = 0; next < 256; next += word) {
            std::vector<Bytes> chain;
            std::vector<std::uint64_t> addresses;
            std::uint64_t at = *first;
            while (at && look.leads_somewhere(at) && chain.size() < look.limits().list) {
                const Bytes& bytes = look.block(at, 256);
                if (load<std::uint64_t>(bytes, static_cast<std::uint64_t>(back)) != mm.address)
                    break;
                chain.push_back(bytes);
                addresses.push_back(at);
                at = load<std::uint64_t>(bytes, static_cast<std::uint64_t>(next)).value_or(1);
            }
            if (at)
                continue;
            for (const AreaLayout& layout : layouts(chain, mm.address)) {
                std::vector<Area> areas;
                for (std::size_t i = 0; i < chain.size(); i++)
                    areas.push_back({addresses[i],
                                     *load<std::uint64_t>(chain[i], static_cast<std::uint64_t>(layout.start)),
                                     *load<std::uint64_t>(chain[i], static_cast<std::uint64_t>(layout.end))});
                if (layout.mm == back && Look::cover(areas, landmarks))
                    answer.add({back, next, layout.start, layout.end});
            }
        }
    }
    return answer;
}

// The area in which this member of the memory, or what the vector says, lies.
bool holds(Look& look, const Instance& area, std::optional<std::uint64_t> address)
{
    const auto start = look.member(area, "vm_area_struct.vm_start"),
               end = look.member(area, "vm_area_struct.vm_end");
    return start && end && address && *start <= *address && *address < *end;
}

// Text may be read and executed; the stack may be read and written, and grows downwards.
Answer area_flags(Look& look, const Instance& area, std::int32_t offset)
{
    constexpr std::uint64_t read = 1, write = 2, execute = 4, grows_down = 0x100; // include/linux/mm.h
    const auto value = area.word(offset);
    if (!area.owner || !value)
        return {};
    if (holds(look, area, look.auxiliary(*area.owner, at_entry)))
        return (*value & (read | write | execute)) == (read | execute) ? Answer::show(*value)
                                                                       : Answer::refusal();
    if (holds(look, area, look.auxiliary(*area.owner, at_random)))
        return (*value & (read | write | grows_down)) == (read | write | grows_down) ? Answer::show(*value)
                                                                                     : Answer::refusal();
    return {};
}

// In the area of the program's code it is the program that the memory belongs to; the stack has no file.
Answer file_of_program(Look& look, const Instance& area, std::int32_t offset)
{
    const auto value = area.word(offset);
    const auto program = area.owner ? look.member(*area.owner, "mm_struct.exe_file") : std::nullopt;
    if (!program || !*program || !value)
        return {};
    if (holds(look, area, look.auxiliary(*area.owner, at_phdr)))
        return *value == *program ? Answer::show(*value) : Answer::refusal();
    if (holds(look, area, look.auxiliary(*area.owner, at_random)))
        return *value == 0 ? Answer::pass() : Answer::refusal();
    return {};
}

// An area that belongs to no file starts there, and ends with the page in which another member of the memory
// lies: the heap. Constant: that one.
Answer start_of_heap(Look& look, const Instance& mm, std::int32_t offset)
{
    constexpr std::uint64_t write = 2, execute = 4;
    const auto file = look.known("vm_area_struct.vm_file"), flags = look.known("vm_area_struct.vm_flags");
    const auto value = mm.word(offset);
    if (!file || !flags || !value)
        return {};
    Answer answer = Answer::searching(*value);
    for (const Area& area : look.areas(mm)) {
        if (area.start != (*value & ~(page_size - 1)))
            continue;
        const auto at = [&](std::int32_t where) {
            return look.word(moved(area.address, where)).value_or(0);
        };
        if (at(*file) || !(at(*flags) & write) || at(*flags) & execute)
            continue;
        for (std::int32_t end = 0; const auto last = mm.word(end); end += word)
            if (end != offset && *last > *value && *last <= area.end && area.end - *last < page_size)
                answer.add({end});
    }
    return answer;
}

// What an entry of a maple tree leads to (enum maple_type), from its low bits.
enum NodeType : std::uint64_t { leaf = 1, range = 2, allocation_range = 3 };

NodeType type_of_node(std::uint64_t entry)
{
    return static_cast<NodeType>(entry >> 3 & 0xf);
}

std::uint64_t node_of(std::uint64_t entry)
{
    return entry & ~std::uint64_t{Look::tree_node - 1};
}

// The words of a node behind its first, which leads to its parent, that lead to nodes below it: where, and the entry.
std::vector<std::pair<std::int32_t, std::uint64_t>> entries_below(Look& look, std::uint64_t node)
{
    std::vector<std::pair<std::int32_t, std::uint64_t>> entries;
    const Bytes bytes = look.block(node, Look::tree_node);
    for (std::size_t at = word; at + word <= bytes.size(); at += word) {
        const auto entry = *load<std::uint64_t>(bytes, at);
        if (entry % Look::tree_node == 0 || !look.leads_somewhere(node_of(entry)))
            continue;
        if (const auto parent = look.word(node_of(entry)); parent && node_of(*parent) == node)
            entries.emplace_back(static_cast<std::int32_t>(at), entry);
    }
    return entries;
}

// How deep a tree is stands in its flags (MT_FLAGS_HEIGHT_OFFSET, include/linux/maple_tree.h), whose other bits are the same in all
// trees of areas (MM_MT_FLAGS, include/linux/mm_types.h) but for one that came later (MT_FLAGS_USE_RCU).
Answer height_of_tree(Look& look, const Instance& tree, std::int32_t offset)
{
    constexpr unsigned shift = 2, most = 31;
    constexpr std::uint32_t of_areas = 0x301, later = 2; // MT_FLAGS_ALLOC_RANGE | MT_FLAGS_LOCK_EXTERN
    const auto root = look.known("maple_tree.ma_root");
    const auto value = tree.value<std::uint32_t>(offset);
    auto entry = root ? tree.word(*root) : std::nullopt;
    if (!entry || !value)
        return {};
    unsigned height = 1;
    for (; type_of_node(*entry) != leaf && height < most; height++) {
        const auto below = entries_below(look, node_of(*entry));
        if (below.empty())
            return {};
        entry = below.front().second;
    }
    const bool fits = (*value >> shift & most) == height && (*value & ~(most << shift | later)) == of_areas;
    return fits ? Answer::show(height) : Answer::refusal();
}

// Where a node's entries begin. In a leaf that is where the first area's entry would be, since the area's last byte is the
// pivot of the same number; in a node above it is told by the number that each node keeps of its entry in its parent
// (MAPLE_PARENT_SLOT_SHIFT).
Predicate first_entry(const DeepConstraint& constraint, const DeepMember&)
{
    return [in_leaf = constraint.arguments.at("leaf").get<bool>()](Look& look, const Instance& node, std::int32_t offset) {
        constexpr std::uint64_t slot_shift = 3, slot_mask = 0x1f;
        constexpr unsigned enough = 3;
        if (!node.owner || node.bytes.size() < Look::tree_node)
            return Answer();
        if (offset < 2 * word) // there its parent stands, and a pivot
            return Answer::refusal();
        const auto below = entries_below(look, node.address);
        if (below.empty() != in_leaf)
            return Answer();
        unsigned seen = 0;
        for (const auto& [at, entry] : below) {
            const auto slot = static_cast<std::int32_t>(look.word(node_of(entry)).value_or(0) >> slot_shift & slot_mask);
            if (at != offset + slot * word)
                return Answer::refusal();
            seen++;
        }
        for (const Area& area : in_leaf ? look.areas(*node.owner) : std::vector<Area>())
            for (std::int32_t at = word; at + word <= static_cast<std::int32_t>(Look::tree_node); at += word) {
                if (node.word(at) != area.address)
                    continue;
                const std::int32_t pivot = word + at - offset;
                if (at < offset || pivot >= offset) // the last one has no pivot
                    continue;
                if (node.word(pivot) == 0u) // the node above says it
                    continue;
                if (node.word(pivot) != area.end - 1)
                    return Answer::refusal();
                seen++;
            }
        return seen >= (in_leaf ? enough : 2) ? Answer::show(node.address) : Answer::refusal();
    };
}

// Of an area of the program's own file, how many pages into the file it begins, as the program's headers say. One that begins
// with the file has 0, and so have many.
Answer page_in_program(Look& look, const Instance& area, std::int32_t offset)
{
    constexpr std::uint64_t header_size = 56, at_phnum = 5, most = 64; // Elf64_Phdr
    constexpr std::uint32_t load_type = 1, own_type = 6;               // PT_LOAD, PT_PHDR
    const auto file = look.known("vm_area_struct.vm_file");
    const auto value = area.word(offset), start = look.member(area, "vm_area_struct.vm_start");
    if (!area.owner || !file || !value || !start)
        return {};
    const std::uint64_t program = look.member(*area.owner, "mm_struct.exe_file").value_or(0);
    if (!program || area.word(*file).value_or(0) != program)
        return {};
    const auto table = look.auxiliary(*area.owner, at_phdr), number = look.auxiliary(*area.owner, at_phnum);
    if (!table || !number || *number > most)
        return {};
    const Bytes headers = look.user_bytes(*area.owner, *table, *number * header_size);
    std::optional<std::uint64_t> moved; // from where it is linked
    for (std::size_t at = 0; at + header_size <= headers.size(); at += header_size) {
        if (load<std::uint32_t>(headers, at) == own_type)
            moved = *table - *load<std::uint64_t>(headers, at + 16);
        else if (load<std::uint32_t>(headers, at) == load_type && load<std::uint64_t>(headers, at + 8) == 0u && !moved)
            moved = *table - *load<std::uint64_t>(headers, at + 16) - 64; // they lie behind the file's own header
    }
    for (std::size_t at = 0; moved && at + header_size <= headers.size(); at += header_size) {
        const std::uint64_t begins = (*load<std::uint64_t>(headers, at + 16) + *moved) & ~(page_size - 1);
        if (load<std::uint32_t>(headers, at) != load_type || begins != *start)
            continue;
        const std::uint64_t page = *load<std::uint64_t>(headers, at + 8) / page_size;
        return *value == page ? (page ? Answer::show(page) : Answer::pass()) : Answer::refusal();
    }
    return {};
}

} // namespace

const PredicateMakers& memory_predicates()
{
    static const PredicateMakers makers{
        {"auxiliary-vector", plain(auxiliary_vector)},
        {"program-stack", plain(program_stack)},
        {"stack-bound", stack_bound},
        {"auxiliary-word", auxiliary_word},
        {"area-tree", plain(area_tree)},
        {"area-list", plain(area_list)},
        {"area-flags", plain(area_flags)},
        {"file-of-program", plain(file_of_program)},
        {"start-of-heap", plain(start_of_heap)},
        {"height-of-tree", plain(height_of_tree)},
        {"first-entry", first_entry},
        {"page-in-program", plain(page_in_program)},
    };
    return makers;
}

} // namespace lacuna
