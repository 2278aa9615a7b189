// SPDX-License-Identifier: GPL-2.0-or-later
// How long a whole hunt takes on recordings, and one event of a made-up guest with a single predicate asked of all the candidates of
// its member. Reading guest memory, here a look into a table, is a part of it.
#include <benchmark/benchmark.h>

#include <cstring>
#include <filesystem>
#include <functional>
#include <set>

#include "abi_names.h"
#include "constraint_set.h"
#include "replay.h"
#include "synthetic_guest.h"

namespace {

using namespace lacuna;
using namespace lacuna::test;

void hunt(benchmark::State& state, const std::filesystem::path& file)
{
    const auto recording = read_recording(file);
    const auto set = load_constraints(LACUNA_CONSTRAINTS);
    for (auto _ : state) {
        EngineHunter hunter(set);
        benchmark::DoNotOptimize(replay(recording, file.string(), hunter));
    }
}

// A guest in which something happens of each kind.
struct Guest {
    SyntheticGuest guest{Layout::ordinary()};
    lac_event fork{}, exit{}, load{};

    void run(const std::function<void(const lac_event&)>& use)
    {
        for (int i = 0; i < 2; i++)
            use(guest.fork_event(guest.init_task()));
        const auto init = guest.spawn_kernel_thread("init");
        const auto kthreadd = guest.spawn_kernel_thread("kthreadd");
        for (int i = 0; i < 40; i++) {
            use(guest.fork_event(i % 2 ? init : kthreadd));
            guest.spawn_kernel_thread("kworker/" + std::to_string(i));
        }
        SyntheticGuest::Task process;
        for (int i = 0; i < 24; i++) {
            process = guest.spawn_process("process" + std::to_string(i));
            use(guest.fork_event(process));
            if (i % 4 == 0)
                use(guest.fork_event(guest.spawn_thread(process, "thread")));
            if (i % 2 == 0) {
                use(guest.exit_event(process));
                guest.exit(process);
            }
        }
        for (int i = 0; i < 12; i++) {
            load = guest.load_module("module_" + std::to_string(i));
            use(load);
        }
        fork = guest.fork_event(process);
        exit = guest.exit_event(guest.spawn_process("ends"));
    }
};

// The set with one predicate of the member, which nothing settles and nothing kills.
lacuna_constraints only(lacuna_constraints set, std::size_t member, std::size_t predicate)
{
    lacuna_member& m = set.members[member];
    m.predicates[0] = m.predicates[predicate];
    m.predicates_nr = 1;
    m.strikes = m.witnesses = 255;
    return set;
}

void ask(benchmark::State& state, const lacuna_constraints& set, std::uint8_t on)
{
    Guest made;
    const lac_memory memory = made.guest.memory.for_engine();
    const std::unique_ptr<lac_engine, void (*)(lac_engine*)> engine(lac_engine_create(&set), lac_engine_destroy);
    const lac_facts facts = made.guest.facts();
    lac_engine_start(engine.get(), &facts);
    made.run([&](const lac_event& event) { lac_engine_event(engine.get(), &event, &memory); });
    const lac_event& event = on & LACUNA_ON_FORK ? made.fork : on & LACUNA_ON_EXIT ? made.exit : made.load;
    // an engine is one piece of memory: each time the same
    std::vector<std::uint8_t> then(lac_engine_size(&set));
    std::memcpy(then.data(), engine.get(), then.size());
    for (auto _ : state) {
        state.PauseTiming();
        std::memcpy(static_cast<void*>(engine.get()), then.data(), then.size());
        state.ResumeTiming();
        benchmark::DoNotOptimize(lac_engine_event(engine.get(), &event, &memory));
    }
}

const char* name_of(std::uint8_t kind)
{
    static const char* const names[LACUNA_PREDICATES] = {"anchor-text", "anchor-value", "range", "text", "text-echoed", "ring",
        "ring-counts", "unique", "leads-to-root", "is-root", "code-start", "code-end", "text-part", "extent",
        "null-at-times", "differs-in-threads"};
    return names[kind];
}

} // namespace

int main(int argc, char** argv)
{
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv))
        return 2;
    std::set<std::filesystem::path> files;
    for (const auto& entry : std::filesystem::directory_iterator(LACUNA_RECORDINGS))
        if (entry.path().extension() == ".xz")
            files.insert(entry.path());
    for (const auto& file : files)
        benchmark::RegisterBenchmark(("hunt/" + file.stem().string()).c_str(), [file](benchmark::State& state) { hunt(state, file); })
            ->Unit(benchmark::kMillisecond);
    const auto set = load_constraints(LACUNA_CONSTRAINTS);
    for (std::size_t i = 0; i < set.members_nr; i++)
        for (std::size_t j = 0; j < set.members[i].predicates_nr; j++) {
            const lacuna_predicate& p = set.members[i].predicates[j];
            benchmark::RegisterBenchmark((qualified_name(set, i) + "/" + name_of(p.kind)).c_str(),
                [reduced = only(set, i, j), on = p.on](benchmark::State& state) { ask(state, reduced, on); })
                ->Unit(benchmark::kMicrosecond);
        }
    benchmark::RunSpecifiedBenchmarks();
}
