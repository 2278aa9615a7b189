// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "address_space.h"
#include "config.h"
#include "domain.h"
#include "exports.h"
#include "guest.h"
#include "guest_registry.h"
#include "kernel_knowledge.h"
#include "kernel_library.h"
#include "module_link.h"
#include "running_vm.h"
#include "store.h"
#include "vmm_process.h"

namespace lacuna {

// The host as the supervisor sees it; replaced by tests.
struct Host {
    std::function<VmmProcess(pid_t)> find_vmm = [](pid_t pid) { return lacuna::find_vmm(pid); };
    std::function<std::vector<RunningVm>()> running_vms = [] { return lacuna::running_vms(); };
    std::function<Fd(const RunningVm&)> open_vm = lacuna::open_vm;
    KernelKnowledge::Choose choose = KernelKnowledge::by_chance;
};

// Decides what happens to guests: arms those that the configuration names, takes in what the module tells of
// them, and has what was learned published. Knows nothing of sockets and never waits; everything runs
// in one thread.
class Supervisor {
public:
    using OnChange = std::function<void(const Guest&)>;

    // `library` must outlive the supervisor.
    Supervisor(Config config, const lacuna_constraints& constraints, KernelLibrary& library, Host host = {});

    // Told of every change of a guest; for those who watch.
    void on_change(OnChange callback) { on_change_ = std::move(callback); }

    // Another configuration: its rules count for guests that are created from now on.
    void reconfigure(Config config);

    // Starts reading every kernel that the configuration names, and those of the domains it wants learned
    // from.
    void prepare();
    // What libvirt has, whether it runs or not.
    void domains_are(std::vector<Domain> domains);

    // Gives the module its constraints and takes over the guests it has. Throws like ModuleLink.
    void connected(std::unique_ptr<ModuleLink> link);
    // The module is gone, and with it all its guests.
    void disconnected();
    // Listens to the module no longer: it need not wait for our answers.
    void leave() { link_.reset(); }
    ModuleLink* link() const { return link_.get(); }

    // Takes in what the module has to tell. Throws ModuleGone; other errors are logged.
    void read_events();
    void handle(const GuestReport& report);
    // Some kernels have been read: goes on with the guests that waited for them.
    void kernels_ready();

    // Takes in what has come from the module and of kernels meanwhile: for whoever is at something long. Guests may be
    // gone afterwards. Throws ModuleGone.
    void breathe();

    // Looks whether known profiles hold in the guests that have just been found to run their kernels. To be
    // called now and then while is_verifying().
    void verify();
    bool is_verifying() const;

    // ---- on request ----

    const std::list<Guest>& guests() const { return guests_.all(); }
    const Guest& guest(const std::string& name) const { return guests_.at(name); }

    struct ArmRequest {
        pid_t vmm_pid = 0;
        std::string name;                           // empty: it keeps its name
        std::vector<std::filesystem::path> kernels; // absolute
        std::optional<std::filesystem::path> system_map;
        bool record = false;
    };
    // Arms a guest that the module knows. Null: its kernels are still being read, ask again after
    // kernels_ready(). Throws Unknown, or Error if a kernel cannot be used or the module refuses.
    const Guest* arm(const ArmRequest& request);
    // Learns from a guest that runs already, with the kernels that its rule names or its VMM was given.
    // `name`: the guest's, or the number of its VMM's process. Null and errors as of arm().
    const Guest* learn(const std::string& name);
    void disarm(const std::string& name);
    // Removes what has been learned of a kernel. Throws Unknown if there is nothing.
    void forget(const std::string& kernel_id);

    // Throws Error if the kernel has not been found, or the module is not loaded.
    AddressSpace memory_of(const Guest& guest) const;
    Bytes recording(const std::string& name, std::uint64_t offset) const;

    const Config& config() const { return config_; }
    const lacuna_constraints& constraints() const { return constraints_; }
    const Store& store() const { return store_; }
    // Puts what was found by looking at a guest into the profile of its kernel, and logs what became of it. Throws Error.
    void put_deep(const std::string& guest, const std::string& kernel_id, const std::vector<ProfileMember>& members,
                  const std::string& constraints);
    std::size_t kernels_in_progress() const { return library_.in_progress(); }
    // How many there have been, by kind: "kernel" (none to be had of a guest), "let-go" (by the module),
    // "contradiction" (of two profiles), "verification" (a known profile that does not hold), "module" (gone
    // while guests were there), "other".
    const std::map<std::string, std::uint64_t>& errors() const { return errors_; }

private:
    // A kernel list that is complete, or nothing while some source is still being read.
    std::optional<std::vector<KernelDescriptor>> kernels_of(const std::vector<KernelSource>& sources);

    Guest& find_or_create(const GuestReport& report);
    GuestReport understood(GuestReport report, const Guest& guest) const;
    void decide(Guest& guest);
    void adopt_running();
    void start_hunt(Guest& guest, std::vector<KernelDescriptor> kernels, std::set<std::string> known);
    void expect_verification(Guest& guest);
    void verify(Guest& guest);
    void learn_anew(Guest& guest);
    void advance(Guest& guest);
    void try_to_arm(Guest& guest);
    void let_go(Guest& guest, const std::string& why);
    void find_descriptor(Guest& guest);
    void finish(Guest& guest);
    void publish(Guest& guest, Lesson::Weight weight);
    void log(const Guest& guest, lacuna_event event);
    void changed(const Guest& guest, bool facts);
    void export_boot(const Guest& guest);
    void export_kernel(const std::string& kernel_id);
    void export_missing();
    ModuleLink& need_link() const;

    Config config_;
    lacuna_constraints constraints_;
    KernelLibrary& library_;
    Host host_;
    Store store_;
    GuestRegistry guests_;
    KernelKnowledge knowledge_;
    Exports exports_;
    OnChange on_change_;
    std::unique_ptr<ModuleLink> link_;
    std::vector<Domain> domains_;
    std::set<KernelSource> prepared_; // what rules and domains name
    std::map<std::string, std::uint64_t> errors_;
};

} // namespace lacuna
