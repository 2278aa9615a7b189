// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon.h"

#include <cerrno>

#include <poll.h>
#include <spdlog/spdlog.h>
#include <systemd/sd-daemon.h>

#include "constraint_set.h"
#include "requests.h"

namespace lacuna {

namespace {

constexpr int retry_ms = 1000; // while the module is gone

} // namespace

Daemon::Daemon(Config config, Connect connect, KernelLibrary::Reader reader)
    : connect_(std::move(connect)),
      library_(std::move(reader)),
      supervisor_(config, load_constraints(config.constraints), library_),
      control_(config.socket)
{
    supervisor_.on_change([this](const Guest& guest) { tell_watchers(guest); });
    supervisor_.prepare();
    supervisor_.connected(connect_());
}

void Daemon::guarded(const std::function<void()>& what)
{
    try {
        what();
    } catch (const ModuleGone& gone) {
        spdlog::warn("{}; waiting until it is back", gone.what());
        last_complaint_ = gone.what();
        supervisor_.disconnected();
    } catch (const Error& error) {
        spdlog::error("{}", error.what());
    }
}

void Daemon::reconnect()
{
    try {
        supervisor_.connected(connect_());
        spdlog::info("the lacuna module is back");
        last_complaint_.clear();
    } catch (const Error& error) {
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
        const Json request = Json::parse(line);
        if (request.is_object() && request.value("command", "") == "watch")
            return start_watch(client, request);
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
    const std::string name = request.value("guest", "");
    if (!name.empty() && !request.value("wait", false))
        supervisor_.guest(name); // throws Unknown
    watchers_[client] = name;
    for (const Guest& guest : supervisor_.guests())
        if (name == guest.name || (name.empty() && guest.present()))
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
    for (const auto& [client, request] : waiting)
        handle_line(client, request.dump());
}

void Daemon::tell_ready()
{
    if (ready_ || supervisor_.kernels_in_progress() > 0)
        return;
    ready_ = true;
    sd_notify(0, "READY=1\nSTATUS=Waiting for guests");
    spdlog::info("ready, waiting for guests");
}

void Daemon::poll_once(int stop_fd, std::vector<pollfd>& fds)
{
    fds = {{stop_fd, POLLIN, 0}, {library_.event_fd(), POLLIN, 0}};
    const ModuleLink* link = supervisor_.link();
    fds.push_back({link ? link->event_fd() : -1, POLLIN, 0});
    control_.add_to(fds);
    if (poll(fds.data(), fds.size(), link ? -1 : retry_ms) < 0 && errno != EINTR)
        throw system_error("poll", "lacunad");
}

void Daemon::run(int stop_fd)
{
    std::vector<pollfd> fds;
    for (;;) {
        tell_ready();
        poll_once(stop_fd, fds);
        if (fds[0].revents)
            break;
        if (!supervisor_.link())
            reconnect();
        else if (fds[2].revents) // guests first: one of them may be held up
            guarded([this] { supervisor_.read_events(); });
        if (fds[1].revents)
            guarded([this] {
                supervisor_.kernels_ready();
                answer_waiting();
            });
        guarded([this] {
            control_.run([this](auto client, const std::string& line) { handle_line(client, line); },
                         [this](auto client) {
                             watchers_.erase(client);
                             waiting_.erase(client);
                         });
        });
    }
    spdlog::info("told to end; guests that are being learned from go on");
    sd_notify(0, "STOPPING=1");
}

} // namespace lacuna
