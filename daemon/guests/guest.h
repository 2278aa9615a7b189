// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <lacuna/abi.h>
#include <sys/types.h>

#include "config.h"
#include "kernel_source.h"
#include "module_link.h"
#include "profile.h"

namespace lacuna {

inline constexpr const char* guest_schema = "lacuna-guest/1";

// What has come of the kernel of one boot.
enum class Outcome {
    none,       // nothing yet
    lost,       // its source does not hold that kernel any more: nothing can be published
    published,  // what was learned has been given to the store
    unverified, // its profile is known; whether it holds in this guest is being looked at
    verified,   // it holds
};

// What is known of one boot of a guest: nothing of it holds after a reset.
struct Boot {
    bool adopted = false; // it began before the module knew of the guest

    // Once its kernel has been found:
    std::string kernel_id;
    std::uint64_t slide = 0, text_gpa = 0;
    lacuna_paging paging = LACUNA_PAGING_4LEVEL;
    std::uint64_t root = 0; // physical address of the kernel's own page-table root; 0: not known yet
    std::shared_ptr<const KernelDescriptor> kernel; // null until its source has been read
    Outcome outcome = Outcome::none;
    bool tasks_published = false; // while modules are still looked at
    bool counted = false;         // among the boots that its profile has been learned from
    bool had_news = false;        // something has been added to the profile by it
    std::chrono::steady_clock::time_point unverified_since;

    std::vector<lacuna_member_report> members; // in the order of the constraint set; empty: no report yet

    // Whether its profile, which was known before, counts for it.
    bool has_known_profile() const { return outcome == Outcome::unverified || outcome == Outcome::verified; }
    // Through which page tables the kernel can be seen; 0: not known (yet).
    std::uint64_t page_table_gpa() const;
};

// One virtual machine, as the daemon knows it.
struct Guest {
    std::uint32_t number = 0; // the module's
    std::string name;         // unique among the guests that are there
    pid_t vmm_pid = 0;
    lacuna_guest_state state = LACUNA_GUEST_CREATED;
    std::string reason; // why it failed or is gone

    Policy wanted = Policy::ignore; // by its rule, or by whoever asked for more
    bool by_hand = false;           // armed on request: a reset does not ask the rules again
    bool record = false;
    std::vector<KernelSource> sources;     // where its possible kernels are
    std::vector<KernelDescriptor> kernels; // it was armed with; empty after a restart of the daemon
    std::string constraints; // digest of the set it was armed with; empty: not known to be another

    std::uint32_t engine = 0; // LACUNA_ENGINE_VERSION of the module; 0: not told

    Boot boot;
    lacuna_stats stats{};
    std::chrono::steady_clock::time_point seen = std::chrono::steady_clock::now(); // first heard of

    bool present() const { return state != LACUNA_GUEST_GONE; }
    bool hunted() const
    {
        return state == LACUNA_GUEST_WAITING || state == LACUNA_GUEST_TRAPPING ||
               state == LACUNA_GUEST_RESTORING;
    }
    // Its kernel was found and nothing was trapped: the module was told that the kernel is known.
    bool only_observed() const { return state == LACUNA_GUEST_DONE && boot.kernel && boot.members.empty(); }

    // Takes over what a report says; what it does not say stays. Returns whether state or kernel changed,
    // or a new boot began.
    bool update(const GuestReport& report);
};

// {"name", "pid", "state", "reason", "kernel", "members": {"task_struct.pid": {"state", "remaining",
// "offset", "evidence"}}}
Json status_json(const Guest& guest, const lacuna_constraints& set);

// Counters and times, see README.md; boot_ns is the time from the guest's creation to the end of the hunt.
Json stats_json(const Guest& guest, const lacuna_constraints& set);

// guests/<guest>.json: what belongs to this boot. Times in ISO 8601, UTC.
Json facts_json(const Guest& guest);

// Where its kernels were, by its facts. Throws Json::exception.
std::vector<KernelSource> sources_from_facts(const Json& facts);

} // namespace lacuna
