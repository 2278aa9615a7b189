// SPDX-License-Identifier: GPL-2.0-or-later
#include "control.h"

#include <cerrno>
#include <cstring>

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

namespace lacuna {

namespace {

sockaddr_un address_of(const std::filesystem::path& path)
{
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.native().size() >= sizeof(address.sun_path))
        throw Error("the path is too long for a socket", path.string(), "name a shorter one with --socket");
    std::memcpy(address.sun_path, path.c_str(), path.native().size());
    return address;
}

Fd open_socket()
{
    Fd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!fd)
        throw system_error("no socket can be made", "the control socket");
    return fd;
}

bool try_connect(const Fd& fd, const std::filesystem::path& path)
{
    const sockaddr_un address = address_of(path);
    return connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0;
}

} // namespace

ControlServer::ControlServer(std::filesystem::path path) : path_(std::move(path)), listener_(open_socket())
{
    if (try_connect(open_socket(), path_))
        throw Error("another lacunad listens here", path_.string(),
                    "stop it, or name another socket with --socket");
    std::error_code error;
    std::filesystem::create_directories(path_.parent_path(), error);
    if (std::filesystem::is_socket(path_, error))
        std::filesystem::remove(path_, error); // left behind by one that was killed
    const sockaddr_un address = address_of(path_);
    const mode_t mask = umask(0177); // the socket is there with its mode from the start
    const int bound = bind(listener_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address));
    umask(mask);
    if (bound != 0 || listen(listener_.get(), SOMAXCONN) != 0)
        throw system_error("cannot listen here", path_.string(),
                           "run as root, or name another socket with --socket");
}

ControlServer::~ControlServer()
{
    unlink(path_.c_str());
}

void ControlServer::add_to(std::vector<pollfd>& fds) const
{
    fds.push_back({listener_.get(), POLLIN, 0});
    for (const auto& [id, client] : clients_)
        fds.push_back(
            {client.fd.get(), static_cast<short>(client.out.empty() ? POLLIN : POLLIN | POLLOUT), 0});
}

ControlServer::ClientId ControlServer::adopt(Fd fd)
{
    clients_[next_].fd = std::move(fd);
    return next_++;
}

void ControlServer::accept_clients()
{
    pollfd ready{listener_.get(), POLLIN, 0};
    while (poll(&ready, 1, 0) == 1) {
        const int fd = accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC);
        if (fd < 0)
            return;
        adopt(Fd(fd));
    }
}

void ControlServer::receive(ClientId id, Client& client, const OnLine& on_line)
{
    char buffer[4096];
    ssize_t got;
    while (!client.closed && (got = recv(client.fd.get(), buffer, sizeof(buffer), MSG_DONTWAIT)) != 0) {
        if (got < 0) {
            client.closed = errno != EAGAIN && errno != EINTR;
            break;
        }
        client.in.append(buffer, static_cast<std::size_t>(got));
        for (std::size_t end; (end = client.in.find('\n')) != std::string::npos;) {
            const std::string line = client.in.substr(0, end);
            client.in.erase(0, end + 1);
            on_line(id, line);
        }
        client.closed |= client.in.size() > max_request;
    }
    client.closed |= got == 0;
}

void ControlServer::flush(Client& client)
{
    while (!client.out.empty()) {
        const ssize_t sent =
            ::send(client.fd.get(), client.out.data(), client.out.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0) {
            client.closed |= errno != EAGAIN && errno != EINTR;
            return;
        }
        client.out.erase(0, static_cast<std::size_t>(sent));
    }
}

void ControlServer::run(const OnLine& on_line, const OnClosed& on_closed)
{
    accept_clients();
    for (auto& [id, client] : clients_)
        receive(id, client, on_line);
    for (auto i = clients_.begin(); i != clients_.end();) {
        flush(i->second);
        if (!i->second.closed) {
            ++i;
            continue;
        }
        on_closed(i->first);
        i = clients_.erase(i);
    }
}

void ControlServer::send(ClientId id, const Json& line)
{
    const auto client = clients_.find(id);
    if (client == clients_.end())
        return;
    // Names and texts of a guest may hold any bytes: what is no UTF-8 is replaced.
    std::string text = to_text(line) + "\n";
    if (text.size() > max_unread)
        text = to_text(Json{{"ok", false}, {"error", "the answer is larger than is told at once: ask for less, if that can be chosen"}, {"code", "failed"}}) + "\n";
    client->second.out += text;
    client->second.closed |= client->second.out.size() > max_unread;
}

ControlClient::ControlClient(const std::filesystem::path& path) : fd_(open_socket())
{
    if (try_connect(fd_, path))
        return;
    const int error = errno;
    throw DaemonUnreachable(std::string("lacunad is not reachable: ") + std::strerror(error), path.string(),
                            error == EACCES
                                ? "run as root"
                                : "start it (systemctl start lacunad), or name its socket with --socket");
}

void ControlClient::send(const Json& line)
{
    const std::string text = to_text(line) + "\n";
    for (std::size_t done = 0; done < text.size();) {
        const ssize_t sent = ::send(fd_.get(), text.data() + done, text.size() - done, MSG_NOSIGNAL);
        if (sent < 0 && errno != EINTR)
            throw DaemonUnreachable(std::string("lacunad has hung up: ") + std::strerror(errno));
        done += sent > 0 ? static_cast<std::size_t>(sent) : 0;
    }
}

std::optional<Json> ControlClient::receive()
{
    for (;;) {
        const std::size_t end = in_.find('\n');
        if (end != std::string::npos) {
            const std::string line = in_.substr(0, end);
            in_.erase(0, end + 1);
            try {
                return Json::parse(line);
            } catch (const Json::exception& error) {
                throw Error(std::string("the daemon's answer is no JSON: ") + error.what(),
                            "the control socket");
            }
        }
        char buffer[65536];
        const ssize_t got = recv(fd_.get(), buffer, sizeof(buffer), 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return std::nullopt;
        in_.append(buffer, static_cast<std::size_t>(got));
    }
}

Json ControlClient::request(const Json& request)
{
    send(request);
    auto answer = receive();
    if (!answer)
        throw DaemonUnreachable("lacunad has hung up before it answered", "the control socket",
                                "look into its log");
    return std::move(*answer);
}

} // namespace lacuna
