// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <list>
#include <string>

#include "guest.h"
#include "store.h"

namespace lacuna {

// The guests of this host, under the numbers, processes and names they go by. What must outlive this process
// is in the store, as their facts.
class GuestRegistry {
public:
    // `store` must outlive the registry.
    explicit GuestRegistry(Store& store) : store_(store) {}

    // Oldest first; those that are gone stay for a while, since they may still be asked for.
    std::list<Guest>& all() { return guests_; }
    const std::list<Guest>& all() const { return guests_; }

    // Of those that are there; null if there is none.
    Guest* by_number(std::uint32_t number);
    Guest* by_process(pid_t vmm_pid);
    Guest* by_name_or_process(const std::string& name_or_pid);
    // Of all; the one that is there goes before one that is gone. Throws Unknown.
    const Guest& at(const std::string& name) const;

    Guest& add(std::uint32_t number, pid_t vmm_pid);
    // Calls it so, or nearly so: its name is fit for a file and unlike those of the others that are there.
    void name(Guest& guest, const std::string& name) const;

    // A guest that has been armed already: an earlier daemon wrote down how it is called and where its
    // kernels are.
    void recall(Guest& guest) const;
    // Writes down what the next daemon and VMI tools need to know of it. Errors are logged.
    void remember(const Guest& guest);
    // Guests that went while no daemon was there still have facts that say otherwise.
    void bury();
    // Removes the facts of those that have been gone for long.
    void forget();

private:
    const Guest* find(const std::string& name) const;

    Store& store_;
    std::list<Guest> guests_;
};

} // namespace lacuna
