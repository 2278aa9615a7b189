// SPDX-License-Identifier: GPL-2.0-or-later
#include "metrics.h"

#include <array>

#include <prometheus/exposer.h>
#include <prometheus/registry.h>

#include "abi_names.h"
#include "error.h"

namespace lacuna {

namespace {

constexpr std::array site_names = {"fork", "exit", "initcall", "hibernate", "probe"};
static_assert(site_names.size() == LACUNA_SITE_KINDS);

// Counters of the module start again with each hunt.
std::uint64_t grown(std::uint64_t then, std::uint64_t now)
{
    return now >= then ? now - then : now;
}

} // namespace

Metrics::Metrics(const std::string& address) : registry_(std::make_shared<prometheus::Registry>())
{
    try {
        exposer_ = std::make_unique<prometheus::Exposer>(address, 1);
    } catch (const std::exception& error) {
        throw Error(std::string("metrics cannot be served there: ") + error.what(), address,
                    "name a free port of this host, as metrics = \"127.0.0.1:9464\"");
    }
    exposer_->RegisterCollectable(registry_);
}

Metrics::~Metrics() = default;

prometheus::Gauge& Metrics::gauge(const std::string& name, const std::string& help,
                                  const std::map<std::string, std::string>& labels)
{
    return prometheus::BuildGauge().Name(name).Help(help).Register(*registry_).Add(labels);
}

prometheus::Counter& Metrics::counter(const std::string& name, const std::string& help,
                                      const std::map<std::string, std::string>& labels)
{
    return prometheus::BuildCounter().Name(name).Help(help).Register(*registry_).Add(labels);
}

void Metrics::add(const lacuna_stats& then, const lacuna_stats& now)
{
    for (std::size_t site = 0; site < site_names.size(); site++)
        counter("lacuna_traps_total", "Traps taken in guests", {{"site", site_names[site]}})
            .Increment(static_cast<double>(grown(then.traps[site], now.traps[site])));
    counter("lacuna_hook_nanoseconds_total", "Time that vCPUs have spent in Lacuna's hooks")
        .Increment(static_cast<double>(grown(then.hook_ns_total, now.hook_ns_total)));
    counter("lacuna_read_bytes_total", "Guest memory read while looking for members")
        .Increment(static_cast<double>(grown(then.bytes_read, now.bytes_read)));
}

void Metrics::update(const Supervisor& supervisor)
{
    std::map<lacuna_guest_state, unsigned> guests;
    std::map<lacuna_member_state, unsigned> members;
    decltype(seen_) seen;
    for (const Guest& guest : supervisor.guests()) {
        const auto key = std::pair(guest.number, guest.vmm_pid);
        const auto before = seen_.find(key);
        add(before == seen_.end() ? lacuna_stats{} : before->second, guest.stats);
        seen[key] = guest.stats;
        if (!guest.present())
            continue;
        guests[guest.state]++;
        for (const lacuna_member_report& member : guest.boot.members)
            members[static_cast<lacuna_member_state>(member.state)]++;
    }
    seen_ = std::move(seen);
    for (int state = LACUNA_GUEST_CREATED; state < LACUNA_GUEST_GONE; state++)
        gauge("lacuna_guests", "Guests that are there, by state",
              {{"state", to_string(static_cast<lacuna_guest_state>(state))}})
            .Set(guests[static_cast<lacuna_guest_state>(state)]);
    for (int state = LACUNA_OPEN; state <= LACUNA_ABSENT; state++)
        gauge("lacuna_members", "Members of the guests that are there, by verdict",
              {{"verdict", to_string(static_cast<lacuna_member_state>(state))}})
            .Set(members[static_cast<lacuna_member_state>(state)]);
    gauge("lacuna_module_loaded", "Whether the kernel module is there").Set(supervisor.link() ? 1 : 0);
    gauge("lacuna_sources_being_read", "Kernel files and disks that are being read")
        .Set(static_cast<double>(supervisor.kernels_in_progress()));
    for (const auto& [kind, number] : supervisor.errors()) {
        auto& errors = counter("lacuna_errors_total", "Errors, by kind", {{"kind", kind}});
        errors.Increment(static_cast<double>(number) - errors.Value());
    }
}

} // namespace lacuna
