// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon.h"

#include <algorithm>
#include <cerrno>
#include <ctime>

#include <poll.h>
#include <spdlog/spdlog.h>
#include <systemd/sd-daemon.h>

#include "constraint_set.h"
#include "deep_learning.h"
#include "names.h"
#include "requests.h"
#include "symbol_file.h"

namespace lacuna {

namespace {

constexpr int retry_ms = 1000; // while the module is gone
constexpr int deep_ms = 10000; // while somebody may be waiting to be looked at
constexpr auto deep_after = std::chrono::seconds(60);
constexpr int verify_ms = 500; // while it is looked whether known profiles hold
// libvirt waits for us with the guests that start with the host (see lacunad.service), but not for ever.
constexpr auto longest_preparation = std::chrono::minutes(2);
constexpr const char* libvirt_definitions = "/etc/libvirt/qemu"; // of qemu:///system

// Half of what systemd's WatchdogSec= allows, as sd_watchdog_enabled(3) advises; -1 without one.
int watchdog_ms()
{
    std::uint64_t us = 0;
    return sd_watchdog_enabled(0, &us) > 0 ? static_cast<int>(std::max<std::uint64_t>(us / 2000, 1)) : -1;
}

// The library copies what is nested by calling itself for each level: a line of 64 KiB can hold more of them than the stack.
Json parse_request(const std::string& line)
{
    constexpr int deepest = 8; // no request needs three
    return Json::parse(line, [](int depth, Json::parse_event_t, Json&) {
        if (depth > deepest)
            throw Error("the request is nested too deep");
        return true;
    });
}

// It has a store of its own: it may still be reading when the rest of the daemon has gone.
KernelLibrary::Reader reader_for(const Config& config)
{
    const auto keep = [store = Store(config.store, config.group)](const KernelDescriptor& kernel, const Symbols& symbols) {
        try {
            store.put_symbols(kernel.id, symbol_text(kernel, symbols));
        } catch (const Error& error) { // exports lack them
            spdlog::warn("{}", error.what());
        }
    };
    return SourceReader(keep);
}

} // namespace

Daemon::Daemon(Config config, Connect connect, KernelLibrary::Reader reader)
    : connect_(std::move(connect)),
      library_(reader ? std::move(reader) : reader_for(config)),
      supervisor_(config, load_constraints(config.constraints), library_),
      control_(config.socket),
      deep_digest_(digest_of_deep_constraints(config.constraints / "deep")),
      wake_ms_(watchdog_ms())
{
    supervisor_.on_change([this](const Guest& guest) { tell_watchers(guest); });
    supervisor_.domains_are(config.libvirt == "qemu:///system" ? defined_domains(libvirt_definitions)
                                                               : std::vector<Domain>());
    if (!config.metrics.empty())
        guarded([&] {
            metrics_.emplace(config.metrics);
        }); // another may have the port: guests are more than metrics
    if (!config.libvirt.empty())
        libvirt_.emplace(config.libvirt);
    try {
        supervisor_.connected(connect_());
    } catch (const ModuleGone& gone) { // a service may be started before its module, and outlives it
        spdlog::warn("{}; waiting until it is there", gone.what());
        last_complaint_ = gone.what();
    } catch (const Error& error) { // the one that is loaded may be of another version
        spdlog::error("{}; waiting until there is one to talk to", error.what());
        last_complaint_ = error.what();
    }
}

void Daemon::guarded(const std::function<void()>& what)
{
    try {
        what();
    } catch (const ModuleGone& gone) {
        spdlog::warn("{}; waiting until it is back", gone.what());
        last_complaint_ = gone.what();
        supervisor_.disconnected();
    } catch (const std::exception& error) {
        spdlog::error("{}", error.what());
    }
}

void Daemon::reconnect()
{
    try {
        supervisor_.connected(connect_());
        spdlog::info("the lacuna module is there");
        last_complaint_.clear();
    } catch (const std::exception& error) {
        supervisor_.disconnected();
        if (last_complaint_ != error.what() && !dynamic_cast<const ModuleGone*>(&error)) {
            spdlog::error("{}", error.what());
            last_complaint_ = error.what();
        }
    }
}

void Daemon::handle_line(ControlServer::ClientId client, const std::string& line)
{
    try {
        const Json request = parse_request(line);
        if (request.is_object() && request.value("command", "") == "watch")
            return start_watch(client, request);
        if (takes_long(request)) // clients are served meanwhile
            return void(long_requests_.emplace_back(client, request));
        if (const auto reply = answer(supervisor_, request))
            control_.send(client, *reply);
        else
            waiting_.emplace(client, request);
    } catch (const std::exception& error) {
        control_.send(client, error_answer(error));
        if (dynamic_cast<const ModuleGone*>(&error))
            throw;
    }
}

void Daemon::start_watch(ControlServer::ClientId client, const Json& request)
{
    const std::string asked = request.value("guest", "");
    const std::string name = asked.empty() ? asked : file_name(asked); // as guests are called
    if (!name.empty() && !request.value("wait", false)) {
        const Guest& guest = supervisor_.guest(name); // throws Unknown; it may be gone
        watchers_[client] = name;
        return control_.send(client, watch_line(supervisor_, guest));
    }
    watchers_[client] = name;
    for (const Guest& guest : supervisor_.guests())
        if (guest.present() && (name.empty() || name == guest.name))
            control_.send(client, watch_line(supervisor_, guest));
}

void Daemon::tell_watchers(const Guest& guest)
{
    for (const auto& [client, name] : watchers_)
        if (name.empty() || name == guest.name)
            control_.send(client, watch_line(supervisor_, guest));
}

void Daemon::answer_waiting()
{
    auto waiting = std::move(waiting_);
    waiting_.clear();
    std::exception_ptr gone; // which those behind must be told too
    for (const auto& [client, request] : waiting)
        try {
            handle_line(client, request.dump());
        } catch (const ModuleGone&) {
            gone = std::current_exception();
        }
    if (gone)
        std::rethrow_exception(gone);
}

void Daemon::tell_ready()
{
    if (ready_ || (supervisor_.kernels_in_progress() > 0 &&
                   std::chrono::steady_clock::now() - started_ < longest_preparation))
        return;
    ready_ = true;
    sd_notify(0, "READY=1\nSTATUS=Waiting for guests");
    spdlog::info("ready, waiting for guests");
}

void Daemon::reload_on(int fd, std::function<Config()> read)
{
    reload_fd_ = fd;
    read_config_ = std::move(read);
}

void Daemon::reload()
{
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%lld",
               static_cast<long long>(now.tv_sec) * 1'000'000 + now.tv_nsec / 1000);
    try {
        supervisor_.reconfigure(read_config_());
        spdlog::info("the configuration has been read again");
    } catch (const Error& error) {
        spdlog::error("{}; the old configuration goes on counting", error.what());
    }
    ready_ = false;
    tell_ready();
}

// Each boot once, a while after its hunt, as long as that tells something new of its kernel; null: nobody.
const Guest* Daemon::next_to_look_at()
{
    const auto now = std::chrono::steady_clock::now();
    std::map<std::uint32_t, Quiet> before = std::move(quiet_);
    quiet_.clear();
    const Guest* next = nullptr;
    for (const Guest& guest : supervisor_.guests()) {
        if (guest.state != LACUNA_GUEST_DONE || !guest.boot.kernel)
            continue;
        const auto known = before.find(guest.number);
        Quiet& quiet = quiet_[guest.number] = known != before.end() && known->second.boot == guest.boot.kernel
                                                  ? known->second
                                                  : Quiet{guest.boot.kernel, now};
        if (next || quiet.looked_at || now - quiet.since < deep_after || !guest.boot.page_table_gpa())
            continue;
        quiet.looked_at = true;
        const auto profile = supervisor_.store().profile(guest.boot.kernel_id);
        if (!profile || !DeepLearning::can_start_from(*profile))
            continue;
        const Provenance::Looks& looks = profile->provenance.looks;
        if (looks.constraints != deep_digest_ || looks.without_news < supervisor_.config().trust.final_after_boots)
            next = &guest;
    }
    return next;
}

void Daemon::look_at_one(int stop_fd)
{
    const auto go_on = [this, stop_fd] { breathe(stop_fd); };
    if (!long_requests_.empty()) {
        const auto [client, request] = long_requests_.front();
        long_requests_.pop_front();
        if (const auto reply = answer(supervisor_, request, go_on))
            control_.send(client, *reply);
    } else if (supervisor_.config().deep != Deep::on) {
        return;
    } else if (const Guest* guest = next_to_look_at()) {
        const std::string name = guest->name;
        try {
            learn_deep(supervisor_, name, go_on);
        } catch (const ModuleGone&) {
            throw;
        } catch (const Error& error) { // its next boot is another chance
            spdlog::info("[{}] nothing more was learned by looking at it: {}", name, error.what());
        }
    } else {
        return;
    }
    answer_waiting(); // for whom kernels may have been read meanwhile
}

// In the middle of a look: everybody else is served.
void Daemon::breathe(int stop_fd)
{
    pollfd stop{stop_fd, POLLIN, 0};
    if (poll(&stop, 1, 0) > 0)
        throw Error("lacunad was told to end");
    supervisor_.breathe();
    serve_clients();
    if (const auto now = std::chrono::steady_clock::now(); now - breathed_deeply_ > std::chrono::milliseconds(verify_ms)) {
        breathed_deeply_ = now;
        if (supervisor_.is_verifying())
            supervisor_.verify();
        if (wake_ms_ >= 0)
            sd_notify(0, "WATCHDOG=1");
    }
}

void Daemon::serve_clients()
{
    control_.run([this](auto client, const std::string& line) { handle_line(client, line); },
                 [this](auto client) {
                     watchers_.erase(client);
                     waiting_.erase(client);
                 });
}

void Daemon::poll_once(int stop_fd, std::vector<pollfd>& fds)
{
    fds = {{stop_fd, POLLIN, 0}, {library_.event_fd(), POLLIN, 0}};
    const ModuleLink* link = supervisor_.link();
    fds.push_back({link ? link->event_fd() : -1, POLLIN, 0});
    fds.push_back({reload_fd_, POLLIN, 0});
    fds.push_back({libvirt_ ? libvirt_->event_fd() : -1, POLLIN, 0});
    control_.add_to(fds);
    int wait_ms = link && ready_ ? -1 : retry_ms;
    if (supervisor_.is_verifying())
        wait_ms = verify_ms;
    if (supervisor_.config().deep == Deep::on && wait_ms < 0)
        wait_ms = deep_ms;
    if (link && !long_requests_.empty())
        wait_ms = 0;
    if (wake_ms_ >= 0 && (wait_ms < 0 || wake_ms_ < wait_ms))
        wait_ms = wake_ms_;
    if (poll(fds.data(), fds.size(), wait_ms) < 0 && errno != EINTR)
        throw system_error("poll", "lacunad");
    if (wake_ms_ >= 0)
        sd_notify(0, "WATCHDOG=1");
}

void Daemon::run(int stop_fd)
{
    std::vector<pollfd> fds;
    for (;;) {
        tell_ready();
        if (metrics_)
            metrics_->update(supervisor_);
        poll_once(stop_fd, fds);
        if (fds[0].revents)
            break;
        if (fds[3].revents)
            guarded([this] { reload(); });
        if (!supervisor_.link())
            reconnect();
        else if (fds[2].revents) // guests first: one of them may be held up
            guarded([this] { supervisor_.read_events(); });
        if (supervisor_.is_verifying())
            guarded([this] { supervisor_.verify(); });
        if (supervisor_.link())
            guarded([&] { look_at_one(stop_fd); });
        if (fds[4].revents)
            guarded([this] { supervisor_.domains_are(libvirt_->domains()); });
        if (fds[1].revents)
            guarded([this] {
                supervisor_.kernels_ready();
                answer_waiting();
            });
        guarded([this] { serve_clients(); });
    }
    spdlog::info("told to end; guests that are being learned from go on");
    sd_notify(0, "STOPPING=1");
    supervisor_.leave(); // what is left to be ended may take a moment, in which nobody answers the module
}

} // namespace lacuna
