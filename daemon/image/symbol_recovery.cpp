// SPDX-License-Identifier: GPL-2.0-or-later
#include "symbol_recovery.h"

#include <algorithm>
#include <map>
#include <set>
#include <string_view>
#include <vector>

#include <spdlog/fmt/fmt.h>

#include "instruction.h"

namespace lacuna {

namespace {

// Functions that walk the list of modules, in some version from 2.6 on (kernel/module.c, kernel/module/).
constexpr const char* module_walkers[] = {
    "find_module_all",
    "find_module",
    "find_symbol",
    "each_symbol",
    "each_symbol_section",
    "print_modules",
    "load_module",
    "module_address_lookup",
    "module_get_kallsym",
    "module_kallsyms_lookup_name",
    "module_kallsyms_on_each_symbol",
    "lookup_module_symbol_name",
    "is_module_percpu_address",
    "__is_module_percpu_address",
    "__module_address",
};
constexpr std::size_t enough_walkers = 3;

// Functions of every kernel that ask which task runs.
constexpr const char* users_of_current[] = {"do_exit", "release_task", "schedule",     "__schedule",
                                            "do_fork", "_do_fork",     "kernel_clone", "sys_getpid"};

// Where the function of that name starts, if there is one of it only.
std::optional<std::uint64_t> only_one(const Symbols& symbols, std::string_view name)
{
    std::optional<std::uint64_t> found;
    for (const Symbol& symbol : symbols.all()) {
        if (symbol.name != name)
            continue;
        if (found && *found != symbol.address)
            return std::nullopt;
        found = symbol.address;
    }
    return found;
}

std::vector<Instruction> instructions_of(const ElfImage& elf, const Symbols& symbols, std::uint64_t start)
{
    return Decoder(elf).between(start, symbols.end_of(start));
}

} // namespace

bool is_empty_list(const ElfImage& elf, std::uint64_t address)
{
    const unsigned word = elf.pointer_size();
    // Not at 0, where up to 6.15 the per-CPU data of x86-64 is linked to.
    const auto links = address == 0 || address % word ? std::nullopt : elf.read(address, 2 * word);
    return links && elf.load_pointer(*links, 0) == address && elf.load_pointer(*links, word) == address;
}

std::optional<std::uint64_t> banner_at(const ElfImage& elf, std::uint64_t linux_banner)
{
    constexpr std::string_view start = "Linux version ";
    const auto is_text = [&](std::uint64_t address) {
        const auto bytes = elf.read(address, start.size());
        return bytes && std::equal(start.begin(), start.end(), bytes->begin());
    };
    if (is_text(linux_banner))
        return linux_banner;
    const auto word = elf.read(linux_banner, elf.pointer_size());
    const auto pointer = word ? elf.load_pointer(*word, 0) : std::nullopt;
    return pointer && is_text(*pointer) ? pointer : std::nullopt;
}

bool is_first_task(const ElfImage& elf, std::uint64_t address)
{
    constexpr std::string_view comm("swapper\0", 8);
    constexpr std::uint64_t largest_task = 16384;
    const ByteView bytes = elf.read_up_to(address, largest_task);
    return std::search(bytes.begin(), bytes.end(), comm.begin(), comm.end()) != bytes.end();
}

std::vector<std::uint64_t> find_banners(const ElfImage& elf)
{
    constexpr std::string_view start = "Linux version ";
    constexpr std::ptrdiff_t longest = 1024;
    std::vector<std::uint64_t> found;
    for (const ElfImage::Segment& segment : elf.segments()) {
        const ByteView data = segment.data;
        for (auto at = data.begin();; ++at) {
            at = std::search(at, data.end(), start.begin(), start.end());
            if (at == data.end())
                break;
            const auto last = data.end() - at > longest ? at + longest : data.end();
            const auto end = std::find(at, last, std::uint8_t{0});
            const bool is_banner = end != last && *(end - 1) == '\n' && std::find(at, end, '%') == end;
            if (is_banner && (at == data.begin() || *(at - 1) == 0))
                found.push_back(segment.address + static_cast<std::uint64_t>(at - data.begin()));
        }
    }
    return found;
}

std::optional<Recovered> recover_module_list(const ElfImage& elf, const Symbols& symbols)
{
    std::map<std::uint64_t, std::vector<std::string>> users; // by the list they use
    for (const char* walker : module_walkers) {
        const auto start = only_one(symbols, walker);
        if (!start)
            continue;
        std::set<std::uint64_t> lists;
        for (const Instruction& instruction : instructions_of(elf, symbols, *start))
            for (const std::uint64_t address : instruction.addresses())
                if (is_empty_list(elf, address))
                    lists.insert(address);
        for (const std::uint64_t list : lists)
            users[list].emplace_back(walker);
    }
    std::optional<Recovered> found;
    for (const auto& [list, walkers] : users) {
        if (walkers.size() < 2)
            continue; // something of that function's own
        if (found || walkers.size() < enough_walkers)
            return std::nullopt;
        found = {list, fmt::format("in the code of {}", fmt::join(walkers, ", "))};
    }
    return found;
}

namespace {

std::string banner_text(const ElfImage& elf, std::uint64_t banner)
{
    constexpr std::uint64_t longest = 1024;
    const ByteView bytes = elf.read_up_to(banner, longest);
    return {bytes.begin(), std::find(bytes.begin(), bytes.end(), std::uint8_t{0})};
}

} // namespace

std::optional<Recovered> recover_banner(const ElfImage& elf, const Symbols& symbols)
{
    std::vector<std::uint64_t> found = find_banners(elf);
    const auto start_kernel = only_one(symbols, "start_kernel");
    if (found.size() > 1 && start_kernel) {
        std::set<std::uint64_t> used;
        for (const Instruction& instruction : instructions_of(elf, symbols, *start_kernel))
            for (const std::uint64_t address : instruction.addresses())
                used.insert(address);
        std::erase_if(found, [&](std::uint64_t banner) { return !used.contains(banner); });
    }
    // Where the time of the build is fixed both may be the same, and either tells what the kernel is.
    const auto same = [&](std::uint64_t banner) { return banner_text(elf, banner) == banner_text(elf, found.front()); };
    return !found.empty() && std::all_of(found.begin(), found.end(), same)
               ? std::optional(Recovered{found.front(), "by its text"})
               : std::nullopt;
}

std::optional<Recovered> recover_end(const ElfImage& elf, std::uint64_t text)
{
    // Behind a kernel's last section nothing follows but what processes see of it, such as .vsyscall.
    const auto belongs = [&](std::uint64_t address) { return address >= text && elf.is_kernel(address); };
    std::uint64_t end = 0;
    for (const ElfImage::Section& section : elf.sections())
        if (belongs(section.address))
            end = std::max(end, section.address + section.size);
    if (end > text)
        return Recovered{end, "as the end of the last section"};
    for (const ElfImage::Segment& segment : elf.segments())
        if (belongs(segment.address))
            end = std::max(end, segment.address + segment.memory_size);
    if (end <= text)
        return std::nullopt;
    return Recovered{end, "as the end of the last segment"};
}

bool is_end(const ElfImage& elf, std::uint64_t end)
{
    std::uint64_t start = 0; // of the last that the image holds of the kernel, but for what processes see
    for (const ElfImage::Segment& segment : elf.segments())
        if (elf.is_kernel(segment.address))
            start = std::max(start, elf.segments().size() == 1 ? segment.address + segment.data.size()
                                                               : segment.address);
    return end > start && elf.is_kernel(end);
}

namespace {

using Load = std::pair<bool, std::uint64_t>; // by GS or FS, and of what

// For each system call that does nothing but tell something of the current task, the words that it loads from fixed places.
std::vector<std::set<Load>> loads_of_users(const ElfImage& elf, const Symbols& symbols)
{
    const bool wide = elf.architecture() == Architecture::x86_64;
    const ZydisRegister own = wide ? ZYDIS_REGISTER_GS : ZYDIS_REGISTER_FS;
    std::set<std::uint64_t> users;
    for (const char* prefix : {"sys_", "SyS_", "__do_sys_", "__se_sys_", "__x64_sys_", "__ia32_sys_"})
        for (const char* call : {"getpid", "gettid", "getppid", "getuid", "geteuid", "getgid", "getegid"})
            if (const auto start = only_one(symbols, std::string(prefix) + call))
                users.insert(*start);
    std::vector<std::set<Load>> found;
    for (const std::uint64_t start : users) {
        std::set<Load> loads;
        for (const Instruction& instruction : instructions_of(elf, symbols, start)) {
            const auto& memory = instruction.operands[1];
            if (instruction.decoded.mnemonic == ZYDIS_MNEMONIC_MOV && instruction.visible() == 2 &&
                memory.type == ZYDIS_OPERAND_TYPE_MEMORY && memory.size == elf.pointer_size() * 8 &&
                (memory.mem.segment == own || memory.mem.segment == ZYDIS_REGISTER_DS))
                for (const std::uint64_t address : instruction.addresses())
                    loads.insert({memory.mem.segment == own, address});
            if (instruction.decoded.mnemonic == ZYDIS_MNEMONIC_RET)
                break;
        }
        found.push_back(std::move(loads));
    }
    return found;
}

} // namespace

std::optional<std::uint64_t> recover_current_by_users(const ElfImage& elf, const Symbols& symbols)
{
    std::set<Load> found;
    unsigned users = 0;
    for (std::set<Load>& loads : loads_of_users(elf, symbols)) {
        std::erase_if(loads, [](const Load& load) { return !load.first; });
        users += !loads.empty();
        found.insert(loads.begin(), loads.end());
    }
    return users >= 2 && found.size() == 1 ? std::optional(found.begin()->second) : std::nullopt;
}

bool users_load(const ElfImage& elf, const Symbols& symbols, std::uint64_t variable, bool per_cpu)
{
    const auto users = loads_of_users(elf, symbols);
    return std::count_if(users.begin(), users.end(),
                         [&](const auto& loads) { return loads.contains({per_cpu, variable}); }) >= 2;
}

std::optional<std::uint64_t> recover_stack_size(const ElfImage& elf, const Symbols& symbols)
{
    std::set<std::uint64_t> sizes;
    for (const char* user : users_of_current) {
        const auto start = only_one(symbols, user);
        if (!start)
            continue;
        std::optional<std::uint64_t> loaded; // by the instruction before: mov $-8192,%eax; and %esp,%eax
        for (const Instruction& instruction : instructions_of(elf, symbols, *start)) {
            const bool is_and = instruction.decoded.mnemonic == ZYDIS_MNEMONIC_AND;
            std::optional<std::uint64_t> mask;
            for (unsigned i = 0; i < instruction.visible(); ++i)
                if (const auto& operand = instruction.operands[i];
                    operand.type == ZYDIS_OPERAND_TYPE_IMMEDIATE && !operand.imm.is_relative) {
                    const auto size = static_cast<std::uint32_t>(-operand.imm.value.s);
                    if (size == 4096 || size == 8192 || size == 16384 || size == 32768)
                        mask = size;
                }
            const bool with_stack = instruction.visible() == 2 &&
                                    instruction.operands[1].type == ZYDIS_OPERAND_TYPE_REGISTER &&
                                    (instruction.operands[1].reg.value == ZYDIS_REGISTER_ESP ||
                                     instruction.operands[1].reg.value == ZYDIS_REGISTER_RSP);
            if (is_and && loaded && with_stack)
                sizes.insert(*loaded);
            loaded = instruction.decoded.mnemonic == ZYDIS_MNEMONIC_MOV ? mask : std::nullopt;
        }
    }
    return sizes.size() == 1 ? std::optional(*sizes.begin()) : std::nullopt;
}

} // namespace lacuna
