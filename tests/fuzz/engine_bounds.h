// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <memory>

#include <lacuna/abi.h>

extern "C" {
#include "engine.h"
}

namespace lacuna::fuzz {

// What lacunad sends.
const lacuna_constraints& constraints_of_the_product();

// An engine that is seen to keep its promises: it reads no more in one event than it may, and what it reports can be.
class BoundedEngine {
public:
    // `set` has been checked.
    explicit BoundedEngine(const lacuna_constraints& set);
    void start(const lac_facts& facts);
    void event(const lac_event& event, const lac_memory& memory);
    void forget(std::uint64_t task);

private:
    static int read(void* context, u64 gpa, void* buffer, u32 len);
    void check_reports() const;

    std::unique_ptr<lac_engine, void (*)(lac_engine*)> engine_;
    const lac_memory* memory_ = nullptr;
    std::uint32_t reads_ = 0;
};

} // namespace lacuna::fuzz
