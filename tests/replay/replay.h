// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <lacuna/abi.h>

extern "C" {
#include "engine.h"
}

namespace lacuna::test {

// What is known of each member, by its qualified name.
using Reports = std::map<std::string, lacuna_member_report>;

// Whoever learns from the events of a recording.
class Hunter {
public:
    virtual ~Hunter() = default;
    virtual void start(const lac_facts& facts) = 0;
    virtual void event(const lac_event& event, const lac_memory& memory) = 0;
    virtual void forget(std::uint64_t task) = 0;
    virtual Reports reports() const = 0;
};

// The engine.
class EngineHunter : public Hunter {
public:
    explicit EngineHunter(const lacuna_constraints& set);
    void start(const lac_facts& facts) override;
    void event(const lac_event& event, const lac_memory& memory) override;
    void forget(std::uint64_t task) override;
    Reports reports() const override;

private:
    // At which a vCPU waits; a function of its own for valgrind to count in (scripts/bench).
    [[gnu::noinline]] void trap(const lac_event& event, const lac_memory& memory);

    lacuna_constraints set_;
    std::unique_ptr<lac_engine, void (*)(lac_engine*)> engine_;
};

struct Replay {
    Reports reports; // at the end
    std::size_t events = 0;
    std::size_t wasted = 0; // at which nothing was struck, seen at work or settled
    std::uint64_t reads = 0, most_reads = 0; // of guest memory: all, and the most in one event
    std::uint64_t bytes = 0; // read of guest memory
    std::map<std::string, std::size_t> settled; // by member: the how manieth event settled it
};

// A recording of a boot (<lacuna/recording.h>), xz-compressed. Throws Error on a file that is not xz or is damaged.
std::vector<std::uint8_t> read_recording(const std::filesystem::path& file);

// Plays what is in a recording, named so in errors. Throws Error on what is no recording.
Replay replay(const std::vector<std::uint8_t>& recording, const std::string& name, Hunter& hunter);

// Plays it to the engine, under the constraints in `constraints`.
Replay replay(const std::filesystem::path& recording, const std::filesystem::path& constraints);

} // namespace lacuna::test
