// SPDX-License-Identifier: GPL-2.0-or-later
#include "profile.h"

#include <algorithm>
#include <array>

#include <spdlog/fmt/fmt.h>

#include "abi_names.h"
#include "error.h"

namespace lacuna {

namespace {

ProfileMember make_member(const lacuna_constraints& set, std::size_t index,
                          const lacuna_member_report& report, lacuna_architecture architecture)
{
    const lacuna_member& binary = set.members[index];
    const lacuna_structure& structure = set.structures[binary.structure];
    ProfileMember member;
    member.structure = structure.name;
    member.name = binary.name;
    member.type = type_name(binary.type);
    member.size = member_size(binary, architecture);
    // What is still open when the hunt is over is ambiguous.
    member.state =
        report.state == LACUNA_OPEN ? LACUNA_AMBIGUOUS : static_cast<lacuna_member_state>(report.state);
    member.relative_to_list = structure.source == LACUNA_SOURCE_MODULE;
    member.evidence = {report.events, report.instances, report.witnesses, report.eliminated};
    if (member.usable())
        member.offset = report.candidates[0];
    member.evidence.boots = member.answered() ? 1 : 0;
    if (member.lists_candidates()) {
        member.remaining = report.remaining;
        const auto listed = std::min<std::uint32_t>(report.remaining, LACUNA_LISTED_CANDIDATES);
        member.candidates.assign(report.candidates, report.candidates + listed);
    }
    return member;
}

Json member_to_json(const ProfileMember& member)
{
    Json json;
    json["state"] = to_string(member.state);
    if (member.usable())
        json["offset"] = member.offset;
    if (member.lists_candidates()) {
        json["candidates"] = member.candidates;
        json["remaining"] = member.remaining;
    }
    if (member.relative_to_list)
        json["relative_to"] = "list";
    if (member.deep)
        json["deep"] = true;
    json["type"] = member.type;
    json["size"] = member.size;
    json["evidence"] = {{"events", member.evidence.events},
                        {"instances", member.evidence.instances},
                        {"witnesses", member.evidence.witnesses},
                        {"eliminated", member.evidence.eliminated},
                        {"boots", member.evidence.boots}};
    return json;
}

Json provenance_to_json(const Profile& profile)
{
    const Provenance& provenance = profile.provenance;
    Json json;
    json["engine"] = provenance.engine;
    json["constraints"] = provenance.constraints;
    json["confirmed"] = profile.confirmed();
    json["boots"] = provenance.boots;
    json["without_news"] = provenance.without_news;
    json["contradicted"] = provenance.contradicted;
    if (provenance.looks.boots)
        json["looks"] = {{"boots", provenance.looks.boots},
                         {"without_news", provenance.looks.without_news},
                         {"constraints", provenance.looks.constraints}};
    json["guests"] = Json::object();
    for (const Teacher& teacher : provenance.teachers)
        json["guests"][teacher.guest] = {{"boots", teacher.boots}, {"last", teacher.last}};
    return json;
}

Provenance provenance_from_json(const Json& json)
{
    Provenance provenance;
    provenance.engine = json.at("engine").get<std::uint32_t>();
    provenance.constraints = json.at("constraints").get<std::string>();
    provenance.boots = json.at("boots").get<std::uint32_t>();
    provenance.without_news = json.at("without_news").get<std::uint32_t>();
    provenance.contradicted = json.at("contradicted").get<std::uint32_t>();
    if (json.contains("looks")) {
        const Json& looks = json.at("looks");
        provenance.looks = {looks.at("boots").get<std::uint32_t>(), looks.at("without_news").get<std::uint32_t>(),
                            looks.at("constraints").get<std::string>()};
    }
    for (const auto& [guest, teacher] : json.at("guests").items())
        provenance.teachers.push_back(
            {guest, teacher.at("boots").get<std::uint32_t>(), teacher.at("last").get<std::string>()});
    return provenance;
}

lacuna_member_state state_from_name(const std::string& name)
{
    for (const auto state : {LACUNA_RESOLVED, LACUNA_AMBIGUOUS, LACUNA_CONTRADICTED, LACUNA_TIED, LACUNA_ABSENT})
        if (name == to_string(state))
            return state;
    throw Error("unknown state \"" + name + "\"");
}

ProfileMember member_from_json(const std::string& structure, const std::string& name, const Json& json)
{
    ProfileMember member;
    member.structure = structure;
    member.name = name;
    member.state = state_from_name(json.at("state").get<std::string>());
    member.type = json.at("type").get<std::string>();
    member.size = json.at("size").get<unsigned>();
    member.relative_to_list = json.value("relative_to", "") == "list";
    member.deep = json.value("deep", false);
    if (member.usable())
        member.offset = json.at("offset").get<std::int32_t>();
    if (member.lists_candidates()) {
        member.candidates = json.at("candidates").get<std::vector<std::int32_t>>();
        member.remaining = json.at("remaining").get<std::uint32_t>();
    }
    const Json& evidence = json.at("evidence");
    member.evidence = {
        evidence.at("events").get<std::uint32_t>(), evidence.at("instances").get<std::uint32_t>(),
        evidence.at("witnesses").get<std::uint32_t>(), evidence.at("eliminated").get<std::uint32_t>(),
        evidence.value("boots", std::uint32_t{0})};
    return member;
}

// Whether both say where the member is, and no place of the one is one of the other; or one that there is none.
bool disagree(const ProfileMember& one, const ProfileMember& other)
{
    if (one.absent() != other.absent())
        return one.answered() && other.answered();
    if (!one.usable() || !other.usable())
        return false;
    const std::vector<std::int32_t> places =
        one.tied() ? one.candidates : std::vector<std::int32_t>{one.offset};
    return std::all_of(places.begin(), places.end(),
                       [&](std::int32_t place) { return other.rules_out(place); });
}

// Of one that is settled.
std::string claim(const ProfileMember& member)
{
    if (member.absent())
        return "is absent";
    if (member.resolved())
        return fmt::format("is at {}", member.offset);
    return fmt::format("is at one of {}", fmt::join(member.candidates, ", "));
}

} // namespace

bool ProfileMember::says_more_than(const ProfileMember& other) const
{
    // Of a hunt that ended before its first event nothing is listed. A tie of fewer is what is left of one of more.
    const auto rank = [](const ProfileMember& member) {
        return member.resolved() || member.absent() ? 3 : member.tied() ? 2 : member.remaining > 0 ? 1 : 0;
    };
    return rank(*this) > rank(other) || (tied() && other.tied() && remaining < other.remaining);
}

bool ProfileMember::says_the_same_as(const ProfileMember& other) const
{
    return answered() && state == other.state &&
           (absent() || (tied() ? candidates == other.candidates : offset == other.offset));
}

bool ProfileMember::rules_out(std::int32_t other) const
{
    if (absent())
        return true;
    if (resolved())
        return offset != other;
    // What was left open, or fitted nowhere, in one boot says nothing against what was seen at work in
    // another.
    return state == LACUNA_TIED && std::find(candidates.begin(), candidates.end(), other) == candidates.end();
}

bool Profile::complete() const
{
    return !members.empty() &&
           std::all_of(members.begin(), members.end(), [](const ProfileMember& m) { return m.deep || m.answered(); });
}

bool Profile::confirmed_by(std::uint32_t boots) const
{
    return std::all_of(members.begin(), members.end(), [=](const ProfileMember& member) {
        return member.deep || !member.answered() || member.evidence.boots >= boots;
    });
}

std::size_t Profile::resolved() const
{
    return static_cast<std::size_t>(
        std::count_if(members.begin(), members.end(),
                      [](const ProfileMember& member) { return !member.deep && member.resolved(); }));
}

std::size_t Profile::present() const
{
    return static_cast<std::size_t>(std::count_if(
        members.begin(), members.end(), [](const ProfileMember& member) { return !member.deep && !member.absent(); }));
}

const Teacher* Provenance::find(const std::string& guest) const
{
    const auto found = std::find_if(teachers.begin(), teachers.end(),
                                    [&](const Teacher& teacher) { return teacher.guest == guest; });
    return found == teachers.end() ? nullptr : &*found;
}

const ProfileMember* Profile::find(const std::string& qualified) const
{
    const auto found = std::find_if(members.begin(), members.end(), [&](const ProfileMember& member) {
        return member.qualified() == qualified;
    });
    return found == members.end() ? nullptr : &*found;
}

std::int64_t Profile::offset(const std::string& qualified) const
{
    const ProfileMember* member = find(qualified);
    if (member && member->absent())
        throw Error(qualified + " does not exist: the kernel was built without modules", "kernel " + kernel_id);
    if (!member || !member->usable())
        throw Error(fmt::format("the offset of {} is {}", qualified,
                                member ? to_string(member->state) : "not in the profile"),
                    "kernel " + kernel_id,
                    "boot a guest with this kernel once more under lacunad to learn it");
    return member->offset;
}

Profile make_profile(const KernelDescriptor& kernel, const lacuna_constraints& set,
                     const std::vector<lacuna_member_report>& reports, const Lesson& lesson)
{
    if (reports.size() != set.members_nr)
        throw Error(fmt::format("{} members are reported, but the constraint set has {}", reports.size(),
                                set.members_nr),
                    "kernel " + kernel.id, "the guest was armed with another constraint set: boot it again");
    Profile profile;
    profile.kernel_id = kernel.id;
    profile.release = kernel.release;
    profile.banner = kernel.banner;
    profile.architecture = to_string(kernel.architecture);
    profile.provenance.engine = lesson.engine;
    profile.provenance.constraints = lesson.constraints;
    if (lesson.weight == Lesson::Weight::whole) {
        profile.provenance.teachers = {{lesson.guest, 1, lesson.when}};
        profile.provenance.boots = 1;
    }
    for (std::size_t i = 0; i < reports.size(); i++)
        profile.members.push_back(
            make_member(set, i, reports[i], static_cast<lacuna_architecture>(kernel.architecture)));
    if (lesson.weight == Lesson::Weight::preliminary)
        for (ProfileMember& member : profile.members)
            member.evidence.boots = 0;
    return profile;
}

std::optional<ProfileMember> join_deep(const ProfileMember& old, const ProfileMember& fresh)
{
    if (!old.usable() || !fresh.usable())
        return std::nullopt;
    const auto places = [](const ProfileMember& member) {
        return member.tied() ? member.candidates : std::vector<std::int32_t>{member.offset};
    };
    std::vector<std::int32_t> both;
    for (const std::int32_t place : places(old))
        if (!fresh.rules_out(place))
            both.push_back(place);
    if (both.empty())
        return std::nullopt;
    if (both == places(old))
        return old;
    ProfileMember joined = fresh;
    joined.deep = true;
    joined.state = both.size() == 1 ? LACUNA_RESOLVED : LACUNA_TIED;
    joined.offset = both.front();
    joined.candidates = joined.tied() ? both : std::vector<std::int32_t>();
    joined.remaining = joined.tied() ? static_cast<std::uint32_t>(both.size()) : 0;
    return joined;
}

std::vector<std::string> contradictions(const Profile& old, const Profile& fresh)
{
    std::vector<std::string> sentences;
    if (old.banner != fresh.banner || old.architecture != fresh.architecture)
        sentences.push_back(fmt::format("the kernel is \"{}\" ({}) in the store, but \"{}\" ({}) now",
                                        old.banner, old.architecture, fresh.banner, fresh.architecture));
    for (const ProfileMember& member : old.members) {
        const ProfileMember* other = fresh.find(member.qualified());
        if (other && disagree(member, *other))
            sentences.push_back(fmt::format("{} {} in the store, but {} now", member.qualified(),
                                            claim(member), claim(*other)));
    }
    return sentences;
}

namespace {

// An older engine's word changes nothing of whose the profile is.
bool begins_anew(const Provenance& old, const Provenance& fresh)
{
    return fresh.engine > old.engine ||
           (fresh.engine == old.engine && fresh.constraints != old.constraints);
}

void count(Provenance& known, const Provenance& fresh)
{
    known.boots += fresh.boots;
    for (const Teacher& teacher : fresh.teachers) {
        const Teacher* before = known.find(teacher.guest);
        const Teacher now{teacher.guest, teacher.boots + (before ? before->boots : 0), teacher.last};
        std::erase_if(known.teachers, [&](const Teacher& other) { return other.guest == teacher.guest; });
        known.teachers.push_back(now);
    }
    if (known.teachers.size() > Provenance::kept)
        known.teachers.erase(known.teachers.begin(), known.teachers.end() - Provenance::kept);
}

} // namespace

Profile join(const Profile& old, const Profile& fresh, bool had_news)
{
    Profile joined = old;
    if (begins_anew(old.provenance, fresh.provenance)) {
        joined.provenance = {fresh.provenance.engine, fresh.provenance.constraints, {}, 0, 0, 0, old.provenance.looks};
        for (ProfileMember& member : joined.members)
            member.evidence.boots = 0;
    }
    count(joined.provenance, fresh.provenance);
    for (const ProfileMember& member : fresh.members) {
        const auto known =
            std::find_if(joined.members.begin(), joined.members.end(),
                         [&](const ProfileMember& other) { return other.qualified() == member.qualified(); });
        if (known == joined.members.end())
            joined.members.push_back(member);
        else if (member.says_more_than(*known))
            *known = member;
        else if (member.says_the_same_as(*known) && fresh.provenance.boots)
            known->evidence.boots += member.evidence.boots;
    }
    if (had_news || has_news(old, joined))
        joined.provenance.without_news = 0;
    else
        joined.provenance.without_news += fresh.provenance.boots;
    return joined;
}

bool has_news(const Profile& old, const Profile& joined)
{
    return std::any_of(joined.members.begin(), joined.members.end(), [&](const ProfileMember& member) {
        const ProfileMember* before = old.find(member.qualified());
        return !before || member.says_more_than(*before);
    });
}

std::string to_text(const Json& json, int indent, bool ascii)
{
    return json.dump(indent, ' ', ascii, Json::error_handler_t::replace);
}

Json to_json(const Profile& profile)
{
    Json json;
    json["schema"] = profile_schema;
    json["kernel"] = {{"id", profile.kernel_id},
                      {"release", profile.release},
                      {"banner", profile.banner},
                      {"architecture", profile.architecture}};
    json["complete"] = profile.complete();
    json["provenance"] = provenance_to_json(profile);
    json["members"] = Json::object();
    for (const ProfileMember& member : profile.members)
        json["members"][member.structure][member.name] = member_to_json(member);
    return json;
}

Profile profile_from_json(const Json& json, const std::string& file)
{
    try {
        const Json& schema = json.at("schema");
        if (schema != profile_schema && schema != first_profile_schema)
            throw Error(fmt::format("it has the schema {}", schema.dump()));
        Profile profile;
        if (schema == profile_schema)
            profile.provenance = provenance_from_json(json.at("provenance"));
        const Json& kernel = json.at("kernel");
        profile.kernel_id = kernel.at("id").get<std::string>();
        profile.release = kernel.at("release").get<std::string>();
        profile.banner = kernel.at("banner").get<std::string>();
        profile.architecture = kernel.at("architecture").get<std::string>();
        for (const auto& [structure, members] : json.at("members").items())
            for (const auto& [name, member] : members.items())
                profile.members.push_back(member_from_json(structure, name, member));
        return profile;
    } catch (const std::exception& error) {
        throw Error(fmt::format("is no profile of schema {}: {}", profile_schema, error.what()), file,
                    "move it away; the next boot of the guest writes a new one");
    }
}

} // namespace lacuna
