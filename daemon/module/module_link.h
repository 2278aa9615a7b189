// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include <lacuna/abi.h>
#include <sys/types.h>

#include "bytes.h"
#include "error.h"
#include "fd.h"
#include "kernel_descriptor.h"

namespace lacuna {

// What the module says of one guest, in an event or an answer. What is not said is empty.
struct GuestReport {
    std::uint32_t guest = 0; // the module's own number for it
    lacuna_event event = LACUNA_EVENT_NONE;
    std::optional<lacuna_guest_state> state;
    std::optional<std::uint32_t> vmm_pid;
    std::optional<std::string> reason;
    std::optional<std::string> kernel_id;
    std::optional<std::uint32_t> engine;   // LACUNA_ENGINE_VERSION of the module
    std::optional<std::uint64_t> slide;    // run-time minus link-time address
    std::optional<std::uint64_t> text_gpa; // physical address of _text
    std::optional<lacuna_paging> paging;
    std::optional<std::uint64_t> root; // physical address of the kernel's own page-table root
    std::optional<std::vector<lacuna_member_report>> members; // in the order of the constraint set
    std::optional<lacuna_stats> stats;
};

struct EventBatch {
    std::vector<GuestReport> reports;
    bool lost = false; // some events did not fit into the socket's buffer: ask for the status of all guests
};

struct ArmOptions {
    std::uint32_t deadline_ms = 120'000; // of trapping
    bool record = false;                 // keep a recording of the boot
    std::set<std::string>
        known; // ids of kernels of which nothing is to be learned: when one is found the guest is done
};

// In errors: what is at fault, and what to do if it is not there.
inline constexpr const char* module_name = "the lacuna module";
inline constexpr const char* load_hint = "load it with: modprobe lacuna";

// The module is not loaded, or has been removed while we talked to it.
class ModuleGone : public Error {
public:
    using Error::Error;
};

// The daemon's side of the conversation with lacuna.ko; tests put something else in its place. Not
// thread-safe. Every call throws ModuleGone if the module is gone, and Error with the module's own words if
// it refuses.
class ModuleLink {
public:
    virtual ~ModuleLink() = default;

    // Used by guests that are armed from now on.
    virtual void set_constraints(const lacuna_constraints& constraints) = 0;
    virtual void arm(std::uint32_t guest, const std::vector<KernelDescriptor>& kernels,
                     const ArmOptions& options) = 0;
    virtual void ignore(std::uint32_t guest) = 0;
    virtual void disarm(std::uint32_t guest) = 0;

    // Makes a virtual machine that ran before the module was loaded known to it. `vm`: its file, see
    // running_vm.h.
    virtual GuestReport adopt(pid_t vmm_pid, const Fd& vm) = 0;

    // Of all guests the module knows.
    virtual std::vector<GuestReport> status() = 0;

    // Guest memory at a guest physical address; any length, exactly that many bytes come back.
    // Throws Error if some of it is no memory.
    virtual Bytes read(std::uint32_t guest, std::uint64_t gpa, std::size_t length) = 0;

    // The next piece of the guest's recording from `offset` on; empty at its end.
    virtual Bytes recording(std::uint32_t guest, std::uint64_t offset) = 0;

    // Readable when events() has something to tell.
    virtual int event_fd() const = 0;
    // Never waits. Throws ModuleGone when the module has been removed.
    virtual EventBatch events() = 0;
};

// Connects to the loaded module by netlink: finds its family and subscribes to its events.
// Throws ModuleGone if it is not loaded, Error without the permission to talk to it.
std::unique_ptr<ModuleLink> connect_to_module();

} // namespace lacuna
