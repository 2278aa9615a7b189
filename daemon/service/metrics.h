// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/gauge.h>

#include "supervisor.h"

namespace prometheus {
class Exposer;
class Registry;
} // namespace prometheus

namespace lacuna {

// Prometheus metrics at http://ADDRESS/metrics; lacunad(8) lists them. What is counted goes on through resets
// and ends of guests.
class Metrics {
public:
    // `address`: "127.0.0.1:9464". Throws Error if nothing can listen there.
    explicit Metrics(const std::string& address);
    ~Metrics();
    Metrics(const Metrics&) = delete;
    Metrics& operator=(const Metrics&) = delete;

    // Takes over how things stand.
    void update(const Supervisor& supervisor);

private:
    void add(const lacuna_stats& then, const lacuna_stats& now);
    prometheus::Gauge& gauge(const std::string& name, const std::string& help,
                             const std::map<std::string, std::string>& labels = {});
    prometheus::Counter& counter(const std::string& name, const std::string& help,
                                 const std::map<std::string, std::string>& labels = {});

    std::shared_ptr<prometheus::Registry> registry_;
    // What guests had when they were looked at last, by the module's number for them and their process: the
    // module may have been loaded anew and count from 1 again.
    std::map<std::pair<std::uint32_t, pid_t>, lacuna_stats> seen_;
    std::unique_ptr<prometheus::Exposer> exposer_; // last: its threads end before the rest goes
};

} // namespace lacuna
