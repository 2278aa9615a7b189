// SPDX-License-Identifier: GPL-2.0-or-later
//
// What is asked of sockets: struct socket, which a file leads to, and struct sock behind it.
#include <algorithm>
#include <array>
#include <cstdlib>
#include <string_view>

#include "predicate.h"

namespace lacuna {

namespace {

constexpr std::size_t word = 8;
constexpr std::size_t sock_window = 2048; // a sock, with what its protocol keeps behind it
// What all kinds of socks begin with (struct sock_common) ends before that; what a protocol adds begins behind it.
constexpr std::int32_t common = 192, own = 512;

enum State : std::uint8_t { established = 1, closed = 7, listening = 10 }; // include/net/tcp_states.h

// Bits of what a socket may be (SOCK_STREAM, SOCK_DGRAM, SOCK_RAW, SOCK_SEQPACKET, SOCK_PACKET).
enum Types : std::uint16_t { stream = 1 << 1, datagrams = 1 << 2, raw = 1 << 3, sequence = 1 << 5, packets = 1 << 10 };

// What the kernel's protocols call themselves (struct proto), and what is true of all their sockets; 0: the number is not the same
// in all. The types are those that the protocol makes a socket of.
struct Protocol {
    std::string_view name;
    std::uint16_t family, types, number;

    bool is_stream() const { return types == stream; }
};
constexpr auto protocols = std::to_array<Protocol>({
    {"TCP", 2, stream, 6},
    {"TCPv6", 10, stream, 6},
    {"UDP", 2, datagrams, 17},
    {"UDPv6", 10, datagrams, 17},
    {"RAW", 2, raw, 0},
    {"RAWv6", 10, raw, 0},
    {"PING", 2, datagrams, 1},
    {"PINGv6", 10, datagrams, 58},
    {"UNIX", 1, stream | datagrams | sequence, 0},
    {"UNIX-STREAM", 1, stream, 0},
    {"NETLINK", 16, datagrams | raw, 0},
    {"PACKET", 17, datagrams | raw | packets, 0},
});
constexpr std::uint16_t unix_family = 1, inet = 2, inet6 = 10;

const Protocol* protocol_named(const Bytes& bytes, std::size_t at)
{
    for (const Protocol& protocol : protocols)
        if (at + protocol.name.size() < bytes.size() && bytes[at + protocol.name.size()] == 0 &&
            std::equal(protocol.name.begin(), protocol.name.end(), bytes.begin() + static_cast<std::ptrdiff_t>(at)))
            return &protocol;
    return nullptr;
}

const Protocol* protocol_of(Look& look, const Instance& sock)
{
    const auto protocol = look.member(sock, "sock.__sk_common.skc_prot");
    const auto name = look.known("proto.name");
    if (!protocol || !name || !look.leads_somewhere(*protocol))
        return nullptr;
    return protocol_named(look.block(moved(*protocol, *name), 32), 0);
}

std::uint16_t swapped(std::uint16_t value)
{
    return static_cast<std::uint16_t>(value << 8 | value >> 8);
}

bool is_internet(const Protocol& protocol)
{
    return (protocol.family == inet || protocol.family == inet6) && protocol.number > 1;
}

const std::vector<Instance>& all_socks(Look& look)
{
    return look.instances_named("sock");
}

// A file that is a socket leads to the structure that leads back to it, and that the inode lies behind, always in the same
// distance: both are one (struct socket_alloc). Constants: file; the distance.
Answer leads_to_socket(Look& look, const Instance& file, std::int32_t offset)
{
    constexpr std::uint16_t kind = 0xf000, socket = 0xc000; // S_IFMT, S_IFSOCK
    constexpr std::uint64_t largest = 512;
    const auto inode = look.inode_of(file);
    if (!inode || (inode->mode & kind) != socket)
        return {};
    const auto value = file.word(offset);
    if (!value || !look.leads_somewhere(*value) || *value >= inode->address || inode->address - *value > largest)
        return Answer::refusal();
    Answer answer = Answer::searching(*value);
    const Bytes& bytes = look.block(*value, inode->address - *value);
    for (std::size_t at = 0; at + word <= bytes.size(); at += word)
        if (load<std::uint64_t>(bytes, at) == file.address)
            answer.add({static_cast<std::int32_t>(at), static_cast<std::int32_t>(inode->address - *value)});
    return answer;
}

// It leads to something that leads back. Constant: where that does.
Answer leads_back(Look& look, const Instance& socket, std::int32_t offset)
{
    constexpr std::uint64_t largest = 512; // of what an empty list within leads to
    const auto value = socket.word(offset);
    if (!value || !look.leads_somewhere(*value) || (*value >= socket.address && *value - socket.address < largest))
        return Answer::refusal();
    Answer answer = Answer::searching(*value);
    const Bytes& bytes = look.block(*value, sock_window);
    for (std::size_t at = 0; at + word <= bytes.size(); at += word)
        if (load<std::uint64_t>(bytes, at) == socket.address)
            answer.add({static_cast<std::int32_t>(at)});
    return answer;
}

// It leads to the name of a protocol. Constant: the name.
Answer leads_to_protocol(Look& look, const Instance& sock, std::int32_t offset)
{
    constexpr std::size_t window = 768;
    const auto value = sock.word(offset);
    if (!value || !look.leads_somewhere(*value))
        return Answer::refusal();
    Answer answer = Answer::searching(*value);
    const Bytes& bytes = look.block(*value, window);
    for (std::size_t at = 0; at < bytes.size(); at += 4)
        if (protocol_named(bytes, at))
            answer.add({static_cast<std::int32_t>(at)});
    return answer;
}

Answer family_of_protocol(Look& look, const Instance& sock, std::int32_t offset)
{
    const Protocol* protocol = protocol_of(look, sock);
    const auto value = sock.value<std::uint16_t>(offset);
    if (!protocol)
        return {};
    return offset < common && value == protocol->family ? Answer::show(*value) : Answer::refusal();
}

// The number that the protocol has in a packet's header. It stands beside the type: so few sockets are the Internet's on some systems
// that another thing may have the same number in all of them.
Answer number_of_protocol(Look& look, const Instance& sock, std::int32_t offset)
{
    const Protocol* protocol = protocol_of(look, sock);
    const auto type = look.known("sock.sk_type");
    const auto value = sock.value<std::uint16_t>(offset);
    if (!protocol || !protocol->number || !type)
        return {};
    const bool beside = std::abs(offset - *type) == static_cast<std::int32_t>(sizeof *value);
    return beside && value == protocol->number ? Answer::show(*value) : Answer::refusal();
}

// Stream, datagrams, …: what the protocol makes it, and what stands in the socket, too. Constant: there.
Answer type_of_socket(Look& look, const Instance& sock, std::int32_t offset)
{
    constexpr std::int32_t socket_window = 64;
    constexpr std::uint16_t most = 10; // SOCK_PACKET
    const Protocol* protocol = protocol_of(look, sock);
    const auto value = sock.value<std::uint16_t>(offset);
    if (!protocol || !sock.owner)
        return {};
    if (!value || !*value || *value > most || !(protocol->types >> *value & 1))
        return Answer::refusal();
    Answer answer = Answer::searching(*value);
    for (std::int32_t at = 0; at < socket_window; at += 2)
        if (sock.owner->value<std::uint16_t>(at) == *value)
            answer.add({at});
    return answer;
}

// Of a stream: who is connected says so in the socket, too, and who listens is not; of who was, and is reset, the socket may still say
// so (tcp_done()). Since 7.2 a Unix stream's socket says it of nobody, but who is connected has another end. Constant: there.
Answer state_of_stream(Look& look, const Instance& sock, std::int32_t offset)
{
    constexpr std::int32_t socket_window = 64;
    constexpr std::uint8_t most = 12;                      // TCP_NEW_SYN_RECV
    constexpr std::uint32_t unconnected = 1, connected = 3; // include/uapi/linux/net.h
    const Protocol* protocol = protocol_of(look, sock);
    const auto type = look.known("sock.sk_type"), kind = look.known("socket.type");
    const auto value = sock.value<std::uint8_t>(offset);
    if (!protocol || !type || !kind || !sock.owner || sock.value<std::uint16_t>(*type) != 1)
        return {};
    if (offset >= common || !value || !*value || *value > most)
        return Answer::refusal();
    const bool is_local = protocol->family == unix_family;
    if (*value != established && *value != closed && *value != listening) // a Unix stream knows no other states but for moments
        return is_local ? Answer::refusal() : Answer();
    const auto peer = is_local ? look.known("unix_sock.peer") : std::nullopt;
    const bool has_peer = peer && look.word(moved(sock.address, *peer)).value_or(0);
    if (has_peer && *value != established)
        return Answer::refusal();
    Answer answer = Answer::searching(*value);
    for (std::int32_t at = 0; at < socket_window; at += 4) {
        const auto state = sock.owner->value<std::uint32_t>(at);
        const bool fits = (state == connected && *value != listening) || (state == unconnected && (*value != established || has_peer));
        if (fits && at != *kind)
            answer.add({at});
    }
    if (*value == closed && answer.kind == Answer::shown)
        answer.kind = Answer::passes;
    return answer;
}

// A packet is for a connection if both ports are, and both addresses: the kernel compares two ports as one word, and two
// addresses (sk_portpair and sk_addrpair, inet_hashtables.h, since 3.8). In either, what is the socket's own is the upper half, and
// what is the other end's the lower one.
constexpr std::int32_t port_size = 2, address_size = 4;

// A port as the processor has it; what the protocol adds has it once more, as it is in packets. Constant: there.
Answer own_port(Look& look, const Instance& sock, std::int32_t offset)
{
    const Protocol* protocol = protocol_of(look, sock);
    if (!protocol || !is_internet(*protocol))
        return {};
    const auto value = sock.value<std::uint16_t>(offset);
    if (offset >= common || offset % 4 != port_size || !value)
        return Answer::refusal();
    const Bytes& bytes = look.block(sock.address, sock_window);
    Answer answer = Answer::searching(*value);
    for (std::int32_t at = own; at + 2 <= static_cast<std::int32_t>(bytes.size()); at += 2)
        if (load<std::uint16_t>(bytes, static_cast<std::size_t>(at)) == swapped(*value))
            answer.add({at});
    if (!*value || swapped(*value) == *value) // not bound, or the same both ways
        answer.kind = answer.constants.empty() ? Answer::refuted : Answer::passes;
    return answer;
}

// The other end of a connection within the guest.
const Instance* other_end(Look& look, const Instance& sock, std::uint16_t own_number, std::int32_t peer)
{
    const auto number = look.known("sock.__sk_common.skc_num");
    const auto state = look.known("sock.__sk_common.skc_state");
    const auto other = sock.value<std::uint16_t>(peer);
    if (!number || !state || !other || !*other)
        return nullptr;
    for (const Instance& one : all_socks(look))
        if (one.address != sock.address && one.value<std::uint8_t>(*state) == established &&
            one.value<std::uint16_t>(*number) == swapped(*other) &&
            one.value<std::uint16_t>(peer) == swapped(own_number))
            return &one;
    return nullptr;
}

struct Stream {
    std::uint16_t port;
    std::uint8_t state;
};

// Of TCP.
std::optional<Stream> stream_of(Look& look, const Instance& sock)
{
    const Protocol* protocol = protocol_of(look, sock);
    const auto number = look.known("sock.__sk_common.skc_num"), state = look.known("sock.__sk_common.skc_state");
    if (!protocol || !is_internet(*protocol) || !protocol->is_stream() || !number || !state)
        return std::nullopt;
    const auto port = sock.value<std::uint16_t>(*number);
    const auto now = sock.value<std::uint8_t>(*state);
    return port && now ? std::optional(Stream{*port, *now}) : std::nullopt;
}

// The port at the other end, as it is in packets: below the socket's own in one word. Two ends within the guest have each other's,
// who listens has none.
Answer port_of_other_end(Look& look, const Instance& sock, std::int32_t offset)
{
    const auto stream = stream_of(look, sock);
    const auto number = look.known("sock.__sk_common.skc_num");
    const auto value = sock.value<std::uint16_t>(offset);
    if (!stream || (stream->state != listening && stream->state != established))
        return {};
    if (!value || offset != *number - port_size || (*value == 0) != (stream->state == listening))
        return Answer::refusal();
    return Answer::show(sock.address);
}

// The tail of an IPv6 address that is one of IPv4 is not that one itself.
bool is_mapped(const Instance& sock, std::int32_t offset)
{
    return sock.value<std::uint32_t>(offset - 4) == 0xffff0000;
}

// An address of the guest's own: what the protocol adds has it once more, of a stream always (who receives what is sent to many has
// that address once only). Constant: there.
Answer own_address(Look& look, const Instance& sock, std::int32_t offset)
{
    const Protocol* protocol = protocol_of(look, sock);
    if (!protocol || !protocol->is_stream() || protocol->family != inet)
        return {};
    const auto value = sock.value<std::uint32_t>(offset);
    if (offset >= common || !value || is_mapped(sock, offset))
        return Answer::refusal();
    const Bytes& bytes = look.block(sock.address, sock_window);
    Answer answer = Answer::searching(*value);
    for (std::int32_t at = own; at + 4 <= static_cast<std::int32_t>(bytes.size()); at += 4)
        if (load<std::uint32_t>(bytes, static_cast<std::size_t>(at)) == *value)
            answer.add({at});
    if (!*value && answer.kind == Answer::shown)
        answer.kind = Answer::passes;
    return answer;
}

// The socket's own address is above the other end's in one word. Of a connection within the guest each end's own address is the
// other's remote one; who listens has none of that kind. Constant: the remote address.
Answer address_of_both_ends(Look& look, const Instance& sock, std::int32_t offset)
{
    const Protocol* protocol = protocol_of(look, sock);
    const auto stream = stream_of(look, sock);
    const auto peer = look.known("sock.__sk_common.skc_dport");
    const std::int32_t place = offset - address_size;
    const auto value = sock.value<std::uint32_t>(offset), remote = sock.value<std::uint32_t>(place);
    if (!stream || !peer || protocol->family != inet || (stream->state != listening && stream->state != established))
        return {};
    if (offset >= common || offset % (2 * address_size) != address_size || !value || !remote || is_mapped(sock, offset) ||
        look.leads_somewhere(sock.word(place).value_or(0)))
        return Answer::refusal();
    if (stream->state == listening)
        return *remote ? Answer::refusal() : *value ? Answer::show(*value, {place}) : Answer::pass({place});
    if (!*value || !*remote)
        return Answer::refusal();
    const Instance* other = other_end(look, sock, stream->port, *peer);
    // one that is in IPv6 has its addresses elsewhere, too
    if (other && (other->value<std::uint32_t>(offset) != remote || other->value<std::uint32_t>(place) != value))
        return Answer::refusal();
    return Answer::show(*value, {place});
}

// An IPv6 address that is this one of IPv4, in a socket that serves both: ::ffff:a.b.c.d.
Predicate mapped_address(const DeepConstraint& constraint, const DeepMember&)
{
    return [of = constraint.arguments.at("member").get<std::string>()](Look& look, const Instance& sock,
                                                                       std::int32_t offset) {
        const Protocol* protocol = protocol_of(look, sock);
        const auto plain = look.known(of);
        if (!protocol || protocol->family != inet6 || !plain)
            return Answer();
        const auto address = sock.value<std::uint32_t>(*plain);
        const auto high = sock.word(offset);
        const auto marks = sock.value<std::uint32_t>(offset + 8), low = sock.value<std::uint32_t>(offset + 12);
        if (!address || !*address)
            return Answer();
        return offset < common && high == 0u && marks == 0xffff0000 && low == *address ? Answer::show(*address)
                                                                                      : Answer::refusal();
    };
}

bool is_unix(Look& look, const Instance& sock)
{
    const auto family = look.known("sock.__sk_common.skc_family");
    return family && sock.value<std::uint16_t>(*family) == unix_family;
}

// It leads to a socket's name: its length, its family, its text. Constants: name, len.
Answer leads_to_socket_name(Look& look, const Instance& sock, std::int32_t offset)
{
    constexpr std::size_t window = 32, most = 108; // sun_path
    if (!is_unix(look, sock))
        return {};
    const auto value = sock.word(offset);
    if (value == 0u) // it has no name
        return {};
    if (!value || !look.leads_somewhere(*value))
        return Answer::refusal();
    Answer answer = Answer::searching(*value);
    const Bytes& bytes = look.block(*value, window + most);
    for (std::size_t name = 0; name < window; name += 4) {
        const std::size_t text = name + 2;
        if (load<std::uint16_t>(bytes, name) != unix_family || text >= bytes.size() || bytes[text] != '/')
            continue;
        const auto end = std::find(bytes.begin() + static_cast<std::ptrdiff_t>(text), bytes.end(), 0);
        const auto length = static_cast<std::uint32_t>(end - bytes.begin()) - name + 1;
        for (std::size_t at = 0; at + 4 <= name; at += 4)
            if (load<std::uint32_t>(bytes, at) == length)
                answer.add({static_cast<std::int32_t>(name), static_cast<std::int32_t>(at)});
    }
    // one of no file system begins with a zero and may have any bytes: it says nothing of the constants
    if (answer.constants.empty() && bytes.size() > 16)
        for (std::size_t name = 0; name < window; name += 4)
            if (load<std::uint16_t>(bytes, name) == unix_family && bytes[name + 2] == 0 && bytes[name + 3])
                return {};
    return answer;
}

// Who is connected leads to the other end, which leads back; who only sends leads to another socket.
Answer leads_to_other_end(Look& look, const Instance& sock, std::int32_t offset)
{
    if (!is_unix(look, sock))
        return {};
    const auto value = sock.word(offset);
    if (value == 0u)
        return Answer::pass();
    if (!value || *value == sock.address || !look.leads_somewhere(*value))
        return Answer::refusal();
    for (const Instance& other : all_socks(look))
        if (other.address == *value)
            return !is_unix(look, other)                                ? Answer::refusal()
                   : look.word(moved(*value, offset)) == sock.address ? Answer::show(*value)
                                                                      : Answer::pass();
    return Answer::refusal();
}

} // namespace

const PredicateMakers& socket_predicates()
{
    static const PredicateMakers makers{
        {"leads-to-socket", plain(leads_to_socket)},
        {"leads-back", plain(leads_back)},
        {"leads-to-protocol", plain(leads_to_protocol)},
        {"family-of-protocol", plain(family_of_protocol)},
        {"number-of-protocol", plain(number_of_protocol)},
        {"type-of-socket", plain(type_of_socket)},
        {"state-of-stream", plain(state_of_stream)},
        {"own-port", plain(own_port)},
        {"port-of-other-end", plain(port_of_other_end)},
        {"own-address", plain(own_address)},
        {"address-of-both-ends", plain(address_of_both_ends)},
        {"mapped-address", mapped_address},
        {"leads-to-socket-name", plain(leads_to_socket_name)},
        {"leads-to-other-end", plain(leads_to_other_end)},
    };
    return makers;
}

} // namespace lacuna
