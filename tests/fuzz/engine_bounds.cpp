// SPDX-License-Identifier: GPL-2.0-or-later
#include "engine_bounds.h"

#include <cstdlib>
#include <iostream>

#include "constraint_set.h"

namespace lacuna::fuzz {

namespace {

[[noreturn]] void broken(const char* promise)
{
    std::cerr << "the engine has broken a promise: " << promise << '\n';
    std::abort();
}

} // namespace

const lacuna_constraints& constraints_of_the_product()
{
    static const lacuna_constraints set = load_constraints(LACUNA_CONSTRAINTS);
    return set;
}

BoundedEngine::BoundedEngine(const lacuna_constraints& set) : engine_(lac_engine_create(&set), lac_engine_destroy)
{
    if (!engine_)
        broken("a set that has been checked makes an engine");
}

void BoundedEngine::start(const lac_facts& facts)
{
    lac_engine_start(engine_.get(), &facts);
}

void BoundedEngine::event(const lac_event& event, const lac_memory& memory)
{
    memory_ = &memory;
    reads_ = 0;
    const lac_memory counted{.read = read, .context = this};
    lac_engine_event(engine_.get(), &event, &counted);
    if (reads_ > LAC_MAX_READS)
        broken("reads of one event");
    check_reports();
}

void BoundedEngine::forget(std::uint64_t task)
{
    lac_engine_forget(engine_.get(), task);
}

int BoundedEngine::read(void* context, u64 gpa, void* buffer, u32 len)
{
    auto& self = *static_cast<BoundedEngine*>(context);
    self.reads_++;
    if (len == 0 || gpa % LAC_PAGE_SIZE + len > LAC_PAGE_SIZE)
        broken("no read crosses a page");
    return self.memory_->read(self.memory_->context, gpa, buffer, len);
}

void BoundedEngine::check_reports() const
{
    lac_engine_settled(engine_.get(), true);
    lac_engine_settled(engine_.get(), false);
    lac_engine_wants_exits(engine_.get());
    lac_engine_wants_looks(engine_.get());
    lac_engine_waits_for_user_space(engine_.get());
    for (u32 i = 0; i < lac_engine_members(engine_.get()); i++) {
        lacuna_member_report report{};
        lac_engine_report(engine_.get(), i, &report);
        if (report.state == LACUNA_RESOLVED && report.remaining != 1)
            broken("what is resolved has one candidate");
        if (report.state == LACUNA_TIED && report.remaining < 2)
            broken("what is tied has two");
    }
}

} // namespace lacuna::fuzz
