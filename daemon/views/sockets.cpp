// SPDX-License-Identifier: GPL-2.0-or-later
#include "sockets.h"

#include <arpa/inet.h>

#include <map>

#include <spdlog/fmt/fmt.h>

#include "files.h"
#include "processes.h"

namespace lacuna {

namespace {

enum Family : std::uint16_t { unix_family = 1, inet = 2, inet6 = 10, netlink = 16, packet = 17 };

std::string family_text(std::uint16_t family)
{
    static const std::map<std::uint16_t, std::string> names{
        {unix_family, "unix"}, {inet, "inet"}, {inet6, "inet6"}, {netlink, "netlink"}, {packet, "packet"}, {40, "vsock"}};
    const auto name = names.find(family);
    return name == names.end() ? std::to_string(family) : name->second;
}

std::string type_text(std::uint16_t type)
{
    static const std::map<std::uint16_t, std::string> names{
        {1, "stream"}, {2, "datagram"}, {3, "raw"}, {5, "packets"}, {10, "packet"}};
    const auto name = names.find(type);
    return name == names.end() ? std::to_string(type) : name->second;
}

// include/net/tcp_states.h; other protocols borrow some of them.
Json state_text(std::uint8_t state)
{
    constexpr std::array names = {"",        "established", "syn-sent",   "syn-received", "fin-wait-1", "fin-wait-2", "time-wait",
                                  "closed", "close-wait",  "last-ack",   "listening",    "closing",    "new"};
    return state && state < names.size() ? Json(names[state]) : Json();
}

std::string with_port(const std::string& address, std::uint16_t port)
{
    return fmt::format("{}:{}", address, port ? std::to_string(port) : "*");
}

// Of the Internet's families, what it is bound to or connected with.
Json internet_end(GuestView& view, std::uint64_t sock, std::uint16_t family, const char* address, const char* address6,
                  std::optional<std::uint16_t> port)
{
    if (!port)
        return {};
    std::array<char, INET6_ADDRSTRLEN> text{};
    if (family == inet) {
        const auto bytes = view.value<std::uint32_t>(sock, address);
        if (!bytes)
            return "?" + with_port("", *port);
        inet_ntop(AF_INET, &*bytes, text.data(), text.size());
        return with_port(text.data(), *port);
    }
    const auto bytes = view.value<std::array<std::uint8_t, 16>>(sock, address6);
    if (!bytes)
        return "?" + with_port("", *port);
    inet_ntop(AF_INET6, bytes->data(), text.data(), text.size());
    return with_port(fmt::format("[{}]", text.data()), *port);
}

// The name of a Unix socket: a path, or "@" and what it calls itself where no file has it.
std::string unix_name(GuestView& view, std::uint64_t sock)
{
    constexpr std::uint32_t most = 110; // struct sockaddr_un
    const auto address = view.word(sock, "unix_sock.addr");
    if (!address || !view.look().leads_somewhere(*address))
        return {};
    const auto length = view.value<std::uint32_t>(*address, "unix_address.len");
    const auto name = view.look().known("unix_address.name");
    if (!length || !name || *length <= 2 || *length > most)
        return {};
    const Bytes& bytes = view.look().block(*address + static_cast<std::uint64_t>(*name) + 2, *length - 2);
    std::string text(bytes.begin(), bytes.end());
    if (!text.empty() && text.front() == '\0')
        text.front() = '@';
    else
        text = text.substr(0, text.find('\0'));
    return text;
}

void add_ends(GuestView& view, std::uint64_t sock, std::uint16_t family, Json& json)
{
    if (family == unix_family) {
        if (view.knows("unix_sock.addr"))
            json["local"] = unix_name(view, sock);
        const auto peer = view.word(sock, "unix_sock.peer");
        if (peer)
            json["remote"] = view.look().leads_somewhere(*peer) ? unix_name(view, *peer) : "";
        if (peer && view.look().leads_somewhere(*peer))
            json["peer"] = hex(*peer);
    } else if (family == inet || family == inet6) {
        const auto port = view.value<std::uint16_t>(sock, "sock.__sk_common.skc_num");
        const auto other = view.value<std::uint16_t>(sock, "sock.__sk_common.skc_dport");
        json["local"] = internet_end(view, sock, family, "sock.__sk_common.skc_rcv_saddr",
                                     "sock.__sk_common.skc_v6_rcv_saddr", port);
        json["remote"] = internet_end(view, sock, family, "sock.__sk_common.skc_daddr", "sock.__sk_common.skc_v6_daddr",
                                      other ? std::optional(ntohs(*other)) : std::nullopt);
    }
}

Json socket_json(GuestView& view, std::uint64_t sock)
{
    const auto protocol = view.word(sock, "sock.__sk_common.skc_prot");
    const auto name = view.look().known("proto.name");
    const auto family = view.value<std::uint16_t>(sock, "sock.__sk_common.skc_family");
    const auto type = view.value<std::uint16_t>(sock, "sock.sk_type");
    const auto state = view.value<std::uint8_t>(sock, "sock.__sk_common.skc_state");
    Json json = {{"address", hex(sock)},
                 {"protocol", protocol && name && view.look().leads_somewhere(*protocol)
                                  ? Json(view.text(*protocol + static_cast<std::uint64_t>(*name), 32))
                                  : Json()},
                 {"family", family ? Json(family_text(*family)) : Json()},
                 {"type", type ? Json(type_text(*type)) : Json()},
                 {"state", state ? state_text(*state) : Json()},
                 {"local", Json()},
                 {"remote", Json()}};
    if (family)
        add_ends(view, sock, *family, json);
    json["holders"] = Json::array();
    return json;
}

} // namespace

Json list_sockets(GuestView& view)
{
    view.need({"task_struct.files", "files_struct.fdt", "fdtable.fd", "fdtable.max_fds", "file.f_inode", "inode.i_mode",
               "file.private_data", "socket.sk", "sock.__sk_common.skc_family"});
    view.want("protocol", {"sock.__sk_common.skc_prot", "proto.name"});
    view.want("type", {"sock.sk_type"});
    view.want("state", {"sock.__sk_common.skc_state"});
    view.want("local port", {"sock.__sk_common.skc_num"});
    view.want("remote port", {"sock.__sk_common.skc_dport"});
    view.want("local address", {"sock.__sk_common.skc_rcv_saddr"});
    view.want("remote address", {"sock.__sk_common.skc_daddr"});
    view.want("local address (IPv6)", {"sock.__sk_common.skc_v6_rcv_saddr"});
    view.want("remote address (IPv6)", {"sock.__sk_common.skc_v6_daddr"});
    view.want("names of Unix sockets", {"unix_sock.addr", "unix_address.name", "unix_address.len"});
    view.want("other end of Unix sockets", {"unix_sock.peer"});
    Look& look = view.look();
    Json sockets = Json::array();
    std::map<std::uint64_t, std::size_t> index; // by sock
    for (const Instance& task : view.tasks()) {
        if (!task.leads() || !view.memory_of(task))
            continue;
        for (const Look::OpenFile& open : look.open_files(task)) {
            if (kind_of_file(view, open.file) != "socket")
                continue;
            const auto socket = view.word(open.file, "file.private_data");
            const auto sock = socket && look.leads_somewhere(*socket) ? view.word(*socket, "socket.sk") : std::nullopt;
            if (!sock || !look.leads_somewhere(*sock))
                continue;
            view.tell(0);
            const auto [known, fresh] = index.emplace(*sock, sockets.size());
            if (fresh)
                sockets.push_back(socket_json(view, *sock));
            sockets[known->second]["holders"].push_back(
                {{"pid", number_of(view, task)}, {"comm", name_of(view, task)}, {"fd", open.descriptor}});
        }
    }
    return {{"sockets", std::move(sockets)}};
}

} // namespace lacuna
