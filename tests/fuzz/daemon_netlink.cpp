// SPDX-License-Identifier: GPL-2.0-or-later
// What lacunad is told by netlink: the attributes of a message, as what is no lacuna.ko might send them.
#include "netlink_codec.h"

#include <memory>

#include <linux/genetlink.h>
#include <netlink/genl/genl.h>

#include "error.h"
#include "harness.h"

namespace lacuna::fuzz {

namespace {

void run(ByteView input)
{
    // exactly so long, so that reading behind its end is seen; as aligned as what comes from a socket
    const std::size_t size = NLMSG_HDRLEN + GENL_HDRLEN + input.size();
    const std::unique_ptr<std::uint8_t[]> bytes(new std::uint8_t[size]());
    auto* const header = reinterpret_cast<nlmsghdr*>(bytes.get());
    header->nlmsg_len = static_cast<std::uint32_t>(size);
    std::copy(input.begin(), input.end(), bytes.get() + NLMSG_HDRLEN + GENL_HDRLEN);
    try {
        parse_report(header);
    } catch (const Error&) {
    }
    try {
        parse_data(header);
    } catch (const Error&) {
    }
}

Seed attributes_of(const char* name, const Message& message)
{
    const nlmsghdr* header = nlmsg_hdr(message.get());
    const auto* bytes = reinterpret_cast<const std::uint8_t*>(header);
    return {name, Bytes(bytes + NLMSG_HDRLEN + GENL_HDRLEN, bytes + header->nlmsg_len)};
}

std::vector<Seed> seeds()
{
    const auto put = [](const Message& message, int attribute, const auto& value) {
        nla_put(message.get(), attribute, sizeof(value), &value);
    };
    const Message report = new_request(20, LACUNA_CMD_EVENT), data = new_request(20, LACUNA_CMD_READ);
    put_guest(report.get(), 3);
    put(report, LACUNA_A_ENGINE, std::uint32_t{LACUNA_ENGINE_VERSION});
    put(report, LACUNA_A_EVENT, std::uint8_t{LACUNA_EVENT_PROGRESS});
    put(report, LACUNA_A_VMM_PID, std::uint32_t{4711});
    put(report, LACUNA_A_STATE, std::uint8_t{LACUNA_GUEST_TRAPPING});
    nla_put_string(report.get(), LACUNA_A_REASON, "a reason");
    nla_put_string(report.get(), LACUNA_A_KERNEL_ID, "6.1.0-0123456789abcdef");
    put(report, LACUNA_A_SLIDE, std::uint64_t{0x1000000});
    put(report, LACUNA_A_TEXT_GPA, std::uint64_t{0x1000000});
    put(report, LACUNA_A_PAGING, std::uint8_t{LACUNA_PAGING_4LEVEL});
    put(report, LACUNA_A_ROOT, std::uint64_t{0x2610000});
    put(report, LACUNA_A_MEMBERS, std::array<lacuna_member_report, 3>{});
    put(report, LACUNA_A_STATS, lacuna_stats{});
    nla_put(data.get(), LACUNA_A_DATA, 5, "bytes");
    return {attributes_of("report", report), attributes_of("data", data)};
}

} // namespace

const Harness daemon_netlink = {"daemon_netlink", run, seeds, 16384};

} // namespace lacuna::fuzz
