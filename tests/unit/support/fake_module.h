// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <algorithm>
#include <functional>
#include <map>
#include <mutex>

#include <sys/eventfd.h>

#include "fd.h"
#include "module_link.h"
#include "profile.h"

namespace lacuna {

// What lacuna.ko would be, as far as the daemon can see. Outlives the links to it; safe to use from two
// threads.
class FakeModule {
public:
    struct Armed {
        std::vector<std::string> kernels;
        ArmOptions options;
    };

    std::mutex mutex;
    bool loaded = true;
    std::string refusal;        // of the next ARM
    bool other_version = false; // as a module of another ABI
    lacuna_constraints constraints{};
    std::map<std::uint32_t, GuestReport> guests; // what STATUS says
    std::vector<GuestReport> pending;            // events
    bool lost = false;
    std::map<std::uint32_t, Armed> armed;
    std::vector<std::uint32_t> ignored, disarmed;
    std::vector<pid_t> adopted;
    std::function<Bytes(std::uint64_t, std::size_t)> memory;
    Bytes recording;
    Fd event{eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};

    // An event, after which STATUS says the same.
    void tell(GuestReport report)
    {
        const std::scoped_lock lock(mutex);
        guests[report.guest] = report;
        guests[report.guest].event = LACUNA_EVENT_NONE;
        pending.push_back(std::move(report));
        eventfd_write(event.get(), 1);
    }

    void unload()
    {
        const std::scoped_lock lock(mutex);
        loaded = false;
        guests.clear();
        eventfd_write(event.get(), 1);
    }

    std::unique_ptr<ModuleLink> connect();
};

class FakeLink : public ModuleLink {
public:
    explicit FakeLink(FakeModule& module) : module_(module) {}

    void set_constraints(const lacuna_constraints& constraints) override
    {
        const auto lock = enter();
        if (module_.other_version)
            throw Error("is of another version than this daemon", "the lacuna module");
        module_.constraints = constraints;
    }
    void arm(std::uint32_t guest, const std::vector<KernelDescriptor>& kernels,
             const ArmOptions& options) override
    {
        const auto lock = enter();
        if (!module_.refusal.empty())
            throw Error(std::exchange(module_.refusal, {}), "the lacuna module");
        auto& armed = module_.armed[guest] = {{}, options};
        for (const KernelDescriptor& kernel : kernels)
            armed.kernels.push_back(kernel.id);
        module_.guests[guest].state = LACUNA_GUEST_WAITING;
    }
    GuestReport adopt(pid_t vmm_pid, const Fd& vm) override
    {
        const auto lock = enter();
        if (!vm)
            throw Error("the file is no virtual machine", "the lacuna module");
        GuestReport report;
        report.guest = 100 + static_cast<std::uint32_t>(module_.adopted.size());
        report.state = LACUNA_GUEST_CREATED;
        report.vmm_pid = static_cast<std::uint32_t>(vmm_pid);
        module_.adopted.push_back(vmm_pid);
        module_.guests[report.guest] = report;
        return report;
    }
    void ignore(std::uint32_t guest) override
    {
        const auto lock = enter();
        module_.ignored.push_back(guest);
        module_.guests[guest].state = LACUNA_GUEST_IGNORED;
    }
    void disarm(std::uint32_t guest) override
    {
        const auto lock = enter();
        module_.disarmed.push_back(guest);
    }
    std::vector<GuestReport> status() override
    {
        const auto lock = enter();
        std::vector<GuestReport> all;
        for (const auto& [number, report] : module_.guests)
            all.push_back(report);
        return all;
    }
    Bytes read(std::uint32_t, std::uint64_t gpa, std::size_t length) override
    {
        const auto lock = enter();
        return module_.memory(gpa, length);
    }
    Bytes recording(std::uint32_t, std::uint64_t offset) override
    {
        const auto lock = enter();
        const auto first =
            module_.recording.begin() +
            static_cast<std::ptrdiff_t>(std::min<std::size_t>(offset, module_.recording.size()));
        return Bytes(first, first + std::min<std::ptrdiff_t>(3, module_.recording.end() - first));
    }
    int event_fd() const override { return module_.event.get(); }
    EventBatch events() override
    {
        const auto lock = enter();
        eventfd_t ignored;
        eventfd_read(module_.event.get(), &ignored);
        return {std::exchange(module_.pending, {}), std::exchange(module_.lost, false)};
    }

private:
    std::unique_lock<std::mutex> enter()
    {
        std::unique_lock lock(module_.mutex);
        if (!module_.loaded)
            throw ModuleGone("is not loaded", "the lacuna module", "load it with: modprobe lacuna");
        return lock;
    }

    FakeModule& module_;
};

inline std::unique_ptr<ModuleLink> FakeModule::connect()
{
    auto link = std::make_unique<FakeLink>(*this);
    link->status(); // throws if it is not loaded
    return link;
}

inline KernelDescriptor fake_kernel(const std::string& id)
{
    KernelDescriptor kernel;
    kernel.id = id;
    kernel.release = "6.1.0-test";
    kernel.banner = "Linux version 6.1.0-test";
    kernel.text = 0xffffffff'8100'0000;
    kernel.end = 0xffffffff'8300'0000;
    kernel.banner_address = 0xffffffff'8200'0000;
    kernel.init_task = 0xffffffff'82a0'0000;
    kernel.modules = 0xffffffff'82b0'0040;
    kernel.page_table = 0xffffffff'8281'0000;
    kernel.current_task = 0x1fbc0;
    for (const auto kind : {SiteKind::fork, SiteKind::exit, SiteKind::initcall})
        kernel.sites.push_back({kind, "f", 0xffffffff'8100'1000, {0x41, 0x57, 0x41, 0x56}, {2, 2}, false});
    return kernel;
}

// A report of a member that was resolved at `offset`, or of one with these candidates left.
inline lacuna_member_report resolved_at(std::int32_t offset)
{
    lacuna_member_report report{};
    report.state = LACUNA_RESOLVED;
    report.remaining = 1;
    report.eliminated = 4095;
    report.events = 57;
    report.instances = 12;
    report.witnesses = 40;
    report.candidates[0] = offset;
    report.resolved_ns = 1'000'000;
    return report;
}

inline lacuna_member_report open_with(std::vector<std::int32_t> candidates,
                                      lacuna_member_state state = LACUNA_OPEN)
{
    lacuna_member_report report{};
    report.state = static_cast<std::uint8_t>(state);
    report.remaining = static_cast<std::uint32_t>(candidates.size());
    std::copy_n(candidates.begin(), std::min<std::size_t>(candidates.size(), LACUNA_LISTED_CANDIDATES),
                report.candidates);
    return report;
}

} // namespace lacuna
