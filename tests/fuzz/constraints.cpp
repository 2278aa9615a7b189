// SPDX-License-Identifier: GPL-2.0-or-later
// Constraint files, of what traps teach and of what looks teach: an Error says what is wrong, and what is accepted the
// engine takes.
#include <cstdlib>
#include <filesystem>

#include "constraint_set.h"
#include "deep_constraints.h"
#include "error.h"
#include "harness.h"
#include "payload.h"

extern "C" {
#include "engine.h"
}

namespace lacuna::fuzz {

namespace {

// Files one behind the other, with a line of '=' between them.
constexpr std::string_view between = "\n=\n";

void run(ByteView input)
{
    std::string_view text(reinterpret_cast<const char*>(input.data()), input.size());
    std::vector<ConstraintFile> files;
    for (;;) {
        const std::size_t end = std::min(text.find(between), text.size());
        files.push_back({std::to_string(files.size()) + ".json", std::string(text.substr(0, end))});
        if (end == text.size())
            break;
        text.remove_prefix(end + between.size());
    }
    try {
        const lacuna_constraints set = compile_constraints(files);
        if (lac_constraints_check(&set) != 0)
            std::abort();
    } catch (const Error&) {
    }
}

void run_deep(ByteView input)
{
    try {
        read_deep_structure({reinterpret_cast<const char*>(input.data()), input.size()}, "fuzz.json");
    } catch (const Error&) {
    }
}

std::vector<Seed> files_of(const std::filesystem::path& folder)
{
    std::vector<Seed> all;
    for (const auto& entry : std::filesystem::directory_iterator(folder))
        if (entry.path().extension() == ".json" && entry.path().filename() != "schema.json")
            all.push_back({entry.path().filename().string(), read_file(entry.path())});
    std::sort(all.begin(), all.end(), [](const Seed& a, const Seed& b) { return a.name < b.name; });
    return all;
}

std::vector<Seed> seeds()
{
    std::vector<Seed> all = files_of(LACUNA_CONSTRAINTS);
    Seed together{"all", {}};
    for (const Seed& one : all) {
        if (!together.bytes.empty())
            together.bytes.insert(together.bytes.end(), between.begin(), between.end());
        together.bytes.insert(together.bytes.end(), one.bytes.begin(), one.bytes.end());
    }
    all.push_back(together);
    return all;
}

std::vector<Seed> deep_seeds()
{
    return files_of(LACUNA_CONSTRAINTS "/deep");
}

} // namespace

const Harness constraints = {"constraints", run, seeds, 1 << 16};
const Harness deep_constraints = {"deep_constraints", run_deep, deep_seeds, 1 << 15};

} // namespace lacuna::fuzz
