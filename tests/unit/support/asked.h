// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include "solver.h"
#include "view_guest.h"

namespace lacuna {

// By the constraints that are shipped.
inline const DeepSolver& shipped_solver()
{
    static const DeepSolver solver(read_deep_constraints(LACUNA_CONSTRAINTS "/deep").structures);
    return solver;
}

// A guest of which all is known that this one is told of, and the question that a constraint that is shipped asks.
class Asked {
public:
    Asked(ViewGuest& guest, const std::map<std::string, std::uint64_t>& symbols = {})
        : memory_(guest.memory.space()),
          look_(memory_, with(guest.anchors(), symbols), std::chrono::steady_clock::now() + std::chrono::minutes(5))
    {
        KnownOffsets known;
        for (const ProfileMember& member : guest.view_profile().members)
            known[member.qualified()] = member.offset;
        for (auto& [name, offset] : known)
            if (name.starts_with("mount.") && name != "mount.mnt") // as a look counts
                offset -= known.at("mount.mnt");
        look_.set_structures(shipped_solver().structures());
        look_.know(known);
    }

    // Of the instance at this address.
    Answer::Kind about(const std::string& structure, const std::string& member, std::uint64_t address, std::int32_t offset)
    {
        return answer(structure, member, address, offset).kind;
    }
    Answer answer(const std::string& structure, const std::string& member, std::uint64_t address, std::int32_t offset)
    {
        for (const DeepStructure& one : shipped_solver().structures())
            for (const DeepMember& said : one.members)
                if (one.name == structure && said.name == member)
                    for (const Instance& instance : look_.instances_named(structure))
                        if (instance.address == address)
                            return make_predicate(said.constraints.front(), said)(look_, instance, offset);
        ADD_FAILURE() << structure << "." << member << ": no such instance";
        return {};
    }

private:
    static Anchors with(Anchors anchors, const std::map<std::string, std::uint64_t>& symbols)
    {
        for (const auto& [name, address] : symbols)
            anchors.symbols.emplace(name, address);
        return anchors;
    }

    AddressSpace memory_;
    Look look_;
};

} // namespace lacuna
