// SPDX-License-Identifier: GPL-2.0-or-later
#include "supervisor.h"

#include <algorithm>
#include <array>

#include <poll.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include "abi_names.h"

namespace lacuna {

namespace {

// `kernel`, `disks`: what the guest itself is given.
std::vector<KernelSource> sources_of(const GuestRule& rule,
                                     const std::optional<std::filesystem::path>& kernel,
                                     const std::vector<Disk>& disks)
{
    std::vector<KernelSource> sources;
    for (const auto& file : rule.kernels)
        sources.push_back({file, rule.system_map, {}});
    if (!rule.images.empty())
        sources.push_back({{}, {}, rule.images});
    if (sources.empty() && kernel)
        sources.push_back({*kernel, rule.system_map, {}});
    if (sources.empty() && !disks.empty())
        sources.push_back({{}, {}, disks});
    return sources;
}

} // namespace

Supervisor::Supervisor(Config config, const lacuna_constraints& constraints, KernelLibrary& library,
                       Host host)
    : config_(std::move(config)),
      constraints_(constraints),
      library_(library),
      host_(std::move(host)),
      store_(config_.store, config_.group),
      guests_(store_),
      knowledge_(store_, constraints_, host_.choose),
      exports_(store_)
{
    store_.forget_symbols();
}

void Supervisor::reconfigure(Config config)
{
    using Path = std::filesystem::path;
    for (const auto& [old_value, new_value, key] :
         {std::tuple(config_.store, config.store, "store"),
          std::tuple(config_.socket, config.socket, "socket"),
          std::tuple(config_.constraints, config.constraints, "constraints"),
          std::tuple(Path(config_.group), Path(config.group), "group"),
          std::tuple(Path(config_.libvirt), Path(config.libvirt), "libvirt"),
          std::tuple(Path(config_.metrics), Path(config.metrics), "metrics")})
        if (old_value != new_value)
            spdlog::warn("another \"{}\" in the configuration counts from the next start of lacunad", key);
    config.store = config_.store;
    config.socket = config_.socket;
    config.constraints = config_.constraints;
    config.group = config_.group;
    config.libvirt = config_.libvirt;
    config.metrics = config_.metrics;
    config_ = std::move(config);
    prepare();
}

void Supervisor::prepare()
{
    prepared_.clear();
    const auto ahead = [this](const std::vector<KernelSource>& sources) {
        for (const KernelSource& source : sources) {
            library_.find(source, false);
            prepared_.insert(source);
        }
    };
    for (const GuestRule& rule : config_.guests)
        if (rule.policy != Policy::ignore)
            ahead(sources_of(rule, {}, {}));
    for (const Domain& domain : domains_) {
        VmmProcess vmm;
        vmm.name = domain.name;
        vmm.uuid = domain.uuid;
        const GuestRule* rule = config_.rule_for(vmm);
        if (rule && rule->policy != Policy::ignore)
            ahead(sources_of(*rule, domain.kernel, domain.disks));
    }
}

void Supervisor::domains_are(std::vector<Domain> domains)
{
    domains_ = std::move(domains);
    prepare();
}

void Supervisor::connected(std::unique_ptr<ModuleLink> link)
{
    link->set_constraints(constraints_);
    const auto reports = link->status();
    link_ = std::move(link);
    for (const GuestReport& report : reports)
        handle(report);
    adopt_running();
    guests_.bury();
}

// What ran before the module was loaded. Nobody asked for it to be trapped, and it may have been running for
// months: it is only looked at whether its kernel is one that is known, unless somebody asks for more
// (learn()).
void Supervisor::adopt_running()
{
    for (const RunningVm& vm : host_.running_vms()) {
        if (guests_.by_process(vm.vmm_pid))
            continue;
        try {
            const GuestReport report = link_->adopt(vm.vmm_pid, host_.open_vm(vm));
            Guest& guest = find_or_create(report);
            guest.boot.adopted = true;
            advance(guest);
            changed(guest, true);
        } catch (const ModuleGone&) {
            throw;
        } catch (const Error& error) {
            spdlog::warn("{}", error.what());
        }
    }
}

void Supervisor::disconnected()
{
    if (link_)
        errors_["module"]++;
    link_.reset();
    for (Guest& guest : guests_.all()) {
        if (!guest.present())
            continue;
        guest.state = LACUNA_GUEST_GONE;
        guest.reason = "the lacuna module has been removed";
        log(guest, LACUNA_EVENT_GONE);
        changed(guest, true);
    }
}

void Supervisor::read_events()
{
    EventBatch batch = link_->events();
    // Those first who are being held up; what is told of a guest begins with that.
    std::stable_partition(batch.reports.begin(), batch.reports.end(),
                          [](const GuestReport& report) { return report.event == LACUNA_EVENT_CREATED; });
    for (const GuestReport& report : batch.reports)
        handle(report);
    if (!batch.lost)
        return;
    spdlog::warn("the module told more than could be taken in; asking it for the state of all guests");
    for (const GuestReport& report : link_->status())
        handle(report);
}

// Members are told by their numbers in the set that the guest was armed with, perhaps by an earlier daemon.
GuestReport Supervisor::understood(GuestReport report, const Guest& guest) const
{
    if (!guest.constraints.empty() && guest.constraints != knowledge_.constraints_digest())
        report.members.reset();
    return report;
}

void Supervisor::handle(const GuestReport& report)
{
    Guest& guest = find_or_create(report);
    const bool news = guest.update(understood(report, guest));
    if (news)
        log(guest, report.event);
    if (report.event == LACUNA_EVENT_RESET && guest.state == LACUNA_GUEST_CREATED && !guest.by_hand)
        decide(guest); // its rule, or what its kernel is, may be another by now
    if (!guest.present() || report.event == LACUNA_EVENT_RESET)
        for (const KernelSource& source : guest.sources)
            // The kernels on its disks may have been upgraded. Those of a transient guest do not come back.
            if (source.file.empty() && (guest.present() || prepared_.contains(source)))
                library_.refresh(source);
    if (!guest.present())
        guests_.forget();
    advance(guest);
    changed(guest, news);
}

void Supervisor::kernels_ready()
{
    library_.acknowledge();
    export_missing();
    for (Guest& guest : guests_.all()) {
        const bool had_kernel = guest.boot.kernel != nullptr;
        const auto before = guest.state;
        advance(guest);
        if (guest.state != before || (guest.boot.kernel != nullptr) != had_kernel)
            changed(guest, guest.present()); // the facts of one that is gone may be another's by now
    }
}

void Supervisor::breathe()
{
    std::array<pollfd, 2> fds{{{need_link().event_fd(), POLLIN, 0}, {library_.event_fd(), POLLIN, 0}}};
    if (poll(fds.data(), fds.size(), 0) <= 0)
        return;
    if (fds[0].revents)
        read_events();
    if (fds[1].revents)
        kernels_ready();
}

void Supervisor::put_deep(const std::string& guest, const std::string& kernel_id,
                          const std::vector<ProfileMember>& members, const std::string& constraints)
{
    const auto usable = std::count_if(members.begin(), members.end(),
                                      [](const ProfileMember& member) { return member.usable(); });
    const Stored stored = store_.put_deep(kernel_id, members, constraints);
    export_kernel(kernel_id);
    for (const std::string& objection : stored.objections)
        spdlog::error("[{}] contradicts the profile in the store: {}", guest, objection);
    spdlog::info("[{}] {} deep members found, {} not: {} {}", guest, usable,
                 static_cast<std::ptrdiff_t>(members.size()) - usable, stored.file.string(),
                 stored.outcome == Stored::kept ? "says them already" : "improved");
}

Guest& Supervisor::find_or_create(const GuestReport& report)
{
    if (Guest* known = guests_.by_number(report.guest))
        return *known;
    Guest& guest = guests_.add(report.guest, static_cast<pid_t>(report.vmm_pid.value_or(0)));
    guest.state = report.state.value_or(LACUNA_GUEST_CREATED);
    decide(guest);
    if (guest.state != LACUNA_GUEST_CREATED)
        guests_.recall(guest);
    if (guest.state == LACUNA_GUEST_IGNORED)
        guest.wanted = Policy::ignore;
    spdlog::info("[{}] virtual machine of process {}, {}", guest.name, guest.vmm_pid,
                 guest.wanted == Policy::ignore ? "left alone" : "to be learned from");
    return guest;
}

void Supervisor::decide(Guest& guest)
{
    const VmmProcess vmm = host_.find_vmm(guest.vmm_pid);
    const GuestRule* rule = config_.rule_for(vmm);
    if (guest.name.empty())
        guests_.name(guest, vmm.name);
    guest.record = config_.record;
    guest.wanted = Policy::ignore;
    guest.sources.clear();
    const bool our_own = vmm.parent == getpid(); // libguestfs' appliance, in which a disk is read
    if (our_own || !rule || rule->policy == Policy::ignore)
        return;
    guest.sources = sources_of(*rule, vmm.kernel, vmm.disks);
    const bool of_vmm = rule->kernels.empty() && rule->images.empty();
    for (KernelSource& source : guest.sources)
        if (of_vmm && !prepared_.contains(source)) // which libvirt has named too
            source.named_by = vmm.user;
    guest.wanted = rule->policy;
}

// Does what can be done for the guest now; called whenever something may have become possible.
void Supervisor::advance(Guest& guest)
{
    try {
        if (guest.state == LACUNA_GUEST_CREATED && link_)
            guest.wanted == Policy::ignore ? let_go(guest, {}) : try_to_arm(guest);
        if (!guest.boot.kernel_id.empty() && !guest.boot.kernel && guest.boot.outcome != Outcome::lost)
            find_descriptor(guest);
        // What is left to be seen of modules, perhaps none, need not be waited for.
        if (guest.state == LACUNA_GUEST_TRAPPING && guest.boot.kernel && guest.stats.process_done_ns &&
            !guest.boot.tasks_published) {
            guest.boot.tasks_published = true;
            publish(guest, Lesson::Weight::preliminary);
        }
        if (guest.state == LACUNA_GUEST_DONE && guest.boot.kernel && guest.boot.outcome == Outcome::none)
            guest.only_observed() ? expect_verification(guest) : finish(guest);
    } catch (const ModuleGone&) {
        throw;
    } catch (const std::exception& error) {
        errors_["other"]++;
        spdlog::error("[{}] {}", guest.name, error.what());
    }
}

std::optional<std::vector<KernelDescriptor>> Supervisor::kernels_of(const std::vector<KernelSource>& sources)
{
    std::vector<KernelDescriptor> kernels;
    bool complete = true;
    for (const KernelSource& source : sources) {
        const auto prepared = library_.find(source);
        if (!prepared) {
            complete = false;
            continue; // but start reading the others
        }
        if (!prepared->error.empty())
            throw Error(prepared->error);
        kernels.insert(kernels.end(), prepared->kernels.begin(), prepared->kernels.end());
    }
    if (!complete)
        return std::nullopt;
    if (kernels.size() > LACUNA_MAX_KERNELS) {
        spdlog::warn("{} holds {} kernels; only the first {} are looked for", to_string(sources.front()),
                     kernels.size(), LACUNA_MAX_KERNELS);
        kernels.resize(LACUNA_MAX_KERNELS);
    }
    return kernels;
}

void Supervisor::try_to_arm(Guest& guest)
{
    if (guest.sources.empty())
        return let_go(guest, "its kernel is not known: the configuration names none, and its command line "
                             "has neither -kernel nor "
                             "a disk that is a file");
    try {
        auto kernels = kernels_of(guest.sources);
        if (!kernels)
            return;
        std::set<std::string> known;
        if (guest.wanted == Policy::learn_if_unknown) // one that runs is not asked for more, only seen to keep to it
            known = guest.boot.adopted ? knowledge_.with_profile(*kernels)
                                       : knowledge_.known_among(*kernels, guest.name, config_.trust);
        if (guest.boot.adopted)
            std::erase_if(*kernels,
                          [&](const KernelDescriptor& kernel) { return !known.contains(kernel.id); });
        if (kernels->empty()) {
            let_go(guest, {});
            guest.reason =
                "it ran before the module knew of it; lacunactl learn " + guest.name + " learns from it now";
            return;
        }
        start_hunt(guest, std::move(*kernels), known);
        guests_.remember(guest);
    } catch (const ModuleGone&) {
        throw;
    } catch (const Error& error) {
        let_go(guest, error.what());
    }
}

void Supervisor::start_hunt(Guest& guest, std::vector<KernelDescriptor> kernels, std::set<std::string> known)
{
    need_link().arm(guest.number, kernels, {config_.deadline_seconds * 1000, guest.record, known});
    guest.kernels = std::move(kernels);
    guest.constraints = knowledge_.constraints_digest();
    guest.state = LACUNA_GUEST_WAITING;
    guest.reason.clear();
    if (guest.wanted == Policy::ignore)
        guest.wanted = Policy::learn;
    guest.boot.outcome = Outcome::none;
    spdlog::info("[{}] armed, {} kernel(s) are looked for{}", guest.name, guest.kernels.size(),
                 known.empty() ? "" : fmt::format(", {} of them known", known.size()));
}

// ---- known kernels ----

void Supervisor::expect_verification(Guest& guest)
{
    if (!store_.profile(guest.boot.kernel_id))
        return;
    guest.boot.outcome = Outcome::unverified;
    guest.boot.unverified_since = std::chrono::steady_clock::now();
}

bool Supervisor::is_verifying() const
{
    return std::any_of(guests().begin(), guests().end(), [](const Guest& guest) {
        return guest.present() && guest.boot.outcome == Outcome::unverified;
    });
}

void Supervisor::verify()
{
    for (Guest& guest : guests_.all())
        if (guest.present() && guest.boot.outcome == Outcome::unverified)
            verify(guest);
}

// Early in a boot nothing of a profile holds: that it does not is certain only when the time for a boot is
// over.
void Supervisor::verify(Guest& guest)
{
    std::string problem;
    try {
        AddressSpace memory = memory_of(guest);
        knowledge_.verify(guest, memory);
    } catch (const ModuleGone&) {
        throw;
    } catch (const Error& error) {
        problem = error.what();
    }
    if (problem.empty()) {
        guest.boot.outcome = Outcome::verified;
        spdlog::info("[{}] its kernel is known, and the profile holds: {}", guest.name,
                     store_.profile_file(guest.boot.kernel_id).string());
        changed(guest, true);
    } else if (std::chrono::steady_clock::now() - guest.boot.unverified_since >
               std::chrono::seconds(config_.deadline_seconds)) {
        spdlog::warn("[{}] the profile of its kernel does not hold: {}; learning from it instead", guest.name,
                     problem);
        errors_["verification"]++;
        learn_anew(guest);
    }
}

void Supervisor::learn_anew(Guest& guest)
{
    try {
        start_hunt(guest, guest.kernels, {});
    } catch (const ModuleGone&) {
        throw;
    } catch (const Error& error) {
        let_go(guest, error.what());
    }
    changed(guest, true);
}

// Nothing holds the guest up any longer; `why` if that is not what was wanted.
void Supervisor::let_go(Guest& guest, const std::string& why)
{
    if (!why.empty()) {
        errors_["kernel"]++;
        spdlog::error("[{}] cannot be learned from: {}", guest.name, why);
    }
    guest.reason = why;
    guest.state = LACUNA_GUEST_IGNORED; // whatever the module says: it is not asked twice
    link_->ignore(guest.number);
}

void Supervisor::find_descriptor(Guest& guest)
{
    Boot& boot = guest.boot;
    if (guest.kernels.empty()) {
        boot.outcome = Outcome::lost; // unless what follows finds it: an error is told once
        auto kernels = kernels_of(guest.sources);
        boot.outcome = Outcome::none;
        if (!kernels)
            return;
        guest.kernels = std::move(*kernels);
    }
    for (const KernelDescriptor& kernel : guest.kernels)
        if (kernel.id == boot.kernel_id)
            boot.kernel = std::make_shared<const KernelDescriptor>(kernel);
    if (boot.kernel)
        return;
    boot.outcome = Outcome::lost;
    spdlog::error("[{}] runs kernel {}, which none of its files is any more; nothing can be published",
                  guest.name, boot.kernel_id);
}

void Supervisor::finish(Guest& guest)
{
    guest.boot.outcome = Outcome::published; // one try: what fails now fails again
    const bool counted = std::exchange(guest.boot.counted, true);
    publish(guest, counted ? Lesson::Weight::repeated : Lesson::Weight::whole);
}

void Supervisor::publish(Guest& guest, Lesson::Weight weight)
{
    const auto outcome = knowledge_.publish(guest, weight);
    if (weight != Lesson::Weight::preliminary && (outcome == Stored::refused || outcome == Stored::replaced))
        errors_["contradiction"]++;
    guest.boot.had_news |= outcome && outcome != Stored::kept && outcome != Stored::refused;
    export_kernel(guest.boot.kernel_id);
}

// ---- what tools read: that it cannot be written must stop nothing ----

void Supervisor::export_kernel(const std::string& kernel_id)
{
    try {
        exports_.update_kernel(kernel_id);
    } catch (const std::exception& error) {
        spdlog::error("{}: {}", kernel_id, error.what());
    }
    for (const Guest& guest : guests_.all())
        if (guest.present() && guest.boot.kernel_id == kernel_id)
            export_boot(guest);
}

void Supervisor::export_missing()
{
    try {
        for (const std::string& kernel_id : exports_.missing())
            export_kernel(kernel_id);
    } catch (const std::exception& error) {
        spdlog::error("{}", error.what());
    }
}

void Supervisor::export_boot(const Guest& guest)
{
    try {
        exports_.update_guest(facts_json(guest));
    } catch (const std::exception& error) {
        spdlog::error("[{}] {}", guest.name, error.what());
    }
}

void Supervisor::log(const Guest& guest, lacuna_event event)
{
    if (guest.state == LACUNA_GUEST_FAILED) {
        errors_["let-go"]++;
        spdlog::error("[{}] let go: {}", guest.name, guest.reason);
    } else if (event == LACUNA_EVENT_RESET)
        spdlog::log(guest.wanted == Policy::ignore ? spdlog::level::debug : spdlog::level::info,
                    "[{}] was reset", guest.name);
    else if (event == LACUNA_EVENT_FOUND)
        spdlog::info("[{}] runs kernel {}", guest.name, guest.boot.kernel_id); // not where: more may read the journal
    else
        spdlog::info("[{}] is {}{}{}", guest.name, to_string(guest.state), guest.reason.empty() ? "" : ": ",
                     guest.reason);
}

void Supervisor::changed(const Guest& guest, bool facts)
{
    if (facts) {
        guests_.remember(guest);
        export_boot(guest);
    }
    if (on_change_)
        on_change_(guest);
}

ModuleLink& Supervisor::need_link() const
{
    if (!link_)
        throw Error("is not loaded", module_name, load_hint);
    return *link_;
}

const Guest* Supervisor::arm(const ArmRequest& request)
{
    need_link();
    Guest* guest = guests_.by_process(request.vmm_pid);
    if (!guest)
        throw Unknown("has no virtual machine that the module knows",
                      fmt::format("process {}", request.vmm_pid),
                      "the module must be loaded before the machine is created");
    std::vector<KernelSource> sources;
    for (const auto& kernel : request.kernels)
        sources.push_back({kernel, request.system_map, {}});
    auto kernels = kernels_of(sources);
    if (!kernels)
        return nullptr;

    if (!request.name.empty()) {
        exports_.remove_guest(guest->name);
        guests_.name(*guest, request.name);
    }
    guest->record = request.record || config_.record;
    start_hunt(*guest, std::move(*kernels), {});
    guest->sources = std::move(sources);
    guest->by_hand = true;
    changed(*guest, true);
    return guest;
}

const Guest* Supervisor::learn(const std::string& name)
{
    need_link();
    Guest* guest = guests_.by_name_or_process(name);
    if (!guest) {
        adopt_running();
        guest = guests_.by_name_or_process(name);
    }
    if (!guest)
        throw Unknown("no running guest of this name, and no VMM of this process number", name,
                      "lacunactl status lists them");
    if (guest->hunted())
        throw Error("is being learned from already", name, "lacunactl watch shows how far it is");
    if (guest->sources.empty()) {
        const VmmProcess vmm = host_.find_vmm(guest->vmm_pid);
        const GuestRule* rule = config_.rule_for(vmm);
        guest->sources = sources_of(rule ? *rule : GuestRule(), vmm.kernel, vmm.disks);
    }
    if (guest->sources.empty())
        throw Error("its kernel is not known: no rule names one, and its VMM was given none", name,
                    "name it in the configuration, or use lacunactl arm --pid " +
                        std::to_string(guest->vmm_pid));
    auto kernels = kernels_of(guest->sources);
    if (!kernels)
        return nullptr;
    start_hunt(*guest, std::move(*kernels), {});
    changed(*guest, true);
    return guest;
}

void Supervisor::disarm(const std::string& name)
{
    const Guest& known = guest(name);
    if (!known.present())
        throw Error("is gone", name);
    need_link().disarm(known.number);
    spdlog::info("[{}] disarmed on request", name);
}

void Supervisor::forget(const std::string& kernel_id)
{
    if (!store_.forget_profile(kernel_id))
        throw Unknown("there is no profile of a kernel with this id", kernel_id,
                      "lacunactl status shows the ids of the kernels that guests run");
    spdlog::info("{}: its profile has been removed on request", kernel_id);
    export_kernel(kernel_id);
    for (Guest& guest : guests_.all())
        if (guest.boot.kernel_id == kernel_id && guest.boot.has_known_profile()) {
            guest.boot.outcome = Outcome::published; // there is nothing to verify any more
            changed(guest, guest.present());
        }
}

AddressSpace Supervisor::memory_of(const Guest& guest) const
{
    const Boot& boot = guest.boot;
    if (!boot.kernel)
        throw Error("its kernel has not been found (yet)", guest.name,
                    "lacunactl status shows what it waits for");
    if (!guest.present())
        throw Error("is gone", guest.name);
    if (!boot.page_table_gpa())
        throw Error("its kernel's page tables have not been found yet", guest.name,
                    "they are when its first process is started: ask again");
    ModuleLink& link = need_link();
    const auto read = [&link, number = guest.number](std::uint64_t gpa, std::size_t length) {
        return link.read(number, gpa, length);
    };
    return AddressSpace(read, boot.page_table_gpa(), boot.paging);
}

Bytes Supervisor::recording(const std::string& name, std::uint64_t offset) const
{
    return need_link().recording(guest(name).number, offset);
}

} // namespace lacuna
