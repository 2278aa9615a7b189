// SPDX-License-Identifier: GPL-2.0-or-later
#include "solver.h"

#include <algorithm>
#include <map>
#include <set>

namespace lacuna {

namespace {

constexpr unsigned word = 8;
// Bytes that a guest can make what is said of one member's places take, and what one instance says of all of them.
constexpr std::size_t most_said = 64 << 20, per_tally = 160, per_number = 48, most_answered = 8 << 20;
constexpr unsigned most_rounds = 32; // one thing leads to another: as many as a socket takes, and some more

const std::map<std::string, std::int32_t> core_sizes{
    {"task_struct.tasks", 16}, {"task_struct.pid", 4},      {"task_struct.comm", 16}, {"task_struct.mm", 8},
    {"mm_struct.pgd", 8},      {"mm_struct.start_code", 8}, {"mm_struct.end_code", 8}, {"module.name", 56},
    {"module.module_core", 8}, {"module.core_text_size", 4}};

// What is said of one place, with certain constants.
struct Tally {
    std::uint32_t fits = 0;
    std::set<std::uint64_t> shown_in; // instances
    std::set<std::uint64_t> values;
};

// What a constraint says of one place.
struct Standing {
    std::uint32_t strikes = 0; // so many instances rule it out
    std::uint32_t asked = 0;   // that told something
    std::map<Constants, Tally> tallies;
};

enum class Verdict { fits, doubtful, ruled_out };

Verdict judge(const Standing& standing, const Tally& tally)
{
    const std::uint32_t against = standing.asked - tally.fits;
    return against == 0 ? Verdict::fits : against < standing.strikes ? Verdict::doubtful : Verdict::ruled_out;
}

// Where most places hold nothing in most instances only what has been seen at work counts.
Verdict judge(const Standing& standing, bool at_work)
{
    if (standing.asked == 0)
        return at_work ? Verdict::ruled_out : Verdict::fits; // nothing was said at all
    Verdict best = standing.asked < standing.strikes && !at_work ? Verdict::doubtful : Verdict::ruled_out;
    for (const auto& [unused, tally] : standing.tallies)
        if (!at_work || !tally.shown_in.empty())
            best = std::min(best, judge(standing, tally));
    return best;
}

bool takes_part(const std::string& whom, Look& look, const Instance& instance)
{
    if (whom == "leaders")
        return instance.leads();
    if (whom == "threads")
        return !instance.leads();
    if (whom == "users")
        return look.member(instance, "task_struct.mm").value_or(0) != 0;
    if (whom == "privileged")
        return is_privileged(look, instance);
    if (whom == "kernel-threads")
        return look.is_kernel_thread(instance);
    return true;
}

// Whether all these places hold the same in every instance.
bool same_everywhere(const std::vector<Instance>& instances, const std::vector<std::int32_t>& offsets,
                     unsigned size)
{
    return std::all_of(instances.begin(), instances.end(), [&](const Instance& instance) {
        const auto read = [&](std::int32_t offset) {
            return size == 1   ? std::optional<std::uint64_t>(instance.value<std::uint8_t>(offset))
                   : size == 2 ? std::optional<std::uint64_t>(instance.value<std::uint16_t>(offset))
                   : size == 4 ? std::optional<std::uint64_t>(instance.value<std::uint32_t>(offset))
                               : instance.word(offset);
        };
        const auto first = read(offsets.front());
        return std::all_of(offsets.begin(), offsets.end(),
                           [&](std::int32_t offset) { return read(offset) == first; });
    });
}

// Where what can belong to the structure ends: what lies further behind its start than the next one does is another one's. Of those
// that are found by something in their middle nothing is said.
std::int32_t end_of(Look& look, const DeepStructure& structure)
{
    const auto high = static_cast<std::uint64_t>(structure.high);
    return structure.low ? structure.high : static_cast<std::int32_t>(std::min(high, look.nearest(structure.name)));
}

} // namespace

DeepSolver::DeepSolver(DeepStructures structures) : structures_(std::move(structures))
{
    for (const DeepStructure& structure : structures_)
        for (const DeepMember& member : structure.members) {
            Member ready{&member, &structure, {}};
            for (const DeepConstraint& constraint : member.constraints)
                ready.predicates.push_back(make_predicate(constraint, member));
            members_.push_back(std::move(ready));
        }
}

std::set<std::string, std::less<>> DeepSolver::symbols() const
{
    std::set<std::string, std::less<>> names{clock};
    for (const DeepStructure& structure : structures_)
        if (!structure.symbol.empty())
            names.insert(structure.symbol);
    for (const Member& member : members_)
        for (const DeepConstraint& constraint : member.said->constraints) {
            if (constraint.arguments.contains("symbol"))
                names.insert(constraint.arguments.at("symbol").get<std::string>());
            if (constraint.arguments.contains("symbols"))
                names.merge(constraint.arguments.at("symbols").get<std::set<std::string, std::less<>>>());
        }
    return names;
}

std::vector<DeepFinding> DeepSolver::solve(Look& look, const Member& member,
                                       const std::vector<Taken>& taken) const
{
    const DeepMember& said = *member.said;
    const std::vector<Instance>& instances = look.instances(*member.structure);
    const auto candidates = static_cast<std::size_t>(member.structure->high - member.structure->low -
                                                     static_cast<std::int32_t>(said.size)) /
                                said.align +
                            1;
    const std::int32_t end = end_of(look, *member.structure);
    const auto place = [&](std::size_t candidate) {
        return member.structure->low + static_cast<std::int32_t>(candidate * said.align);
    };
    const auto lies_within = [&](std::size_t candidate) {
        return place(candidate) + static_cast<std::int32_t>(said.size) <= end;
    };
    std::vector<std::vector<Standing>> standings;
    for (const DeepConstraint& constraint : said.constraints)
        standings.emplace_back(candidates, Standing{constraint.strikes, 0, {}});
    std::vector<Answer> answers(candidates);
    std::size_t said_so_far = 0; // bytes
    const bool pointer = said.type == "pointer", text = said.type == "text-pointer";
    DeepFinding finding{said.qualified(), text ? "pointer" : said.type, said.size, {}, 0, 0, 0, 0};
    for (std::size_t k = 0; k < member.predicates.size(); k++)
        for (const Instance& instance : instances) {
            look.breathe();
            if (!takes_part(said.constraints[k].of_instances, look, instance))
                continue;
            bool any = false;
            std::size_t answered = 0;
            for (std::size_t c = 0; c < candidates; c++) {
                if (!lies_within(c)) {
                    answers[c] = Answer::refusal();
                    continue;
                }
                // what is no pointer needs not be asked: it is refuted if anything is said of this instance
                if (pointer || text) {
                    const auto value = instance.word(place(c));
                    if (!value || (*value && !(text ? look.leads_to_text(*value) : look.leads_somewhere(*value)))) {
                        answers[c] = Answer::refusal();
                        continue;
                    }
                }
                answers[c] = member.predicates[k](look, instance, place(c));
                if (answered += answers[c].constants.size() * sizeof(Constants); answered > most_answered)
                    return {finding}; // it fits in too many ways: open
                any |= answers[c].kind >= Answer::passes;
            }
            if (!any) // an instance that nothing fits teaches nothing: something is odd about it
                continue;
            for (std::size_t c = 0; c < candidates; c++) {
                if (answers[c].kind == Answer::silent)
                    continue;
                Standing& standing = standings[k][c];
                standing.asked++;
                for (const Constants& constants : answers[c].constants) {
                    const auto [found, is_new] = standing.tallies.try_emplace(constants);
                    Tally& tally = found->second;
                    said_so_far += is_new ? per_tally : 0;
                    tally.fits++;
                    if (answers[c].kind == Answer::shown) {
                        said_so_far += tally.shown_in.insert(instance.address).second ? per_number : 0;
                        said_so_far += tally.values.insert(answers[c].value).second ? per_number : 0;
                    }
                }
                if (said_so_far > most_said)
                    return {finding};
            }
        }

    std::vector<std::int32_t> fits;
    std::vector<std::size_t> fitting; // their candidates
    bool doubt = false;
    const auto is_taken = [&](std::int32_t offset) {
        return std::any_of(taken.begin(), taken.end(), [&](const Taken& other) {
            return other.structure == said.structure && other.member != said.name && offset < other.to &&
                   other.from < offset + static_cast<std::int32_t>(said.size);
        });
    };
    for (std::size_t c = 0; c < candidates; c++) {
        Verdict verdict = !lies_within(c) || is_taken(place(c)) ? Verdict::ruled_out : Verdict::fits;
        for (std::size_t k = 0; k < member.predicates.size(); k++)
            verdict = std::max(verdict, judge(standings[k][c], said.constraints[k].arguments.value("at_work", false)));
        if (verdict == Verdict::ruled_out) {
            finding.eliminated++;
            continue;
        }
        finding.left++;
        doubt |= verdict == Verdict::doubtful;
        if (verdict == Verdict::fits) {
            fits.push_back(place(c));
            fitting.push_back(c);
        }
    }
    std::vector<DeepFinding> findings;
    if (fits.empty() || doubt || (said.places && fits.size() != said.places) ||
        (fits.size() > 1 && !same_everywhere(instances, fits, said.size)))
        return {finding};

    // How often was it seen at work, and what goes with it? With each of several that are tied, something else may.
    bool enough = true;
    for (std::size_t k = 0; k < member.predicates.size(); k++) {
        const DeepConstraint& constraint = said.constraints[k];
        std::uint32_t shown_in = 0, values = 0;
        std::vector<std::set<std::int32_t>> constants(constraint.constants.size());
        bool clear = true;
        for (const std::size_t c : fitting) {
            const Standing& standing = standings[k][c];
            for (const auto& [key, tally] : standing.tallies) {
                const Verdict verdict = judge(standing, tally);
                if (verdict == Verdict::ruled_out)
                    continue;
                clear &= verdict == Verdict::fits;
                shown_in = std::max(shown_in, static_cast<std::uint32_t>(tally.shown_in.size()));
                values = std::max(values, static_cast<std::uint32_t>(tally.values.size()));
                for (std::size_t i = 0; i < constants.size(); i++)
                    constants[i].insert(key[i]);
            }
        }
        if (!constraint.witness)
            continue;
        finding.instances = shown_in;
        finding.values = values;
        enough &= shown_in >= said.instances && values >= said.values;
        for (std::size_t i = 0; i < constants.size(); i++) {
            const DeepConstant& constant = constraint.constants[i];
            if (constant.member.empty())
                continue;
            DeepFinding other{constant.member,
                          constant.type,
                          constant.size,
                          {},
                          shown_in,
                          values,
                          0,
                          static_cast<std::uint32_t>(constants[i].size())};
            const std::vector<std::int32_t> places(constants[i].begin(), constants[i].end());
            const auto& holders = look.instances_named(constant.member.substr(0, constant.member.find('.')));
            const bool tied = places.size() > 1 && constant.size <= word && !holders.empty() &&
                              same_everywhere(holders, places, constant.size);
            if (clear && (places.size() == 1 || tied))
                other.offsets = places;
            findings.push_back(std::move(other));
        }
    }
    if (enough)
        finding.offsets = fits;
    else
        for (DeepFinding& other : findings)
            other.offsets.clear();
    findings.insert(findings.begin(), std::move(finding));
    return findings;
}

bool DeepSolver::is_settled(const Member& member, const std::map<std::string, DeepFinding>& found)
{
    const auto has_one_place = [&](const std::string& name) {
        const auto finding = found.find(name);
        return finding != found.end() && finding->second.offsets.size() == 1;
    };
    const auto& constraints = member.said->constraints;
    return has_one_place(member.said->qualified()) && std::all_of(constraints.begin(), constraints.end(), [&](const DeepConstraint& one) {
               return !one.witness || std::all_of(one.constants.begin(), one.constants.end(), [&](const DeepConstant& constant) {
                   return constant.member.empty() || has_one_place(constant.member);
               });
           });
}

DeepSolver::Taken DeepSolver::taken_by(const std::string& name, std::int32_t offset, std::int32_t size)
{
    const auto dot = name.find('.');
    return {name.substr(0, dot), name.substr(dot + 1), offset, offset + size};
}

std::vector<DeepFinding> DeepSolver::solve(Look& look, KnownOffsets known) const
{
    look.set_structures(structures_);
    std::vector<Taken> core;
    for (const auto& [name, size] : core_sizes)
        if (const auto offset = known.find(name); offset != known.end())
            core.push_back(taken_by(name, offset->second, size));

    // What is found may make more be found. In the end all of it is asked for once more: what was the only
    // place when little was known must still be it.
    std::map<std::string, DeepFinding> found;
    bool last = false;
    for (unsigned round = 0; round < most_rounds; round++) {
        look.know(known);
        std::vector<Taken> taken = core;
        for (const auto& [name, finding] : found)
            if (finding.offsets.size() == 1 && finding.size)
                taken.push_back(
                    taken_by(name, finding.offsets.front(), static_cast<std::int32_t>(finding.size)));
        const KnownOffsets before = known;
        std::map<std::string, DeepFinding> fresh = last ? std::map<std::string, DeepFinding>() : found;
        for (const Member& member : members_) {
            if (!last && is_settled(member, found))
                continue; // what is tied or open may be told apart by what has been found since
            for (DeepFinding& finding : solve(look, member, taken)) {
                if (!last && !finding.offsets.empty())
                    known[finding.member] = finding.offsets.front();
                fresh.insert_or_assign(finding.member, std::move(finding));
            }
        }
        if (last) { // whatever both do not say is open
            for (auto& [name, finding] : fresh)
                if (const auto first = found.find(name);
                    first == found.end() || first->second.offsets != finding.offsets)
                    finding.offsets.clear();
            found = std::move(fresh);
            break;
        }
        found = std::move(fresh);
        last = known == before || round + 2 == most_rounds;
    }
    std::vector<DeepFinding> findings;
    for (auto& [unused, finding] : found)
        findings.push_back(std::move(finding));
    return findings;
}

} // namespace lacuna
