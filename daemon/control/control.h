// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <poll.h>

#include "error.h"
#include "fd.h"
#include "profile.h"

namespace lacuna {

// The control socket: a Unix stream socket, one JSON object per line in both directions.
// A request is {"command": ..., ...}; its answer {"ok": true, ...} or {"ok": false, "error": ..., "code":
// ...} with code "failed", "unknown" (guest or profile) or "usage". The answers to "watch" go on until the
// client hangs up.

// The daemon's end. Never waits: a client that does not read what it asked for is dropped.
class ControlServer {
public:
    using ClientId = std::uint64_t;
    using OnLine = std::function<void(ClientId, const std::string&)>;
    using OnClosed = std::function<void(ClientId)>;

    static constexpr std::size_t max_request = 64 << 10; // bytes of a line
    static constexpr std::size_t max_unread = 16 << 20;  // bytes of answers

    // Listens at `path`, mode 0600. Throws Error if another daemon does already.
    explicit ControlServer(std::filesystem::path path);
    ~ControlServer();
    ControlServer(const ControlServer&) = delete;
    ControlServer& operator=(const ControlServer&) = delete;

    // For poll(): every descriptor of ours is appended.
    void add_to(std::vector<pollfd>& fds) const;
    // Accepts, reads and writes whatever is possible now.
    void run(const OnLine& on_line, const OnClosed& on_closed);

    void send(ClientId client, const Json& line);

    // Takes a connected socket for a client; for tests.
    ClientId adopt(Fd fd);

private:
    struct Client {
        Fd fd;
        std::string in, out;
        bool closed = false;
    };

    void accept_clients();
    void receive(ClientId id, Client& client, const OnLine& on_line);
    static void flush(Client& client);

    std::filesystem::path path_;
    Fd listener_;
    ClientId next_ = 1;
    std::map<ClientId, Client> clients_;
};

// Nobody listens at the control socket.
class DaemonUnreachable : public Error {
public:
    using Error::Error;
};

// The other end; waits for its answers.
class ControlClient {
public:
    // Throws DaemonUnreachable.
    explicit ControlClient(const std::filesystem::path& path);
    explicit ControlClient(Fd fd) : fd_(std::move(fd)) {}

    // Throws DaemonUnreachable if the daemon hangs up before it has answered.
    Json request(const Json& request);
    void send(const Json& line);
    // The next line; nothing when the daemon has hung up.
    std::optional<Json> receive();

private:
    Fd fd_;
    std::string in_;
};

} // namespace lacuna
