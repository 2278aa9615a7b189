// SPDX-License-Identifier: GPL-2.0-or-later
// The engine on a guest that does what it likes with its memory: made up, since everything of it can be reached.
#include <cstdlib>

#include "constraint_set.h"
#include "engine_bounds.h"
#include "harness.h"
#include "synthetic_guest.h"

namespace lacuna::fuzz {

namespace {

using test::Layout;
using test::SyntheticGuest;

enum class Deed : std::uint8_t {
    kernel_thread,
    process,
    thread,
    exec,
    exit,
    module,
    finish_module,
    look,
    forget,
    any_event,
    damage,
    point,
    unmap,
    count,
};

constexpr std::size_t most_deeds = 48, most_tasks = 16;

Layout layout_of(std::uint8_t choice)
{
    switch (choice % 4) {
    case 0:
        return Layout::ordinary();
    case 1:
        return Layout::ordinary_i386();
    default:
        return Layout::random(choice);
    }
}

class HostileGuest {
public:
    explicit HostileGuest(Choices& choices)
        : choices_(choices),
          layout_choice_(choices.take<std::uint8_t>()),
          paging_(layout_choice_ % 4 == 1                ? (layout_choice_ & 4 ? LACUNA_PAGING_PAE : LACUNA_PAGING_32BIT)
                  : layout_choice_ & 8 ? LACUNA_PAGING_5LEVEL
                                       : LACUNA_PAGING_4LEVEL),
          guest_(layout_of(layout_choice_), paging_),
          engine_(constraints_of_the_product())
    {
        engine_.start(guest_.facts());
        tasks_.push_back(guest_.init_task());
    }

    void go()
    {
        for (std::size_t deeds = 0; deeds < most_deeds && !choices_.empty(); deeds++)
            act(static_cast<Deed>(choices_.take<std::uint8_t>() % static_cast<unsigned>(Deed::count)));
    }

private:
    SyntheticGuest::Task& any_task() { return tasks_[choices_.below(tasks_.size())]; }
    // Of what has been given out so far.
    std::uint64_t any_place()
    {
        const std::uint64_t end = guest_.memory.allocate_page();
        const std::uint64_t pages = (end - first_page) / 4096;
        return first_page + choices_.below(pages + 1) * 4096 + choices_.below(4096);
    }
    void add(SyntheticGuest::Task task)
    {
        tasks_.push_back(task);
        event(guest_.fork_event(tasks_[tasks_.size() > 2 ? 1 : 0]));
    }
    void event(const lac_event& event)
    {
        lac_memory memory = guest_.memory.for_engine();
        engine_.event(event, memory);
    }

    void act(Deed deed)
    {
        const bool room = tasks_.size() < most_tasks;
        switch (deed) {
        case Deed::kernel_thread:
            return room ? add(guest_.spawn_kernel_thread("kworker")) : void();
        case Deed::process:
            return room ? add(guest_.spawn_process("sh")) : void();
        case Deed::thread:
            return room && tasks_.back().space ? add(guest_.spawn_thread(tasks_.back(), "worker")) : void();
        case Deed::exec:
            if (tasks_.back().space == 0 && tasks_.size() > 1)
                tasks_.back() = guest_.exec(tasks_.back());
            return event(guest_.fork_event(tasks_.back()));
        case Deed::exit:
            if (tasks_.size() > 1) {
                event(guest_.exit_event(tasks_.back()));
                tasks_.pop_back();
            }
            return;
        case Deed::module:
            event(guest_.load_module("module"));
            modules_ = true;
            return;
        case Deed::finish_module:
            return modules_ ? guest_.finish_module() : void();
        case Deed::look:
            return event({.on = LACUNA_ON_LOOK, .paging = static_cast<u8>(paging_), .subject = 0, .cr3 = 0});
        case Deed::forget:
            return engine_.forget(choices_.take<std::uint8_t>() & 1 ? LAC_ALL_TASKS : any_task().address);
        case Deed::any_event: {
            const auto on = static_cast<u8>(choices_.below(LACUNA_ON_LOOK + 1)), paging = static_cast<u8>(choices_.below(LACUNA_PAGINGS));
            const std::uint64_t subject = choices_.take<std::uint64_t>(), cr3 = choices_.take<std::uint64_t>();
            return event({.on = on, .paging = paging, .subject = subject, .cr3 = cr3});
        }
        case Deed::damage:
            return guest_.memory.put(any_place(), choices_.take<std::uint64_t>());
        case Deed::point: { // one pointer of a structure's to another place, perhaps into a circle
            const std::uint64_t at = any_place() & ~std::uint64_t{7};
            return guest_.memory.put(at, guest_.where.linear_map + any_place());
        }
        case Deed::unmap:
            guest_.memory.broken.insert(any_place() / 4096);
            return;
        case Deed::count:
            return;
        }
    }

    static constexpr std::uint64_t first_page = 0x100000;
    Choices& choices_;
    std::uint8_t layout_choice_;
    lacuna_paging paging_;
    SyntheticGuest guest_;
    BoundedEngine engine_;
    std::vector<SyntheticGuest::Task> tasks_;
    bool modules_ = false;
};

void run(ByteView input)
{
    Choices choices(input);
    HostileGuest(choices).go();
}

// A boot as it should be, in so many ways; what is changed in it is for the fuzzer.
std::vector<Seed> seeds()
{
    const Bytes boot = {0, 0, 1, 3, 5, 1, 6, 2, 7, 1, 4, 5, 6, 1, 8, 1, 7, 5, 6, 1, 2, 1, 4, 4, 7};
    std::vector<Seed> all;
    for (const unsigned how : {0u, 1u, 2u, 3u, 5u, 6u, 8u, 10u}) {
        Seed one{"boot-" + std::to_string(how), {static_cast<std::uint8_t>(how)}};
        one.bytes.insert(one.bytes.end(), boot.begin(), boot.end());
        all.push_back(one);
        // and with damage in between
        const Bytes damage = {10, 3, 0, 8, 2, 1, 2, 3, 4, 5, 6, 7, 8, 11, 1, 0, 0, 1, 2, 0, 0, 3, 12, 4, 0, 0, 0, 9, 1, 0, 0, 0};
        one.name += "-damaged";
        one.bytes.insert(one.bytes.begin() + 9, damage.begin(), damage.end());
        one.bytes.insert(one.bytes.end(), boot.begin(), boot.end());
        all.push_back(one);
    }
    return all;
}

} // namespace

const Harness engine = {"engine", run, seeds, 512};

} // namespace lacuna::fuzz
