// SPDX-License-Identifier: GPL-2.0-or-later
#include "table_check.h"

#include <algorithm>
#include <optional>
#include <set>
#include <string_view>
#include <vector>

#include <spdlog/fmt/fmt.h>

#include "instruction.h"
#include "names.h"
#include "symbol_recovery.h"

namespace lacuna {

namespace {

// What one landmark says; empty: that it fits. Nothing: it says nothing.
using Verdict = std::optional<std::string>;

std::vector<std::uint64_t> all_named(const Symbols& symbols, std::string_view name)
{
    std::vector<std::uint64_t> found;
    for (const Symbol& symbol : symbols.all())
        if (symbol.name == name)
            found.push_back(symbol.address);
    return found;
}

Verdict judge_start(const ElfImage& elf, const Symbols& symbols)
{
    const auto texts = all_named(symbols, "_text");
    for (const std::uint64_t text : texts)
        if (text != elf.code_start())
            return "it has _text at " + hex(text) + ", the image's code starts at " + hex(elf.code_start());
    for (const std::uint64_t start : all_named(symbols, "_stext"))
        if (!elf.is_code(start))
            return "it has _stext at " + hex(start) + ", where the image has no code";
    return texts.empty() ? std::nullopt : Verdict("");
}

Verdict judge_banner(const ElfImage& elf, const Symbols& symbols)
{
    const auto banners = all_named(symbols, "linux_banner");
    for (const std::uint64_t banner : banners)
        if (!banner_at(elf, banner))
            return "it has linux_banner at " + hex(banner) + ", where the image has no \"Linux version\"";
    return banners.empty() ? std::nullopt : Verdict("");
}

// That it prints the banner speaks for the table; that it does not may be the compiler's doing.
Verdict judge_start_kernel(const ElfImage& elf, const Symbols& symbols)
{
    const auto starts = all_named(symbols, "start_kernel");
    if (starts.size() != 1)
        return std::nullopt;
    const auto banners = find_banners(elf);
    for (const Instruction& instruction : Decoder(elf).between(starts[0], symbols.end_of(starts[0])))
        for (const std::uint64_t address : instruction.addresses())
            if (std::find(banners.begin(), banners.end(), banner_at(elf, address)) != banners.end())
                return "";
    return std::nullopt;
}

Verdict judge_init_task(const ElfImage& elf, const Symbols& symbols)
{
    const auto tasks = all_named(symbols, "init_task");
    for (const std::uint64_t task : tasks)
        if (!is_first_task(elf, task))
            return "it has init_task at " + hex(task) + ", where the image has no task named \"swapper\"";
    return tasks.empty() ? std::nullopt : Verdict("");
}

// Calls lead to where functions begin, and a table has all of them.
Verdict judge_calls(const ElfImage& elf, const Symbols& symbols)
{
    constexpr std::size_t most_functions = 256;
    constexpr std::uint64_t longest = 1024;
    constexpr unsigned enough = 16;
    std::vector<std::uint64_t> functions;
    for (const Symbol& symbol : symbols.all())
        if (std::string_view("tTwW").find(symbol.type) != std::string_view::npos && elf.is_code(symbol.address) &&
            (functions.empty() || functions.back() != symbol.address))
            functions.push_back(symbol.address);
    unsigned calls = 0, right = 0;
    const Decoder decoder(elf);
    const std::size_t step = std::max<std::size_t>(functions.size() / most_functions, 1);
    for (std::size_t i = 0; i < functions.size(); i += step) {
        const std::uint64_t end = std::min(symbols.end_of(functions[i]), functions[i] + longest);
        for (const Instruction& instruction : decoder.between(functions[i], end)) {
            const auto target = instruction.direct_target();
            if (instruction.decoded.mnemonic != ZYDIS_MNEMONIC_CALL || !target)
                continue;
            ++calls;
            right += std::binary_search(functions.begin(), functions.end(), *target);
        }
    }
    if (calls < enough)
        return std::nullopt;
    if (right < calls / 10 * 8)
        return fmt::format("of {} calls in what should be functions only {} lead to where one begins", calls, right);
    return "";
}

} // namespace

std::string table_misfit(const ElfImage& elf, const Symbols& symbols)
{
    unsigned agree = 0;
    for (const auto judge : {judge_start, judge_banner, judge_init_task, judge_start_kernel, judge_calls}) {
        const Verdict verdict = judge(elf, symbols);
        if (verdict && !verdict->empty())
            return *verdict;
        agree += verdict.has_value();
    }
    return agree >= 2 ? "" : "too little of it can be compared with the image";
}

} // namespace lacuna
