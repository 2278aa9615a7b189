// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <chrono>
#include <functional>
#include <initializer_list>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "look.h"
#include "names.h"
#include "profile.h"

namespace lacuna {

// A guest's memory at one time, read with what a profile says. What it does not say a view leaves out, and tells so.
// The guest is hostile, and changes while it is read: see Look for the bounds.
class GuestView {
public:
    static constexpr std::chrono::seconds longest{10}; // nothing else is done meanwhile
    static constexpr std::size_t most_told = 12 << 20; // bytes: what an answer holds, about; no client is given more than 16 MiB

    using Time = std::chrono::steady_clock::time_point;
    GuestView(AddressSpace& memory, const Profile& profile, const Anchors& anchors, Time end);

    Look& look() { return look_; }

    // Throws Error that names all of these that are not known.
    void need(std::initializer_list<const char*> members) const;
    // Whether all of these are known; if not, `what` cannot be told, for want of them.
    bool want(const char* what, std::initializer_list<const char*> members);
    bool knows(const char* member) const { return look_.known(member).has_value(); }
    const std::map<std::string, std::vector<std::string>>& lacks() const { return lacks_; }

    // A member of the structure at this address.
    std::optional<std::uint64_t> word(std::uint64_t address, const char* member);
    template <typename T> std::optional<T> value(std::uint64_t address, const char* member)
    {
        const auto offset = look_.known(member);
        return offset ? look_.value<T>(address + static_cast<std::uint64_t>(static_cast<std::int64_t>(*offset)))
                      : std::nullopt;
    }
    // A text of the kernel's, as far as it is mapped, up to its end.
    std::string text(std::uint64_t address, std::size_t most);

    // A process's memory, if it has one.
    std::optional<Instance> memory_of(const Instance& task);
    // All tasks, as Look has them. Throws Error if their list leads nowhere.
    const std::vector<Instance>& tasks();
    // The process of this number. Throws Error if there is none.
    const Instance& process(std::int32_t pid);
    // Something with this many bytes of text is told. Throws Error when that becomes too much: a guest can make names long, and many.
    void tell(std::size_t text);

private:
    std::vector<std::string> missing(std::initializer_list<const char*> members) const;

    DeepStructures structures_;
    Look look_;
    std::map<std::string, std::vector<std::string>> lacks_; // by what cannot be told
    std::size_t told_ = 0;
};

// Takes a view until two in a row are equal; a guest that does not stand still gets the last one, with "stable": false. What is not in
// it, since there was too much of it or it could not be read, stands in "left_out".
Json settled(AddressSpace& memory, const Profile& profile, const Anchors& anchors,
             const std::function<Json(GuestView&)>& take);

} // namespace lacuna
