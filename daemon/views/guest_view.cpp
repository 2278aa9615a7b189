// SPDX-License-Identifier: GPL-2.0-or-later
#include "guest_view.h"

#include <algorithm>

#include <spdlog/fmt/fmt.h>

#include "error.h"

namespace lacuna {

namespace {

KnownOffsets offsets_of(const Profile& profile)
{
    KnownOffsets known;
    for (const ProfileMember& member : profile.members)
        if (member.usable())
            known[member.qualified()] = member.offset;
    return known;
}

// As large as it takes to hold what is known of it.
DeepStructure structure_of(const char* name, const char* source, const KnownOffsets& known)
{
    constexpr std::int32_t largest = 16384, spare = 64;
    DeepStructure structure;
    structure.name = name;
    structure.source = source;
    structure.high = spare;
    for (const auto& [member, offset] : known)
        if (member.starts_with(std::string(name) + "."))
            structure.high = std::max(structure.high, std::min(offset + spare, largest));
    return structure;
}

DeepStructures structures_of(const KnownOffsets& known)
{
    return {structure_of("task_struct", "tasks", known)};
}

constexpr std::int32_t memory_window = 4096; // of mm_struct: its auxiliary vector is in there
// What a host with many processors and users has, and more.
constexpr LookLimits all_there_is{16384, 65536, 65536, 8192, 256 << 20};

} // namespace

GuestView::GuestView(AddressSpace& memory, const Profile& profile, const Anchors& anchors, Time end)
    : structures_(structures_of(offsets_of(profile))),
      look_(memory, anchors, end, {}, all_there_is)
{
    if (profile.architecture != "x86_64")
        throw Error("this is told of 64-bit kernels only", "kernel " + profile.kernel_id);
    look_.set_structures(structures_);
    look_.know(offsets_of(profile));
}

std::vector<std::string> GuestView::missing(std::initializer_list<const char*> members) const
{
    std::vector<std::string> missing;
    for (const char* member : members)
        if (!knows(member))
            missing.emplace_back(member);
    return missing;
}

void GuestView::need(std::initializer_list<const char*> members) const
{
    if (const auto names = missing(members); !names.empty())
        throw Error(fmt::format("does not say where {} is (yet)", fmt::join(names, ", ")), "the profile of its kernel",
                    "lacunactl learn --deep GUEST learns more members of a guest that runs");
}

bool GuestView::want(const char* what, std::initializer_list<const char*> members)
{
    auto names = missing(members);
    if (names.empty())
        return true;
    lacks_[what] = std::move(names);
    return false;
}

std::optional<std::uint64_t> GuestView::word(std::uint64_t address, const char* member)
{
    return value<std::uint64_t>(address, member);
}

std::string GuestView::text(std::uint64_t address, std::size_t most)
{
    if (!(address >> 63))
        return {};
    const Bytes& bytes = look_.block(address, most);
    return std::string(bytes.begin(), std::find(bytes.begin(), bytes.end(), 0));
}

std::optional<Instance> GuestView::memory_of(const Instance& task)
{
    const auto mm = look_.member(task, "task_struct.mm");
    if (!mm || !look_.leads_somewhere(*mm))
        return std::nullopt;
    Instance memory;
    memory.address = *mm;
    memory.bytes = look_.block(*mm, memory_window);
    return memory;
}

const std::vector<Instance>& GuestView::tasks()
{
    const auto& tasks = look_.tasks();
    if (tasks.empty())
        throw Error("the list of processes leads nowhere", "task_struct.tasks", "the guest may have been changing it: try again");
    return tasks;
}

void GuestView::tell(std::size_t text)
{
    constexpr std::size_t row = 64;
    if (told_ += row + text; told_ > most_told)
        throw Error("there is more than is told at once", "the guest", "ask for a single process, if that can be chosen");
}

const Instance& GuestView::process(std::int32_t pid)
{
    for (const Instance& task : tasks())
        if (task.leads() && task.value<std::int32_t>(*look_.known("task_struct.pid")) == pid)
            return task;
    throw Error("there is no process of this number", std::to_string(pid));
}

Json settled(AddressSpace& memory, const Profile& profile, const Anchors& anchors,
             const std::function<Json(GuestView&)>& take)
{
    constexpr unsigned most_tries = 5;
    const auto end = std::chrono::steady_clock::now() + GuestView::longest;
    std::optional<Json> last;
    std::optional<Error> problem;
    bool stable = false;
    for (unsigned tries = 0; !stable && tries < most_tries && std::chrono::steady_clock::now() < end; tries++) {
        try {
            GuestView view(memory, profile, anchors, end);
            Json fresh = take(view);
            fresh["lacks"] = Json::object();
            for (const auto& [what, members] : view.lacks())
                fresh["lacks"][what] = members;
            if (!view.look().left_out().empty())
                fresh["left_out"] = view.look().left_out();
            stable = last == fresh;
            last = std::move(fresh);
        } catch (const Error& error) {
            problem = error;
        }
    }
    if (!last)
        throw *problem;
    (*last)["stable"] = stable;
    return std::move(*last);
}

} // namespace lacuna
