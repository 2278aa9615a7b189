// SPDX-License-Identifier: GPL-2.0-or-later
// Orders to the module: its own code for them, with what the kernel's netlink has let through.
#include "engine_bounds.h"
#include "error.h"
#include "fake_module.h"
#include "harness.h"
#include "netlink_codec.h"
#include "synthetic_guest.h"

#include <netlink/genl/genl.h>

extern "C" {
#include "module_side.h"
}

// A set that the module has found well-formed: the engine must be able to live with it.
void module_constraints(const lacuna_constraints* set)
{
    using namespace lacuna;
    test::SyntheticGuest guest(test::Layout::ordinary());
    fuzz::BoundedEngine engine(*set);
    engine.start(guest.facts());
    const auto tell = [&](const lac_event& event) { engine.event(event, guest.memory.for_engine()); };
    auto task = guest.spawn_kernel_thread("kthreadd");
    tell(guest.fork_event(guest.init_task()));
    task = guest.exec(task);
    tell(guest.fork_event(task));
    const auto child = guest.spawn_process("sh");
    tell(guest.fork_event(child));
    tell(guest.load_module("module"));
    guest.finish_module();
    tell(guest.exit_event(child));
    tell({.on = LACUNA_ON_LOOK, .paging = LACUNA_PAGING_4LEVEL, .subject = 0, .cr3 = 0});
}

namespace lacuna::fuzz {

namespace {

constexpr std::uint8_t dump = 0x80;

// The command, and the attributes.
void run(ByteView input)
{
    if (input.empty())
        return;
    module_take(input[0] & 0x7f, input[0] & dump, input.data() + 1, input.size() - 1);
}

Seed order(const char* name, lacuna_command command, const Message& message, std::uint8_t flags = 0)
{
    const nlmsghdr* header = nlmsg_hdr(message.get());
    const auto* bytes = reinterpret_cast<const std::uint8_t*>(header);
    Seed one{name, {static_cast<std::uint8_t>(command | flags)}};
    one.bytes.insert(one.bytes.end(), bytes + NLMSG_HDRLEN + GENL_HDRLEN, bytes + header->nlmsg_len);
    if (module_take(one.bytes[0] & 0x7f, one.bytes[0] & dump, one.bytes.data() + 1, one.bytes.size() - 1) == -EINVAL)
        throw Error("is refused by the module", std::string("the seed ") + name);
    return one;
}

std::vector<Seed> seeds()
{
    const auto request = [](lacuna_command command, const auto& put) {
        Message message = new_request(20, command);
        put(message.get());
        return message;
    };
    KernelDescriptor kernel = fake_kernel("6.1-abc");
    kernel.banner = "Linux version 6.1-abc";
    std::vector<Seed> all;
    const auto guest = [](nl_msg* message) { put_guest(message, 1); };
    all.push_back(order("arm", LACUNA_CMD_ARM, request(LACUNA_CMD_ARM, [&](nl_msg* message) {
                            put_arm(message, 1, {kernel, kernel}, {5000, true, {"6.1-abc"}});
                        })));
    all.push_back(order("constraints", LACUNA_CMD_CONSTRAINTS, request(LACUNA_CMD_CONSTRAINTS, [](nl_msg* message) {
                            put_constraints(message, constraints_of_the_product());
                        })));
    all.push_back(order("ignore", LACUNA_CMD_IGNORE, request(LACUNA_CMD_IGNORE, guest)));
    all.push_back(order("disarm", LACUNA_CMD_DISARM, request(LACUNA_CMD_DISARM, guest)));
    all.push_back(order("status", LACUNA_CMD_STATUS, request(LACUNA_CMD_STATUS, guest)));
    all.push_back(order("status-of-all", LACUNA_CMD_STATUS, request(LACUNA_CMD_STATUS, [](nl_msg*) {}), dump));
    all.push_back(order("read", LACUNA_CMD_READ,
                        request(LACUNA_CMD_READ, [](nl_msg* message) { put_read(message, 1, 0x1000, 64); })));
    all.push_back(order("recording", LACUNA_CMD_RECORDING,
                        request(LACUNA_CMD_RECORDING, [](nl_msg* message) { put_read(message, 1, 0, 4096); })));
    all.push_back(order("adopt", LACUNA_CMD_ADOPT,
                        request(LACUNA_CMD_ADOPT, [](nl_msg* message) { put_adopt(message, 7, Fd(dup(0))); })));
    return all;
}

} // namespace

const Harness module_netlink = {"module_netlink", run, seeds, 32768};

} // namespace lacuna::fuzz
