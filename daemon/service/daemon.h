// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <chrono>
#include <deque>
#include <functional>
#include <map>
#include <memory>

#include "control.h"
#include "libvirt_follower.h"
#include "metrics.h"
#include "supervisor.h"

namespace lacuna {

// lacunad: one thread that waits for the module, for kernels that have been read, and for lacunactl.
class Daemon {
public:
    using Connect = std::function<std::unique_ptr<ModuleLink>()>;

    // Connects to the module and takes over its guests; without the module it is waited for. Throws Error if
    // the module will not be talked to, or the constraints, the store or the socket are not usable.
    // `reader`: by default files and disks are read, and the symbols of kernels put into the store.
    Daemon(Config config, Connect connect, KernelLibrary::Reader reader = {});

    // Whenever `fd` is readable, `read` reads it and gives another configuration; if it throws, the one that
    // counts goes on counting.
    void reload_on(int fd, std::function<Config()> read);

    // Goes on until stop_fd is readable. Tells systemd when the configured kernels have been read, and that
    // it lives, as often as systemd wants to know.
    void run(int stop_fd);

private:
    // Runs `what`; if the module turns out to be gone, goes into the state without it.
    void guarded(const std::function<void()>& what);
    void reconnect();
    void handle_line(ControlServer::ClientId client, const std::string& line);
    void start_watch(ControlServer::ClientId client, const Json& request);
    void answer_waiting();
    void tell_watchers(const Guest& guest);
    void tell_ready();
    void reload();
    void look_at_one(int stop_fd);
    const Guest* next_to_look_at();
    void breathe(int stop_fd);
    void serve_clients();
    void poll_once(int stop_fd, std::vector<pollfd>& fds);

    Connect connect_;
    KernelLibrary library_;
    Supervisor supervisor_;
    ControlServer control_;
    std::map<ControlServer::ClientId, std::string> watchers_; // and the guest each one watches; empty: all
    std::multimap<ControlServer::ClientId, Json> waiting_;    // requests whose kernels are being read
    std::optional<LibvirtFollower> libvirt_;
    std::optional<Metrics> metrics_;
    std::deque<std::pair<ControlServer::ClientId, Json>> long_requests_; // that wait for their turn
    // Guests whose hunt is over, by number.
    struct Quiet {
        std::shared_ptr<const KernelDescriptor> boot; // each has its own
        std::chrono::steady_clock::time_point since;
        bool looked_at = false;
    };
    std::map<std::uint32_t, Quiet> quiet_;
    std::string deep_digest_; // of the constraints of deep members
    int reload_fd_ = -1;
    std::function<Config()> read_config_;
    std::chrono::steady_clock::time_point breathed_deeply_{};
    int wake_ms_ = -1; // how often systemd wants to hear from us; -1: it does not
    bool ready_ = false;
    std::chrono::steady_clock::time_point started_ = std::chrono::steady_clock::now();
    std::string last_complaint_; // about the module, so that it is not repeated
};

} // namespace lacuna
