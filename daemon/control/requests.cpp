// SPDX-License-Identifier: GPL-2.0-or-later
#include "requests.h"

#include <chrono>
#include <thread>
#include <utility>

#include <spdlog/fmt/fmt.h>

#include "abi_names.h"
#include "areas.h"
#include "address_space.h"
#include "deep_learning.h"
#include "files.h"
#include "introspection.h"
#include "loaded_modules.h"
#include "mounts.h"
#include "names.h"
#include "processes.h"
#include "sockets.h"
#include "symbol_file.h"

namespace lacuna {

namespace {

// The request itself is wrong.
class Usage : public Error {
public:
    using Error::Error;
};

std::string text(const Json& request, const char* key)
{
    if (!request.contains(key) || !request[key].is_string())
        throw Usage(fmt::format("the request needs the text \"{}\"", key), request.value("command", "?"));
    return request[key].get<std::string>();
}

Profile profile_of(const Supervisor& supervisor, const Guest& guest)
{
    if (guest.boot.kernel_id.empty())
        throw Unknown("its kernel has not been found (yet)", guest.name,
                      "lacunactl status shows what it waits for");
    auto profile = supervisor.store().profile(guest.boot.kernel_id);
    if (!profile)
        throw Unknown("there is no profile of its kernel " + guest.boot.kernel_id + " (yet)", guest.name,
                      "lacunactl watch shows how it comes about");
    return std::move(*profile);
}

Json status(const Supervisor& supervisor)
{
    Json json = {{"module", supervisor.link() != nullptr}, {"preparing", supervisor.kernels_in_progress()}};
    json["guests"] = Json::array();
    for (const Guest& guest : supervisor.guests())
        json["guests"].push_back(status_json(guest, supervisor.constraints()));
    return json;
}

Json processes(const Supervisor& supervisor, const Guest& guest)
{
    const Profile profile = profile_of(supervisor, guest);
    AddressSpace memory = supervisor.memory_of(guest);
    const auto snapshot = list_processes(memory, profile, guest.boot.kernel->init_task_at(guest.boot.slide));
    Json json = {{"guest", guest.name}, {"stable", snapshot.stable}, {"processes", Json::array()}};
    for (const Process& process : snapshot.entries)
        json["processes"].push_back({{"pid", process.pid},
                                     {"comm", process.comm},
                                     {"kind", process.pgd ? "user" : "kernel"},
                                     {"pgd", process.pgd ? Json(hex(process.pgd)) : Json()},
                                     {"address", hex(process.address)}});
    return json;
}

std::int32_t process_number(const Json& request)
{
    if (!request.contains("pid") || !request["pid"].is_number_integer())
        throw Usage("the request needs the number \"pid\"", request.value("command", "?"));
    return request["pid"].get<std::int32_t>();
}

std::optional<std::int32_t> process_if_given(const Json& request)
{
    return request.contains("pid") ? std::optional(process_number(request)) : std::nullopt;
}

using TakeView = std::function<Json(GuestView&)>;

// What is told of a guest that runs by what its profile says.
std::optional<TakeView> view_asked_for(const std::string& command, const Json& request)
{
    if (command == "ps" && request.value("full", false))
        return list_processes_in_full;
    if (command == "lsof")
        return [pid = process_if_given(request)](GuestView& view) { return list_files(view, pid); };
    if (command == "ss")
        return list_sockets;
    if (command == "maps")
        return [pid = process_number(request)](GuestView& view) { return list_areas(view, pid); };
    if (command == "env")
        return [pid = process_number(request)](GuestView& view) { return list_environment(view, pid); };
    if (command == "mounts")
        return [pid = process_if_given(request).value_or(1)](GuestView& view) { return list_mounts(view, pid); };
    return std::nullopt;
}

Anchors anchors_of(const Guest& guest)
{
    const KernelDescriptor& kernel = *guest.boot.kernel;
    return {kernel.init_task_at(guest.boot.slide), kernel.modules ? kernel.modules_at(guest.boot.slide) : 0,
            kernel.release};
}

// One boot of a guest that is looked at, which may end while that goes on.
class ThisBoot {
public:
    ThisBoot(const Supervisor& supervisor, const Guest& guest)
        : supervisor_(supervisor), number_(guest.number), guest_(guest.name), kernel_(guest.boot.kernel)
    {}

    const std::string& guest() const { return guest_; }
    // Throws Error when it is over, or the guest is being learned from: what is read then may be of another kernel.
    void must_go_on() const
    {
        for (const Guest& guest : supervisor_.guests())
            if (guest.number == number_ && guest.present() && !guest.hunted() && guest.boot.kernel == kernel_)
                return;
        throw Error("was reset, or has gone, while it was looked at", guest_);
    }

private:
    const Supervisor& supervisor_;
    std::uint32_t number_;
    std::string guest_;
    std::shared_ptr<const KernelDescriptor> kernel_; // each boot has its own
};

// With the symbols of its image that looks ask for, as far as they are kept.
Anchors anchors_for_looks(const Supervisor& supervisor, const Guest& guest, std::set<std::string, std::less<>> wanted)
{
    Anchors anchors = anchors_of(guest);
    if (const auto text = supervisor.store().symbols(guest.boot.kernel_id))
        for (const auto& [name, address] : addresses_of(*text, wanted))
            anchors.symbols.emplace(name, address + guest.boot.slide);
    return anchors;
}

// Looks that agree say something only if the guest has gone on in between: one that is paused shows the same each time, also what is
// half done. `clock`: where it counts its ticks; 0: not known.
void wait_until_it_has_run(AddressSpace& memory, std::uint64_t clock, const ThisBoot& boot, const Breathe& breathe)
{
    constexpr std::chrono::milliseconds between(500), nap(50);
    constexpr std::chrono::seconds longest(10); // an idle guest stops its ticks for a while
    const auto ticks = [&] {
        memory.forget();
        return clock ? memory.word(clock) : 0;
    };
    const auto before = ticks();
    const auto start = std::chrono::steady_clock::now();
    for (bool runs = !clock; !runs || std::chrono::steady_clock::now() - start < between; runs = runs || ticks() != before) {
        if (std::chrono::steady_clock::now() - start > longest)
            throw Error("stands still: it can be looked at while it runs", boot.guest());
        breathe();
        boot.must_go_on();
        std::this_thread::sleep_for(nap);
    }
}

Json view(const Supervisor& supervisor, const Guest& guest, const TakeView& take)
{
    const Profile profile = profile_of(supervisor, guest);
    AddressSpace memory = supervisor.memory_of(guest);
    Json json = {{"guest", guest.name}};
    json.update(settled(memory, profile, anchors_of(guest), take));
    return json;
}

Json modules(const Supervisor& supervisor, const Guest& guest)
{
    const Profile profile = profile_of(supervisor, guest);
    if (profile.architecture == "x86_64")
        return view(supervisor, guest, list_modules_in_full);
    if (!guest.boot.kernel->modules) // it can have none
        return {{"guest", guest.name}, {"stable", true}, {"modules", Json::array()}};
    AddressSpace memory = supervisor.memory_of(guest);
    const auto snapshot = list_modules(memory, profile, guest.boot.kernel->modules_at(guest.boot.slide));
    Json json = {{"guest", guest.name}, {"stable", snapshot.stable}, {"modules", Json::array()}};
    for (const Module& module : snapshot.entries)
        json["modules"].push_back(
            {{"name", module.name}, {"address", hex(module.address)}, {"text_size", module.text_size}});
    return json;
}

Json profile(const Supervisor& supervisor, const std::string& name)
{
    const Store& store = supervisor.store();
    std::string kernel_id = name;
    Json facts;
    try {
        kernel_id = profile_of(supervisor, supervisor.guest(name)).kernel_id;
        if (auto stored = store.guest(name))
            facts = std::move(*stored);
    } catch (const Unknown&) {
        if (!store.profile(kernel_id)) // neither a guest nor a kernel
            throw;
    }
    return profile_answer(store, kernel_id, facts);
}

Supervisor::ArmRequest arm_request(const Json& request)
{
    Supervisor::ArmRequest arm;
    if (!request.contains("pid") || !request["pid"].is_number_integer())
        throw Usage("the request needs the number \"pid\"", "arm");
    arm.vmm_pid = request["pid"].get<pid_t>();
    arm.name = request.value("name", "");
    arm.record = request.value("record", false);
    for (const Json& kernel : request.value("kernels", Json::array()))
        arm.kernels.emplace_back(kernel.get<std::string>());
    if (arm.kernels.empty() || arm.kernels.size() > LACUNA_MAX_KERNELS)
        throw Usage(fmt::format("the request needs 1 to {} \"kernels\"", LACUNA_MAX_KERNELS), "arm");
    if (request.contains("system_map"))
        arm.system_map = text(request, "system_map");
    return arm;
}

Json recording(const Supervisor& supervisor, const Json& request)
{
    const std::string guest = text(request, "guest");
    const Bytes bytes = supervisor.recording(guest, request.value("offset", std::uint64_t{0}));
    return {{"data", hex(bytes)}};
}

std::optional<Json> result(Supervisor& supervisor, const Json& request, const Breathe& breathe)
{
    if (!request.is_object())
        throw Usage("the request is no object");
    const std::string command = text(request, "command");
    if (command == "status")
        return status(supervisor);
    if (command == "stats")
        return stats_json(supervisor.guest(text(request, "guest")), supervisor.constraints());
    if (const auto take = view_asked_for(command, request))
        return view(supervisor, supervisor.guest(text(request, "guest")), *take);
    if (command == "ps")
        return processes(supervisor, supervisor.guest(text(request, "guest")));
    if (command == "lsmod")
        return modules(supervisor, supervisor.guest(text(request, "guest")));
    if (command == "profile")
        return profile(supervisor, text(request, "name"));
    if (command == "record")
        return recording(supervisor, request);
    if (command == "arm") {
        const Guest* guest = supervisor.arm(arm_request(request));
        if (!guest)
            return std::nullopt;
        return Json::object({{"guest", guest->name}});
    }
    if (takes_long(request))
        return learn_deep(supervisor, text(request, "guest"), breathe);
    if (command == "learn") {
        const Guest* guest = supervisor.learn(text(request, "guest"));
        if (!guest)
            return std::nullopt;
        return Json::object({{"guest", guest->name}});
    }
    if (command == "forget") {
        supervisor.forget(text(request, "kernel"));
        return Json::object();
    }
    if (command == "disarm") {
        supervisor.disarm(text(request, "guest"));
        return Json::object();
    }
    throw Usage("unknown command", command, "daemon and lacunactl are of different versions");
}

Json accepted(Json json)
{
    Json answer = {{"ok", true}};
    answer.update(json);
    return answer;
}

} // namespace

Json profile_answer(const Store& store, const std::string& kernel_id, const Json& facts)
{
    Json json = {{"profile", to_json(*store.profile(kernel_id))},
                 {"file", store.profile_file(kernel_id).string()},
                 {"facts", facts},
                 {"exports", Json::array()}};
    for (const Export& one : exports_of(store, kernel_id, facts))
        json["exports"].push_back({{"what", one.what}, {"file", one.file.string()}, {"why_not", one.why_not}});
    return json;
}

bool takes_long(const Json& request)
{
    return request.is_object() && request.value("command", "") == "learn" && request.value("deep", false);
}

std::optional<Json> answer(Supervisor& supervisor, const Json& request, const Breathe& breathe)
{
    try {
        auto json = result(supervisor, request, breathe);
        if (!json)
            return std::nullopt;
        return accepted(std::move(*json));
    } catch (const ModuleGone&) {
        throw;
    } catch (const std::exception& error) {
        return error_answer(error);
    }
}

Json learn_deep(Supervisor& supervisor, const std::string& name, const Breathe& breathe)
{
    const Config& config = supervisor.config();
    if (config.deep == Deep::off)
        throw Error("deep members are not learned: \"deep\" is \"off\" in the configuration", name);
    const Guest& guest = supervisor.guest(name);
    if (guest.hunted())
        throw Error("is being learned from already", name, "lacunactl watch shows how far it is");
    const Profile profile = profile_of(supervisor, guest);
    const ThisBoot boot(supervisor, guest);
    AddressSpace memory = supervisor.memory_of(guest);

    DeepConstraints constraints = read_deep_constraints(config.constraints / "deep");
    const DeepSolver solver(std::move(constraints.structures));
    const Anchors anchors = anchors_for_looks(supervisor, guest, solver.symbols());
    const auto clock = anchors.symbols.find(DeepSolver::clock);
    DeepLearning learning(solver, profile, anchors);
    std::optional<Error> problem;
    for (bool first = true; learning.looks() < DeepLearning::looks_wanted; first = false) {
        if (!first)
            wait_until_it_has_run(memory, clock == anchors.symbols.end() ? 0 : clock->second, boot, breathe);
        try {
            learning.look(memory, [&] {
                breathe();
                boot.must_go_on();
            });
        } catch (const ModuleGone&) {
            throw;
        } catch (const Error& error) { // what was being changed may stand still next time
            boot.must_go_on();
            if (problem)
                throw;
            problem = error;
        }
    }
    const std::vector<ProfileMember> members = learning.members();
    supervisor.put_deep(boot.guest(), profile.kernel_id, members, constraints.digest);
    Json json = {{"guest", boot.guest()}, {"looks", learning.looks()}, {"members", Json::object()}};
    for (const ProfileMember& member : members)
        json["members"][member.qualified()] = {{"state", to_string(member.state)},
                                               {"offset", member.usable() ? Json(member.offset) : Json()},
                                               {"candidates", member.candidates},
                                               {"instances", member.evidence.instances}};
    return json;
}

Json error_answer(const std::exception& error)
{
    const char* code = "failed";
    if (dynamic_cast<const Unknown*>(&error))
        code = "unknown";
    if (dynamic_cast<const Usage*>(&error) || dynamic_cast<const Json::exception*>(&error))
        code = "usage";
    return {{"ok", false}, {"error", error.what()}, {"code", code}};
}

Json watch_line(const Supervisor& supervisor, const Guest& guest)
{
    Json json = status_json(guest, supervisor.constraints());
    json["traps_total"] = stats_json(guest, supervisor.constraints())["traps_total"];
    return accepted({{"guest", std::move(json)}});
}

} // namespace lacuna
